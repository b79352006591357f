"""Operations of the server's own Nexus endpoint: a workflow signals another with start. The stock
server has them switched off (history.enableSignalWithStartFromWorkflow)."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from temporalio.api.command.v1 import ScheduleNexusOperationCommandAttributes
from temporalio.api.common.v1 import Link, Payload
from temporalio.api.enums.v1 import command_type_pb2
from temporalio.api.failure.v1 import Failure, ServerFailureInfo
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    SignalWithStartWorkflowExecutionRequest,
)

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.engine.nexus.calls import StartCall
from perdure.server.frontend import signalling_with_start
from perdure.server.frontend.errors import Unimplemented
from perdure.server.frontend.services import Services
from perdure.server.machines.errors import AlreadyStarted, InvalidArgument, Rejected
from perdure.server.machines.nexus.outcomes import (
    HandlerFailed,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.workflow.commands.schedule_nexus_operation import (
    SYSTEM_ENDPOINT,
    SYSTEM_OPERATION,
    SYSTEM_SERVICE,
)

DISABLED = "SignalWithStart operation is disabled"
_SCHEDULE = command_type_pb2.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION
_NAMES: dict[type[Rejected], str] = {AlreadyStarted: "WorkflowExecutionAlreadyStarted"}
"""What Temporal calls a refusal, where that is not our name of it."""
_PROTOBUF, _JSON = b"binary/protobuf", b"json/protobuf"


def problems_of(
    services: Services, namespace: NamespaceRef, request: RespondWorkflowTaskCompletedRequest
) -> dict[bytes, str]:
    """What is wrong with inputs of such operations, by the serialised input. Raises Unimplemented
    while they are switched off."""
    problems: dict[bytes, str] = {}
    for command in request.commands:
        attributes = command.schedule_nexus_operation_command_attributes
        if command.command_type != _SCHEDULE or not _is_known(attributes):
            continue
        problem = _problem(services, namespace, attributes)
        if not services.limits.is_signal_with_start_from_workflow_enabled:
            if problem.startswith(_UNREADABLE):
                continue
            raise Unimplemented(DISABLED)
        if problem:
            problems[attributes.input.SerializeToString(deterministic=True)] = problem
    return problems


_UNREADABLE = "failed to decode input payload"


def _is_known(attributes: ScheduleNexusOperationCommandAttributes) -> bool:
    return (attributes.endpoint, attributes.service, attributes.operation) == (
        SYSTEM_ENDPOINT,
        SYSTEM_SERVICE,
        SYSTEM_OPERATION,
    )


def _problem(
    services: Services,
    namespace: NamespaceRef,
    attributes: ScheduleNexusOperationCommandAttributes,
) -> str:
    if not attributes.HasField("input"):
        return "Request is empty"
    try:
        request = _read(attributes.input)
        request.namespace = namespace.name
        signalling_with_start.prepare(services, namespace, request)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        return f"{_UNREADABLE}: payload item 0: unable to decode: {error}"
    except InvalidArgument as refusal:
        return str(refusal)
    return ""


def _read(payload: Payload) -> SignalWithStartWorkflowExecutionRequest:
    """Raises DecodeError, ParseError, UnicodeDecodeError, RecursionError."""
    if payload.metadata.get("encoding") == _PROTOBUF:
        return SignalWithStartWorkflowExecutionRequest.FromString(payload.data)
    return json_format.Parse(payload.data.decode(), SignalWithStartWorkflowExecutionRequest())


class SystemOperations:
    """Carries them out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def start(self, call: StartCall) -> StartOutcome:
        """Signal a workflow, and start it if it is not running. Done twice, it is done once."""
        try:
            request = _read(Payload.FromString(call.payload))
            request.namespace, request.request_id = call.namespace.name, call.request_id
            request.links.extend(Link.FromString(link) for link in call.links)
            response = await signalling_with_start.signal_with_start(self._services, request)
        except Rejected as refusal:
            return _refused(refusal)
        except (EngineUnavailable, EngineStopped) as error:
            return Unreachable(str(error))
        response.ClearField("first_execution_run_id")  # As on the real server.
        result = Payload(data=response.SerializeToString(deterministic=True))
        result.metadata["encoding"] = _PROTOBUF
        result.metadata["messageType"] = response.DESCRIPTOR.full_name.encode()
        link = response.signal_link.SerializeToString(deterministic=True)
        return SyncSuccess(result.SerializeToString(deterministic=True), (link,))


def _refused(refusal: Rejected) -> HandlerFailed:
    """It is the server's own failure, and says which kind of refusal it is."""
    name = _NAMES.get(type(refusal), type(refusal).__name__)
    failure = Failure(
        message=f"{name}: {refusal}", server_failure_info=ServerFailureInfo(non_retryable=True)
    )
    return HandlerFailed(
        failure.SerializeToString(deterministic=True), "BAD_REQUEST", is_retryable=False
    )
