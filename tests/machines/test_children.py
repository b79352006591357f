"""Children: from their start to their end, also when their parent ends first."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.enums.v1 import ParentClosePolicy, WorkflowIdReusePolicy, failed_cause_pb2

from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow import inputs, messages
from perdure.server.machines.workflow.family import PARENT_CLOSE_PROCESSOR
from tests.machines import requests, stages
from tests.machines.neighbours import Neighbours, cancel, start_child
from tests.machines.world import World

INITIATED = "START_CHILD_WORKFLOW_EXECUTION_INITIATED"
START_FAILED = "START_CHILD_WORKFLOW_EXECUTION_FAILED"
CHILD = "CHILD_WORKFLOW_EXECUTION_"
STARTED = "WORKFLOW_EXECUTION_STARTED"
DONE = "done bye"
TERMINATE = ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE
ABANDON = ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON
CANCEL = ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL


def family(**fields: object) -> Neighbours:
    """A parent whose child runs; the parent's next task is on offer."""
    both = Neighbours()
    both.start("parent")
    both.complete("parent", start_child("child", **fields))
    both.deliver()
    return both


def terminate(world: World) -> None:
    """A client ends the workflow."""
    world.decide(inputs.TerminateWorkflow("", requests.terminate({"reason": "enough"})))


def test_a_child_starts_knows_its_family_and_its_parent_hears_of_it() -> None:
    both = family(header="value", control="controlled")
    assert both.types("parent") == [STARTED, INITIATED, CHILD + "STARTED"]
    parent, child = both.world("parent"), both.world("child")
    run_id = parent.run.recorded.run_id
    begun = child.events()[0].workflow_execution_started_event_attributes
    assert begun.parent_workflow_execution.workflow_id == "parent"
    assert begun.parent_workflow_execution.run_id == run_id
    assert begun.parent_workflow_namespace == "default"
    assert begun.parent_workflow_namespace_id == "namespace-id"
    assert begun.parent_initiated_event_id == 5
    assert begun.root_workflow_execution.run_id == run_id
    assert begun.identity == ""
    assert begun.initiator == 0
    assert child.run.pending.start_request_id == f"{run_id}:5:0"
    heard = both.last("parent", CHILD + "STARTED")
    attributes = heard.child_workflow_execution_started_event_attributes
    assert attributes.workflow_execution.run_id == child.run.recorded.run_id
    assert attributes.header.fields["h"].data == b"value"
    assert parent.offer() is not None
    assert child.offer() is not None


ENDINGS = {
    DONE: "COMPLETED",
    "fail broken": "FAILED",
    "cancelled why": "CANCELED",
}


@pytest.mark.parametrize("command", ENDINGS)
def test_the_parent_hears_how_its_child_ended(command: str) -> None:
    both = family()
    both.complete("child", requests.command(command))
    both.deliver()
    kind = CHILD + ENDINGS[command]
    assert both.types("parent")[-1] == kind
    event = both.last("parent", kind)
    attributes = getattr(event, str(event.WhichOneof("attributes")))
    assert (attributes.initiated_event_id, attributes.started_event_id) == (5, 6)
    assert attributes.workflow_execution.run_id == both.world("child").run.recorded.run_id
    assert both.world("parent").run.children == {}


def test_the_parent_hears_that_its_child_was_terminated_or_timed_out() -> None:
    both = family()
    terminate(both.world("child"))
    both.deliver()
    assert both.types("parent")[-1] == CHILD + "TERMINATED"
    both = family(run_timeout_seconds=5)
    both.pass_time(5)
    both.world("child").wake_if_due()
    both.deliver()
    assert both.types("parent")[-1] == CHILD + "TIMED_OUT"


def test_only_the_last_run_of_a_chain_is_reported_and_it_names_the_first_one_as_started() -> None:
    both = family(retry="1s,1,1s,2")
    first = both.world("child").run.recorded.run_id
    both.complete("child", requests.command("continue"))
    both.deliver()
    second = both.world("child").run.recorded.run_id
    assert both.world("child").run.recorded.parent_workflow_id == "parent"
    both.pass_time(2)
    both.world("child").wake_if_due()
    both.complete("child", requests.command(DONE))
    both.deliver()
    assert both.types("parent") == [STARTED, INITIATED, CHILD + "STARTED", CHILD + "COMPLETED"]
    event = both.last("parent", CHILD + "COMPLETED")
    attributes = event.child_workflow_execution_completed_event_attributes
    assert attributes.workflow_execution.run_id == second != first


