"""A handle on one workflow: everything that can be done to it from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)

from perdure._definitions import (
    query_name_and_result_type,
    signal_name,
    update_name_and_result_type,
)
from perdure.client.connection import UNSET, Connection, arguments_of
from perdure.client.executions import WorkflowExecutionDescription
from perdure.client.history import (
    WorkflowHistory,
    WorkflowHistoryEventAsyncIterator,
    collected,
    first_event,
)
from perdure.client.inputs import (
    CancelWorkflowInput,
    DescribeWorkflowInput,
    FetchWorkflowHistoryEventsInput,
    QueryWorkflowInput,
    SignalWorkflowInput,
    StartWorkflowUpdateInput,
    TerminateWorkflowInput,
)
from perdure.client.results import NextRun, outcome_of
from perdure.client.starting import StartResponse
from perdure.client.status import WorkflowHistoryEventFilterType, WorkflowUpdateStage
from perdure.client.updates import WorkflowUpdateHandle
from perdure.common import QueryRejectCondition
from perdure.service import Metadata

if TYPE_CHECKING:
    from perdure.workflow import UpdateMethodMultiParam

SelfType = TypeVar("SelfType")
ReturnType = TypeVar("ReturnType")
ParamType = TypeVar("ParamType")
MultiParam = ParamSpec("MultiParam")
Answer = TypeVar("Answer")


class CallOptions(TypedDict, total=False):
    """What goes along with a call."""

    rpc_metadata: Metadata | None
    rpc_timeout: timedelta | None


class QueryOptions(CallOptions, total=False):
    """And with a query."""

    reject_condition: QueryRejectCondition | None


class WorkflowHandle(Generic[SelfType, ReturnType]):
    """A workflow by its id, made by `Client.start_workflow` and `Client.get_workflow_handle`.

    With a run id, every call is meant for that run, otherwise for the current one. The first
    execution's run id, when it is known, keeps cancel and terminate from a later workflow that has
    the same id and nothing else in common.
    """

    def __init__(
        self,
        connection: Connection,
        id: str,  # noqa: A002 -- the mirrored name
        *,
        run_id: str | None = None,
        result_run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
        start_workflow_response: StartResponse | None = None,
    ) -> None:
        self._connection = connection
        self._id = id
        self._run_id = run_id
        self._result_run_id = result_run_id
        self._first_execution_run_id = first_execution_run_id
        self._result_type = result_type
        self._start_workflow_response = start_workflow_response

    @property
    def id(self) -> str:
        """The id of the workflow."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that all calls are meant for; None means the current one."""
        return self._run_id

    @property
    def result_run_id(self) -> str | None:
        """The run from which `result` starts to wait."""
        return self._result_run_id

    @property
    def first_execution_run_id(self) -> str | None:
        """The first run of the chain that cancel and terminate are meant for."""
        return self._first_execution_run_id

    async def result(
        self,
        *,
        follow_runs: bool = True,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ReturnType:
        """Wait for the workflow's end, through the runs that follow (retry, cron, continue as new).

        The timeout is that of each poll, not of the whole wait. Raises WorkflowFailureError when
        the workflow did not complete, WorkflowContinuedAsNewError when it went on in another run
        that is not to be followed.
        """
        converter = self._connection.converter_for(self._id)
        query = FetchWorkflowHistoryEventsInput(
            id=self._id,
            run_id=self._result_run_id,
            page_size=None,
            next_page_token=None,
            wait_new_event=True,
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT,
            skip_archival=True,
            rpc_metadata=rpc_metadata or {},
            rpc_timeout=rpc_timeout,
        )
        while True:
            event = await first_event(self._connection, query)
            outcome = await outcome_of(event, converter, self._result_type, follow_runs)
            if not isinstance(outcome, NextRun):
                result: ReturnType = outcome
                return result
            query.run_id = outcome.run_id

    async def cancel(
        self,
        *,
        reason: str = "",
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Ask the workflow to stop. It may clean up first, or decline."""
        await self._connection.outbound.cancel_workflow(
            CancelWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                first_execution_run_id=self._first_execution_run_id,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def terminate(
        self,
        *args: Any,
        reason: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Stop the workflow at once; it is not told. The arguments are kept as details."""
        await self._connection.outbound.terminate_workflow(
            TerminateWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                first_execution_run_id=self._first_execution_run_id,
                args=args,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    @overload
    async def signal(
        self,
        signal: Callable[[SelfType], Awaitable[None] | None],
        **options: Unpack[CallOptions],
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: Callable[[SelfType, ParamType], Awaitable[None] | None],
        arg: ParamType,
        **options: Unpack[CallOptions],
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: Callable[Concatenate[SelfType, MultiParam], Awaitable[None] | None],
        *,
        args: Sequence[Any],
        **options: Unpack[CallOptions],
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        **options: Unpack[CallOptions],
    ) -> None: ...

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Send a signal, by its name or its handler. It is stored when this returns."""
        await self._connection.outbound.signal_workflow(
            SignalWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                signal=signal_name(signal),
                args=arguments_of(arg, args),
                headers={},
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    @overload
    async def query(
        self,
        query: Callable[[SelfType], Awaitable[Answer]],
        **options: Unpack[QueryOptions],
    ) -> Answer: ...

    @overload
    async def query(
        self,
        query: Callable[[SelfType], Answer],
        **options: Unpack[QueryOptions],
    ) -> Answer: ...

    @overload
    async def query(
        self,
        query: Callable[[SelfType, ParamType], Awaitable[Answer]],
        arg: ParamType,
        **options: Unpack[QueryOptions],
    ) -> Answer: ...

    @overload
    async def query(
        self,
        query: Callable[[SelfType, ParamType], Answer],
        arg: ParamType,
        **options: Unpack[QueryOptions],
    ) -> Answer: ...

    @overload
    async def query(
        self,
        query: Callable[Concatenate[SelfType, MultiParam], Awaitable[Answer]],
        *,
        args: Sequence[Any],
        **options: Unpack[QueryOptions],
    ) -> Answer: ...

    @overload
    async def query(
        self,
        query: Callable[Concatenate[SelfType, MultiParam], Answer],
        *,
        args: Sequence[Any],
        **options: Unpack[QueryOptions],
    ) -> Answer: ...

    @overload
    async def query(
        self,
        query: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: Any = ...,
        **options: Unpack[QueryOptions],
    ) -> Any: ...

    async def query(
        self,
        query: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        result_type: Any = None,
        reject_condition: QueryRejectCondition | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Ask the workflow, by the name of a query or its handler.

        Raises WorkflowQueryRejectedError, WorkflowQueryFailedError or RPCError.
        """
        name, known_type = query_name_and_result_type(query)
        return await self._connection.outbound.query_workflow(
            QueryWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                query=name,
                args=arguments_of(arg, args),
                reject_condition=reject_condition,
                headers={},
                ret_type=known_type if result_type is None else result_type,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    @overload
    async def execute_update(
        self,
        update: Callable[[SelfType], Answer],
        *,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Answer: ...

    @overload
    async def execute_update(
        self,
        update: Callable[[SelfType, ParamType], Answer],
        arg: ParamType,
        *,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Answer: ...

    @overload
    async def execute_update(
        self,
        update: Callable[Concatenate[SelfType, MultiParam], Answer],
        *,
        args: Sequence[Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Answer: ...

    @overload
    async def execute_update(
        self,
        update: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: Any = ...,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    async def execute_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str | None = None,  # noqa: A002 -- the mirrored name
        result_type: Any = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Send an update and wait for its result. Raises WorkflowUpdateFailedError or RPCError."""
        handle: WorkflowUpdateHandle[Any] = await self.start_update(
            update,  # type: ignore[arg-type]
            arg,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
            args=args,
            id=id,
            result_type=result_type,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )
        return await handle.result(rpc_metadata=rpc_metadata, rpc_timeout=rpc_timeout)

    @overload
    async def start_update(
        self,
        update: Callable[[SelfType], Answer],
        *,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Answer]: ...

    @overload
    async def start_update(
        self,
        update: Callable[[SelfType, ParamType], Answer],
        arg: ParamType,
        *,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Answer]: ...

    @overload
    async def start_update(
        self,
        update: Callable[Concatenate[SelfType, MultiParam], Answer],
        *,
        args: Sequence[Any],
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Answer]: ...

    @overload
    async def start_update(
        self,
        update: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: Any = ...,
        wait_for_stage: WorkflowUpdateStage,
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Any]: ...

    async def start_update(
        self,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        wait_for_stage: WorkflowUpdateStage,
        args: Sequence[Any] = (),
        id: str | None = None,  # noqa: A002 -- the mirrored name
        result_type: Any = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update and wait until it is accepted, or completed."""
        if wait_for_stage is WorkflowUpdateStage.ADMITTED:
            raise ValueError("ADMITTED wait stage not supported")
        name, known_type = update_name_and_result_type(update)
        return await self._connection.outbound.start_workflow_update(
            StartWorkflowUpdateInput(
                id=self._id,
                run_id=self._run_id,
                first_execution_run_id=self._first_execution_run_id,
                update_id=id,
                update=name,
                args=arguments_of(arg, args),
                wait_for_stage=wait_for_stage,
                headers={},
                ret_type=known_type if result_type is None else result_type,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    def get_update_handle(
        self,
        id: str,  # noqa: A002 -- the mirrored name
        *,
        workflow_run_id: str | None = None,
        result_type: Any = None,
    ) -> WorkflowUpdateHandle[Any]:
        """The handle of an update that was sent before."""
        return WorkflowUpdateHandle(
            self._connection,
            id,
            self._id,
            workflow_run_id=workflow_run_id or self._run_id,
            result_type=result_type,
        )

    def get_update_handle_for(
        self,
        update: UpdateMethodMultiParam[Any, Answer],
        id: str,  # noqa: A002 -- the mirrored name
        *,
        workflow_run_id: str | None = None,
    ) -> WorkflowUpdateHandle[Answer]:
        """`get_update_handle`, with the result's type from the update's handler."""
        _, result_type = update_name_and_result_type(update)
        return self.get_update_handle(id, workflow_run_id=workflow_run_id, result_type=result_type)

    async def describe(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> WorkflowExecutionDescription:
        """What the service knows of the workflow."""
        return await self._connection.outbound.describe_workflow(
            DescribeWorkflowInput(
                id=self._id,
                run_id=self._run_id,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def fetch_history(
        self,
        *,
        event_filter_type: WorkflowHistoryEventFilterType = (
            WorkflowHistoryEventFilterType.ALL_EVENT
        ),
        skip_archival: bool = False,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowHistory:
        """All events up to now."""
        events = self.fetch_history_events(
            event_filter_type=event_filter_type,
            skip_archival=skip_archival,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )
        return await collected(self._id, events)

    def fetch_history_events(
        self,
        *,
        page_size: int | None = None,
        next_page_token: bytes | None = None,
        wait_new_event: bool = False,
        event_filter_type: WorkflowHistoryEventFilterType = (
            WorkflowHistoryEventFilterType.ALL_EVENT
        ),
        skip_archival: bool = False,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowHistoryEventAsyncIterator:
        """The events, one by one; with `wait_new_event`, until the run is closed."""
        query = FetchWorkflowHistoryEventsInput(
            id=self._id,
            run_id=self._run_id,
            page_size=page_size,
            next_page_token=next_page_token,
            wait_new_event=wait_new_event,
            event_filter_type=event_filter_type,
            skip_archival=skip_archival,
            rpc_metadata=rpc_metadata or {},
            rpc_timeout=rpc_timeout,
        )
        return self._connection.outbound.fetch_workflow_history_events(query)
