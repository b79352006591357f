"""The settings of a server, and the overrides that users give as `KEY=JSON` with Temporal's names
for the keys."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from enum import Enum

import msgspec

from perdure.server.machines.durations import DURATION_SECONDS_MAX
from perdure.server.machines.ports import DEFAULT_LIMITS, MINUTE_NS, SECOND_NS, Limits

DEFAULT_PORT = 7233
DEFAULT_NAMESPACE = "default"


logger = logging.getLogger(__name__)


class SettingsError(Exception):
    """A setting cannot be used."""


class LogLevel(Enum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warn"
    ERROR = "error"
    NEVER = "never"


class LogFormat(Enum):
    """How a line of the log looks."""

    TEXT = "text"
    PRETTY = "pretty"
    JSON = "json"


class TransportKind(Enum):
    """Which of two servers speaks gRPC: our own, or that of the grpcio package."""

    NATIVE = "native"
    GRPCIO = "grpcio"


class HttpAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where HTTP is spoken. One that is not required is done without when it is taken."""

    host: str
    port: int
    is_required: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is started with. `database` is a path, or `:memory:`; `port` 0 takes a free
    one."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    database: str = ":memory:"
    namespaces: tuple[str, ...] = (DEFAULT_NAMESPACE,)
    search_attributes: dict[str, int] = {}
    """Custom ones that each of these namespaces has, with their types."""
    log_level: LogLevel = LogLevel.WARNING
    limits: Limits = DEFAULT_LIMITS
    transport: TransportKind = TransportKind.NATIVE
    http: tuple[HttpAddress, ...] = ()
    """Where the API as JSON, its OpenAPI document and the metrics are served."""
    skips_time: bool = False
    """Whether TestService is served, by which clients have time skipped. For tests: in memory."""
    stop_grace_seconds: float = 1.0
    """How long calls may go on after the server was told to stop."""


COUNTS: dict[str, str] = {
    "limit.blobSize.error": "blob_size_bytes_max",
    "limit.blobSize.warn": "blob_size_bytes_warn",
    "limit.memoSize.error": "memo_size_bytes_max",
    "limit.historySize.error": "history_size_bytes_max",
    "limit.historySize.suggestContinueAsNew": "history_size_bytes_suggest",
    "limit.historyCount.error": "history_count_max",
    "limit.historyCount.suggestContinueAsNew": "history_count_suggest",
    "limit.mutableStateActivityFailureSize.error": "activity_failure_bytes_max",
    "limit.numPendingActivities.error": "pending_activities_max",
    "limit.numPendingChildExecutions.error": "pending_children_max",
    "limit.numPendingSignals.error": "pending_signals_max",
    "limit.numPendingCancelRequests.error": "pending_cancels_max",
    "history.parentClosePolicyThreshold": "parent_close_batch",
    "history.maximumSignalsPerExecution": "signals_max",
    "history.MaxBufferedQueryCount": "queries_max",
    "history.maxInFlightUpdates": "updates_in_flight_max",
    "history.maxInFlightUpdatePayloads": "updates_in_flight_bytes_max",
    "history.maxTotalUpdates": "updates_max",
    "history.discardSpeculativeWorkflowTaskMaximumEventsCount": "discarded_events_max",
    "history.maximumBufferedEventsBatch": "buffered_events_max",
    "history.maximumBufferedEventsSizeInBytes": "buffered_bytes_max",
    "limit.maxIDLength": "id_length_max",
    "frontend.searchAttributesTotalSizeLimit": "search_attributes_bytes_max",
    "frontend.searchAttributesNumberOfKeysLimit": "search_attributes_max",
    "frontend.searchAttributesSizeOfValueLimit": "search_attribute_bytes_max",
    "limit.mutableStateSize.error": "mutable_state_bytes_max",
    "limit.workerBuildIdSize": "build_id_bytes_max",
    "frontend.maxlinksPerRequest": "links_max",
    "frontend.linkMaxSize": "link_bytes_max",
    "callback.maxPerExecution": "callbacks_max",
    "frontend.callbackURLMaxLength": "callback_url_bytes_max",
    "frontend.callbackHeaderMaxLength": "callback_header_bytes_max",
    "component.nexusoperations.limit.operation.concurrency": "pending_nexus_operations_max",
    "component.nexusoperations.limit.service.name.length": "nexus_name_length_max",
    "component.nexusoperations.limit.header.size": "nexus_header_bytes_max",
    "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute": (
        "reported_problem_failures"
    ),
    "frontend.MaxConcurrentBatchOperationPerNamespace": "batches_max",
    "worker.batcherRPS": "batch_rate_per_second",
    "frontend.rps": "requests_per_second",
    "frontend.namespaceRPS": "namespace_requests_per_second",
    "frontend.namespaceRPS.visibility": "finding_requests_per_second",
    "frontend.namespaceCount": "waiting_requests_max",
    "matching.maxDeployments": "deployments_max",
    "matching.maxVersionsInDeployment": "deployment_versions_max",
    "matching.maxTaskQueuesInDeploymentVersion": "deployment_queues_max",
    "frontend.historyMaxPageSize": "history_page_events",
    "frontend.visibilityMaxPageSize": "list_page_max",
}
"""Temporal's keys whose values are numbers of bytes, events or things, and our limits."""

SWITCHES: dict[str, str] = {
    "frontend.WorkflowPauseEnabled": "is_workflow_pause_enabled",
    "history.enableSignalWithStartFromWorkflow": "is_signal_with_start_from_workflow_enabled",
    "history.enableUpdateCallbacks": "are_update_callbacks_enabled",
    "nexusoperation.enableStandalone": "is_standalone_nexus_enabled",
}
"""Temporal's keys whose values are true or false, and our limits."""

