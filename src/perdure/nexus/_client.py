"""The client that a handler starts its operation with: a workflow, an update, or an activity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from nexusrpc import HandlerError, HandlerErrorType, OperationError, OperationErrorState
from nexusrpc.handler import (
    StartOperationContext,
    StartOperationResultAsync,
    StartOperationResultSync,
)

from perdure.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from perdure.client.connection import UNSET
from perdure.client.starting import StartWorkflowOptions
from perdure.common import (
    ActivityIDConflictPolicy,
    ActivityIDReusePolicy,
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
)
from perdure.nexus._contexts import start_delivering_workflow
from perdure.nexus._running import RunningOperation, current
from perdure.nexus._scope import delivering
from perdure.nexus._token import OperationToken, OperationTokenType

_Result = TypeVar("_Result")
_Self = TypeVar("_Self")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Return = TypeVar("_Return")


@dataclass(frozen=True)
class TemporalOperationResult(Generic[_Result]):
    """How an operation was started: it is over, or it goes on and has a token.

    Raises ValueError unless it is exactly one of both.
    """

    value: _Result | object = UNSET
    token: str | None = None

    def __post_init__(self) -> None:
        if (self.value is not UNSET) == (self.token is not None):
            raise ValueError("TemporalOperationResult must have exactly one of value or token set.")
        token: object = self.token
        if token is not None and (not isinstance(token, str) or not token):
            raise ValueError("TemporalOperationResult token must be a non-empty string.")

    @classmethod
    def sync(cls, value: _Result) -> Self:
        """The operation is over, with a result."""
        return cls(value=value)

    @classmethod
    def async_token(cls, token: str) -> Self:
        """The operation goes on; what its token is."""
        return cls(token=token)

    def _to_nexus_result(self) -> StartOperationResultSync[_Result] | StartOperationResultAsync:
        if self.token is not None:
            return StartOperationResultAsync(self.token)
        return StartOperationResultSync(cast(_Result, self.value))


class ActivityOptions(TypedDict, total=False):
    """The options of an activity that delivers an operation's result."""

    task_queue: str | None
    result_type: type | None
    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    heartbeat_timeout: timedelta | None
    start_delay: timedelta | None
    id_reuse_policy: ActivityIDReusePolicy
    id_conflict_policy: ActivityIDConflictPolicy
    retry_policy: RetryPolicy | None
    search_attributes: TypedSearchAttributes | None
    summary: str | None
    priority: Priority
    rpc_metadata: Mapping[str, str | bytes] | None
    rpc_timeout: timedelta | None


