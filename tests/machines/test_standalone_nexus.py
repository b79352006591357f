"""Standalone Nexus operations: the table is whole, what is stored is all there is, and each way to
end leaves what descriptions need."""

from __future__ import annotations

import itertools
import typing

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import PendingNexusOperationState, nexus_pb2
from temporalio.api.failure.v1 import Failure, NexusHandlerFailureInfo
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.machines.effects import DeleteRun
from perdure.server.machines.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OperationAlreadyStarted,
)
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    HandlerFailed,
    OperationFailed,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.standalone.inputs import Describe, RequestCancel, Terminate
from perdure.server.machines.standalone.state import START_KEY, START_RECORD, Phase, Standalone
from perdure.server.machines.standalone_nexus import inputs
from perdure.server.machines.standalone_nexus.decide import TABLE, decide
from perdure.server.machines.standalone_nexus.machine import NEXUS_OPERATION_MACHINE
from perdure.server.machines.standalone_nexus.state import (
    Head,
    OperationRun,
    Status,
    decode_run,
    encode_head,
)
from perdure.server.machines.standalone_nexus.turn import tried
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.inputs import (
    NexusCancelAnswered,
    NexusStartAnswered,
    WakeUp,
)
from perdure.server.machines.workflow.nexus.state import CallState, CancelState
from perdure.server.visibility.operation_info import operation_info
from tests.machines.world import BEGIN_NS, CountingIds

FAILURE = Failure(message="no").SerializeToString()
AGAIN = HandlerFailed(
    Failure(
        nexus_handler_failure_info=NexusHandlerFailureInfo(type="INTERNAL")
    ).SerializeToString(),
    "INTERNAL",
    is_retryable=True,
)
FINAL = Unreachable("nobody", is_retryable=False)
REJECT = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE
FAILED_ONLY = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
USE_EXISTING = nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING


class World:
    """One operation id, its clock, and the calls that are to be made."""

    def __init__(self) -> None:
        self.operation = Standalone[OperationRun]("default", "namespace", "order", None)
        self.now_ns = BEGIN_NS
        self.ids = CountingIds()
        self.calls: list[CallNexus] = []
        self.effects: list[typing.Any] = []

    @property
    def head(self) -> Head:
        assert self.operation.run is not None
        return self.operation.run.head

    @property
    def run_id(self) -> str:
        return self.head.run_id

    @property
    def status(self) -> Status:
        return Status(self.head.status)

    def tell(self, message: typing.Any) -> typing.Any:
        """Decide; every state must survive being stored."""
        decision = decide(self.operation, message, self.now_ns, self.ids, DEFAULT_LIMITS)
        self.effects = decision.effects
        self.calls += [effect for effect in decision.effects if isinstance(effect, CallNexus)]
        run = self.operation.run
        if run is not None:
            stored = decode_run(encode_head(run), [(START_RECORD, START_KEY, run.start)])
            assert (stored.head, stored.start) == (run.head, run.start)
            assert bool(run.wake_at_ns) <= run.is_open
        return decision.reply

    def start(self, request: str = "first", **fields: typing.Any) -> typing.Any:
        message = StartNexusOperationExecutionRequest(
            **{
                "operation_id": "order",
                "endpoint": "endpoint",
                "service": "service",
                "operation": "operation",
                "request_id": request,
                **fields,
            }
        )
        return self.tell(inputs.StartOperation(message, "endpoint-id"))

    def answer(self, outcome: StartOutcome) -> None:
        call = self.calls.pop()
        assert not call.is_cancel
        self.tell(NexusStartAnswered(call.run_id, call.scheduled_event_id, call.attempt, outcome))

    def answer_cancel(self, outcome: typing.Any) -> None:
        call = self.calls.pop()
        assert call.is_cancel
        self.tell(NexusCancelAnswered(call.run_id, call.scheduled_event_id, call.attempt, outcome))

    def complete(self, outcome: typing.Any, **fields: typing.Any) -> typing.Any:
        request_id = self.head.pending.operation.request_id
        return self.tell(
            inputs.CompleteOperation(
                **{"run_id": self.run_id, "request_id": request_id, "outcome": outcome, **fields}
            )
        )

    def cancel(self, request_id: str = "cancel") -> None:
        self.tell(RequestCancel("", "me", request_id, "enough"))

    def terminate(self, request_id: str = "terminate") -> None:
        self.tell(Terminate("", "me", request_id, "enough"))

    def wake(self) -> None:
        """Time passes until the wake-up."""
        assert self.head.wake_at_ns, "something is due"
        self.now_ns = max(self.now_ns, self.head.wake_at_ns)
        self.tell(WakeUp(self.run_id))


