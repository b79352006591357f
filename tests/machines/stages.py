"""A workflow in each phase, and an input of each kind that is as right for it as it can be."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from perdure.server.machines.nexus.outcomes import AsyncStarted, CancelAccepted, SyncSuccess
from perdure.server.machines.ports import DEFAULT_LIMITS, Limits
from perdure.server.machines.schedule import messages as from_schedules
from perdure.server.machines.workflow import inputs, messages
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.state import Phase
from tests.machines import operating, requests, resetting, updating
from tests.machines.world import World

NAMESPACE_ID = "namespace-id"


def stage(phase: Phase, limits: Limits = DEFAULT_LIMITS) -> World:
    """A workflow in this phase. Unless it is delayed, activity "a" (event 5) has been started."""
    world = World(limits=limits)
    if phase is Phase.ABSENT:
        return world
    if phase is Phase.DELAYED:
        world.decide(inputs.StartWorkflow(requests.start({"delay": "60s"})))
        return world
    world.decide(inputs.StartWorkflow(requests.start({})))
    poll(world)
    complete(world, "activity a heartbeat=5s", sticky="mine:30s")
    world.decide(message(world, inputs.StartActivityTask))
    if phase is Phase.IDLE:
        return world
    world.decide(message(world, inputs.SignalWorkflow))
    if phase is Phase.SCHEDULED:
        return world
    poll(world)
    if phase is Phase.CLOSED:
        complete(world, "done bye")
    return world


def poll(world: World) -> inputs.StartedWorkflowTask:
    """A worker takes the workflow task that is on offer."""
    reply = world.decide(message(world, inputs.StartWorkflowTask)).reply
    assert isinstance(reply, inputs.StartedWorkflowTask)
    return reply


def complete(world: World, commands: str, sticky: str = "") -> inputs.Reply:
    """The worker completes the newest workflow task."""
    options = {"sticky": sticky} if sticky else {}
    request = requests.completion(commands, [], options)
    return world.decide(inputs.CompleteWorkflowTask(task_token(world), request)).reply


def message(world: World, kind: type) -> inputs.Input:
    """An input of this kind, for the workflow as it stands."""
    return MESSAGES[kind](world)


def run_id(world: World) -> str:
    """The current run, or one that never was."""
    run = world.workflow.run
    return run.recorded.run_id if run is not None else "00000000-0000-0000-0000-00000000dead"


def task_stamp(world: World) -> int:
    """The newest stamp of its workflow tasks."""
    run = world.workflow.run
    return run.task_stamp if run is not None else 1


def query_id(world: World) -> str:
    """A query that waits, or one that never was."""
    volatile = world.workflow.volatile
    return min(volatile.queries) if volatile is not None and volatile.queries else "no query"


def task_token(world: World) -> inputs.TaskToken:
    """The token of the outstanding workflow task; what it would be, when there is none."""
    run = world.workflow.run
    task = run.workflow_task if run is not None else None
    scheduled, attempt = (task.scheduled_event_id, task.attempt) if task is not None else (2, 1)
    return inputs.TaskToken(NAMESPACE_ID, "w", run_id(world), scheduled, attempt, task_stamp(world))


def activity_token(world: World, event_id: int = 0) -> inputs.TaskToken:
    """The token of an activity's newest attempt (of the first pending one, unless named)."""
    run = world.workflow.run
    activities = run.activities if run is not None else {}
    event_id = event_id or min(activities, default=5)
    pending = activities.get(event_id)
    attempt, stamp = (
        (pending.attempt.attempt, pending.attempt.stamp) if pending is not None else (1, 0)
    )
    return inputs.TaskToken(NAMESPACE_ID, "w", run_id(world), event_id, attempt, stamp)


def _start_activity(world: World) -> inputs.Input:
    offer = world.offer(TaskKind.ACTIVITY) if world.workflow.run is not None else None
    event_id, stamp = (offer.scheduled_event_id, offer.stamp) if offer is not None else (5, 77)
    return inputs.StartActivityTask(run_id(world), event_id, stamp, world.ids.uuid(), "worker")


