"""The machines of commands do what their tables say, and what no table says is a mismatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from temporalio.api.command.v1 import (
    Command,
    ScheduleActivityTaskCommandAttributes,
    ScheduleNexusOperationCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Request

from perdure._replay.commands import (
    activity,
    child,
    external,
    nexus,
    patch,
    simple,
    timer,
    update,
)
from perdure._replay.commands.port import CommandMachine, Mismatch


class Sink:
    """An outlet that keeps what it is given."""

    def __init__(self) -> None:
        self.issued: list[Command] = []
        self.told: list[Any] = []

    def issue(self, machine: CommandMachine, command: Command) -> None:
        self.issued.append(command)

    def resolve(self, apply: Callable[[Any], None], outcome: Any) -> None:
        self.told.append(outcome)

    def resolve_last(self, apply: Callable[[Any], None], outcome: Any) -> None:
        self.told.append(outcome)

    def checks_ids(self) -> bool:
        return True


def _activity(sink: Sink, cancellation_type: int = activity.TRY_CANCEL) -> activity.ActivityMachine:
    command = Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=ScheduleActivityTaskCommandAttributes(
            activity_id="1", activity_type=ActivityType(name="one")
        ),
    )
    return activity.ActivityMachine(
        sink,
        command,
        cancellation_type=cancellation_type,
        completed=lambda _: None,
        failed=lambda _: None,
    )


def _timer(sink: Sink) -> timer.TimerMachine:
    return timer.TimerMachine(sink, timer.start_timer_command("1", 10), lambda _: None)


def _external(sink: Sink) -> external.ExternalMachine:
    command = external.cancel_command(
        namespace="", workflow_id="w", run_id="", reason="", child_only=False
    )
    return external.ExternalMachine(sink, command, lambda _: None)


def _child(sink: Sink, cancellation_type: int = child.TRY_CANCEL) -> child.ChildMachine:
    command = Command(
        start_child_workflow_execution_command_attributes=(
            StartChildWorkflowExecutionCommandAttributes(workflow_id="w")
        ),
    )

    def ignore(_: Any) -> None:
        """Nobody waits."""

    listener = child.ChildListener(ignore, ignore, ignore, ignore)
    return child.ChildMachine(sink, command, cancellation_type=cancellation_type, listener=listener)


def _nexus(sink: Sink, cancellation_type: int = nexus.TRY_CANCEL) -> nexus.NexusOperationMachine:
    command = Command(
        schedule_nexus_operation_command_attributes=ScheduleNexusOperationCommandAttributes(
            endpoint="e", service="s", operation="o"
        ),
    )

    def ignore(_: Any) -> None:
        """Nobody waits."""

    listener = nexus.OperationListener(ignore, ignore, ignore)
    return nexus.NexusOperationMachine(
        sink, command, cancellation_type=cancellation_type, listener=listener
    )


def _update(sink: Sink) -> update.UpdateMachine:
    asked = update.UpdateRequest("u", "u/request", 3, Request(), is_new=True)
    return update.UpdateMachine(sink, asked, sink.told.append)


TABLES: list[tuple[Callable[[Sink], Any], dict[Any, Any]]] = [
    (_activity, activity._EVENTS),
    (_timer, timer._EVENTS),
    (_external, external._EVENTS),
    (_child, child._EVENTS),
    (_nexus, nexus._EVENTS),
    (_update, update._EVENTS),
]
# An event without attributes is of another activity, timer, child, operation or update.
CHECKS_IDS = {
    (activity.CREATED, EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED),
    (timer.STARTED, EventType.EVENT_TYPE_TIMER_FIRED),
    (child.CREATED, EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED),
    (nexus.CREATED, EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED),
    *update._EVENTS,
}
PAIRS = [
    pytest.param(make, state, event, (state, event) in table, id=f"{make.__name__} {state} {event}")
    for make, table in TABLES
    for state in sorted({state for state, _ in table} | {"done"})
    for event in sorted({event for _, event in table} | {1, 6})
]


@pytest.mark.parametrize(("make", "state", "event_type", "in_table"), PAIRS)
def test_every_pair_of_state_and_event(
    make: Callable[[Sink], Any], state: str, event_type: int, in_table: bool
) -> None:
    machine = make(Sink())
    machine.state = state
    event = HistoryEvent(event_id=9, event_type=event_type)  # type: ignore[arg-type]
    if not in_table:
        with pytest.raises(Mismatch, match=state):
            machine.handle(event)
        return
    if (state, event_type) in CHECKS_IDS:
        with pytest.raises(Mismatch, match="the history has"):
            machine.handle(event)
    else:
        machine.handle(event)


def _event(name: str, **attributes: Any) -> HistoryEvent:
    return HistoryEvent(
        event_id=9,
        event_type=EventType.Value(f"EVENT_TYPE_{name}"),
        **{f"{name.lower()}_event_attributes": attributes},  # type: ignore[arg-type]
    )


SCHEDULED = _event("ACTIVITY_TASK_SCHEDULED", activity_id="1", activity_type={"name": "one"})


@pytest.mark.parametrize(
    ("cancellation_type", "asks", "tells"),
    [
        (activity.TRY_CANCEL, True, True),
        (activity.WAIT_CANCELLATION_COMPLETED, True, False),
        (activity.ABANDON, False, True),
    ],
)
def test_cancelling_a_scheduled_activity(cancellation_type: int, asks: bool, tells: bool) -> None:
    sink = Sink()
    machine = _activity(sink, cancellation_type)
    machine.handle(SCHEDULED)
    machine.cancel()
    machine.cancel()
    cancels = [one.request_cancel_activity_task_command_attributes for one in sink.issued[1:]]
    assert [one.scheduled_event_id for one in cancels] == ([9] if asks else [])
    assert [one.message for one in sink.told] == (["Activity cancelled"] if tells else [])
    machine.handle(_event("ACTIVITY_TASK_STARTED", scheduled_event_id=9))
    machine.handle(_event("ACTIVITY_TASK_COMPLETED", scheduled_event_id=9))
    assert len(sink.told) == 1
    assert machine.resolved


def test_cancelling_before_it_was_sent_withdraws_the_command() -> None:
    for make in (_activity, _timer, _external, _child, _nexus):
        sink = Sink()
        machine: Any = make(sink)
        if make is _child:
            machine.cancel("reason")
        else:
            machine.cancel()
        assert machine.withdrawn
        assert machine.resolved
        assert len(sink.issued) == 1


def test_a_timer_fired_under_another_id_is_a_mismatch() -> None:
    machine = _timer(Sink())
    machine.handle(_event("TIMER_STARTED", timer_id="1"))
    with pytest.raises(Mismatch, match="'2'"):
        machine.handle(_event("TIMER_FIRED", timer_id="2"))


@pytest.mark.parametrize("command_type", simple.RECORDED_AS)
def test_simple_commands_are_recorded_once(command_type: int) -> None:
    sink = Sink()
    command = Command(command_type=command_type)  # type: ignore[arg-type]
    machine = simple.SimpleMachine(sink, command)
    event = HistoryEvent(event_type=simple.RECORDED_AS[command_type])  # type: ignore[arg-type]
    with pytest.raises(Mismatch):
        machine.handle(_event("TIMER_STARTED"))
    machine.handle(event)
    assert machine.resolved
    with pytest.raises(Mismatch):
        machine.handle(event)


def test_a_patch_is_found_again_in_its_marker() -> None:
    sink = Sink()
    machine = patch.PatchMachine(sink, "first", deprecated=True)
    attributes = sink.issued[0].record_marker_command_attributes
    recorded = _event(
        "MARKER_RECORDED", marker_name=attributes.marker_name, details=dict(attributes.details)
    )
    assert patch.patch_of_marker(recorded) == ("first", True)
    machine.handle(recorded)
    other = patch.PatchMachine(Sink(), "second", deprecated=False)
    with pytest.raises(Mismatch, match="'first'"):
        other.handle(recorded)
    assert patch.patch_of_marker(_event("MARKER_RECORDED", marker_name="another")) is None


def test_a_list_of_patches_that_is_too_long_is_not_sent() -> None:
    assert patch.change_version_command(["a"]) is not None
    assert patch.change_version_command(["a" * 3000]) is None


OPERATION = _event("NEXUS_OPERATION_SCHEDULED", endpoint="e", service="s", operation="o")
COMPLETED_REQUEST = "Nexus operation cancellation request completed"
FAILED_REQUEST = "Nexus operation cancellation request failed"


@pytest.mark.parametrize("is_started", [False, True])
@pytest.mark.parametrize(
    ("cancellation_type", "asks", "tells_at_once", "answer", "tells_of_answer"),
    [
        (nexus.ABANDON, False, True, None, None),
        (nexus.TRY_CANCEL, True, True, "COMPLETED", None),
        (nexus.WAIT_REQUESTED, True, False, "COMPLETED", COMPLETED_REQUEST),
        (nexus.WAIT_REQUESTED, True, False, "FAILED", FAILED_REQUEST),
        (nexus.WAIT_COMPLETED, True, False, "COMPLETED", None),
        (nexus.WAIT_COMPLETED, True, False, "FAILED", None),
    ],
)
def test_cancelling_a_nexus_operation(
    cancellation_type: int,
    asks: bool,
    tells_at_once: bool,
    answer: str | None,
    tells_of_answer: str | None,
    is_started: bool,
) -> None:
    sink = Sink()
    machine = _nexus(sink, cancellation_type)
    machine.handle(OPERATION)
    if is_started:
        machine.handle(_event("NEXUS_OPERATION_STARTED", operation_token="t"))
        assert sink.told.pop() == "t"
    machine.cancel()
    machine.cancel()
    cancels = [one.request_cancel_nexus_operation_command_attributes for one in sink.issued[1:]]
    assert [one.scheduled_event_id for one in cancels] == ([9] if asks else [])
    expected = ["Nexus operation cancelled after starting"] if tells_at_once else []
    assert [one.message for one in sink.told] == expected
    if answer is not None:
        machine.handle(_event("NEXUS_OPERATION_CANCEL_REQUESTED", scheduled_event_id=9))
        machine.handle(_event(f"NEXUS_OPERATION_CANCEL_REQUEST_{answer}", scheduled_event_id=9))
        expected += [tells_of_answer] if tells_of_answer else []
        assert [one.message for one in sink.told] == expected
    assert not machine.resolved
    machine.handle(_event("NEXUS_OPERATION_COMPLETED", scheduled_event_id=9))
    waits_for_result = not expected
    told_of_result = ([None] if is_started else [None, None]) if waits_for_result else []
    assert sink.told[len(expected) :] == told_of_result
    assert machine.resolved


def test_a_closed_operation_waits_for_the_answer_to_its_cancellation() -> None:
    machine = _nexus(Sink(), nexus.WAIT_COMPLETED)
    machine.handle(OPERATION)
    machine.cancel()
    machine.handle(_event("NEXUS_OPERATION_COMPLETED", scheduled_event_id=9))
    assert not machine.resolved
    machine.handle(_event("NEXUS_OPERATION_CANCEL_REQUEST_FAILED", scheduled_event_id=9))
    assert machine.resolved


@pytest.mark.parametrize("what", ["service", "operation"])
def test_another_service_or_operation_is_a_mismatch(what: str) -> None:
    scheduled = {"endpoint": "e", "service": "s", "operation": "o", what: "another"}
    with pytest.raises(Mismatch, match=f"the history has the Nexus {what} 'another'"):
        _nexus(Sink()).handle(_event("NEXUS_OPERATION_SCHEDULED", **scheduled))


def test_another_endpoint_is_none_as_an_endpoint_may_be_renamed() -> None:
    machine = _nexus(Sink())
    machine.handle(_event("NEXUS_OPERATION_SCHEDULED", endpoint="a", service="s", operation="o"))
    assert machine.state is nexus.SCHEDULED
