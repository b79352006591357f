"""StartWorkflowExecution: request-id deduplication, then the conflict policy (of an open run) or
the reuse policy (of a closed one)."""

from __future__ import annotations

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import event_type_pb2, workflow_pb2
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)

from perdure.server.machines.errors import AlreadyStarted, FailedPrecondition
from perdure.server.machines.workflow import chain, changes, events, workflow_task
from perdure.server.machines.workflow.inputs import (
    StartedWorkflowTask,
    StartWorkflow,
    WorkflowStarted,
)
from perdure.server.machines.workflow.state import Run, Status
from perdure.server.machines.workflow.turn import Turn

FIRST_STARTED_EVENT_ID = 3
_ATTACHED = event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
UNSUCCESSFUL = frozenset((Status.FAILED, Status.CANCELED, Status.TERMINATED, Status.TIMED_OUT))
"""After these ALLOW_DUPLICATE_FAILED_ONLY allows another run."""


def absent(turn: Turn, message: StartWorkflow) -> WorkflowStarted:
    """Nothing has this workflow id yet."""
    return begin(turn, message)


def closed(turn: Turn, message: StartWorkflow) -> WorkflowStarted:
    """The last run of this workflow id is closed: its reuse policy decides."""
    request, run = message.request, turn.run
    if _is_repeat(run, request):
        return _repeated(turn, request)
    check_reuse(turn, request)
    return begin(turn, message)


def check_reuse(turn: Turn, request: StartWorkflowExecutionRequest) -> None:
    """Raises AlreadyStarted when the reuse policy forbids another run after the closed one."""
    run = turn.run
    policy = request.workflow_id_reuse_policy
    where = f"WorkflowId: {turn.workflow.workflow_id}, RunId: {run.recorded.run_id}."
    if policy == workflow_pb2.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        raise _already_started(
            run,
            f"Workflow execution already finished. {where} "
            "Workflow Id reuse policy: reject duplicate workflow Id.",
        )
    if (
        policy == workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
        and run.recorded.status not in UNSUCCESSFUL
    ):
        raise _already_started(
            run,
            f"Workflow execution already finished successfully. {where} "
            "Workflow Id reuse policy: allow duplicate workflow Id if last run failed.",
        )


def running(turn: Turn, message: StartWorkflow) -> WorkflowStarted:
    """A run of this workflow id is open: the conflict policy decides."""
    request, run = message.request, turn.run
    if _is_repeat(run, request):
        return _repeated(turn, request)
    if is_to_replace(request):
        return replace(turn, message)
    policy = request.workflow_id_conflict_policy
    if policy == workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING:
        return _use_existing(turn, request)
    raise already_running(turn)


def already_running(turn: Turn) -> AlreadyStarted:
    """What is told to who must not meet an open run."""
    run = turn.run
    return _already_started(
        run,
        "Workflow execution is already running. "
        f"WorkflowId: {turn.workflow.workflow_id}, RunId: {run.recorded.run_id}.",
    )


def is_to_replace(request: StartWorkflowExecutionRequest) -> bool:
    """Whether an open run has to give way."""
    return (
        request.workflow_id_reuse_policy
        == workflow_pb2.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
        or request.workflow_id_conflict_policy
        == workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    )


def begin(
    turn: Turn,
    message: StartWorkflow,
    run_id: str = "",
    signal: SignalWorkflowExecutionRequest | None = None,
) -> WorkflowStarted:
    """Begin the first run of a chain; a signal that comes with it is in its first task."""
    request = message.request
    run = chain.first_run(turn, request, run_id or turn.ids.uuid(), message.parent, signal)
    eager_task = None
    if request.request_eager_execution and run.workflow_task is not None:
        eager_task = workflow_task.start(
            turn, request_id=request.request_id, identity=request.identity
        )
    return answer(run, is_new=True, eager_task=eager_task)


