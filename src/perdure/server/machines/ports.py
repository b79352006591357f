"""What a decision is given besides its state and its input, and what a machine is to the engine.

A decision is given ids and limits, as values and a source. The engine knows nothing of workflows or
schedules but this port: a machine decides on a *subject* (what one id names), of which one *run* is
current; runs are stored as a head and keyed records, and machines tell each other things by
messages. What kinds there are is in `registry.py` alone.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, Protocol

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
    callbacks_max: int = 2000  # callback.maxPerExecution
    callback_url_bytes_max: int = 1000  # frontend.callbackURLMaxLength
    callback_header_bytes_max: int = 8192  # frontend.callbackHeaderMaxLength
    callback_timeout_ns: int = 10 * SECOND_NS  # callback.request.timeout
    callback_addresses: tuple[tuple[str, bool], ...] = ()  # callback.allowedAddresses
    nexus_callback_url: str = ""  # component.nexusoperations.callback.endpoint.template
    """Patterns of hosts that may be called, and whether without encryption."""
    pending_nexus_operations_max: int = 30
    # component.nexusoperations.limit.operation.concurrency
    nexus_name_length_max: int = 1000
    # component.nexusoperations.limit.service.name.length and ...operation.name.length
    nexus_header_bytes_max: int = 8192  # component.nexusoperations.limit.header.size
    nexus_call_timeout_ns: int = 10 * SECOND_NS  # component.nexusoperations.request.timeout
    nexus_call_timeout_ns_min: int = 1_500_000_000
    # component.nexusoperations.limit.request.timeout.min
    drainage_grace_ns: int = 3 * MINUTE_NS
    # matching.wv.VersionDrainageStatusVisibilityGracePeriod
    drainage_refresh_ns: int = 3 * MINUTE_NS  # matching.wv.VersionDrainageStatusRefreshInterval
    is_workflow_pause_enabled: bool = False  # frontend.WorkflowPauseEnabled
    is_signal_with_start_from_workflow_enabled: bool = False
    # history.enableSignalWithStartFromWorkflow
    are_update_callbacks_enabled: bool = False  # history.enableUpdateCallbacks
    is_standalone_nexus_enabled: bool = False  # nexusoperation.enableStandalone
    batches_max: int = 1  # frontend.MaxConcurrentBatchOperationPerNamespace
    batch_rate_per_second: int = 50  # worker.batcherRPS
    # None of these until they are set: Temporal's defaults are 2400, 2400, 10 and 1200.
    requests_per_second: int = 0  # frontend.rps
    namespace_requests_per_second: int = 0  # frontend.namespaceRPS
    finding_requests_per_second: int = 0  # frontend.namespaceRPS.visibility
    waiting_requests_max: int = 0  # frontend.namespaceCount

    # Of worker deployments, in a namespace.
    deployments_max: int = 100  # matching.maxDeployments
    deployment_versions_max: int = 100  # matching.maxVersionsInDeployment
    deployment_queues_max: int = 100  # matching.maxTaskQueuesInDeploymentVersion


DEFAULT_LIMITS = Limits()


class Kind(enum.IntEnum):
    """The kinds of machines. They are stored, so a number never changes its meaning."""

    WORKFLOW = 0
    SCHEDULE = 1
    ACTIVITY = 2
    """One of its own, without a workflow."""
    NEXUS_OPERATION = 3
    """The same."""


class Names(NamedTuple):
    """What a subject is called, and what its namespace sets."""

    namespace: str
    namespace_id: str
    id: str
    retention_ns: int = 0


class Address(NamedTuple):
    """A subject of the same namespace, as messages name it."""

    kind: Kind
    id: str


class MachineRun(Protocol):
    """What the engine sees of a run, whatever its machine."""

    @property
    def run_id(self) -> str:
        """A UUID."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        ...

    @property
    def wake_at_ns(self) -> int:
        """When it must be looked at again; 0: never."""
        ...

    @property
    def last_event_id(self) -> int:
        """The newest event of its history; 0 when it has none."""
        ...