class TemporalNexusClient(ABC):
    """Starts what delivers the result of an operation; at most one thing per operation."""

    @property
    @abstractmethod
    def client(self) -> Client:
        """The worker's client, for all else."""

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[_Self], Awaitable[_Return]],
        *,
        id: str,
        task_queue: str | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> TemporalOperationResult[_Return]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[_Self, _Param], Awaitable[_Return]],
        arg: _Param,
        *,
        id: str,
        task_queue: str | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> TemporalOperationResult[_Return]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Return]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> TemporalOperationResult[_Return]: ...

    @overload
    async def start_workflow(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        task_queue: str | None = ...,
        result_type: type[_Return] | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> TemporalOperationResult[_Return]: ...

    @abstractmethod
    async def start_workflow(
        self,
        workflow: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002 -- the mirrored name
        task_queue: str | None = None,
        result_type: type | None = None,
        **options: Unpack[StartWorkflowOptions],
    ) -> TemporalOperationResult[Any]:
        """Starts a workflow, by default at the worker's task queue."""

    @abstractmethod
    async def start_workflow_update(
        self,
        workflow_id: str,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        wait_for_stage: Literal[WorkflowUpdateStage.ACCEPTED] = WorkflowUpdateStage.ACCEPTED,
        update_id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Mapping[str, str | bytes] | None = None,
        rpc_timeout: timedelta | None = None,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> TemporalOperationResult[Any]:
        """Updates a workflow; the id of the update is the operation's request id, unless given."""

    @overload
    async def start_activity(
        self,
        activity: Callable[..., Awaitable[_Return]],
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        **options: Unpack[ActivityOptions],
    ) -> TemporalOperationResult[_Return]: ...

    @overload
    async def start_activity(
        self,
        activity: Callable[..., _Return],
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        **options: Unpack[ActivityOptions],
    ) -> TemporalOperationResult[_Return]: ...

    @overload
    async def start_activity(
        self,
        activity: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        **options: Unpack[ActivityOptions],
    ) -> TemporalOperationResult[Any]: ...

    @abstractmethod
    async def start_activity(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002 -- the mirrored name
        **options: Unpack[ActivityOptions],
    ) -> TemporalOperationResult[Any]:
        """Starts an activity of its own, by default at the worker's task queue."""


class OperationClient(TemporalNexusClient):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, context: StartOperationContext) -> None:
        self._context = context
        self._running: RunningOperation = current()
        self._started = False

    @property
    def client(self) -> Client:
        """The worker's client."""
        return self._running.client

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """What fails to start may be followed by another attempt."""
        if self._started:
            raise HandlerError(
                "Only one async operation can be started per operation handler invocation. Use "
                "TemporalNexusClient.client for additional workflow interactions",
                type=HandlerErrorType.BAD_REQUEST,
            )
        self._started = True  # at once, lest two are started at the same time
        succeeded = False
        try:
            yield
            succeeded = True
        finally:
            self._started = succeeded

    async def start_workflow(
        self,
        workflow: Any,
        arg: Any = UNSET,
        *,
        task_queue: str | None = None,
        **options: Any,
    ) -> TemporalOperationResult[Any]:
        """Starts a workflow."""
        with self._only_one():
            handle = await start_delivering_workflow(
                self.client,
                self._running.info.task_queue,
                workflow,
                arg,
                task_queue=task_queue,
                **options,
            )
        return TemporalOperationResult.async_token(handle.to_token())

    async def start_workflow_update(
        self,
        workflow_id: str,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        wait_for_stage: Literal[WorkflowUpdateStage.ACCEPTED] = WorkflowUpdateStage.ACCEPTED,
        update_id: str | None = None,
        result_type: type | None = None,
        rpc_metadata: Mapping[str, str | bytes] | None = None,
        rpc_timeout: timedelta | None = None,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> TemporalOperationResult[Any]:
        """Updates a workflow."""
        if not self._context.callback_url:
            raise HandlerError(
                "callback URL is required for a workflow update Nexus operation",
                type=HandlerErrorType.BAD_REQUEST,
            )
        if wait_for_stage is not WorkflowUpdateStage.ACCEPTED:
            raise ValueError("Only ACCEPTED wait stage is supported")
        workflow = self.client.get_workflow_handle(
            workflow_id, run_id=run_id, first_execution_run_id=first_execution_run_id
        )
        with self._only_one():
            with delivering():
                handle: WorkflowUpdateHandle[Any] = await workflow.start_update(
                    update,  # type: ignore[arg-type]
                    arg,
                    args=args,
                    wait_for_stage=wait_for_stage,
                    id=update_id or self._context.request_id,
                    result_type=result_type,
                    rpc_metadata=rpc_metadata or {},
                    rpc_timeout=rpc_timeout,
                )
            if handle._known_outcome is not None:
                try:
                    return TemporalOperationResult.sync(await handle.result())
                except WorkflowUpdateFailedError as error:
                    raise OperationError(str(error), state=OperationErrorState.FAILED) from error
        return _going_on(
            OperationToken(
                type=OperationTokenType.UPDATE_WORKFLOW,
                namespace=self.client.namespace,
                workflow_id=handle.workflow_id,
                update_id=handle.id,
                run_id=handle.workflow_run_id,
            )
        )

    async def start_activity(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        task_queue: str | None = None,
        **options: Any,
    ) -> TemporalOperationResult[Any]:
        """Starts an activity."""
        with self._only_one(), delivering():
            handle: Any = await self.client.start_activity(
                activity, arg, task_queue=task_queue or self._running.info.task_queue, **options
            )
        return _going_on(
            OperationToken(
                type=OperationTokenType.ACTIVITY,
                namespace=self.client.namespace,
                activity_id=handle.id,
                run_id=handle.run_id,
            )
        )


def _going_on(token: OperationToken) -> TemporalOperationResult[Any]:
    return TemporalOperationResult.async_token(token.encode())