DURATIONS: dict[str, str] = {
    "history.defaultWorkflowTaskTimeout": "workflow_task_timeout_ns",
    "system.maxWorkflowTaskStartToCloseTimeout": "workflow_task_timeout_ns_max",
    "history.workflowTaskHeartbeatTimeout": "workflow_task_heartbeat_ns_max",
    "history.workflowTaskRetryMaxInterval": "workflow_task_retry_ns_max",
    "matching.longPollExpirationInterval": "task_poll_ns_max",
    "matching.wv.VersionDrainageStatusVisibilityGracePeriod": "drainage_grace_ns",
    "matching.wv.VersionDrainageStatusRefreshInterval": "drainage_refresh_ns",
    "history.longPollExpirationInterval": "history_poll_ns_max",
    "callback.request.timeout": "callback_timeout_ns",
    "component.nexusoperations.request.timeout": "nexus_call_timeout_ns",
    "component.nexusoperations.limit.request.timeout.min": "nexus_call_timeout_ns_min",
}
"""Temporal's keys whose values are durations such as "1m30s" (or a number of seconds), and our
limits."""

ADDRESSES: dict[str, str] = {
    "callback.allowedAddresses": "callback_addresses",
}
"""Temporal's keys whose values are lists of addresses, as objects with a Pattern (of hosts, `*` for
any text) and AllowInsecure, and our limits."""

TEXTS: dict[str, str] = {
    "component.nexusoperations.callback.endpoint.template": "nexus_callback_url",
}
"""Temporal's keys whose values are texts, and our limits."""

IGNORED_PREFIXES = (
    "activity.",
    "callback.",
    "component.",
    "frontend.",
    "history.",
    "limit.",
    "matching.",
    "nexusoperation.",
    "system.",
    "worker.",
)
"""Temporal's server takes any key, and suites set many: those which could be one of its own are
taken with a warning."""

UNITS_NS: dict[str, int] = {
    "ms": SECOND_NS // 1000,
    "s": SECOND_NS,
    "m": MINUTE_NS,
    "h": 60 * MINUTE_NS,
}


def parse_search_attributes(texts: Iterable[str]) -> dict[str, int]:
    """Search attributes written as `NAME=TYPE`. Raises SettingsError."""
    # It knows messages, which take longer to import than a command line should to answer.
    from perdure.server.machines.search_attributes import TYPE_NAMES

    types = {name: kind for kind, name in TYPE_NAMES.items()}
    found: dict[str, int] = {}
    for text in texts:
        name, separator, kind = text.rpartition("=")
        if not separator or not name:
            raise SettingsError(f"{text!r} is not of the form NAME=TYPE")
        if kind not in types:
            raise SettingsError(f"{name}: {kind!r} is none of {', '.join(types)}")
        found[name] = types[kind]
    return found


def parse_overrides(overrides: Iterable[str], limits: Limits = DEFAULT_LIMITS) -> Limits:
    """The limits with `KEY=JSON` overrides applied; what has no effect here is warned of. Raises
    SettingsError for a key that cannot be Temporal's or an unusable value."""
    changes: dict[str, object] = {}
    # Temporal's server does not tell upper case from lower.
    names = {name.lower(): name for name in (*COUNTS, *SWITCHES, *DURATIONS, *ADDRESSES, *TEXTS)}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise SettingsError(f"{override!r} is not of the form KEY=JSON")
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise SettingsError(f"{key}: {text!r} is not JSON: {error}") from error
        known_key = names.get(key.lower(), key)
        if known_key in COUNTS:
            changes[COUNTS[known_key]] = _count(key, value)
        elif known_key in SWITCHES:
            changes[SWITCHES[known_key]] = _switch(key, value)
        elif known_key in DURATIONS:
            changes[DURATIONS[known_key]] = _duration_ns(key, value)
        elif known_key in ADDRESSES:
            changes[ADDRESSES[known_key]] = _addresses(key, value)
        elif known_key in TEXTS:
            changes[TEXTS[known_key]] = _text(key, value)
        elif key.lower().startswith(IGNORED_PREFIXES):
            logger.warning("the setting %s has no effect here", key)
        else:
            known = ", ".join(sorted({**COUNTS, **DURATIONS, **SWITCHES, **ADDRESSES, **TEXTS}))
            raise SettingsError(f"unknown setting {key}; known are {known}")
    return msgspec.structs.replace(limits, **changes)


def _switch(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{key}: {value!r} is neither true nor false")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise SettingsError(f"{key}: {value!r} is no text")
    return value


def _count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**63:
        raise SettingsError(f"{key}: {value!r} is not a whole number above 0")
    return value


def _addresses(key: str, value: object) -> tuple[tuple[str, bool], ...]:
    try:
        rules = msgspec.convert(value, list[_Address])
    except msgspec.ValidationError as error:
        raise SettingsError(f"{key}: {error}") from error
    return tuple((rule.pattern, rule.allow_insecure) for rule in rules)


class _Address(msgspec.Struct, rename={"pattern": "Pattern", "allow_insecure": "AllowInsecure"}):
    pattern: str
    allow_insecure: bool = False


def _duration_ns(key: str, value: object) -> int:
    length_ns = 0.0
    if isinstance(value, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smh])", value)
        if "".join(number + unit for number, unit in parts) == value:
            length_ns = sum(float(number) * UNITS_NS[unit] for number, unit in parts)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        length_ns = float(value) * SECOND_NS
    if not 1 <= length_ns <= DURATION_SECONDS_MAX * SECOND_NS:
        raise SettingsError(f'{key}: {value!r} is not a duration such as "1m30s"')
    return round(length_ns)
