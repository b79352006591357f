"""A schedule and time, for tests: every decision is checked, and what is stored is read back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.schedule.v1 import (
    IntervalSpec,
    Schedule,
    ScheduleAction,
    SchedulePolicies,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.schedule_checks import settings_of
from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.schedule import codec, inputs, messages
from perdure.server.machines.schedule.decide import decide
from perdure.server.machines.schedule.state import BLOB_RECORD, Blob, Overlap, Run, State
from perdure.server.machines.schedule.state import Schedule as Subject
from perdure.server.machines.wire import duration
from tests.machines.world import CountingIds

NAMESPACE = NamespaceRef(1, "namespace-id", "default")
HOUR_NS = 3600 * SECOND_NS


def at(text: str) -> int:
    """A time of UTC in nanoseconds."""
    return int(datetime.fromisoformat(text + "+00:00").timestamp()) * SECOND_NS


def hourly(**fields: Any) -> ScheduleSpec:
    """Every hour, on the hour."""
    return ScheduleSpec(interval=[IntervalSpec(interval=duration(HOUR_NS))], **fields)


def schedule(
    overlap: Overlap = Overlap.UNSPECIFIED,
    spec: ScheduleSpec | None = None,
    state: ScheduleState | None = None,
    **policies: Any,
) -> Schedule:
    """A schedule that starts workflow `job`."""
    return Schedule(
        spec=spec or hourly(),
        action=ScheduleAction(
            start_workflow=NewWorkflowExecutionInfo(
                workflow_id="job",
                workflow_type=WorkflowType(name="Job"),
                task_queue=TaskQueue(name="queue"),
            )
        ),
        policies=SchedulePolicies(overlap_policy=int(overlap), **policies),  # type: ignore[arg-type]
        state=state,
    )


class World:
    """One schedule id, and the workflows that it has asked for."""

    def __init__(self, now: str = "2026-01-01T00:30:00") -> None:
        self.now_ns = at(now)
        self.ids = CountingIds()
        self.subject = Subject("default", NAMESPACE.id, "schedule")
        self.head = b""
        self.records: dict[tuple[int, bytes], bytes] = {}
        self.sent: list[SendMessage] = []
        self.requests = 0

    @property
    def state(self) -> State:
        """What is kept of it."""
        assert self.subject.run is not None
        return self.subject.run.state

    def state_or_none(self) -> State | None:
        """The same; None when it is gone."""
        return None if self.subject.run is None else self.subject.run.state

    def decide(self, message: inputs.Input) -> inputs.Reply:
        """Take one decision, commit it, and compare what is stored with what is in memory."""
        decision = decide(self.subject, message, self.now_ns, self.ids, DEFAULT_LIMITS)
        if not decision.has_changes:
            assert not decision.effects, "an effect needs a commit"
            return decision.reply
        segment = decision.segments[-1]
        if segment.is_new:
            self.records.clear()
        self.head = codec.encode_head(segment.run)
        for kind, name in segment.touched:
            content = codec.encode_record(segment.run, kind, name)
            key = (kind, codec.record_key(kind, name))
            if content is None:
                self.records.pop(key, None)
            else:
                self.records[key] = content
        for effect in decision.effects:
            if isinstance(effect, DeleteRun):
                assert self.subject.run is None
            else:
                self.sent.append(effect)
        if self.subject.run is not None:
            self._compare(self.subject.run)
        return decision.reply

    def _compare(self, run: Run) -> None:
        stored = self.stored()
        assert stored.state == run.state
        assert stored.blobs == run.blobs
        state = run.state
        numbers = [start.number for start in state.buffer]
        numbers += [started.number for started in state.started]
        assert len(numbers) == len(set(numbers)), "Z1: an action is in one place"
        assert all(number < state.next_number for number in numbers)
        assert state.processed_ns <= self.now_ns
        assert state.settings.remaining >= 0

    def stored(self) -> Run:
        """What a new engine finds."""
        rows = [(kind, key, content) for (kind, key), content in self.records.items()]
        return codec.decode_run(self.head, rows)

    def crash(self) -> None:
        """Go on from what is stored."""
        self.subject = Subject("default", NAMESPACE.id, "schedule", self.stored())

    # ---- what clients do

    def create(self, given: Schedule, **patch: Any) -> inputs.Reply:
        """Begin the schedule."""
        settings, blobs = settings_of(given, NAMESPACE, DEFAULT_LIMITS)
        return self.decide(inputs.CreateSchedule("create", settings, blobs, inputs.Patch(**patch)))

    def update(self, given: Schedule, **fields: Any) -> inputs.Reply:
        """Replace its settings."""
        settings, blobs = settings_of(given, NAMESPACE, DEFAULT_LIMITS)
        return self.decide(inputs.UpdateSchedule(self._request(), settings, blobs, **fields))

    def patch(self, **fields: Any) -> inputs.Reply:
        """Do something once."""
        return self.decide(inputs.PatchSchedule(self._request(), inputs.Patch(**fields)))

    def _request(self) -> str:
        self.requests += 1
        return f"request-{self.requests}"

    # ---- time

    def sleep_until(self, time: str) -> None:
        """Let time pass, waking the schedule up whenever it wants to be."""
        until_ns = at(time)
        while self.subject.run is not None and 0 < self.state.wake_at_ns <= until_ns:
            self.now_ns = max(self.now_ns, self.state.wake_at_ns)
            before = self._progress()
            self.decide(inputs.WakeUp(self.state.run_id))
            if self.state_or_none() is None:
                break
            assert before != self._progress(), "woken for ever"
        self.now_ns = until_ns

    def _progress(self) -> tuple[object, ...]:
        state = self.state
        return state.wake_at_ns, state.processed_ns, state.backfills

    def oversleep_until(self, time: str) -> None:
        """Let time pass while nothing runs, and then wake up."""
        self.now_ns = at(time)
        self.decide(inputs.WakeUp(self.state.run_id))

    # ---- what workflows do

    def take(self) -> list[SendMessage]:
        """What was said to workflows since the last look."""
        sent, self.sent = self.sent, []
        return sent

    def starts(self) -> list[str]:
        """Let every workflow begin that was asked for; their ids. What else was said is left."""
        begun: list[str] = []
        while starting := [
            effect for effect in self.sent if isinstance(effect.message, messages.StartScheduled)
        ]:
            for effect in starting:
                self.sent.remove(effect)
                begun.append(self.begin(effect))
        return begun

    def begin(self, effect: SendMessage) -> str:
        """Let a workflow begin."""
        sender = effect.message.sender
        self.decide(
            messages.ActionStarted(
                sender.run_id,
                sender.number,
                effect.workflow_id,
                f"run of {effect.workflow_id}",
                self.now_ns,
            )
        )
        return effect.workflow_id

    def end(self, status: int = 2, result: bytes = b"", failure: bytes = b"") -> None:
        """Let the workflow that has gone on for longest end."""
        started = self.state.started[0]
        self.decide(
            messages.ActionClosed(self.state.run_id, started.number, status, result, failure)
        )


def request_of(effect: SendMessage) -> StartWorkflowExecutionRequest:
    """The start that was asked for."""
    return StartWorkflowExecutionRequest.FromString(effect.message.request)


def blob_name(name: Blob) -> tuple[int, bytes]:
    """The name of the record of a blob."""
    return BLOB_RECORD, codec.record_key(BLOB_RECORD, name)


def counts(state: State) -> dict[str, int]:
    """What was counted."""
    return {name: count for name, count in msgspec.structs.asdict(state.counts).items() if count}


def limited(remaining: int) -> ScheduleState:
    """So many actions, and no more."""
    return ScheduleState(limited_actions=True, remaining_actions=remaining)
