"""The client: starts workflows, finds them, and hands out handles on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    overload,
)

from perdure._definitions import (
    activity_name_and_result_type,
    update_name_and_result_type,
    workflow_name_and_result_type,
)
from perdure.client.activity_executions import (
    ActivityExecutionAsyncIterator,
    ActivityExecutionCount,
)
from perdure.client.activity_handle import ActivityHandle
from perdure.client.activity_inputs import (
    CountActivitiesInput,
    ListActivitiesInput,
    StartActivityOptions,
    start_of,
)
from perdure.client.async_activity import AsyncActivityHandle, AsyncActivityIDReference
from perdure.client.build_ids import (
    BuildIdOp,
    GetWorkerBuildIdCompatibilityInput,
    GetWorkerTaskReachabilityInput,
    TaskReachabilityType,
    UpdateWorkerBuildIdCompatibilityInput,
    WorkerBuildIdVersionSets,
    WorkerTaskReachability,
)
from perdure.client.config import ClientConfig
from perdure.client.connection import UNSET, Connection, arguments_of
from perdure.client.executions import (
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
)
from perdure.client.handle import Answer, CallOptions, WorkflowHandle
from perdure.client.inputs import (
    CountWorkflowsInput,
    CreateScheduleInput,
    ListSchedulesInput,
    ListWorkflowsInput,
    StartWorkflowInput,
    UpdateWithStartUpdateWorkflowInput,
)
from perdure.client.interceptor import Interceptor
from perdure.client.nexus_client import NexusClient
from perdure.client.nexus_client import ServiceClient as ServiceClientOfNexus
from perdure.client.nexus_executions import (
    NexusOperationExecutionAsyncIterator,
    NexusOperationExecutionCount,
)
from perdure.client.nexus_handle import NexusOperationHandle
from perdure.client.nexus_inputs import CountNexusOperationsInput, ListNexusOperationsInput
from perdure.client.outbound import intercepted
from perdure.client.plugin import Plugin
from perdure.client.schedule_handle import ScheduleHandle
from perdure.client.schedule_spec import ScheduleBackfill
from perdure.client.schedules import Schedule, ScheduleAsyncIterator
from perdure.client.starting import StartWorkflowOptions
from perdure.client.status import WorkflowUpdateStage
from perdure.client.updates import WorkflowUpdateHandle
from perdure.client.with_start import WithStartWorkflowOperation, use
from perdure.common import (
    HeaderCodecBehavior,
    Priority,
    QueryRejectCondition,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    VersioningOverride,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from perdure.converter import DataConverter
from perdure.runtime import Runtime
from perdure.service import (
    ConnectConfig,
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    Metadata,
    PayloadLimitsConfig,
    RetryConfig,
    RPCs,
    ServiceClient,
    TLSConfig,
)
from perdure.transport.port import Transport
from perdure.types import (
    CallableAsyncNoParam,
    CallableAsyncSingleParam,
    CallableSyncNoParam,
    CallableSyncSingleParam,
)

if TYPE_CHECKING:
    from nexusrpc import Operation


SelfType = TypeVar("SelfType")
ParamType = TypeVar("ParamType")
ReturnType = TypeVar("ReturnType")
MultiParam = ParamSpec("MultiParam")


class Client:
    """A namespace of a service. Clients of one service client share its connection."""

    def __init__(
        self,
        service_client: ServiceClient,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        plugins: Sequence[Plugin] = (),
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> None:
        """`header_codec_behavior` says whose the payloads of headers are: interceptors' alone, or
        the payload codec's too, of workflows only or of clients and activities as well."""
        self._initial_config = ClientConfig(
            service_client=service_client,
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            plugins=plugins,
            header_codec_behavior=header_codec_behavior,
        )
        config = self._initial_config.copy()
        for plugin in plugins:
            config = plugin.configure_client(config)
        self._active_config = config
        self._connection = Connection(
            config["service_client"],
            config["namespace"],
            config["data_converter"],
            config["default_workflow_query_reject_condition"],
            config["header_codec_behavior"],
        )
        self._connection.outbound = intercepted(self._connection, config["interceptors"])

    @classmethod
    async def connect(
        cls,
        target_host: str,
        *,
        namespace: str = "default",
        api_key: str | None = None,
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        default_workflow_query_reject_condition: QueryRejectCondition | None = None,
        tls: bool | TLSConfig | None = None,
        retry_config: RetryConfig | None = None,
        keep_alive_config: KeepAliveConfig | None = KeepAliveConfig.default,
        connect_timeout: timedelta | None = None,
        rpc_metadata: Metadata | None = None,
        identity: str | None = None,
        lazy: bool = False,
        runtime: Runtime | None = None,
        plugins: Sequence[Plugin] = (),
        http_connect_proxy_config: HttpConnectProxyConfig | None = None,
        dns_load_balancing_config: DnsLoadBalancingConfig | None = None,
        grpc_compression: GrpcCompression = GrpcCompression.GZIP,
        payload_limits: PayloadLimitsConfig = PayloadLimitsConfig(),  # noqa: B008 -- frozen
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> Self:
        """A client of the service at `host:port`. Raises RuntimeError when it cannot be reached.

        With `lazy`, it connects with the first call instead. TLS is used when it is asked for, or
        when there is an API key and nothing is said of TLS.
        """
        service_client = await _with_plugins(ServiceClient.connect, plugins)(
            ConnectConfig(
                target_host=target_host,
                api_key=api_key,
                tls=tls,
                retry_config=retry_config,
                keep_alive_config=keep_alive_config,
                rpc_metadata=rpc_metadata or {},
                identity=identity or "",
                lazy=lazy,
                connect_timeout=connect_timeout,
                runtime=runtime,
                http_connect_proxy_config=http_connect_proxy_config,
                dns_load_balancing_config=dns_load_balancing_config,
                grpc_compression=grpc_compression,
                payload_limits=payload_limits,
            )
        )
        return cls(
            service_client,
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
            default_workflow_query_reject_condition=default_workflow_query_reject_condition,
            plugins=plugins,
            header_codec_behavior=header_codec_behavior,
        )

    @classmethod
    async def _within(
        cls,
        transport: Transport,
        *,
        namespace: str,
        data_converter: DataConverter,
        interceptors: Sequence[Interceptor],
        identity: str,
        runtime: Runtime | None,
        plugins: Sequence[Plugin],
    ) -> Self:
        """A client of a service in this program, for which plugins are asked as by `connect`."""

        async def connect(config: ConnectConfig) -> ServiceClient:
            return ServiceClient(config, transport)

        config = ConnectConfig(target_host="", identity=identity, runtime=runtime)
        return cls(
            await _with_plugins(connect, plugins)(config),
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
            plugins=plugins,
        )

    @classmethod
    def _over(
        cls,
        transport: Transport,
        *,
        namespace: str = "default",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        identity: str = "",
        retry_config: RetryConfig | None = None,
    ) -> Self:
        """A client of the service at the other end of a transport."""
        config = ConnectConfig(target_host="", identity=identity, retry_config=retry_config)
        return cls(
            ServiceClient(config, transport),
            namespace=namespace,
            data_converter=data_converter,
            interceptors=interceptors,
        )

    def config(self, *, active_config: bool = False) -> ClientConfig:
        """What makes another client like this one: `Client(**client.config())`.

        With `active_config`, what the plugins have made of it.
        """
        return (self._active_config if active_config else self._initial_config).copy()

    @property
    def service_client(self) -> ServiceClient:
        """The service, whatever the namespace."""
        return self._connection.service_client

    @property
    def workflow_service(self) -> RPCs:
        """The RPCs of the workflow service, message in and message out."""
        return self.service_client.workflow_service

    @property
    def operator_service(self) -> RPCs:
        """The RPCs of the operator service, message in and message out."""
        return self.service_client.operator_service

    @property
    def test_service(self) -> RPCs:
        """The RPCs of the test service, message in and message out."""
        return self.service_client.test_service

    @property
    def namespace(self) -> str:
        """The namespace of all calls."""
        return self._connection.namespace

    @property
    def identity(self) -> str:
        """Who calls, as histories tell it."""
        return self._connection.identity

    @property
    def data_converter(self) -> DataConverter:
        """How values become payloads."""
        return self._connection.data_converter

    @property
    def rpc_metadata(self) -> Metadata:
        """The headers that go with every call of this connection."""
        return self.service_client.config.rpc_metadata

    @rpc_metadata.setter
    def rpc_metadata(self, value: Metadata) -> None:
        self.service_client.update_rpc_metadata(value)

    @property
    def api_key(self) -> str | None:
        """The key that goes with every call of this connection."""
        return self.service_client.config.api_key

    @api_key.setter
    def api_key(self, value: str | None) -> None:
        self.service_client.update_api_key(value)

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[SelfType], Awaitable[ReturnType]],
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[SelfType, ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParam], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[SelfType, ReturnType]: ...

    @overload
    async def start_workflow(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        task_queue: str,
        result_type: type[ReturnType] | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[Any, Any]: ...

    async def start_workflow(
        self,
        workflow: str | Callable[..., Awaitable[Any]],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002 -- the mirrored name
        task_queue: str,
        result_type: Any = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: WorkflowIDConflictPolicy = WorkflowIDConflictPolicy.UNSPECIFIED,
        retry_policy: RetryPolicy | None = None,
        cron_schedule: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: TypedSearchAttributes | SearchAttributes | None = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        start_delay: timedelta | None = None,
        start_signal: str | None = None,
        start_signal_args: Sequence[Any] = (),
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
        request_eager_start: bool = False,
        priority: Priority = Priority.default,
        versioning_override: VersioningOverride | None = None,
    ) -> WorkflowHandle[Any, Any]:
        """Start a workflow, by name or run method. Raises WorkflowAlreadyStartedError or RPCError.

        With `start_signal`, the workflow is signalled, and started first if it is not running.
        """
        name, known_type = workflow_name_and_result_type(workflow)
        return await self._connection.outbound.start_workflow(
            StartWorkflowInput(
                workflow=name,
                args=arguments_of(arg, args),
                id=id,
                task_queue=task_queue,
                execution_timeout=execution_timeout,
                run_timeout=run_timeout,
                task_timeout=task_timeout,
                id_reuse_policy=id_reuse_policy,
                id_conflict_policy=id_conflict_policy,
                retry_policy=retry_policy,
                cron_schedule=cron_schedule,
                memo=memo,
                search_attributes=search_attributes,
                static_summary=static_summary,
                static_details=static_details,
                start_delay=start_delay,
                headers={},
                start_signal=start_signal,
                start_signal_args=start_signal_args,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                request_eager_start=request_eager_start,
                priority=priority,
                versioning_override=versioning_override,
                ret_type=known_type if result_type is None else result_type,
            )
        )

    @overload
    async def execute_workflow(
        self,
        workflow: Callable[[SelfType], Awaitable[ReturnType]],
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartWorkflowOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: Callable[[SelfType, ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        *,
        id: str,
        task_queue: str,
        **options: Unpack[StartWorkflowOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParam], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str,
        **options: Unpack[StartWorkflowOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_workflow(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        task_queue: str,
        result_type: type[ReturnType] | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> Any: ...

    async def execute_workflow(
        self,
        workflow: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002 -- the mirrored name
        task_queue: str,
        result_type: Any = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
        **options: Any,
    ) -> Any:
        """`start_workflow`, then the handle's `result`."""
        handle: WorkflowHandle[Any, Any] = await self.start_workflow(
            workflow,
            arg,
            args=args,
            id=id,
            task_queue=task_queue,
            result_type=result_type,
            rpc_metadata=rpc_metadata or {},
            rpc_timeout=rpc_timeout,
            **options,
        )
        return await handle.result(rpc_metadata=rpc_metadata, rpc_timeout=rpc_timeout)

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: Callable[[SelfType], Answer],
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Answer: ...

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: Callable[[SelfType, ParamType], Answer],
        arg: ParamType,
        *,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Answer: ...

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: Callable[Concatenate[SelfType, MultiParam], Answer],
        *,
        args: Sequence[Any],
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Answer: ...

    @overload
    async def execute_update_with_start_workflow(
        self,
        update: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: Any = ...,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    async def execute_update_with_start_workflow(
        self,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        args: Sequence[Any] = (),
        id: str | None = None,  # noqa: A002 -- the mirrored name
        result_type: Any = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """`start_update_with_start_workflow`, then the handle's `result`."""
        handle: WorkflowUpdateHandle[Any] = await self.start_update_with_start_workflow(
            update,  # type: ignore[arg-type]
            arg,
            wait_for_stage=WorkflowUpdateStage.COMPLETED,
            start_workflow_operation=start_workflow_operation,
            args=args,
            id=id,
            result_type=result_type,
            rpc_metadata=rpc_metadata,
            rpc_timeout=rpc_timeout,
        )
        return await handle.result(rpc_metadata=rpc_metadata, rpc_timeout=rpc_timeout)

    @overload
    async def start_update_with_start_workflow(
        self,
        update: Callable[[SelfType], Answer],
        *,
        wait_for_stage: WorkflowUpdateStage,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Answer]: ...

    @overload
    async def start_update_with_start_workflow(
        self,
        update: Callable[[SelfType, ParamType], Answer],
        arg: ParamType,
        *,
        wait_for_stage: WorkflowUpdateStage,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Answer]: ...

    @overload
    async def start_update_with_start_workflow(
        self,
        update: Callable[Concatenate[SelfType, MultiParam], Answer],
        *,
        args: Sequence[Any],
        wait_for_stage: WorkflowUpdateStage,
        start_workflow_operation: WithStartWorkflowOperation[SelfType, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Answer]: ...

    @overload
    async def start_update_with_start_workflow(
        self,
        update: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: Any = ...,
        wait_for_stage: WorkflowUpdateStage,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        id: str | None = ...,
        **options: Unpack[CallOptions],
    ) -> WorkflowUpdateHandle[Any]: ...

    async def start_update_with_start_workflow(
        self,
        update: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        wait_for_stage: WorkflowUpdateStage,
        start_workflow_operation: WithStartWorkflowOperation[Any, Any],
        args: Sequence[Any] = (),
        id: str | None = None,  # noqa: A002 -- the mirrored name
        result_type: Any = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update, and start the workflow for it if need be: both, or neither.

        Raises WorkflowAlreadyStartedError when the operation does not allow what there is,
        WorkflowUpdateRPCTimeoutOrCancelledError or RPCError.
        """
        if wait_for_stage is WorkflowUpdateStage.ADMITTED:
            raise ValueError("ADMITTED wait stage not supported")
        name, known_type = update_name_and_result_type(update)
        asked = use(
            self._connection,
            start_workflow_operation,
            UpdateWithStartUpdateWorkflowInput(
                update_id=id,
                update=name,
                args=arguments_of(arg, args),
                wait_for_stage=wait_for_stage,
                headers={},
                ret_type=known_type if result_type is None else result_type,
            ),
            rpc_metadata=rpc_metadata or {},
            rpc_timeout=rpc_timeout,
        )
        return await self._connection.outbound.start_update_with_start_workflow(asked)

    def get_workflow_handle(
        self,
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
        result_type: Any = None,
    ) -> WorkflowHandle[Any, Any]:
        """A handle on a workflow by its id. Nothing is asked of the service yet."""
        return WorkflowHandle(
            self._connection,
            workflow_id,
            run_id=run_id,
            result_run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def get_workflow_handle_for(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParam], Awaitable[ReturnType]],
        workflow_id: str,
        *,
        run_id: str | None = None,
        first_execution_run_id: str | None = None,
    ) -> WorkflowHandle[SelfType, ReturnType]:
        """`get_workflow_handle`, with the result's type from the workflow's run method."""
        _, result_type = workflow_name_and_result_type(workflow)
        return self.get_workflow_handle(
            workflow_id,
            run_id=run_id,
            first_execution_run_id=first_execution_run_id,
            result_type=result_type,
        )

    def list_workflows(
        self,
        query: str | None = None,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowExecutionAsyncIterator:
        """The runs that a visibility query finds, for `async for`."""
        return self._connection.outbound.list_workflows(
            ListWorkflowsInput(
                query=query,
                page_size=page_size,
                next_page_token=next_page_token,
                limit=limit,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            ),
        )

    async def count_workflows(
        self,
        query: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkflowExecutionCount:
        """How many runs a visibility query finds."""
        return await self._connection.outbound.count_workflows(
            CountWorkflowsInput(
                query=query, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    def get_async_activity_handle(
        self,
        *,
        workflow_id: str | None = None,
        run_id: str | None = None,
        activity_id: str | None = None,
        task_token: bytes | None = None,
    ) -> AsyncActivityHandle:
        """A handle to complete an activity with: by its token, or by its id.

        Raises ValueError unless it is one of the two.
        """
        if task_token is not None:
            if workflow_id is not None or run_id is not None or activity_id is not None:
                raise ValueError("Task token cannot be present with other IDs")
            return AsyncActivityHandle(self, task_token)
        if activity_id is None:
            raise ValueError("Task token or activity ID must be present")
        reference = AsyncActivityIDReference(
            workflow_id=workflow_id, run_id=run_id, activity_id=activity_id
        )
        return AsyncActivityHandle(self, reference)

    @overload
    async def start_activity(
        self,
        activity: Callable[[], Awaitable[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity(
        self,
        activity: Callable[[], ReturnType],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity(
        self,
        activity: Callable[[ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity(
        self,
        activity: Callable[[ParamType], ReturnType],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity(
        self,
        activity: Callable[..., Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity(
        self,
        activity: Callable[..., ReturnType],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity(
        self,
        activity: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[Any]: ...

    async def start_activity(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[Any]:
        """Start an activity of its own, without a workflow; its handle.

        Raises ActivityAlreadyStartedError when the policies do not allow it, RPCError otherwise.
        """
        name, known_type = activity_name_and_result_type(activity)
        asked = start_of(name, arguments_of(arg, args), known_type, options)
        return await self._connection.outbound.start_activity(asked)

    @overload
    async def execute_activity(
        self,
        activity: Callable[[], Awaitable[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity(
        self,
        activity: Callable[[], ReturnType],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity(
        self,
        activity: Callable[[ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity(
        self,
        activity: Callable[[ParamType], ReturnType],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity(
        self,
        activity: Callable[..., Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity(
        self,
        activity: Callable[..., ReturnType],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity(
        self,
        activity: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        **options: Unpack[StartActivityOptions],
    ) -> Any: ...

    async def execute_activity(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        **options: Unpack[StartActivityOptions],
    ) -> Any:
        """Start an activity of its own and wait for its result: see `start_activity`.

        Raises ActivityFailureError when it did not complete.
        """
        handle: ActivityHandle[Any] = await self.start_activity(activity, arg, args=args, **options)
        return await handle.result()

    @overload
    async def start_activity_class(
        self,
        activity: type[CallableAsyncNoParam[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_class(
        self,
        activity: type[CallableSyncNoParam[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_class(
        self,
        activity: type[CallableAsyncSingleParam[ParamType, ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_class(
        self,
        activity: type[CallableSyncSingleParam[ParamType, ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_class(
        self,
        activity: type[Callable[..., Awaitable[ReturnType]]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_class(
        self,
        activity: type[Callable[..., ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    async def start_activity_class(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[Any]:
        """`start_activity` for a class whose objects are called."""
        handle: ActivityHandle[Any] = await self.start_activity(activity, arg, args=args, **options)
        return handle

    @overload
    async def start_activity_method(
        self,
        activity: Callable[[SelfType], Awaitable[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_method(
        self, activity: Callable[[SelfType], ReturnType], **options: Unpack[StartActivityOptions]
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_method(
        self,
        activity: Callable[[SelfType, ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_method(
        self,
        activity: Callable[[SelfType, ParamType], ReturnType],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_method(
        self,
        activity: Callable[Concatenate[SelfType, ...], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    @overload
    async def start_activity_method(
        self,
        activity: Callable[Concatenate[SelfType, ...], ReturnType],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[ReturnType]: ...

    async def start_activity_method(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        **options: Unpack[StartActivityOptions],
    ) -> ActivityHandle[Any]:
        """`start_activity` for a method."""
        handle: ActivityHandle[Any] = await self.start_activity(activity, arg, args=args, **options)
        return handle

    @overload
    async def execute_activity_class(
        self,
        activity: type[CallableAsyncNoParam[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_class(
        self,
        activity: type[CallableSyncNoParam[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_class(
        self,
        activity: type[CallableAsyncSingleParam[ParamType, ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_class(
        self,
        activity: type[CallableSyncSingleParam[ParamType, ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_class(
        self,
        activity: type[Callable[..., Awaitable[ReturnType]]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_class(
        self,
        activity: type[Callable[..., ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    async def execute_activity_class(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        **options: Unpack[StartActivityOptions],
    ) -> Any:
        """`execute_activity` for a class whose objects are called."""
        return await self.execute_activity(activity, arg, args=args, **options)

    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[SelfType], Awaitable[ReturnType]],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_method(
        self, activity: Callable[[SelfType], ReturnType], **options: Unpack[StartActivityOptions]
    ) -> ReturnType: ...

    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[SelfType, ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_method(
        self,
        activity: Callable[[SelfType, ParamType], ReturnType],
        arg: ParamType,
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_method(
        self,
        activity: Callable[Concatenate[SelfType, ...], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    @overload
    async def execute_activity_method(
        self,
        activity: Callable[Concatenate[SelfType, ...], ReturnType],
        *,
        args: Sequence[Any],
        **options: Unpack[StartActivityOptions],
    ) -> ReturnType: ...

    async def execute_activity_method(
        self,
        activity: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        **options: Unpack[StartActivityOptions],
    ) -> Any:
        """`execute_activity` for a method."""
        return await self.execute_activity(activity, arg, args=args, **options)

    def get_activity_handle(
        self, activity_id: str, *, run_id: str | None = None, result_type: type | None = None
    ) -> ActivityHandle[Any]:
        """The handle of an activity that may exist."""
        return ActivityHandle(self._connection, activity_id, run_id=run_id, result_type=result_type)

    def list_activities(
        self,
        query: str,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionAsyncIterator:
        """The activities that a visibility query finds, for `async for`."""
        return self._connection.outbound.list_activities(
            ListActivitiesInput(
                query=query,
                page_size=page_size,
                next_page_token=next_page_token,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                limit=limit,
            )
        )

    async def count_activities(
        self,
        query: str | None = None,
        *,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ActivityExecutionCount:
        """How many activities a visibility query finds."""
        return await self._connection.outbound.count_activities(
            CountActivitiesInput(
                query=query, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    @overload
    def create_nexus_client(
        self, service: type[SelfType], endpoint: str
    ) -> NexusClient[SelfType]: ...

    @overload
    def create_nexus_client(self, service: str, endpoint: str) -> NexusClient[Any]: ...

    def create_nexus_client(self, service: type | str, endpoint: str) -> NexusClient[Any]:
        """A client of a Nexus service, which is named by its class or by a string."""
        return ServiceClientOfNexus(self._connection, service, endpoint)

    @overload
    def get_nexus_operation_handle(
        self, operation_id: str, *, run_id: str | None = ..., result_type: None = ...
    ) -> NexusOperationHandle[Any]: ...

    @overload
    def get_nexus_operation_handle(
        self, operation_id: str, *, run_id: str | None = ..., result_type: type[ReturnType]
    ) -> NexusOperationHandle[ReturnType]: ...

    @overload
    def get_nexus_operation_handle(
        self,
        operation_id: str,
        *,
        operation: Operation[Any, ReturnType],
        run_id: str | None = ...,
    ) -> NexusOperationHandle[ReturnType]: ...

    def get_nexus_operation_handle(
        self,
        operation_id: str,
        *,
        operation: Operation[Any, Any] | None = None,
        run_id: str | None = None,
        result_type: type | None = None,
    ) -> NexusOperationHandle[Any]:
        """A handle on a Nexus operation that exists or not; nobody is asked.

        The type of its result is taken from `operation`, unless it is given.
        """
        declared = None if operation is None else operation.output_type
        return NexusOperationHandle(
            self._connection, operation_id, run_id=run_id, result_type=result_type or declared
        )

    def list_nexus_operations(
        self,
        query: str,
        *,
        limit: int | None = None,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> NexusOperationExecutionAsyncIterator:
        """The Nexus operations without a workflow that a query finds, for `async for`."""
        return self._connection.outbound.list_nexus_operations(
            ListNexusOperationsInput(
                query=query,
                page_size=page_size,
                next_page_token=next_page_token,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                limit=limit,
            )
        )

    async def count_nexus_operations(
        self,
        query: str | None = None,
        *,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> NexusOperationExecutionCount:
        """How many Nexus operations without a workflow a query finds."""
        return await self._connection.outbound.count_nexus_operations(
            CountNexusOperationsInput(
                query=query, rpc_metadata=rpc_metadata or {}, rpc_timeout=rpc_timeout
            )
        )

    async def create_schedule(
        self,
        id: str,  # noqa: A002 -- the mirrored name
        schedule: Schedule,
        *,
        trigger_immediately: bool = False,
        backfill: Sequence[ScheduleBackfill] = (),
        memo: Mapping[str, Any] | None = None,
        search_attributes: TypedSearchAttributes | SearchAttributes | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ScheduleHandle:
        """Make a schedule, perhaps have it act at once and for times that are past.

        Raises ScheduleAlreadyRunningError when there is one of this id, RPCError otherwise.
        """
        return await self._connection.outbound.create_schedule(
            CreateScheduleInput(
                id=id,
                schedule=schedule,
                trigger_immediately=trigger_immediately,
                backfill=backfill,
                memo=memo,
                search_attributes=search_attributes,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    def get_schedule_handle(self, id: str) -> ScheduleHandle:  # noqa: A002 -- the mirrored name
        """The handle of a schedule that may exist."""
        return ScheduleHandle(self._connection, id)

    async def list_schedules(
        self,
        query: str | None = None,
        *,
        page_size: int = 1000,
        next_page_token: bytes | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> ScheduleAsyncIterator:
        """The schedules that a visibility query finds, for `async for`."""
        return self._connection.outbound.list_schedules(
            ListSchedulesInput(
                page_size=page_size,
                next_page_token=next_page_token,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                query=query,
            )
        )

    async def update_worker_build_id_compatibility(
        self,
        task_queue: str,
        operation: BuildIdOp,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Change the sets of compatible build ids of a task queue; off in Temporal's server."""
        await self._connection.outbound.update_worker_build_id_compatibility(
            UpdateWorkerBuildIdCompatibilityInput(
                task_queue, operation, rpc_metadata or {}, rpc_timeout
            )
        )

    async def get_worker_build_id_compatibility(
        self,
        task_queue: str,
        max_sets: int | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkerBuildIdVersionSets:
        """The sets of compatible build ids of a task queue, or the newest of them."""
        return await self._connection.outbound.get_worker_build_id_compatibility(
            GetWorkerBuildIdCompatibilityInput(
                task_queue, max_sets, rpc_metadata or {}, rpc_timeout
            )
        )

    async def get_worker_task_reachability(
        self,
        build_ids: Sequence[str],
        task_queues: Sequence[str] = (),
        reachability_type: TaskReachabilityType | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> WorkerTaskReachability:
        """Which tasks can come to workers of build ids, at some task queues or at all."""
        return await self._connection.outbound.get_worker_task_reachability(
            GetWorkerTaskReachabilityInput(
                build_ids, task_queues, reachability_type, rpc_metadata or {}, rpc_timeout
            )
        )


def _with_plugins(
    connect: Callable[[ConnectConfig], Awaitable[ServiceClient]], plugins: Sequence[Plugin]
) -> Callable[[ConnectConfig], Awaitable[ServiceClient]]:
    """How to connect, by way of the plugins: the first is asked first."""
    for plugin in reversed(plugins):
        connect = partial(plugin.connect_service_client, next=connect)
    return connect
