"""Interceptors of workflows: between a task and the code, and between the code and its commands.

A run whose worker has none never comes here. Otherwise a chain of them is made for each run, as
soon as its first event is known: what is told to the code goes through the *inbound* ones, what the
code asks for through the *outbound* ones. The first interceptor of the worker is the outermost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from temporalio.api.common.v1 import Payload

from perdure._replay.event_groups import EventGroup
from perdure._replay.info import Info
from perdure.common import (
    Priority,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    VersioningOverride,
)

if TYPE_CHECKING:
    from perdure._replay.activities import ActivityHandle
    from perdure._replay.children import ChildWorkflowHandle
    from perdure._replay.nexus_operations import NexusOperationHandle

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")

Headers = Mapping[str, Payload]
EventGroups = Sequence[EventGroup] | None

# None of the inputs is frozen: interceptors change them. `cancellation_type`, `versioning_intent`
# and the like are enumerations of `perdure.workflow`.


@dataclass(frozen=True)
class WorkflowInterceptorClassInput:
    """What an interceptor of a worker may add to when it names its class."""

    unsafe_extern_functions: MutableMapping[str, Callable[..., Any]]
    """What `workflow.extern_functions()` returns. They run outside of the rules for workflows."""


@dataclass
class ExecuteWorkflowInput:
    """A run begins."""

    type: type
    run_fn: Callable[..., Awaitable[Any]]
    args: Sequence[Any]
    headers: Headers


@dataclass
class HandleSignalInput:
    """A signal has come."""

    signal: str
    args: Sequence[Any]
    headers: Headers


@dataclass
class HandleQueryInput:
    """A query is asked."""

    id: str
    query: str
    args: Sequence[Any]
    headers: Headers


@dataclass
class HandleUpdateInput:
    """An update is validated, or handled."""

    id: str
    update: str
    args: Sequence[Any]
    headers: Headers


@dataclass
class ContinueAsNewInput:
    """The code continues as new."""

    workflow: str | None
    args: Sequence[Any]
    task_queue: str | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    backoff_start_interval: timedelta | None
    retry_policy: RetryPolicy | None
    memo: Mapping[str, Any] | None
    search_attributes: SearchAttributes | TypedSearchAttributes | None
    headers: Headers
    versioning_intent: Any
    initial_versioning_behavior: Any
    event_groups: EventGroups = None
    arg_types: list[Any] | None = None


@dataclass
class StartActivityInput:
    """The code starts an activity."""

    activity: str
    args: Sequence[Any]
    activity_id: str | None
    task_queue: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    cancellation_type: Any
    headers: Headers
    disable_eager_execution: bool
    versioning_intent: Any
    summary: str | None
    priority: Priority
    arg_types: list[Any] | None
    ret_type: Any
    event_groups: EventGroups = field(default=None, kw_only=True)


@dataclass
class StartLocalActivityInput:
    """The code starts a local activity."""

    activity: str
    args: Sequence[Any]
    activity_id: str | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    retry_policy: RetryPolicy | None
    local_retry_threshold: timedelta | None
    cancellation_type: Any
    headers: Headers
    summary: str | None
    event_groups: EventGroups = None
    arg_types: list[Any] | None = None
    ret_type: Any = None


@dataclass
class StartChildWorkflowInput:
    """The code starts a child workflow."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str | None
    cancellation_type: Any
    parent_close_policy: Any
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: Any
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: SearchAttributes | TypedSearchAttributes | None
    headers: Headers
    versioning_intent: Any
    static_summary: str | None
    static_details: str | None
    priority: Priority
    arg_types: list[Any] | None
    ret_type: Any
    versioning_override: VersioningOverride | None = field(default=None, kw_only=True)
    event_groups: EventGroups = field(default=None, kw_only=True)