@pytest.fixture
def world() -> World:
    world = World()
    world.start()
    return world


def test_the_table_has_a_row_for_each_pair_and_no_other() -> None:
    kinds = typing.get_args(inputs.Input)
    assert set(TABLE) == set(itertools.product(Phase, kinds))


def test_its_handler_is_called_as_soon_as_it_is_started(world: World) -> None:
    (call,) = world.calls
    assert (call.run_id, call.attempt, call.is_cancel) == (world.run_id, 1, False)
    assert call.timeout_ns == DEFAULT_LIMITS.nexus_call_timeout_ns
    assert tried(world.head.pending.calls) == 1


def test_an_answer_may_end_it(world: World) -> None:
    world.answer(SyncSuccess(b"x", (b"link",)))
    head = world.head
    assert (world.status, head.result, head.links) == (Status.COMPLETED, b"x", (b"link",))
    assert (head.transitions, head.wake_at_ns, head.close_time_ns) == (2, 0, BEGIN_NS)
    assert head.pending.calls.completed_ns == 0


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (OperationFailed(FAILURE), Status.FAILED),
        (OperationFailed(FAILURE, is_canceled=True), Status.CANCELED),
        (FINAL, Status.FAILED),
    ],
)
def test_an_answer_that_ends_it_otherwise_is_its_failure_and_that_of_the_call(
    world: World, outcome: StartOutcome, status: Status
) -> None:
    world.answer(outcome)
    head = world.head
    assert world.status == status
    assert head.failure == head.pending.calls.failure != b""
    assert head.pending.calls.completed_ns == BEGIN_NS


def test_it_is_called_again_after_a_while_and_completes_later(world: World) -> None:
    world.answer(AGAIN)
    assert (world.head.pending.calls.state, world.calls) == (CallState.BACKING_OFF, [])
    assert BEGIN_NS < world.head.wake_at_ns <= BEGIN_NS + SECOND_NS
    world.wake()
    assert tried(world.head.pending.calls) == 2
    world.answer(AsyncStarted("token", (b"one",)))
    world.complete(SyncSuccess(b"done"))
    head = world.head
    assert (head.result, head.links, head.pending.calls.operation_token) == (
        b"done",
        (b"one",),
        "token",
    )
    # Started, failed, scheduled again, started at its handler, completed.
    assert head.transitions == 5


def test_a_call_that_is_lost_is_made_again_and_changes_nothing(world: World) -> None:
    first = world.calls.pop()
    world.wake()
    assert msgspec.structs.replace(world.calls[0], timeout_ns=first.timeout_ns) == first
    assert world.head.transitions == 1


def test_a_completion_may_overtake_the_answer(world: World) -> None:
    world.complete(SyncSuccess(b"early"), links=(b"callee",), start_time_ns=BEGIN_NS - 5)
    head = world.head
    assert (head.result, head.links, head.transitions) == (b"early", (b"callee",), 2)
    assert (tried(head.pending.calls), head.pending.calls.completed_ns) == (1, BEGIN_NS - 5)
    world.answer(AsyncStarted("late"))
    assert world.head == head


def test_a_completion_for_another_or_too_late_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="operation not found for ID: order"):
        world.complete(SyncSuccess(b""), request_id="another")
    with pytest.raises(NotFound):
        world.complete(SyncSuccess(b""), run_id="another")
    world.answer(AsyncStarted("token"))
    world.complete(SyncSuccess(b""))
    with pytest.raises(InvalidArgument, match="bad request"):
        world.complete(SyncSuccess(b""))


@pytest.mark.parametrize("field", ["schedule_to_close_timeout", "schedule_to_start_timeout"])
def test_one_that_has_no_time_for_a_call_times_out_at_once(field: str) -> None:
    world = World()
    fields: dict[str, typing.Any] = {field: Duration(seconds=1)}
    world.start(**fields)
    assert (world.status, world.calls) == (Status.TIMED_OUT, [])
    assert world.head.failure == world.head.pending.calls.failure


def test_a_timeout_of_a_started_one_is_no_failure_of_a_call() -> None:
    world = World()
    world.start(start_to_close_timeout=Duration(seconds=3))
    world.answer(AsyncStarted("token"))
    assert world.head.wake_at_ns == BEGIN_NS + 3 * SECOND_NS
    world.wake()
    assert world.status == Status.TIMED_OUT
    assert world.head.pending.calls.failure == b""
    assert b"operation timed out" in world.head.failure


