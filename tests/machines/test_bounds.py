"""What a worker or a client can say and no decision may carry too far: depth, length, time."""

from __future__ import annotations

import time

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    RecordMarkerCommandAttributes,
)
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    SignalWorkflowExecutionRequest,
)

from perdure.server.machines.durations import DURATION_SECONDS_MAX
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.decide import decide
from perdure.server.machines.workflow.state import Status
from sim.checkers.h4_parses import failure_depth
from tests.machines.activity_world import World, schedule_activity

DEPTH_MAX = DEFAULT_LIMITS.failure_depth_max
LONGEST = Duration(seconds=2**63 - 1)


def deep_failure() -> Failure:
    """A chain of causes as deep as a request can carry it."""
    failure = Failure(message="root")
    for depth in range(90):
        failure = Failure(message=str(depth), cause=failure)
    return failure


def fail(failure: Failure) -> Command:
    """The command."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=failure
        ),
    )


def continue_as_new(**fields: object) -> Command:
    """The command."""
    attributes = ContinueAsNewWorkflowExecutionCommandAttributes(**fields)  # type: ignore[arg-type]
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=attributes,
    )


def record_marker(failure: Failure) -> Command:
    """The command."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
        record_marker_command_attributes=RecordMarkerCommandAttributes(
            marker_name="m", failure=failure
        ),
    )


@pytest.mark.parametrize("make", [fail, record_marker, lambda f: continue_as_new(failure=f)])
def test_no_command_records_a_failure_too_deep_to_be_read(make: object) -> None:
    world = World()
    world.complete_task(make(deep_failure()))  # type: ignore[operator]
    assert max(map(failure_depth, world.history)) == DEPTH_MAX


def test_a_run_that_continues_as_new_begins_in_a_century_at_the_latest() -> None:
    world = World()
    world.complete_task(
        continue_as_new(
            backoff_start_interval=LONGEST,
            workflow_run_timeout=LONGEST,
            workflow_task_timeout=LONGEST,
        )
    )
    recorded = world.run.recorded
    assert recorded.first_task_backoff_ns == DURATION_SECONDS_MAX * SECOND_NS
    assert recorded.run_timeout_ns == DURATION_SECONDS_MAX * SECOND_NS
    assert world.run.pending.wake_at_ns < 2**63


@pytest.mark.parametrize(
    ("timeout", "expected_ns"),
    [(LONGEST, DURATION_SECONDS_MAX * SECOND_NS), (Duration(seconds=-(2**63)), 0)],
)
def test_a_sticky_timeout_is_a_time_that_can_be_stored(timeout: Duration, expected_ns: int) -> None:
    world = World()
    request = RespondWorkflowTaskCompletedRequest()
    request.sticky_attributes.worker_task_queue.name = "mine"
    request.sticky_attributes.schedule_to_start_timeout.CopyFrom(timeout)
    message = inputs.CompleteWorkflowTask(world.task.token, request)
    world.do(message, inputs.WorkflowTaskCompleted)
    assert world.run.pending.sticky_timeout_ns == expected_ns
    signal(world)
    assert 0 < world.run.pending.wake_at_ns < 2**63


def signal(world: World) -> None:
    """A client signals the workflow."""
    request = SignalWorkflowExecutionRequest(signal_name="go")
    world.do(inputs.SignalWorkflow("", request), inputs.Done)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"history_count_max": 10}, "Workflow history count exceeds limit."),
        ({"history_size_bytes_max": 1_000}, "Workflow history size exceeds limit."),
    ],
)
def test_a_history_that_outgrows_its_limit_ends_its_run(
    limits: dict[str, int], reason: str
) -> None:
    world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, **limits))
    world.complete_task(schedule_activity())
    request = SignalWorkflowExecutionRequest(signal_name="go")
    signals, answers = 0, list[inputs.Reply]()
    while world.run.is_open:
        signals = world.run.recorded.signals
        answers.append(world.do(inputs.SignalWorkflow("", request), msgspec.Struct))  # type: ignore[arg-type]
    assert answers.pop() == inputs.Refused(reason)
    assert answers == [inputs.Done(world.run.recorded.run_id)] * signals
    assert world.run.recorded.signals == signals, "what was refused has left no trace"
    assert world.run.recorded.status == Status.TERMINATED
    event = world.last("WORKFLOW_EXECUTION_TERMINATED")
    assert event.workflow_execution_terminated_event_attributes.reason == reason
    assert not world.offers, "nothing of it is on offer any more"


def test_a_completion_that_would_outgrow_the_history_ends_its_run_and_is_not_carried_out() -> None:
    world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, history_count_max=7))
    commands = [schedule_activity(f"a{number}") for number in range(4)]
    assert world.refusal_of(*commands) == "Workflow history count exceeds limit."
    assert world.types(3) == ["WORKFLOW_TASK_FAILED", "WORKFLOW_EXECUTION_TERMINATED"]
    assert not world.offers


def test_the_cost_of_a_completion_grows_with_its_commands_and_not_faster() -> None:
    def seconds_for(commands: int) -> float:
        world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, history_count_max=10**6))
        marker = record_marker(Failure(message="x" * 100))
        request = RespondWorkflowTaskCompletedRequest(commands=[marker] * commands)
        message = inputs.CompleteWorkflowTask(world.task.token, request)
        begin = time.process_time()
        decide(world.workflow, message, world.now_ns, world.ids, world.limits)
        return time.process_time() - begin

    seconds_for(100)
    assert seconds_for(40_000) < 20 * seconds_for(4_000)