@dataclass
class StartNexusOperationInput(Generic[_Input, _Output]):
    """The code starts a Nexus operation.

    `operation` is its name, a `nexusrpc.Operation`, or the method of a handler. Raises ValueError
    for anything else.
    """

    endpoint: str
    service: str
    operation: Any
    input: _Input
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    cancellation_type: Any
    headers: Mapping[str, str] | None
    summary: str | None
    event_groups: EventGroups = None
    output_type: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.operation, str):
            self.output_type = operation_definition(self.operation).output_type

    @property
    def operation_name(self) -> str:
        """What the service calls the operation."""
        if isinstance(self.operation, str):
            return self.operation
        return str(operation_definition(self.operation).name)


def operation_definition(operation: Any) -> Any:
    """The `nexusrpc.Operation` that something names which is not a string.

    Raises ValueError when it names none.
    """
    # Whoever has such an operation has imported nexusrpc already.
    from nexusrpc import Operation, get_operation

    if isinstance(operation, Operation):
        return operation
    if not callable(operation):
        raise ValueError(f"Operation is not a Nexus operation: {operation}")
    factory = getattr(operation, "__nexus_operation_factory__", operation)
    found = get_operation(operation) or get_operation(factory)
    if not isinstance(found, Operation):
        raise ValueError(f"Operation callable is not a Nexus operation: {operation}")
    return found


@dataclass
class SignalChildWorkflowInput:
    """The code signals a child workflow."""

    signal: str
    args: Sequence[Any]
    child_workflow_id: str
    headers: Headers
    event_groups: EventGroups = None


@dataclass
class SignalExternalWorkflowInput:
    """The code signals a workflow that is not its child."""

    signal: str
    args: Sequence[Any]
    namespace: str
    workflow_id: str
    workflow_run_id: str | None
    headers: Headers
    event_groups: EventGroups = None


class WorkflowInboundInterceptor:
    """Hands on what the code is told. Override what is to be seen or changed."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:  # noqa: A002 -- the mirrored name
        self.next = next

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Called first, with what the code's calls go through; may put something before it."""
        self.next.init(outbound)

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        """Runs the workflow."""
        return await self.next.execute_workflow(input)

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        """Handles a signal."""
        await self.next.handle_signal(input)

    async def handle_query(self, input: HandleQueryInput) -> Any:  # noqa: A002
        """Answers a query; it may not wait for anything."""
        return await self.next.handle_query(input)

    def handle_update_validator(self, input: HandleUpdateInput) -> None:  # noqa: A002
        """Validates an update: raises to refuse it."""
        self.next.handle_update_validator(input)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
        """Handles an update."""
        return await self.next.handle_update_handler(input)


class WorkflowOutboundInterceptor:
    """Hands on what the code asks for. Override what is to be seen or changed."""

    def __init__(self, next: WorkflowOutboundInterceptor) -> None:  # noqa: A002 -- the mirrored name
        self.next = next

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002
        """`workflow.continue_as_new`"""
        self.next.continue_as_new(input)

    def info(self) -> Info:
        """`workflow.info`"""
        return self.next.info()

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:  # noqa: A002
        """`ChildWorkflowHandle.signal`"""
        await self.next.signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:  # noqa: A002
        """`ExternalWorkflowHandle.signal`"""
        await self.next.signal_external_workflow(input)

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """`workflow.start_activity` and all that goes through it."""
        return self.next.start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """`workflow.start_local_activity` and all that goes through it."""
        return self.next.start_local_activity(input)

    async def start_child_workflow(
        self,
        input: StartChildWorkflowInput,  # noqa: A002 -- the mirrored name
    ) -> ChildWorkflowHandle[Any, Any]:
        """`workflow.start_child_workflow` and `execute_child_workflow`"""
        return await self.next.start_child_workflow(input)

    async def start_nexus_operation(
        self,
        input: StartNexusOperationInput[Any, _Output],  # noqa: A002 -- the mirrored name
    ) -> NexusOperationHandle[_Output]:
        """`NexusClient.start_operation` and `execute_operation`"""
        return await self.next.start_nexus_operation(input)