def _undelivered_activity(world: World) -> inputs.Input:
    token = activity_token(world)
    return inputs.ActivityTaskUndelivered(token.run_id, token.scheduled_event_id, token.stamp)


OTHER_RUN = "00000000-0000-0000-0000-00000000beef"
OTHER = messages.Source("parent", OTHER_RUN, 5)
"""A run of another workflow, and an event of it."""


def _lose_activity(world: World) -> inputs.Input:
    token = activity_token(world)
    return inputs.LoseActivityTask(token.run_id, token.scheduled_event_id, token.stamp)


MESSAGES: dict[type, Callable[[World], inputs.Input]] = {
    inputs.StartWorkflow: lambda world: inputs.StartWorkflow(requests.start({"request": "other"})),
    inputs.SignalWorkflow: lambda world: inputs.SignalWorkflow(
        run_id(world), requests.signal("go", {})
    ),
    inputs.SignalWithStart: lambda world: inputs.SignalWithStart(
        inputs.StartWorkflow(requests.start({"request": "other"})),
        requests.signal("go", {"request": "other"}),
    ),
    inputs.CancelWorkflow: lambda world: inputs.CancelWorkflow(run_id(world), requests.cancel({})),
    inputs.TerminateWorkflow: lambda world: inputs.TerminateWorkflow(
        run_id(world), requests.terminate({})
    ),
    inputs.QueryWorkflow: lambda world: inputs.QueryWorkflow(run_id(world), requests.query("q")),
    inputs.ForgetQuery: lambda world: inputs.ForgetQuery(run_id(world), query_id(world)),
    inputs.CallbackAttempted: lambda world: inputs.CallbackAttempted(
        run_id(world), "00000001-00000", 1
    ),
    inputs.UpdateWithStart: lambda world: inputs.UpdateWithStart(
        inputs.StartWorkflow(requests.start({"request": "other", "conflict": "use_existing"})),
        updating.update("u"),
    ),
    inputs.UpdateWorkflow: lambda world: updating.update("u", run_id=run_id(world)),
    inputs.PollUpdate: lambda world: inputs.PollUpdate(run_id(world), "u"),
    inputs.ResetSticky: lambda world: inputs.ResetSticky(run_id(world)),
    inputs.UpdateWorkflowOptions: lambda world: inputs.UpdateWorkflowOptions(
        run_id(world), requests.changed_options({"priority": "5"})
    ),
    inputs.PauseWorkflow: lambda world: inputs.PauseWorkflow(
        run_id(world), requests.pause({"request": "p"})
    ),
    inputs.UnpauseWorkflow: lambda world: inputs.UnpauseWorkflow(
        run_id(world), requests.unpause({"request": "u"})
    ),
    inputs.ResetWorkflow: lambda world: resetting.unchecked(
        world, min(4, world.run.recorded.next_event_id) if world.workflow.run is not None else 4
    ),
    inputs.DeleteWorkflow: lambda world: inputs.DeleteWorkflow(run_id(world)),
    inputs.StartWorkflowTask: lambda world: inputs.StartWorkflowTask(
        run_id(world), task_stamp(world), world.ids.uuid(), "worker"
    ),
    inputs.WorkflowTaskUndelivered: lambda world: inputs.WorkflowTaskUndelivered(
        run_id(world), task_stamp(world)
    ),
    inputs.StickyWorkerUnavailable: lambda world: inputs.StickyWorkerUnavailable(
        run_id(world), task_stamp(world)
    ),
    inputs.CompleteWorkflowTask: lambda world: inputs.CompleteWorkflowTask(
        task_token(world), requests.completion("marker m", [], {})
    ),
    inputs.FailWorkflowTask: lambda world: inputs.FailWorkflowTask(
        task_token(world), requests.failed_task({})
    ),
    inputs.StartActivityTask: _start_activity,
    inputs.ActivityTaskUndelivered: _undelivered_activity,
    inputs.CompleteActivity: lambda world: inputs.CompleteActivity(
        activity_token(world), requests.payloads("result"), "worker"
    ),
    inputs.FailActivity: lambda world: inputs.FailActivity(
        activity_token(world), Failure(message="broken"), "worker"
    ),
    inputs.CancelActivity: lambda world: inputs.CancelActivity(
        activity_token(world), None, "worker"
    ),
    inputs.HeartbeatActivity: lambda world: inputs.HeartbeatActivity(
        activity_token(world), None, "worker"
    ),
    inputs.LoseActivityTask: _lose_activity,
    inputs.PauseActivity: lambda world: inputs.PauseActivity(
        run_id(world), operating.pause(["type:work"], {})
    ),
    inputs.UnpauseActivity: lambda world: inputs.UnpauseActivity(
        run_id(world), operating.unpause(["all"], {}), "seed"
    ),
    inputs.ResetActivity: lambda world: inputs.ResetActivity(
        run_id(world), operating.reset(["all"], {}), "seed"
    ),
    inputs.UpdateActivityOptions: lambda world: inputs.UpdateActivityOptions(
        run_id(world), operating.update(["all"], {"heartbeat": "5s"})
    ),
    inputs.NexusStartAnswered: lambda world: inputs.NexusStartAnswered(
        run_id(world), 6, 1, AsyncStarted("token")
    ),
    inputs.NexusCancelAnswered: lambda world: inputs.NexusCancelAnswered(
        run_id(world), 6, 1, CancelAccepted()
    ),
    inputs.CompleteNexusOperation: lambda world: inputs.CompleteNexusOperation(
        6, "nobody's", SyncSuccess(b"")
    ),
    messages.StartChild: lambda world: messages.StartChild(
        messages.Parent("default", NAMESPACE_ID, "parent", OTHER_RUN, 5, "parent", OTHER_RUN),
        requests.start({"request": "other"}).SerializeToString(),
    ),
    messages.SignalFromWorkflow: lambda world: messages.SignalFromWorkflow(
        run_id(world), OTHER, "request", b""
    ),
    messages.CancelFromWorkflow: lambda world: messages.CancelFromWorkflow(
        run_id(world), OTHER, "request", "enough", child_only=False
    ),
    messages.TerminateFromParent: lambda world: messages.TerminateFromParent(OTHER, "", "server"),
    messages.CancelFromParent: lambda world: messages.CancelFromParent(OTHER, "", "server"),
    messages.ChildStarted: lambda world: messages.ChildStarted(run_id(world), 5, OTHER_RUN, None),
    messages.ChildStartFailed: lambda world: messages.ChildStartFailed(run_id(world), 5, 1, ""),
    messages.ChildClosed: lambda world: messages.ChildClosed(
        run_id(world), 5, "child", OTHER_RUN, OTHER_RUN, 2, b""
    ),
    from_schedules.StartScheduled: lambda world: from_schedules.StartScheduled(
        from_schedules.Sender("schedule", OTHER_RUN, 1),
        requests.start({"request": "other"}).SerializeToString(),
    ),
    from_schedules.CancelScheduled: lambda world: from_schedules.CancelScheduled(
        RequestCancelWorkflowExecutionRequest(request_id="other").SerializeToString()
    ),
    from_schedules.TerminateScheduled: lambda world: from_schedules.TerminateScheduled(
        TerminateWorkflowExecutionRequest(reason="other").SerializeToString()
    ),
    messages.SignalOutcome: lambda world: messages.SignalOutcome(run_id(world), 5, 0, ""),
    messages.CancelOutcome: lambda world: messages.CancelOutcome(run_id(world), 5, 0),
    inputs.WakeUp: lambda world: inputs.WakeUp(run_id(world)),
}
