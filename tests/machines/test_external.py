"""Signals and cancel requests between workflows."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow import inputs, messages
from perdure.server.machines.workflow.from_workflows.answers import is_wanted
from tests.machines import requests, stages
from tests.machines.neighbours import Neighbours, cancel, signal

SIGNAL_INITIATED = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED"
SIGNAL_FAILED = "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED"
SIGNAL_SENT = "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED"
SIGNALED = "WORKFLOW_EXECUTION_SIGNALED"
CANCEL_INITIATED = "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED"
CANCEL_FAILED = "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED"
CANCEL_SENT = "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED"
CANCEL_REQUESTED = "WORKFLOW_EXECUTION_CANCEL_REQUESTED"
STARTED = "WORKFLOW_EXECUTION_STARTED"
COMPLETED = "WORKFLOW_EXECUTION_COMPLETED"
DONE = "done bye"


def neighbours() -> Neighbours:
    """A source and a target, both running."""
    both = Neighbours()
    both.start("source")
    both.start("target")
    return both


def test_a_signal_is_recorded_at_its_target_and_its_source_hears_of_it() -> None:
    both = neighbours()
    both.complete("source", signal("target", control="controlled"))
    assert both.types("source") == [STARTED, SIGNAL_INITIATED]
    both.deliver()
    assert both.types("target") == [STARTED, SIGNALED]
    assert both.types("source") == [STARTED, SIGNAL_INITIATED, SIGNAL_SENT]
    source = both.world("source")
    arrived = both.last("target", SIGNALED).workflow_execution_signaled_event_attributes
    assert arrived.external_workflow_execution.workflow_id == "source"
    assert arrived.external_workflow_execution.run_id == source.run.recorded.run_id
    sent = both.last("source", SIGNAL_SENT)
    attributes = sent.external_workflow_execution_signaled_event_attributes
    assert (attributes.initiated_event_id, attributes.control) == (5, "controlled")
    assert source.offer() is not None, "the source has news"


def test_a_cancel_request_is_recorded_at_its_target_and_its_source_hears_of_it() -> None:
    both = neighbours()
    both.complete("source", cancel("target", reason="enough"))
    both.deliver()
    assert both.types("target") == [STARTED, CANCEL_REQUESTED]
    assert both.types("source") == [STARTED, CANCEL_INITIATED, CANCEL_SENT]
    asked = both.last("target", CANCEL_REQUESTED)
    attributes = asked.workflow_execution_cancel_requested_event_attributes
    assert attributes.cause == "enough"
    assert attributes.external_initiated_event_id == 5
    assert attributes.external_workflow_execution.workflow_id == "source"


@pytest.mark.parametrize("state", ["absent", "closed", "itself", "another run", "not a child"])
def test_a_signal_that_finds_no_target_fails(state: str) -> None:
    both = neighbours()
    command = signal("target")
    if state == "absent":
        command = signal("nobody")
    elif state == "closed":
        both.complete("target", requests.command(DONE))
    elif state == "itself":
        command = signal("source")
    elif state == "another run":
        command = signal("target", run_id="11111111-2222-3333-4444-555555555555")
    else:
        command = signal("target", child_workflow_only=True)
    both.complete("source", command)
    both.deliver()
    event = both.last("source", SIGNAL_FAILED)
    cause = event.signal_external_workflow_execution_failed_event_attributes.cause
    assert failed_cause_pb2.SignalExternalWorkflowExecutionFailedCause.Name(cause).endswith(
        "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"
    )
    assert SIGNALED not in both.types("target")


def test_a_signal_to_a_workflow_that_had_too_many_fails() -> None:
    both = Neighbours(limits=msgspec.structs.replace(DEFAULT_LIMITS, signals_max=1))
    both.start("source")
    both.start("target")
    both.complete("source", signal("target"), signal("target"))
    both.deliver()
    assert both.types("target").count(SIGNALED) == 1
    event = both.last("source", SIGNAL_FAILED)
    cause = event.signal_external_workflow_execution_failed_event_attributes.cause
    assert failed_cause_pb2.SignalExternalWorkflowExecutionFailedCause.Name(cause).endswith(
        "SIGNAL_COUNT_LIMIT_EXCEEDED"
    )


@pytest.mark.parametrize("workflow_id", ["nobody", "source"])
def test_a_cancel_request_that_finds_no_target_fails(workflow_id: str) -> None:
    both = neighbours()
    both.complete("source", cancel(workflow_id))
    both.deliver()
    assert both.types("source") == [STARTED, CANCEL_INITIATED, CANCEL_FAILED]


def test_a_closed_workflow_counts_as_cancelled_and_a_second_request_changes_nothing() -> None:
    both = neighbours()
    both.complete("source", cancel("target"), cancel("target"))
    both.deliver()
    both.complete("target", requests.command(DONE))
    both.complete("source", cancel("target"))
    both.deliver()
    assert both.types("target") == [STARTED, CANCEL_REQUESTED, COMPLETED]
    assert both.types("source").count(CANCEL_SENT) == 3


def test_a_source_that_closes_at_once_sends_nothing() -> None:
    both = neighbours()
    commands = [signal("target"), cancel("target"), requests.command(DONE)]
    both.complete("source", *commands)
    both.deliver()
    assert both.types("source") == [STARTED, SIGNAL_INITIATED, CANCEL_INITIATED, COMPLETED]
    assert both.types("target") == [STARTED]
    assert not both.world("source").run.external_signals


def test_outcomes_are_buffered_while_the_source_has_a_task_and_hinder_its_close() -> None:
    both = neighbours()
    both.complete("source", signal("target"), cancel("nobody"), more=True)
    both.deliver()
    source = both.world("source")
    assert both.types("source") == [STARTED, SIGNAL_INITIATED, CANCEL_INITIATED]
    assert source.run.external_signals[5].is_answered
    assert source.run.external_cancels[6].is_answered
    reply = both.complete("source", requests.command(DONE), is_polled=False)
    assert isinstance(reply, inputs.RefusedWorkflowTask)
    assert both.types("source")[-2:] == [SIGNAL_SENT, CANCEL_FAILED]
    assert not source.run.external_signals
    assert not source.run.external_cancels


def test_a_message_that_comes_twice_is_done_once_and_answered_again() -> None:
    both = neighbours()
    both.complete("source", signal("target"), cancel("target"))
    both.complete("target", is_polled=True)
    copies = both.waiting()
    both.deliver()
    assert both.types("target").count(SIGNALED) == 1
    for copy in copies:
        target = both.world("target")
        before = target.types()
        assert isinstance(target.decide(copy.message).reply, inputs.Done)
        assert target.types() == before
    assert both.types("target").count(CANCEL_REQUESTED) == 1


def test_a_signal_that_was_delivered_is_known_after_the_target_has_closed() -> None:
    both = neighbours()
    both.complete("source", signal("target"))
    (copy,) = both.waiting()
    both.deliver()
    both.complete("target", requests.command(DONE))
    assert isinstance(both.world("target").decide(copy.message).reply, inputs.Done)


def test_an_answer_that_comes_twice_is_recorded_once() -> None:
    both = neighbours()
    both.complete("source", signal("target"))
    both.deliver_one(both.take(both.world("source")))
    (answer,) = both.waiting()
    both.deliver()
    both.deliver_one(answer)
    assert both.types("source").count(SIGNAL_SENT) == 1


def test_a_request_id_is_a_function_of_run_and_event() -> None:
    run, other = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
    made = messages.request_id_of(run, 5)
    assert made == messages.request_id_of(run, 5)
    assert len({made, messages.request_id_of(run, 6), messages.request_id_of(other, 5)}) == 3
    assert len(made) == 36
    assert made[14] == "8"
    assert made[19] in "89ab"


def test_a_source_wants_what_it_waits_for_and_nothing_else() -> None:
    both = neighbours()
    both.complete("source", signal("target"))
    (sent,) = both.waiting()
    assert isinstance(sent.message, messages.SignalFromWorkflow)
    run = both.world("source").run
    assert is_wanted(run, sent.message)
    assert not is_wanted(None, sent.message)
    assert not is_wanted(both.world("target").run, sent.message)
    both.deliver()
    assert not is_wanted(run, sent.message)


@pytest.mark.parametrize("kind", ["signals", "cancels"])
def test_only_so_many_may_be_pending(kind: str) -> None:
    limits = msgspec.structs.replace(DEFAULT_LIMITS, pending_signals_max=2, pending_cancels_max=2)
    both = Neighbours(limits=limits)
    both.start("source")
    make = signal if kind == "signals" else cancel
    reply = both.complete("source", make("a"), make("b"), make("c"))
    what = {
        "signals": "pending signals to external workflows",
        "cancels": "pending requests to cancel external workflows",
    }[kind]
    assert isinstance(reply, inputs.RefusedWorkflowTask)
    assert f"the number of {what}, 2, has reached the per-workflow limit of 2" in reply.message
    assert both.waiting() == []
    stages.poll(both.world("source"))
    both.complete("source", make("a"), make("b"), is_polled=False)
    assert len(both.waiting()) == 2
