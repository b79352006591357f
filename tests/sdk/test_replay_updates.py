"""What a run does with updates: validation, acceptance, outcome, and all of it again on replay."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.update.v1 import Acceptance, Outcome, Rejection, Response

from perdure import workflow
from perdure.common import RawValue
from perdure.exceptions import ApplicationError
from tests.sdk.replay_world import World, answers, kinds, payloads, result

LIMIT = timedelta(seconds=10)
BOTH = pytest.mark.parametrize("evict_always", [False, True])
ABANDON = workflow.HandlerUnfinishedPolicy.ABANDON


@workflow.defn
class Account:
    """Everything that an update can do."""

    def __init__(self) -> None:
        self.amount = 0
        self.seen: list[Any] = []
        self.is_open = True

    @workflow.run
    async def run(self) -> list[Any]:
        workflow.set_update_handler("late", lambda: "set by the run method")
        await workflow.wait_condition(lambda: not self.is_open)
        return [self.amount, *self.seen]

    @workflow.signal
    def close(self) -> None:
        self.is_open = False

    @workflow.signal
    def note(self, word: str) -> None:
        self.seen.append(word)

    @workflow.update
    def add(self, amount: int) -> int:
        self.amount += amount
        return self.amount

    @add.validator
    def check_add(self, amount: int) -> None:
        if amount < 0:
            raise ValueError("cannot be negative")

    @workflow.update
    async def add_twice(self, amount: int) -> int:
        doubled = await workflow.execute_activity(
            "double", amount, start_to_close_timeout=LIMIT, result_type=int
        )
        self.amount += doubled
        return self.amount

    @workflow.update(name="other name")
    def named(self) -> None:
        self.seen.append("named")

    @workflow.update
    async def who(self) -> list[str]:
        found = workflow.current_update_info()
        assert found is not None
        await workflow.sleep(1)
        assert workflow.current_update_info() == found
        return [found.id, found.name, str(workflow.all_handlers_finished())]

    @workflow.update
    async def fail(self, kind: str) -> None:
        await asyncio.sleep(0)
        if kind == "application":
            raise ApplicationError("not this time", type="Refused")
        if kind == "cancelled":
            raise asyncio.CancelledError("by itself")
        if kind == "continue":
            workflow.continue_as_new()
        raise KeyError(kind)

    @workflow.update
    async def mutate(self, words: list[str]) -> list[str]:
        return words

    @mutate.validator
    def check_mutate(self, words: list[str]) -> None:
        words.append("by the validator")

    @workflow.update
    async def forbidden(self, kind: str) -> None:
        """Its validator does what only a handler may."""

    @forbidden.validator
    def check_forbidden(self, kind: str) -> None:
        if kind == "timer":
            asyncio.get_running_loop().call_later(1, print)
        elif kind == "activity":
            _ = workflow.start_activity("double", 1, start_to_close_timeout=LIMIT)
        else:
            workflow.random()

    @workflow.update(unfinished_policy=ABANDON)
    async def wait(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def wait_and_be_missed(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    def stop(self) -> str:
        self.is_open = False
        return "stopped"


def begun(evict_always: bool = False) -> World:
    """An account whose first task is done."""
    world = World(Account, evict_always=evict_always)
    world.task()
    return world


def success(*values: Any) -> Outcome:
    return Outcome(success=payloads(*values))


def refused(world: World, name: str, *args: Any) -> Rejection:
    """The rejection of an update, which comes alone."""
    world.update(name, *args, update_id="refused")
    outcome = world.discarded_task()
    [(message_id, body)] = answers(outcome).items()
    assert message_id == "refused/reject"
    assert isinstance(body, Rejection)
    assert body.rejected_request_message_id == "refused/request"
    return body


@BOTH
def test_an_update_is_accepted_and_completed_in_one_task(evict_always: bool) -> None:
    world = begun(evict_always)
    world.update("add", 5, update_id="one")
    completion = world.task()
    assert kinds(completion) == ["PROTOCOL_MESSAGE", "PROTOCOL_MESSAGE"]
    accepted, completed = answers(completion).values()
    assert list(answers(completion)) == ["one/accept", "one/complete"]
    assert isinstance(accepted, Acceptance)
    assert accepted.accepted_request_message_id == "one/request"
    assert accepted.accepted_request_sequencing_event_id == 5
    assert isinstance(completed, Response)
    assert completed.meta.update_id == "one"
    assert completed.outcome == success(5)
    world.signal("close")
    assert result(world.task()) == [5]


@BOTH
def test_commands_of_a_handler_come_between_acceptance_and_outcome(evict_always: bool) -> None:
    world = begun(evict_always)
    world.update("add_twice", 2, update_id="one")
    world.update("add", 1, update_id="two")
    first = world.task()
    assert kinds(first) == [
        "PROTOCOL_MESSAGE",
        "SCHEDULE_ACTIVITY_TASK",
        "PROTOCOL_MESSAGE",
        "PROTOCOL_MESSAGE",
    ]
    [group] = first.commands[1].event_group_markers
    assert group.inbound_update.inbound_update_id == "one"
    world.complete_activity("1", 4)
    second = world.task()
    assert list(answers(second)) == ["one/complete"]
    assert answers(second)["one/complete"].outcome == success(5)
    assert kinds(second) == ["PROTOCOL_MESSAGE"]


def test_a_refused_update_leaves_no_trace() -> None:
    world = begun()
    failure = refused(world, "add", -1).failure
    assert failure.message == "cannot be negative"
    assert failure.application_failure_info.type == "ValueError"
    for number in (1, 2):
        refused(world, "add", -1)
        world.update("add", number, update_id=f"added {number}")
        assert list(answers(world.task())) == [f"added {number}/accept", f"added {number}/complete"]
    world.evict()
    world.signal("close")
    assert result(world.task()) == [3]


def test_an_update_without_a_handler_is_refused_with_the_names_of_those_there_are() -> None:
    failure = refused(begun(), "nothing").failure
    assert failure.message == (
        "Update handler for 'nothing' expected but not found, and there is no dynamic handler. "
        "known updates: [add add_twice fail forbidden late mutate other name stop wait "
        "wait_and_be_missed who]"
    )


def test_arguments_that_cannot_be_decoded_refuse_the_update() -> None:
    assert "Failed decoding arguments" in refused(begun(), "add", "no number").failure.message


def test_what_the_validator_does_to_arguments_is_not_seen_by_the_handler() -> None:
    world = begun()
    world.update("mutate", ["a"], update_id="one")
    assert answers(world.task())["one/complete"].outcome == success(["a"])


@pytest.mark.parametrize("kind", ["timer", "activity", "random"])
def test_a_validator_that_changes_the_workflow_fails_the_task(kind: str) -> None:
    world = begun()
    world.update("forbidden", kind, update_id="one")
    failed = world.failed_task()
    assert isinstance(failed.exception, workflow.ReadOnlyContextError)


def test_updates_of_the_first_task_see_handlers_that_the_run_method_sets() -> None:
    world = World(Account)
    world.update("late", update_id="one")
    completion = world.task()
    assert answers(completion)["one/reject"].failure.message.startswith("Update handler for 'late'")
    world = begun()
    world.update("late", update_id="one")
    assert answers(world.task())["one/complete"].outcome == success("set by the run method")


@BOTH
def test_the_update_being_handled_is_known_to_its_task_alone(evict_always: bool) -> None:
    world = begun(evict_always)
    world.update("who", update_id="one")
    world.update("other name", update_id="two")
    world.task()
    world.fire("1")
    assert answers(world.task())["one/complete"].outcome == success(["one", "who", "False"])


@BOTH
def test_signals_come_before_the_updates_of_a_task(evict_always: bool) -> None:
    world = begun(evict_always)
    world.update("other name", update_id="one")
    world.signal("note", "signal")
    world.task()
    world.update("stop", update_id="two")
    last = world.task()
    assert kinds(last) == ["PROTOCOL_MESSAGE", "PROTOCOL_MESSAGE", "COMPLETE_WORKFLOW_EXECUTION"]
    assert result(last) == [0, "signal", "named"]


@BOTH
def test_a_failure_fails_the_update(evict_always: bool) -> None:
    world = begun(evict_always)
    world.update("fail", "application", update_id="one")
    failure = answers(world.task())["one/complete"].outcome.failure
    assert failure.message == "not this time"
    assert failure.application_failure_info.type == "Refused"
    world.update("fail", "cancelled", update_id="two")
    failure = answers(world.task())["two/complete"].outcome.failure
    assert failure.message == "Cancellation raised within update by itself"
    assert failure.HasField("canceled_failure_info")


@pytest.mark.parametrize("kind", ["unexpected", "continue"])
def test_anything_else_fails_the_task(kind: str) -> None:
    world = begun()
    world.update("fail", kind, update_id="one")
    failed = world.failed_task()
    message = {
        "unexpected": "'unexpected'",
        "continue": "Cannot continue as new from an update handler",
    }[kind]
    assert failed.failure.message == message
    world.update("add", 1, update_id="two")
    assert answers(world.task())["two/complete"].outcome == success(1)


def test_the_end_of_the_workflow_warns_of_handlers_that_it_cuts_off() -> None:
    world = begun()
    world.update("wait_and_be_missed", update_id="one")
    world.update("wait", update_id="two")
    world.task()
    world.signal("close")
    with pytest.warns(workflow.UnfinishedUpdateHandlersWarning, match="TMPRL1102") as caught:
        world.task()
    [warning] = caught
    assert '[{"name": "wait_and_be_missed", "id": "one"}]' in str(warning.message)


def test_a_warning_that_is_an_error_fails_the_task() -> None:
    world = begun()
    world.update("wait_and_be_missed", update_id="one")
    world.task()
    world.signal("close")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failed = world.failed_task()
    assert isinstance(failed.exception, workflow.UnfinishedUpdateHandlersWarning)


def test_a_reset_puts_requests_into_the_history_and_their_acceptance_finds_them() -> None:
    world = begun()
    world.update("add", 5, update_id="one")
    world.task()
    accepted = next(
        event.workflow_execution_update_accepted_event_attributes
        for event in world.events
        if event.HasField("workflow_execution_update_accepted_event_attributes")
    )
    admitted = world.events[4]
    admitted.ClearField("attributes")
    admitted.event_type = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED
    admitted.workflow_execution_update_admitted_event_attributes.request.CopyFrom(
        accepted.accepted_request
    )
    accepted.ClearField("accepted_request")
    world.evict()
    world.signal("close")
    assert result(world.task()) == [5]


@workflow.defn
class Dynamic:
    """Serves every update."""

    def __init__(self) -> None:
        self.is_open = True

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: not self.is_open)

    @workflow.update(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> str:
        values = [workflow.payload_converter().from_payload(arg.payload) for arg in args]
        return f"{name} {values}"

    @anything.validator
    def check(self, name: str, args: Sequence[RawValue]) -> None:
        if name == "refused":
            raise ValueError(f"{len(args)} arguments")

    @workflow.update
    def replace(self) -> None:
        def other(name: str, args: Sequence[RawValue]) -> str:
            return f"other {name}"

        def validator(name: str, args: Sequence[RawValue]) -> None:
            raise ValueError(f"never {name}")

        workflow.set_dynamic_update_handler(other)
        workflow.set_update_handler("no", lambda: None, validator=lambda: validator("no", []))


def test_a_dynamic_handler_takes_what_has_no_other() -> None:
    world = World(Dynamic)
    world.task()
    assert refused(world, "refused", 1).failure.message == "1 arguments"
    world.update("any", 1, "a", update_id="one")
    world.update("replace", update_id="two")
    completed = answers(world.task())
    assert completed["one/complete"].outcome == success("any [1, 'a']")
    assert refused(world, "no").failure.message == "never no"
    world.update("any", 1, "a", update_id="three")
    assert answers(world.task())["three/complete"].outcome == success("other any")


def test_a_handler_that_was_changed_does_not_replay() -> None:
    """The history has an update that the code no longer accepts in this place."""
    world = begun()
    world.update("add", 5, update_id="one")
    world.task()
    completed = world.events[-1].workflow_execution_update_completed_event_attributes
    completed.meta.update_id = "another"
    world.evict()
    world.signal("close")
    failed = world.failed_task()
    assert "the history has the update 'another', the code 'one'" in failed.failure.message