def test_a_retried_child_is_reported_when_its_attempts_are_used_up() -> None:
    both = family(retry="1s,1,1s,2")
    both.complete("child", requests.command("fail broken"))
    both.deliver()
    assert both.types("parent")[-1] == CHILD + "STARTED"
    both.pass_time(2)
    both.world("child").wake_if_due()
    both.complete("child", requests.command("fail broken"))
    both.deliver()
    assert both.types("parent")[-1] == CHILD + "FAILED"


POLICIES = WorkflowIdReusePolicy
REUSE = {
    ("open", POLICIES.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE): False,
    ("open", POLICIES.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING): True,
    ("completed", POLICIES.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE): True,
    ("completed", POLICIES.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY): False,
    ("completed", POLICIES.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE): False,
    ("failed", POLICIES.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY): True,
}


@pytest.mark.parametrize(("state", "policy"), REUSE)
def test_a_workflow_id_that_is_taken_may_be_had_or_not(
    state: str, policy: WorkflowIdReusePolicy.ValueType
) -> None:
    both = Neighbours()
    both.start("child")
    if state != "open":
        both.complete("child", requests.command(DONE if state == "completed" else "fail x"))
    both.start("parent")
    both.complete("parent", start_child("child", workflow_id_reuse_policy=policy, control="c"))
    both.deliver()
    if REUSE[state, policy]:
        assert both.types("parent")[-1] == CHILD + "STARTED"
        return
    attributes = both.last(
        "parent", START_FAILED
    ).start_child_workflow_execution_failed_event_attributes
    assert attributes.cause == (
        failed_cause_pb2.START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS
    )
    assert (attributes.initiated_event_id, attributes.control) == (5, "c")
    assert both.world("parent").run.children == {}


ENDS_OF_PARENTS = ["completed", "failed", "continued", "terminated", "timed out"]


@pytest.mark.parametrize("end", ENDS_OF_PARENTS)
@pytest.mark.parametrize("policy", [TERMINATE, ABANDON, CANCEL])
def test_the_parent_close_policy_is_performed_at_every_close(
    end: str, policy: ParentClosePolicy.ValueType
) -> None:
    both = Neighbours()
    both.start("parent", run_timeout="60s")
    both.complete("parent", start_child("child", parent_close_policy=policy))
    both.deliver()
    if end == "terminated":
        terminate(both.world("parent"))
    elif end == "timed out":
        both.pass_time(60)
        both.world("parent").wake_if_due()
    else:
        command = {"completed": DONE, "failed": "fail x", "continued": "continue"}[end]
        both.complete("parent", requests.command(command))
    both.deliver()
    expected = {
        TERMINATE: "WORKFLOW_EXECUTION_TERMINATED",
        ABANDON: STARTED,
        CANCEL: "WORKFLOW_EXECUTION_CANCEL_REQUESTED",
    }[policy]
    assert both.types("child")[-1] == expected


def test_the_policy_follows_the_chain_of_the_child_and_spares_who_took_its_id() -> None:
    both = family()
    both.complete("child", requests.command("continue"))
    both.complete("parent", requests.command(DONE))
    both.deliver()
    assert both.types("child")[-1] == "WORKFLOW_EXECUTION_TERMINATED"
    both = family()
    terminate(both.world("child"))
    both.start("child")
    both.complete("parent", requests.command(DONE))
    both.deliver()
    assert both.types("child") == [STARTED]


def test_a_stranger_is_spared_by_a_parent_that_has_not_heard_yet_that_its_id_is_taken() -> None:
    both = Neighbours()
    both.start("child")
    parent = both.start("parent")
    both.complete("parent", start_child("child"))
    asked = both.take(parent)
    terminate(parent)
    both.deliver()
    both.deliver_one(asked)
    assert both.types("child") == [STARTED]


def test_the_policy_for_one_child_spares_the_next_one_of_the_same_id() -> None:
    both = family()
    parent = both.world("parent")
    both.complete("child", requests.command(DONE))
    both.complete("parent", start_child("child", parent_close_policy=ABANDON))
    both.deliver_one(both.take(parent))
    assert len(parent.run.children) == 2, "the parent has not heard of the end of the first"
    terminate(parent)
    both.deliver()
    assert both.types("child") == [STARTED]


