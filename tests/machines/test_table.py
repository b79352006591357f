"""The transition table, enumerated: what each input comes to in each phase."""

from __future__ import annotations

import typing

import pytest

from perdure.server.machines.errors import (
    AlreadyStarted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from perdure.server.machines.schedule import messages as from_schedules
from perdure.server.machines.workflow import inputs, messages
from perdure.server.machines.workflow.decide import OPEN, TABLE
from perdure.server.machines.workflow.inputs import (
    AskDirectly,
    Done,
    Heartbeat,
    NotCurrent,
    QueryWaits,
    StartedWorkflowTask,
    UpdatedActivityOptions,
    UpdatedWithStart,
    UpdatedWorkflowOptions,
    UpdateStatus,
    WorkflowStarted,
    WorkflowTaskCompleted,
)
from perdure.server.machines.workflow.state import Phase
from tests.machines.stages import message, run_id, stage
from tests.machines.world import CountingIds, World

INPUTS: tuple[type, ...] = typing.get_args(inputs.Input)

NEWS_OF_NOTHING: tuple[type, ...] = (
    messages.TerminateFromParent,
    messages.CancelFromParent,
    messages.ChildStarted,
    messages.ChildStartFailed,
    messages.ChildClosed,
    messages.SignalOutcome,
    messages.CancelOutcome,
)
"""For a workflow that has no parent, no children and nothing under way to other workflows."""

ABSENT, DELAYED, IDLE, SCHEDULED, STARTED, CLOSED = Phase
# fmt: off
OUTCOMES: dict[type, dict[Phase, type]] = {
    inputs.StartWorkflow: {
        ABSENT: WorkflowStarted, DELAYED: AlreadyStarted, IDLE: AlreadyStarted,
        SCHEDULED: AlreadyStarted, STARTED: AlreadyStarted, CLOSED: WorkflowStarted,
    },
    inputs.SignalWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    inputs.SignalWithStart: {
        ABSENT: WorkflowStarted, DELAYED: WorkflowStarted, IDLE: WorkflowStarted,
        SCHEDULED: WorkflowStarted, STARTED: WorkflowStarted, CLOSED: WorkflowStarted,
    },
    inputs.CancelWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    inputs.TerminateWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    inputs.QueryWorkflow: {
        ABSENT: NotFound, DELAYED: QueryWaits, IDLE: AskDirectly,
        SCHEDULED: QueryWaits, STARTED: QueryWaits, CLOSED: AskDirectly,
    },
    inputs.ForgetQuery: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    inputs.UpdateWorkflow: {
        ABSENT: NotFound, DELAYED: UpdateStatus, IDLE: UpdateStatus,
        SCHEDULED: UpdateStatus, STARTED: UpdateStatus, CLOSED: NotFound,
    },
    inputs.CallbackAttempted: {
        ABSENT: NotCurrent, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    inputs.UpdateWithStart: dict.fromkeys(Phase, UpdatedWithStart),
    inputs.PollUpdate: dict.fromkeys(Phase, NotFound),
    inputs.ResetSticky: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    **{
        kind: {
            ABSENT: NotFound, DELAYED: NotFound, IDLE: Done,
            SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
        }
        for kind in (inputs.PauseActivity, inputs.UnpauseActivity, inputs.ResetActivity)
    },
    inputs.UpdateActivityOptions: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: UpdatedActivityOptions,
        SCHEDULED: UpdatedActivityOptions, STARTED: UpdatedActivityOptions, CLOSED: NotFound,
    },
    inputs.UpdateWorkflowOptions: {
        ABSENT: NotFound, DELAYED: UpdatedWorkflowOptions, IDLE: UpdatedWorkflowOptions,
        SCHEDULED: UpdatedWorkflowOptions, STARTED: UpdatedWorkflowOptions, CLOSED: NotFound,
    },
    inputs.PauseWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    inputs.UnpauseWorkflow: {
        ABSENT: NotFound, DELAYED: FailedPrecondition, IDLE: FailedPrecondition,
        SCHEDULED: FailedPrecondition, STARTED: FailedPrecondition, CLOSED: NotFound,
    },
    inputs.ResetWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    inputs.DeleteWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    inputs.StartWorkflowTask: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: NotFound,
        SCHEDULED: StartedWorkflowTask, STARTED: NotFound, CLOSED: NotFound,
    },
    inputs.WorkflowTaskUndelivered: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: NotFound,
        SCHEDULED: NotFound, STARTED: Done, CLOSED: NotFound,
    },
    inputs.StickyWorkerUnavailable: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: NotFound,
        SCHEDULED: Done, STARTED: NotFound, CLOSED: NotFound,
    },
    inputs.CompleteWorkflowTask: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: NotFound,
        SCHEDULED: NotFound, STARTED: WorkflowTaskCompleted, CLOSED: NotFound,
    },
    inputs.FailWorkflowTask: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: NotFound,
        SCHEDULED: NotFound, STARTED: Done, CLOSED: NotFound,
    },
    inputs.StartActivityTask: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: NotFound,
        SCHEDULED: NotFound, STARTED: NotFound, CLOSED: NotFound,
    },
    inputs.ActivityTaskUndelivered: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    inputs.CompleteActivity: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    inputs.FailActivity: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    inputs.CancelActivity: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: InvalidArgument,
        SCHEDULED: InvalidArgument, STARTED: InvalidArgument, CLOSED: NotFound,
    },
    inputs.HeartbeatActivity: {
        ABSENT: NotFound, DELAYED: NotFound, IDLE: Heartbeat,
        SCHEDULED: Heartbeat, STARTED: Heartbeat, CLOSED: NotFound,
    },
    from_schedules.StartScheduled: {
        ABSENT: WorkflowStarted, DELAYED: AlreadyStarted, IDLE: AlreadyStarted,
        SCHEDULED: AlreadyStarted, STARTED: AlreadyStarted, CLOSED: WorkflowStarted,
    },
    from_schedules.CancelScheduled: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    from_schedules.TerminateScheduled: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    messages.StartChild: {
        ABSENT: WorkflowStarted, DELAYED: AlreadyStarted, IDLE: AlreadyStarted,
        SCHEDULED: AlreadyStarted, STARTED: AlreadyStarted, CLOSED: WorkflowStarted,
    },
    messages.SignalFromWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    messages.CancelFromWorkflow: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
    inputs.LoseActivityTask: {
        ABSENT: NotFound, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
    },
    **{
        kind: {
            ABSENT: NotFound, DELAYED: Done, IDLE: Done,
            SCHEDULED: Done, STARTED: Done, CLOSED: NotFound,
        }
        for kind in (inputs.NexusStartAnswered, inputs.NexusCancelAnswered)
    },
    inputs.CompleteNexusOperation: dict.fromkeys(Phase, NotFound),
    **dict.fromkeys(NEWS_OF_NOTHING, dict.fromkeys(Phase, NotFound)),
    inputs.WakeUp: {
        ABSENT: NotCurrent, DELAYED: Done, IDLE: Done,
        SCHEDULED: Done, STARTED: Done, CLOSED: Done,
    },
}
# fmt: on
PAIRS = [(phase, kind) for kind in INPUTS for phase in Phase]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Phase) else getattr(value, "__name__", str(value))