def test_timeouts_are_capped_by_the_longest(world: World) -> None:
    world = World()
    world.start(
        schedule_to_close_timeout=Duration(seconds=20),
        schedule_to_start_timeout=Duration(seconds=30),
        start_to_close_timeout=Duration(seconds=40),
    )
    operation = world.head.pending.operation
    assert operation.schedule_to_start_ns == operation.start_to_close_ns == 20 * SECOND_NS


def test_a_cancellation_waits_until_it_is_started(world: World) -> None:
    world.cancel()
    assert len(world.calls) == 1
    world.answer(AsyncStarted("token"))
    world.answer_cancel(AGAIN)
    world.wake()
    world.answer_cancel(CancelAccepted())
    cancellation = world.head.pending.calls.cancellation
    assert cancellation is not None
    assert (cancellation.state, cancellation.attempt) == (CancelState.SUCCEEDED, 2)
    assert world.status == Status.RUNNING


def test_whoever_has_asked_to_cancel_may_ask_again(world: World) -> None:
    world.answer(AsyncStarted("token"))
    world.cancel("one")
    world.cancel("one")
    with pytest.raises(FailedPrecondition, match="already requested with request ID one"):
        world.cancel("two")
    world.complete(SyncSuccess(b""))
    world.cancel("one")
    with pytest.raises(FailedPrecondition, match="operation already completed"):
        world.cancel("two")


def test_one_that_is_terminated_is_over_whatever_its_handler_says(world: World) -> None:
    world.terminate("one")
    assert world.status == Status.TERMINATED
    assert Failure.FromString(world.head.failure).terminated_failure_info.identity == "me"
    world.answer(SyncSuccess(b"late"))
    assert world.head.result is None
    world.terminate("one")
    with pytest.raises(FailedPrecondition, match="already terminated with request ID one"):
        world.terminate("two")


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (SyncSuccess(b""), "Succeeded"),
        (OperationFailed(FAILURE), "Failed"),
        (OperationFailed(FAILURE, is_canceled=True), "Canceled"),
    ],
)
def test_one_that_is_over_cannot_be_terminated(
    world: World, outcome: StartOutcome, state: str
) -> None:
    world.answer(outcome)
    with pytest.raises(FailedPrecondition, match=f"invalid transition from {state}"):
        world.terminate()


def test_the_policies_say_what_comes_of_an_id_that_is_taken(world: World) -> None:
    first = world.run_id
    assert world.start().run_id == first, "the same request"
    with pytest.raises(OperationAlreadyStarted) as refused:
        world.start("other")
    assert (refused.value.start_request_id, refused.value.run_id) == ("first", first)
    reply = world.start("other", id_conflict_policy=USE_EXISTING)
    assert (reply.run_id, reply.is_new) == (first, False)
    world.answer(SyncSuccess(b""))
    for policy in (REJECT, FAILED_ONLY):
        with pytest.raises(OperationAlreadyStarted):
            world.start("other", id_reuse_policy=policy)
    assert world.start("second").is_new
    world.terminate()
    assert world.start("third", id_reuse_policy=FAILED_ONLY).is_new
    assert world.run_id != first


def test_a_deletion_ends_one_that_goes_on_and_forgets_it(world: World) -> None:
    run_id = world.run_id
    world.tell(NEXUS_OPERATION_MACHINE.delete(run_id, None))
    assert world.effects == [DeleteRun(run_id)]
    with pytest.raises(NotFound):
        world.tell(Describe(""))


def test_a_description_tells_of_the_circuit_breaker_while_it_is_called(world: World) -> None:
    def shown() -> typing.Any:
        assert world.operation.run is not None
        return operation_info(world.operation.run, world.now_ns, "is open")

    blocked = nexus_state("BLOCKED")
    assert (shown().state, shown().blocked_reason) == (blocked, "is open")
    world.answer(AsyncStarted("token"))
    world.cancel()
    assert (shown().state, shown().blocked_reason) == (nexus_state("STARTED"), "")
    assert shown().cancellation_info.blocked_reason == "is open"
    world.complete(SyncSuccess(b""))
    assert (shown().state, shown().cancellation_info.blocked_reason) == (0, "")


def nexus_state(name: str) -> int:
    return PendingNexusOperationState.Value(f"PENDING_NEXUS_OPERATION_STATE_{name}")