class Subject(Protocol):
    """What one id names: the unit of decision."""

    @property
    def run(self) -> Any:
        """Its current run (a `MachineRun`); None when there is none."""
        ...

    @property
    def must_stay(self) -> bool:
        """Whether something would be lost if it left the memory."""
        ...


class RunChange(Protocol):
    """What a turn does to one run."""

    @property
    def run(self) -> Any:
        """The `MachineRun`."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether the turn began it."""
        ...

    @property
    def batches(self) -> Sequence[Any]:
        """Its new events, if the machine keeps a history."""
        ...

    @property
    def touched(self) -> AbstractSet[tuple[Any, Any]]:
        """Kind and key of each record to write or delete."""
        ...

    @property
    def visibility_changed(self) -> bool:
        """Whether what lists find it by has changed."""
        ...


class MachineDecision(Protocol):
    """The result of a turn."""

    @property
    def segments(self) -> Sequence[RunChange]:
        """What changed, run by run."""
        ...

    @property
    def effects(self) -> Sequence[Any]:
        """What must be done after the commit."""
        ...

    @property
    def reply(self) -> Any:
        """The answer."""
        ...

    @property
    def has_changes(self) -> bool:
        """Whether anything must be committed."""
        ...


class Held(enum.IntFlag):
    """What somebody may be busy with for a run, so that it is lost when they die. Stored: never use
    a number again."""

    NOTHING = 0
    TASKS = 1
    """By workers."""
    CALLS = 2
    """By the engine: calls over the network, to Nexus handlers and callbacks."""


class InHand(NamedTuple):
    """What a run waits for: workers, or a time. Where time can be skipped, it is skipped only to
    that time, and only while no worker has anything to do."""

    workflow_tasks: int = 0
    """On offer or taken; a waiting query or update too, for it needs one."""
    activity_tasks: int = 0
    """On offer or taken."""
    next_ns: int = 0
    """The earliest thing that is due; 0: nothing ever is."""


class Machine(NamedTuple):
    """One kind of machine, as the engine knows it: a table of pure functions. Their subjects, runs,
    inputs and messages are the machine's own, and opaque to the engine."""

    kind: Kind
    subject: Callable[[Names, Any], Any]
    """What an id names, with its current run or None."""
    decide: Callable[[Any, Any, int, Ids, Limits], MachineDecision]
    """Take one decision: subject, input, time, ids, limits. Raises Rejected."""
    run_named_by: Callable[[Any], str]
    """The run that an input is for; "" when it is for whichever is current."""
    wake_up: Callable[[str], Any]
    """The input of a run whose time has come."""
    encode_head: Callable[[Any], bytes]
    encode_record: Callable[[Any, Any, Any], bytes | None]
    """A keyed part of a run; None when it is gone."""
    record_key: Callable[[Any, Any], bytes]
    decode_run: Callable[[bytes, Iterable[tuple[int, bytes, bytes]]], Any]
    held: Callable[[Any], Held]
    """What of a run somebody may be busy with; such a run has a wake-up."""
    delete: Callable[[str, Any], Any]
    """The input that deletes a run, by its id; with the run itself when it is not the current
    one."""
    no_such_run: Callable[[str, str], str]
    """What those are told who name an id, or a run of it, that does not exist."""
    in_hand: Callable[[Any], InHand]
    """What a subject waits for, by its current run."""
    lost_tasks: Callable[[Any], list[Any]]
    """The inputs that tell a run that whatever workers hold its tasks are dead."""
    lost_calls: Callable[[str], Any]
    """The wake-up of a run whose calls that were under way are lost."""
    is_crowded: Callable[[Any, Limits], bool]
    """Whether a run (or None) cannot hear more for now."""
    sender_that_must_wait: Callable[[Any], Address | None]
    """Who must still want a message when it is delivered to this machine."""
    is_wanted: Callable[[Any, Any], bool]
    """Whether a run (or None) still wants a message of its own delivered."""
    answer_to: Callable[[Any, Any], tuple[Address, Any] | None]
    """What its sender is told of a message to which this reply or `Rejected` and nothing else
    came."""