def test_the_table_has_a_row_for_each_pair_and_no_other() -> None:
    assert set(TABLE) == set(PAIRS)
    assert set(OUTCOMES) == set(INPUTS)
    assert all(set(outcomes) == set(Phase) for outcomes in OUTCOMES.values())


@pytest.mark.parametrize(("phase", "kind"), PAIRS, ids=name_of)
def test_the_pair_comes_to_what_the_table_says(phase: Phase, kind: type) -> None:
    world = stage(phase)
    assert world.workflow.phase is phase
    expected = OUTCOMES[kind][phase]
    if issubclass(expected, Exception):
        with pytest.raises(expected):
            world.decide(message(world, kind))
    else:
        assert type(world.decide(message(world, kind)).reply) is expected


STARTS = (
    from_schedules.StartScheduled,
    from_schedules.CancelScheduled,
    from_schedules.TerminateScheduled,
    inputs.StartWorkflow,
    inputs.SignalWithStart,
    inputs.UpdateWithStart,
    inputs.ResetWorkflow,
    inputs.DeleteWorkflow,
    messages.StartChild,
)


OF_CLOSED_RUNS = (inputs.WakeUp, inputs.CallbackAttempted)


@pytest.mark.parametrize(
    "kind", [kind for kind in INPUTS if kind not in (*STARTS, *OF_CLOSED_RUNS)]
)
@pytest.mark.parametrize("phase", OPEN)
def test_an_input_for_another_run_finds_no_workflow(phase: Phase, kind: type) -> None:
    world = stage(phase)
    sent = message(stage(Phase.ABSENT), kind)
    with pytest.raises(NotFound):
        world.decide(sent)


@pytest.mark.parametrize("phase", OPEN)
def test_a_wake_up_of_a_run_that_was_followed_by_another_changes_nothing(phase: Phase) -> None:
    world = stage(phase)
    decision = world.decide(message(stage(Phase.ABSENT), inputs.WakeUp))
    assert decision.reply == NotCurrent()
    assert not decision.has_changes


def test_an_activity_can_be_started_while_a_workflow_task_is_in_any_state() -> None:
    for phase in (IDLE, SCHEDULED, STARTED):
        world = stage(phase)
        world.decide(message(world, inputs.ActivityTaskUndelivered))
        reply = world.decide(message(world, inputs.StartActivityTask)).reply
        assert isinstance(reply, inputs.StartedActivityTask)


def test_the_stages_name_the_run_that_stands() -> None:
    assert run_id(stage(IDLE)) == CountingIds().uuid()
    assert stage(CLOSED).types()[-1] == "WORKFLOW_EXECUTION_COMPLETED"
    assert isinstance(stage(ABSENT), World)