def test_a_child_that_was_asked_to_cancel_is_not_asked_again_when_its_parent_closes() -> None:
    both = family(parent_close_policy=CANCEL)
    child = both.world("child")
    child.decide(inputs.CancelWorkflow("", requests.cancel({"request": "c"})))
    both.complete("parent", requests.command(DONE))
    both.deliver()
    assert both.types("child") == [STARTED, "WORKFLOW_EXECUTION_CANCEL_REQUESTED"]


def test_many_children_are_closed_in_the_name_of_a_processor() -> None:
    both = Neighbours()
    both.start("parent")
    names = [f"child {number}" for number in range(10)]
    both.complete("parent", *(start_child(name) for name in names))
    both.deliver()
    both.complete("parent", requests.command(DONE))
    both.deliver()
    for name in names:
        event = both.last(name, "WORKFLOW_EXECUTION_TERMINATED")
        attributes = event.workflow_execution_terminated_event_attributes
        assert attributes.identity == PARENT_CLOSE_PROCESSOR
        assert attributes.reason == "by parent close policy"


@pytest.mark.parametrize("policy", [TERMINATE, ABANDON])
def test_a_parent_that_closes_at_once_has_no_child(policy: ParentClosePolicy.ValueType) -> None:
    both = Neighbours()
    both.start("parent")
    commands = [start_child("child", parent_close_policy=policy), requests.command(DONE)]
    both.complete("parent", *commands)
    both.deliver()
    assert both.types("parent") == [STARTED, INITIATED, "WORKFLOW_EXECUTION_COMPLETED"]
    assert both.world("child").workflow.run is None


def test_a_child_whose_start_is_on_its_way_when_its_parent_closes_is_terminated_all_the_same() -> (
    None
):
    both = Neighbours()
    parent = both.start("parent")
    both.complete("parent", start_child("child"))
    both.deliver_one(both.take(parent))
    terminate(parent)
    both.deliver()
    assert both.types("child")[-1] == "WORKFLOW_EXECUTION_TERMINATED"


def test_start_and_end_are_buffered_while_the_parent_has_a_task_and_the_end_goes_last() -> None:
    both = Neighbours()
    parent = both.start("parent")
    both.complete("parent", start_child("child"), more=True)
    both.deliver()
    assert both.types("parent") == [STARTED, INITIATED]
    child = parent.run.children[5]
    assert child.first_run_id == both.world("child").run.recorded.run_id
    assert (child.started_event_id, child.is_over) == (0, False)
    both.complete("child", requests.command(DONE))
    both.deliver()
    assert parent.run.children[5].is_over
    parent.decide(inputs.SignalWorkflow("", requests.signal("late", {})))
    both.complete("parent", is_polled=False)
    assert both.types("parent") == [
        STARTED,
        INITIATED,
        CHILD + "STARTED",
        "WORKFLOW_EXECUTION_SIGNALED",
        CHILD + "COMPLETED",
    ]
    started = both.last("parent", CHILD + "STARTED")
    event = both.last("parent", CHILD + "COMPLETED")
    attributes = event.child_workflow_execution_completed_event_attributes
    assert attributes.started_event_id == started.event_id


def test_a_child_that_is_over_is_left_in_peace_though_its_end_is_only_buffered() -> None:
    both = Neighbours()
    parent = both.start("parent")
    both.complete("parent", start_child("child"), more=True)
    both.deliver()
    both.complete("child", requests.command(DONE))
    both.deliver()
    terminate(parent)
    assert both.waiting() == []
    assert both.types("parent")[-2:] == [CHILD + "COMPLETED", "WORKFLOW_EXECUTION_TERMINATED"]


def test_news_that_comes_twice_is_recorded_once() -> None:
    both = Neighbours()
    parent = both.start("parent")
    both.complete("parent", start_child("child"))
    start = both.waiting()[0]
    both.deliver()
    both.complete("child", requests.command(DONE))
    news = [sent for sent in both.delivered if sent.workflow_id == "parent"] + both.waiting()
    both.deliver()
    before = parent.types()
    for sent in [*news, start]:
        both.deliver_one(sent)
    assert parent.types() == before
    assert both.types("child") == [STARTED, "WORKFLOW_EXECUTION_COMPLETED"]


