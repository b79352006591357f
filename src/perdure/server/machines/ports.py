"""What a decision is given besides its state and its input: ids and limits, as values and a
source."""

from __future__ import annotations

from typing import Protocol

import msgspec

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class Ids(Protocol):
    """The one source of new names. In the shell it rolls dice; in a test it counts."""

    def uuid(self) -> str:
        """A UUID in its 36 characters, never given out before."""
        ...


class Limits(msgspec.Struct, frozen=True):
    """Every bound and default that a decision depends on (Temporal 1.32's dynamic configuration, by
    default).

    The names of Temporal's keys stand beside the values, since users look for them.
    """

    blob_size_bytes_max: int = 2 * 1024 * 1024  # limit.blobSize.error
    blob_size_bytes_warn: int = 512 * 1024  # limit.blobSize.warn
    memo_size_bytes_max: int = 2 * 1024 * 1024  # limit.memoSize.error
    history_size_bytes_max: int = 50 * 1024 * 1024  # limit.historySize.error
    history_size_bytes_suggest: int = 4 * 1024 * 1024  # limit.historySize.suggestContinueAsNew
    history_count_max: int = 50 * 1024  # limit.historyCount.error
    history_count_suggest: int = 4 * 1024  # limit.historyCount.suggestContinueAsNew
    activity_failure_bytes_max: int = 4 * 1024  # limit.mutableStateActivityFailureSize.error
    pending_activities_max: int = 2000  # limit.numPendingActivities.error
    pending_children_max: int = 2000  # limit.numPendingChildExecutions.error
    pending_signals_max: int = 2000  # limit.numPendingSignals.error
    pending_cancels_max: int = 2000  # limit.numPendingCancelRequests.error
    signals_max: int = 10_000  # history.maximumSignalsPerExecution
    buffered_events_max: int = 100  # history.maximumBufferedEventsBatch
    buffered_bytes_max: int = 2 * 1024 * 1024  # history.maximumBufferedEventsSizeInBytes
    queries_max: int = 1  # history.MaxBufferedQueryCount
    id_length_max: int = 1000  # limit.maxIDLength
    workflow_task_timeout_ns: int = 10 * SECOND_NS  # history.defaultWorkflowTaskTimeout
    workflow_task_timeout_ns_max: int = 120 * SECOND_NS  # system.maxWorkflowTaskStartToCloseTimeout
    workflow_task_heartbeat_ns_max: int = 30 * MINUTE_NS  # history.workflowTaskHeartbeatTimeout
    workflow_task_retry_ns_max: int = 10 * MINUTE_NS  # history.workflowTaskRetryMaxInterval
    search_attributes_bytes_max: int = 40 * 1024  # frontend.searchAttributesTotalSizeLimit
    search_attributes_max: int = 100  # frontend.searchAttributesNumberOfKeysLimit
    search_attribute_bytes_max: int = 2 * 1024  # frontend.searchAttributesSizeOfValueLimit
    mutable_state_bytes_max: int = 8 * 1024 * 1024  # limit.mutableStateSize.error
    build_id_bytes_max: int = 255  # limit.workerBuildIdSize
    links_max: int = 10  # frontend.maxlinksPerRequest
    link_bytes_max: int = 4000  # frontend.linkMaxSize
    history_page_events: int = 256  # frontend.historyMaxPageSize
    list_page_max: int = 1000  # frontend.visibilityMaxPageSize
    task_poll_ns_max: int = 60 * SECOND_NS  # matching.longPollExpirationInterval
    history_poll_ns_max: int = 20 * SECOND_NS  # history.longPollExpirationInterval
    reported_problem_failures: int = 5
    # system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute
    parent_close_batch: int = 10  # history.parentClosePolicyThreshold
    failure_depth_max: int = 20
    updates_in_flight_max: int = 10  # history.maxInFlightUpdates
    updates_in_flight_bytes_max: int = 20 * 1024 * 1024  # history.maxInFlightUpdatePayloads
    updates_max: int = 2000  # history.maxTotalUpdates
    discarded_events_max: int = 10  # history.discardSpeculativeWorkflowTaskMaximumEventsCount
    is_workflow_pause_enabled: bool = False  # frontend.WorkflowPauseEnabled


DEFAULT_LIMITS = Limits()
