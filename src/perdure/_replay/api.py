"""The seam between a worker and the replay core.

A worker keeps one `WorkflowRunner` per run in its sticky cache, hands it each workflow task and
sends what comes back. The runner does no I/O, starts no thread and never waits, so `activate` may
be called from any thread, one call at a time per runner.

- `activate(task)` returns a `WorkflowCompletion` or a `TaskFailure`. After a `TaskFailure`, or when
  the server refuses the completion, the worker must `evict()` the runner and forget it: the next
  attempt replays the whole history with a new one.
- A runner that is dropped without `evict()` has its coroutines closed by the garbage collector,
  unguarded and in whatever thread that runs in. So every runner is evicted, also one that closed.
- Commands ask for eager execution of their activities unless
  `disable_eager_activity_execution` is set: then the answer to a completion may carry activity
  tasks, which nobody else will run.
- `HistoryGap` says that the runner does not hold what came before the events of the task. The
  worker fetches the history from its first event and starts again with a new runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.sdk.v1 import WorkflowTaskCompletedMetadata

from perdure._definitions import WorkflowDefinition
from perdure._metrics.meter import Sink
from perdure._replay.commands.local_activity import LocalActivityMachine
from perdure._replay.interceptors import WorkflowInboundInterceptor
from perdure.common import MetricAttributes
from perdure.converter import FailureConverter, PayloadConverter
from perdure.converter.payload_converter import is_context_free

# A history tells which SDK wrote it, and the workers of that SDK read it there. What this core
# writes into a history is what that release writes, and its flags have that release's meaning.
SDK_NAME = "temporal-python"
SDK_VERSION = "1.35.0"


@dataclass(frozen=True)
class PatchActivationInput:
    """What a worker's patch activation callback is asked about."""

    workflow_info: Any
    """The `workflow.Info` of the run."""
    patch_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """What all runners of one worker have in common."""

    definitions: Callable[[str], WorkflowDefinition | None]
    """The definition that serves a workflow type, the dynamic one included."""
    registered: Callable[[], Iterable[str]]
    """The registered workflow types, for the message about one that is not."""
    payload_converter: PayloadConverter
    failure_converter: FailureConverter
    namespace: str
    task_queue: str
    failure_exception_types: Sequence[type[BaseException]] = ()
    """Worker-wide: these fail the workflow, not only its task."""
    disable_eager_activity_execution: bool = False
    build_id: str = ""
    deployment_name: str = ""
    patch_activation_callback: Callable[[PatchActivationInput], bool] | None = None
    check_local_activity: Callable[[str], None] | None = None
    """Raises ValueError for a type of activity that the worker does not have."""
    """Whether a run that reaches a patch for the first time takes the newer branch."""
    metric_sink: Sink | None = None
    metric_attributes: MetricAttributes = field(default_factory=dict)
    interceptor_classes: Sequence[type[WorkflowInboundInterceptor]] = ()
    extern_functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """What interceptors offer to workflow code."""
    guard: bool = True
    """Whether workflow code is guarded against what would not replay."""
    debugging: bool = False
    """Whether a debugger may be opened in workflow code all the same."""
    sdk_name: str = SDK_NAME
    sdk_version: str = SDK_VERSION
    is_context_free: bool = field(init=False)
    """Whether the converters are the same for all runs."""

    def __post_init__(self) -> None:
        converters = (self.payload_converter, self.failure_converter)
        object.__setattr__(self, "is_context_free", all(map(is_context_free, converters)))


# Not frozen, which would make each four times as dear: one is made per task.
@dataclass(slots=True, kw_only=True)
class WorkflowActivation:
    """A workflow task: a `PollWorkflowTaskQueueResponse` with its whole history in memory."""

    run_id: str
    workflow_id: str
    workflow_type: str
    events: Sequence[HistoryEvent]
    """All of the history, or what follows the last task that this runner saw."""
    previous_started_event_id: int
    started_event_id: int
    attempt: int = 1
    query: WorkflowQuery | None = None
    """Of a task that is only there to answer it."""
    queries: Mapping[str, WorkflowQuery] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    """Requests for updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalActivitiesPending:
    """The code waits for local activities: run them, and bring what comes of them by
    `resolve_local`; or answer the task as it is, by `complete`."""

    requests: Sequence[LocalActivityMachine]
    """To be begun."""
    stops: Sequence[int]
    """To be stopped, by their numbers."""


@dataclass(slots=True, kw_only=True)
class WorkflowCompletion:
    """What the worker answers to the task."""

    commands: Sequence[Command]
    sdk_metadata: WorkflowTaskCompletedMetadata
    """To be sent as it is, with an empty `metering_metadata` beside it."""
    query_results: Mapping[str, WorkflowQueryResult] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    """Answers to requests for updates; commands refer to them."""
    versioning_behavior: int = 0
    closed: bool = False
    """The last command ends the run: the runner is of no more use."""
    force_new_task: bool = False
    """Local activities go on: another task is needed to record what comes of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """What the worker answers to a task that carried only a query."""

    result: WorkflowQueryResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """What the worker answers when the task cannot be completed; the server will try it again."""

    cause: WorkflowTaskFailedCause.ValueType
    failure: Failure
    exception: BaseException | None = None
    """For the worker's log."""


class HistoryGap(Exception):
    """The events do not follow what this runner has seen."""