def test_a_start_is_heard_of_once_and_the_end_of_none_but_the_child_that_started() -> None:
    both = family()
    parent, child = both.world("parent"), both.world("child")
    [begun] = [sent for sent in both.delivered if isinstance(sent.message, messages.ChildStarted)]
    both.deliver_one(begun)
    assert both.types("parent") == [STARTED, INITIATED, CHILD + "STARTED"]
    both.complete("child", requests.command(DONE))
    closed = both.take(child)
    assert isinstance(closed.message, messages.ChildClosed)
    strange = msgspec.structs.replace(closed.message, first_run_id="another")
    both.deliver_one(msgspec.structs.replace(closed, message=strange))
    assert both.types("parent")[-1] == CHILD + "STARTED"
    both.deliver_one(closed)
    assert both.types("parent")[-1] == CHILD + "COMPLETED"
    assert not parent.run.children


def test_a_start_that_comes_twice_is_answered_again() -> None:
    both = Neighbours()
    both.start("parent")
    both.complete("parent", start_child("child"))
    start = both.waiting()[0].message
    child = both.world("child")
    first = child.decide(start).reply
    again = child.decide(start)
    assert isinstance(first, inputs.WorkflowStarted)
    assert isinstance(again.reply, inputs.WorkflowStarted)
    assert again.reply.run_id == first.run_id
    assert not again.has_changes
    assert len(child.sent) == 1


def test_a_close_that_overtakes_the_start_is_recorded_with_it() -> None:
    both = Neighbours()
    parent = both.start("parent")
    both.complete("parent", start_child("child"))
    both.deliver_one(both.take(parent))
    child = both.world("child")
    both.complete("child", requests.command(DONE))
    started, closed = both.take(child), both.take(child)
    both.deliver_one(closed)
    both.deliver_one(started)
    assert both.types("parent")[-2:] == [CHILD + "STARTED", CHILD + "COMPLETED"]


def test_a_grandchild_knows_its_root() -> None:
    both = family()
    both.complete("child", start_child("grandchild"))
    both.deliver()
    begun = both.world("grandchild").events()[0].workflow_execution_started_event_attributes
    assert begun.root_workflow_execution.workflow_id == "parent"
    assert begun.parent_workflow_execution.workflow_id == "child"


def test_only_a_child_of_the_source_is_cancelled_when_it_must_be_one() -> None:
    both = family()
    both.complete("parent", cancel("child", child_workflow_only=True))
    both.deliver()
    assert both.types("child")[-1] == "WORKFLOW_EXECUTION_CANCEL_REQUESTED"
    both.start("stranger")
    both.complete("parent", cancel("stranger", child_workflow_only=True))
    both.deliver()
    assert both.types("stranger") == [STARTED]


def test_a_child_cannot_be_started_and_cancelled_in_one_task() -> None:
    both = Neighbours()
    both.start("parent")
    reply = both.complete("parent", start_child("child"), cancel("child"))
    assert isinstance(reply, inputs.RefusedWorkflowTask)
    assert both.waiting() == []


def test_only_so_many_children_may_be_pending() -> None:
    both = Neighbours(limits=msgspec.structs.replace(DEFAULT_LIMITS, pending_children_max=2))
    both.start("parent")
    both.complete("parent", start_child("a"))
    both.deliver()
    reply = both.complete("parent", start_child("b"), start_child("c"))
    assert isinstance(reply, inputs.RefusedWorkflowTask)
    assert (
        "the number of pending child workflow executions, 2, has reached the per-workflow limit"
        " of 2" in reply.message
    )
    both.complete("a", requests.command(DONE))
    both.deliver()
    stages.poll(both.world("parent"))
    both.complete("parent", start_child("b"), start_child("c"), is_polled=False)
    both.deliver()
    assert both.types("parent").count(CHILD + "STARTED") == 3


def test_messages_survive_their_stored_form() -> None:
    both = family(header="value")
    both.complete("child", requests.command(DONE))
    both.deliver()
    decode = msgspec.msgpack.Decoder(messages.Message).decode
    kinds = set()
    for sent in both.delivered:
        assert decode(messages.encode(sent.message)) == sent.message
        kinds.add(type(sent.message))
    assert kinds == {messages.StartChild, messages.ChildStarted, messages.ChildClosed}