def _use_existing(turn: Turn, request: StartWorkflowExecutionRequest) -> WorkflowStarted:
    """The open run is the answer; what the request wants attached to it is recorded."""
    if request.HasField("on_conflict_options"):
        options = request.on_conflict_options
        if options.attach_completion_callbacks:
            check_callbacks(turn, len(request.completion_callbacks))
        event = events.options_updated(
            request.request_id if options.attach_request_id else "",
            request.completion_callbacks if options.attach_completion_callbacks else (),
            request.links if options.attach_links else (),
        )
        if not turn.record_or_buffer(event) and options.attach_request_id:
            turn.change(changes.RequestNoted(request.request_id, event.event_type))
        return answer(turn.run, is_new=False, is_attached=options.attach_request_id)
    return answer(turn.run, is_new=False)


def check_callbacks(turn: Turn, count: int) -> None:
    """Raises FailedPrecondition when a run cannot have so many more callbacks."""
    buffered = [
        HistoryEvent.FromString(event.event)
        for event in turn.run.buffered.values()
        if event.event_type == _ATTACHED
    ]
    attached = len(turn.run.callbacks) + sum(
        len(event.workflow_execution_options_updated_event_attributes.attached_completion_callbacks)
        for event in buffered
    )
    if attached + count > turn.limits.callbacks_max:
        raise FailedPrecondition(
            f"cannot attach more than {turn.limits.callbacks_max} callbacks to a workflow"
            f" ({attached} callbacks already attached)"
        )


def replace(
    turn: Turn, message: StartWorkflow, signal: SignalWorkflowExecutionRequest | None = None
) -> WorkflowStarted:
    """Terminate the open run and start the new one in the same turn."""
    run_id = turn.ids.uuid()
    workflow_task.force_close(turn)
    details = Payloads(
        payloads=[
            Payload(
                metadata={"encoding": b"json/plain"},
                data=b'"terminated by new runID: %s"' % run_id.encode(),
            )
        ]
    )
    chain.close(
        turn,
        events.workflow_terminated(
            "TerminateIfRunning WorkflowIdReusePolicy", details, workflow_task.HISTORY_SERVICE
        ),
    )
    return begin(turn, message, run_id, signal)


def _is_repeat(run: Run, request: StartWorkflowExecutionRequest) -> bool:
    if not request.request_id:
        return False
    if run.pending.start_request_id == request.request_id:
        return True
    noted = run.requests.get(request.request_id)
    return noted is not None and noted.event_type == _ATTACHED


def _repeated(turn: Turn, request: StartWorkflowExecutionRequest) -> WorkflowStarted:
    """The client did not hear our first answer: it gets it again, with its eager task while that is
    still the first attempt."""
    run = turn.run
    if run.pending.start_request_id != request.request_id:
        return answer(run, is_new=False, is_attached=True)
    task = run.workflow_task
    eager_task = None
    if (
        request.request_eager_execution
        and task is not None
        and task.started_event_id == FIRST_STARTED_EVENT_ID
        and task.attempt == 1
    ):
        eager_task = workflow_task.started_reply(turn.workflow, is_sticky=False, is_repeated=True)
    return answer(run, is_new=True, eager_task=eager_task)


def answer(
    run: Run,
    *,
    is_new: bool,
    eager_task: StartedWorkflowTask | None = None,
    is_attached: bool = False,
) -> WorkflowStarted:
    """What a start is told of the run that it led to."""
    return WorkflowStarted(
        run_id=run.recorded.run_id,
        first_execution_run_id=run.recorded.first_execution_run_id,
        is_new=is_new,
        status=run.shown_status,
        eager_task=eager_task,
        is_attached=is_attached,
    )


def _already_started(run: Run, message: str) -> AlreadyStarted:
    return AlreadyStarted(
        message,
        start_request_id=run.pending.start_request_id,
        run_id=run.recorded.run_id,
        first_execution_run_id=run.recorded.first_execution_run_id,
    )
