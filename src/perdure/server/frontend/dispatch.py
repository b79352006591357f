"""The dispatch table: each method's request class and what carries it out. Every method of
WorkflowService and OperatorService has a handler, and of TestService where time can be skipped.

The handlers are the edge of the server: a request is parsed here, and whatever an RPC raises
becomes a status here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from temporalio.api.operatorservice.v1 import service_pb2 as operator_service
from temporalio.api.testservice.v1 import service_pb2 as test_service
from temporalio.api.workflowservice.v1 import service_pb2 as workflow_service

from perdure.server.frontend import (
    activity_control,
    activity_tasks,
    batches,
    clusters,
    compute_configs,
    controlling,
    deployments,
    descriptions,
    fast_forwards,
    histories,
    listing,
    multiple_operations,
    namespaces,
    nexus_endpoints,
    nexus_tasks,
    options,
    pausing,
    queries,
    resets,
    schedules,
    search_attributes,
    signalling_with_start,
    standalone_activities,
    standalone_activity_control,
    standalone_nexus,
    starting,
    switched_off,
    system,
    task_queues,
    time_skipping,
    updating,
    workers,
    workflow_tasks,
)
from perdure.server.frontend.admission import Admission
from perdure.server.frontend.errors import Unimplemented, failure_of
from perdure.server.frontend.services import Services
from perdure.transport import Caller, Handler, InProcessTransport

WORKFLOW_SERVICE: ServiceDescriptor = workflow_service.DESCRIPTOR.services_by_name[
    "WorkflowService"
]
OPERATOR_SERVICE: ServiceDescriptor = operator_service.DESCRIPTOR.services_by_name[
    "OperatorService"
]
TEST_SERVICE: ServiceDescriptor = test_service.DESCRIPTOR.services_by_name["TestService"]

Rpc = Callable[[Services, Any, Caller], Awaitable[bytes]]
"""One RPC; its second argument is the request class of the method."""

RPCS: dict[str, Rpc] = {
    "GetSystemInfo": system.get_system_info,
    "GetClusterInfo": system.get_cluster_info,
    "RegisterNamespace": namespaces.register_namespace,
    "DescribeNamespace": namespaces.describe_namespace,
    "ListNamespaces": namespaces.list_namespaces,
    "UpdateNamespace": namespaces.update_namespace,
    "DeprecateNamespace": namespaces.deprecate_namespace,
    "StartWorkflowExecution": starting.start_workflow_execution,
    "SignalWithStartWorkflowExecution": (
        signalling_with_start.signal_with_start_workflow_execution
    ),
    "ExecuteMultiOperation": multiple_operations.execute_multi_operation,
    "SignalWorkflowExecution": controlling.signal_workflow_execution,
    "RequestCancelWorkflowExecution": controlling.request_cancel_workflow_execution,
    "TerminateWorkflowExecution": controlling.terminate_workflow_execution,
    "DeleteWorkflowExecution": resets.delete_workflow_execution,
    "UpdateWorkflowExecutionOptions": options.update_workflow_execution_options,
    "PauseWorkflowExecution": pausing.pause_workflow_execution,
    "UnpauseWorkflowExecution": pausing.unpause_workflow_execution,
    "ResetWorkflowExecution": resets.reset_workflow_execution,
    "CreateSchedule": schedules.create_schedule,
    "DescribeSchedule": schedules.describe_schedule,
    "UpdateSchedule": schedules.update_schedule,
    "PatchSchedule": schedules.patch_schedule,
    "DeleteSchedule": schedules.delete_schedule,
    "ListSchedules": schedules.list_schedules,
    "CountSchedules": schedules.count_schedules,
    "ListScheduleMatchingTimes": schedules.list_schedule_matching_times,
    "QueryWorkflow": queries.query_workflow,
    "RespondQueryTaskCompleted": queries.respond_query_task_completed,
    "UpdateWorkflowExecution": updating.update_workflow_execution,
    "PollWorkflowExecutionUpdate": updating.poll_workflow_execution_update,
    "ResetStickyTaskQueue": controlling.reset_sticky_task_queue,
    "GetWorkflowExecutionHistory": histories.get_workflow_execution_history,
    "GetWorkflowExecutionHistoryReverse": histories.get_workflow_execution_history_reverse,
    "DescribeWorkflowExecution": descriptions.describe_workflow_execution,
    "ListWorkflowExecutions": listing.list_workflow_executions,
    "ScanWorkflowExecutions": listing.scan_workflow_executions,
    "ListOpenWorkflowExecutions": listing.list_open_workflow_executions,
    "ListClosedWorkflowExecutions": listing.list_closed_workflow_executions,
    "ListArchivedWorkflowExecutions": listing.list_archived_workflow_executions,
    "CountWorkflowExecutions": listing.count_workflow_executions,
    "GetSearchAttributes": search_attributes.get_search_attributes,
    "PollWorkflowTaskQueue": workflow_tasks.poll_workflow_task_queue,
    "RespondWorkflowTaskCompleted": workflow_tasks.respond_workflow_task_completed,
    "RespondWorkflowTaskFailed": workflow_tasks.respond_workflow_task_failed,
    "PollActivityTaskQueue": activity_tasks.poll_activity_task_queue,
    "RespondActivityTaskCompleted": activity_tasks.respond_activity_task_completed,
    "RespondActivityTaskCompletedById": activity_tasks.respond_activity_task_completed_by_id,
    "RespondActivityTaskFailed": activity_tasks.respond_activity_task_failed,
    "RespondActivityTaskFailedById": activity_tasks.respond_activity_task_failed_by_id,
    "RespondActivityTaskCanceled": activity_tasks.respond_activity_task_canceled,
    "RespondActivityTaskCanceledById": activity_tasks.respond_activity_task_canceled_by_id,
    "RecordActivityTaskHeartbeat": activity_tasks.record_activity_task_heartbeat,
    "RecordActivityTaskHeartbeatById": activity_tasks.record_activity_task_heartbeat_by_id,
    "PollNexusTaskQueue": nexus_tasks.poll_nexus_task_queue,
    "RespondNexusTaskCompleted": nexus_tasks.respond_nexus_task_completed,
    "RespondNexusTaskFailed": nexus_tasks.respond_nexus_task_failed,
    "PauseActivity": activity_control.pause_activity,
    "UnpauseActivity": activity_control.unpause_activity,
    "ResetActivity": activity_control.reset_activity,
    "UpdateActivityOptions": activity_control.update_activity_options,
    "StartActivityExecution": standalone_activities.start_activity_execution,
    "DescribeActivityExecution": standalone_activities.describe_activity_execution,
    "PollActivityExecution": standalone_activities.poll_activity_execution,
    "ListActivityExecutions": standalone_activities.list_activity_executions,
    "CountActivityExecutions": standalone_activities.count_activity_executions,
    "RequestCancelActivityExecution": standalone_activity_control.request_cancel_activity_execution,
    "TerminateActivityExecution": standalone_activity_control.terminate_activity_execution,
    "DeleteActivityExecution": standalone_activity_control.delete_activity_execution,
    "PauseActivityExecution": standalone_activity_control.pause_activity_execution,
    "UnpauseActivityExecution": standalone_activity_control.unpause_activity_execution,
    "ResetActivityExecution": standalone_activity_control.reset_activity_execution,
    "UpdateActivityExecutionOptions": standalone_activity_control.update_activity_execution_options,
    "StartNexusOperationExecution": standalone_nexus.start_nexus_operation_execution,
    "DescribeNexusOperationExecution": standalone_nexus.describe_nexus_operation_execution,
    "PollNexusOperationExecution": standalone_nexus.poll_nexus_operation_execution,
    "ListNexusOperationExecutions": standalone_nexus.list_nexus_operation_executions,
    "CountNexusOperationExecutions": standalone_nexus.count_nexus_operation_executions,
    "RequestCancelNexusOperationExecution": (
        standalone_nexus.request_cancel_nexus_operation_execution
    ),
    "TerminateNexusOperationExecution": standalone_nexus.terminate_nexus_operation_execution,
    "DeleteNexusOperationExecution": standalone_nexus.delete_nexus_operation_execution,
    "StartBatchOperation": batches.start_batch_operation,
    "StopBatchOperation": batches.stop_batch_operation,
    "DescribeBatchOperation": batches.describe_batch_operation,
    "ListBatchOperations": batches.list_batch_operations,
    "DescribeTaskQueue": task_queues.describe_task_queue,
    "ListTaskQueuePartitions": task_queues.list_task_queue_partitions,
    "UpdateTaskQueueConfig": task_queues.update_task_queue_config,
    "DescribeWorkerDeployment": deployments.describe_worker_deployment,
    "DescribeWorkerDeploymentVersion": deployments.describe_worker_deployment_version,
    "ListWorkerDeployments": deployments.list_worker_deployments,
    "SetWorkerDeploymentCurrentVersion": deployments.set_worker_deployment_current_version,
    "SetWorkerDeploymentRampingVersion": deployments.set_worker_deployment_ramping_version,
    "SetWorkerDeploymentManager": deployments.set_worker_deployment_manager,
    "CreateWorkerDeployment": deployments.create_worker_deployment,
    "CreateWorkerDeploymentVersion": deployments.create_worker_deployment_version,
    "DeleteWorkerDeployment": deployments.delete_worker_deployment,
    "DeleteWorkerDeploymentVersion": deployments.delete_worker_deployment_version,
    "UpdateWorkerDeploymentVersionMetadata": (
        deployments.update_worker_deployment_version_metadata
    ),
    "UpdateWorkerDeploymentVersionComputeConfig": (
        compute_configs.update_worker_deployment_version_compute_config
    ),
    "ValidateWorkerDeploymentVersionComputeConfig": (
        compute_configs.validate_worker_deployment_version_compute_config
    ),
    "PollWorkflowExecutionTimeSkipping": fast_forwards.poll_workflow_execution_time_skipping,
    "ShutdownWorker": workers.shutdown_worker,
    "RecordWorkerHeartbeat": workers.record_worker_heartbeat,
    "ListWorkers": workers.list_workers,
    "CountWorkers": workers.count_workers,
    "DescribeWorker": workers.describe_worker,
}
"""The methods of WorkflowService that are built, by name."""

OPERATOR_RPCS: dict[str, Rpc] = {
    "DeleteNamespace": namespaces.delete_namespace,
    "ListClusters": clusters.list_clusters,
    "RemoveRemoteCluster": clusters.remove_remote_cluster,
    "AddSearchAttributes": search_attributes.add_search_attributes,
    "RemoveSearchAttributes": search_attributes.remove_search_attributes,
    "ListSearchAttributes": search_attributes.list_search_attributes,
    "CreateNexusEndpoint": nexus_endpoints.create_nexus_endpoint,
    "GetNexusEndpoint": nexus_endpoints.get_nexus_endpoint,
    "UpdateNexusEndpoint": nexus_endpoints.update_nexus_endpoint,
    "DeleteNexusEndpoint": nexus_endpoints.delete_nexus_endpoint,
    "ListNexusEndpoints": nexus_endpoints.list_nexus_endpoints,
}
"""The methods of OperatorService that are built, by name."""

TEST_RPCS: dict[str, Rpc] = {
    "LockTimeSkipping": time_skipping.lock_time_skipping,
    "UnlockTimeSkipping": time_skipping.unlock_time_skipping,
    "Sleep": time_skipping.sleep,
    "SleepUntil": time_skipping.sleep_until,
    "UnlockTimeSkippingWithSleep": time_skipping.unlock_time_skipping_with_sleep,
    "GetCurrentTime": time_skipping.get_current_time,
}
"""The methods of TestService, which is served only where time can be skipped."""


def handlers_of(services: Services) -> dict[str, Handler]:
    """A handler for every method of the services, by its full name. Batch operations call them
    too, and have a rate of their own."""
    admission = Admission(services.limits, services.clock, services.namespaces)
    services.batches.connect(InProcessTransport(_table(services, lambda name, rpc: rpc)))
    return _table(services, admission.guarded)


def _table(services: Services, guarded: Callable[[str, Rpc], Rpc]) -> dict[str, Handler]:
    table: dict[str, Handler] = {}
    tables = [(WORKFLOW_SERVICE, RPCS), (OPERATOR_SERVICE, OPERATOR_RPCS)]
    if services.time_skipper is not None:
        tables.append((TEST_SERVICE, TEST_RPCS))
    for service, rpcs in tables:
        for method in service.methods:
            rpc = rpcs.get(method.name) or _refusing(method)
            table[full_name(method)] = _handler(services, method, guarded(method.name, rpc))
    return table


def full_name(method: MethodDescriptor) -> str:
    """The name that a call carries: `/package.Service/Method`."""
    return f"/{method.containing_service.full_name}/{method.name}"


def _handler(services: Services, method: MethodDescriptor, rpc: Rpc) -> Handler:
    name = method.name
    parse = GetMessageClass(method.input_type).FromString

    async def handle(request: bytes, caller: Caller) -> bytes:
        try:
            return await rpc(services, parse(request), caller)
        except Exception as error:
            raise failure_of(error, name) from error

    return handle


def _refusing(method: MethodDescriptor) -> Rpc:
    """What answers for a method that is switched off or not built."""
    name = method.name

    async def refuse(services: Services, request: Message, caller: Caller) -> bytes:
        namespace = getattr(request, "namespace", "")
        if name in switched_off.REFUSALS and method.containing_service is WORKFLOW_SERVICE:
            services.bind(namespace)
            raise switched_off.refusal(name, namespace)
        raise Unimplemented(f"{name} is not built yet in this server")

    return refuse
