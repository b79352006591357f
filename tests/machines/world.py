"""A workflow in a world that checks the laws of the machine after every decision.

The world owns what a shell would: a clock, a source of ids, what is stored of each run, and the
dispatch rows. `World.decide` takes a decision on the workflow and on a copy of it that went through
the stored form, and then holds everything that was decided against everything that must be so.
"""

from __future__ import annotations

import copy

import msgspec
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent

from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS, Limits
from perdure.server.machines.wire import entries_of, history_entry
from perdure.server.machines.workflow import changes, deadlines, inputs, updates
from perdure.server.machines.workflow.codec import (
    all_records,
    copy_run,
    decode_run,
    encode_head,
    encode_record,
    record_key,
)
from perdure.server.machines.workflow.decide import Decision, decide
from perdure.server.machines.workflow.effects import (
    CallNexus,
    InvokeCallback,
    LookAgain,
    OfferTask,
    SettleQuery,
    TaskKind,
    TellUpdate,
    WithdrawTask,
)
from perdure.server.machines.workflow.evolve import (
    Touched,
    evolve_event,
    evolve_pending,
    run_from_start,
)
from perdure.server.machines.workflow.expected_tasks import ExpectedTask, expected_tasks
from perdure.server.machines.workflow.inputs import UpdateStatus
from perdure.server.machines.workflow.state import BlobName, Run, Workflow
from perdure.server.machines.workflow.turn import Segment

BEGIN_NS = 1_700_000_000 * SECOND_NS
FOLD_EVENTS_MAX = 64
"""Histories up to this long are folded after every decision, longer ones now and then."""


class CountingIds:
    """Ids 1, 2, 3..."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def uuid(self) -> str:
        """The next one."""
        self.count += 1
        return f"00000000-0000-0000-0000-{self.count:012}"


class StoredRun(msgspec.Struct):
    """What a store would hold of a run, and all that was ever done to it."""

    head: bytes = b""
    records: dict[tuple[int, bytes], bytes] = {}
    history: bytes = b""
    steps: list[tuple[int, changes.Change]] = []
    rows: dict[int, OfferTask] = {}

    def decode(self) -> Run:
        """The run as a load would make it."""
        return decode_run(
            self.head, [(kind, key, content) for (kind, key), content in self.records.items()]
        )


class World:
    """One workflow id, and what a shell would keep of it."""

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, workflow_id: str = "w") -> None:
        self.now_ns = BEGIN_NS
        self.ids = CountingIds()
        self.limits = limits
        self.workflow = Workflow("default", "namespace-id", workflow_id, retention_ns=SECOND_NS)
        self.runs: dict[str, StoredRun] = {}
        self.sent: list[SendMessage] = []
        """What was said to other workflows and not taken yet: the outbox."""
        self.deleted: list[str] = []
        self.decisions = 0
        self.in_memory: OfferTask | None = None
        """The newest offer of a speculative task."""
        self.told: dict[tuple[str, str], UpdateStatus] = {}
        """What was last told of each update, by run and id."""

    @property
    def run(self) -> Run:
        """The current run."""
        assert self.workflow.run is not None, "nothing was started"
        return self.workflow.run

    @property
    def stored(self) -> StoredRun:
        """What is stored of the current run."""
        return self.runs[self.run.recorded.run_id]

    def clone(self) -> World:
        """An independent world that stands where this one stands."""
        other = World(limits=self.limits, workflow_id=self.workflow.workflow_id)
        other.now_ns = self.now_ns
        other.ids = CountingIds(self.ids.count)
        other.workflow = _copy_workflow(self.workflow)
        other.runs = {
            run_id: StoredRun(
                stored.head,
                dict(stored.records),
                stored.history,
                list(stored.steps),
                dict(stored.rows),
            )
            for run_id, stored in self.runs.items()
        }
        other.sent = list(self.sent)
        other.in_memory = self.in_memory
        other.told = dict(self.told)
        return other

    # ---- deciding

    def decide(self, message: inputs.Input) -> Decision:
        """Take a decision, and hold it against every law. Raises what the machine raises."""
        twin, twin_message = _copy_workflow(self.workflow), copy.deepcopy(message)
        twin_ids = CountingIds(self.ids.count)
        try:
            decision = decide(self.workflow, message, self.now_ns, self.ids, self.limits)
        except Rejected:
            self._check_refused(twin)
            raise
        again = decide(twin, twin_message, self.now_ns, twin_ids, self.limits)
        assert _decision_bytes(decision) == _decision_bytes(again), "decided again, it is different"
        assert _workflow_bytes(self.workflow) == _workflow_bytes(twin)
        self.decisions += 1
        self._take_over(decision)
        self._check_laws(decision)
        return decision

    def wake_if_due(self) -> Decision | None:
        """Wake the run up, if its armed wake-up is due."""
        wake_at_ns = self.wake_at_ns()
        if not wake_at_ns or wake_at_ns > self.now_ns:
            return None
        return self.decide(inputs.WakeUp(self.run.recorded.run_id))

    def wake_at_ns(self) -> int:
        """When the run must be woken up, for what is stored or for what is not."""
        run = self.run
        return deadlines.earliest(
            run.pending.wake_at_ns, deadlines.speculative_deadline(run) if run.is_open else 0
        )

    # ---- what can be asked of it

    def events(self, run_id: str = "") -> list[HistoryEvent]:
        """The recorded history of a run; of the current one by default."""
        stored = self.runs[run_id] if run_id else self.stored
        return list(History.FromString(stored.history).events)

    def types(self, run_id: str = "") -> list[str]:
        """Types of the events of a run, without their common prefix."""
        return [type_name(event) for event in self.events(run_id)]

    def offer(self, kind: TaskKind = TaskKind.WORKFLOW) -> OfferTask | None:
        """A task of this kind that is on offer: of activities, the one that was scheduled first."""
        offers = [row for row in self.stored.rows.values() if row.kind is kind]
        held = self.run.speculative
        if kind is TaskKind.WORKFLOW and held is not None and self.in_memory is not None:
            is_on_offer = not held.task.started_event_id or held.is_undelivered
            if is_on_offer and self.in_memory.stamp == held.stamp:
                offers.append(self.in_memory)
        return min(offers, key=lambda row: row.scheduled_event_id, default=None)

    # ---- what a shell would do

    def _take_over(self, decision: Decision) -> None:
        for segment in decision.segments:
            run = segment.run
            run_id = run.recorded.run_id
            assert segment.is_new == (run_id not in self.runs), "W3: a run begins once"
            stored = self.runs.setdefault(run_id, StoredRun())
            if segment.copied_event_id:
                base = entries_of(self.runs[segment.copied_from].history)
                stored.history = b"".join(base[: segment.copied_event_id])
            for batch in segment.batches:
                stored.history += batch.entries
            stored.steps += segment.steps
            stored.head = encode_head(run)
            for kind, key in segment.touched:
                content = encode_record(run, kind, key)
                if content is None:
                    stored.records.pop((kind, record_key(kind, key)), None)
                else:
                    stored.records[kind, record_key(kind, key)] = content
        for effect in decision.effects:
            match effect:
                case OfferTask() if not effect.is_stored:
                    self.in_memory = effect
                case LookAgain():
                    assert effect.at_ns > self.now_ns - 1, "looked at for ever"
                case TellUpdate():
                    self.told[effect.status.run_id, effect.status.update_id] = effect.status
                case OfferTask():
                    self.runs[effect.run_id].rows[effect.scheduled_event_id] = effect
                case WithdrawTask():
                    self.runs[effect.run_id].rows.pop(effect.scheduled_event_id, None)
                case DeleteRun():
                    self.deleted.append(effect.run_id)
                case SettleQuery() | InvokeCallback() | CallNexus():
                    pass
                case SendMessage():
                    self.sent.append(effect)

    def _check_refused(self, before: Workflow) -> None:
        assert _workflow_bytes(self.workflow) == _workflow_bytes(before), (
            "a refusal changed something"
        )

    def _check_laws(self, decision: Decision) -> None:
        for segment in decision.segments:
            self._check_run(segment)
        for run_id in self.deleted:
            self.runs.pop(run_id, None)
        open_runs = [run_id for run_id, stored in self.runs.items() if stored.decode().is_open]
        current = self.workflow.run
        volatile = self.workflow.volatile
        assert volatile is None or (not volatile.is_empty and current and current.is_open), (
            "Q1: nothing can wait for a workflow task any more"
        )
        if current is not None and current.speculative is not None:
            assert current.is_open
            assert current.recorded.workflow_task is None, "W4: two workflow tasks"
            assert current.pending.transient_task is None, "W4: two workflow tasks"
            assert not current.buffered, "W4: buffered behind a task that is not recorded"
        if updates.has_unsent(self.workflow):
            assert current is not None
            has_task = current.workflow_task is not None or current.pending.pause is not None
            assert has_task, "U1: an update waits for nothing"
        assert open_runs == ([current.recorded.run_id] if current and current.is_open else []), (
            "W1: more than the current run is open"
        )

    def _check_run(self, segment: Segment) -> None:
        run, stored = segment.run, self.runs[segment.run.recorded.run_id]
        assert {(kind, key): content for kind, key, content in all_records(run)} == (
            stored.records
        ), "a keyed record changed and was not touched"
        assert run_bytes(stored.decode()) == run_bytes(run), "what is stored is not what is held"
        assert run.recorded.history_size_bytes == len(stored.history), "H3: the size is wrong"
        assert set(stored.rows) == {row.scheduled_event_id for row in stored.rows.values()}
        assert {
            ExpectedTask(row.kind, row.scheduled_event_id, row.stamp, row.queue)
            for row in stored.rows.values()
        } == expected_tasks(run), "F3: what is on offer is not what should be"
        wake_at_ns = deadlines.wake_at(run)
        assert not wake_at_ns or 0 < run.pending.wake_at_ns <= wake_at_ns, "T3: nothing armed"
        _check_batches(segment)
        if run.recorded.next_event_id <= FOLD_EVENTS_MAX or self.decisions % 50 == 0:
            check_folds(run, stored)


# ---- laws of one run


def check_folds(run: Run, stored: StoredRun) -> None:
    """H1 and H3: events alone make what is recorded; events and changes, in order, make it all."""
    events = list(History.FromString(stored.history).events)
    assert [event.event_id for event in events] == list(range(1, len(events) + 1))
    check_endings(run, events)
    recorded = fold_events(events)
    assert recorded_view(recorded) == recorded_view(run), "H3: the history folds to another state"
    assert run_bytes(fold_all(events, stored.steps)) == run_bytes(run), "H3: pending has no fold"


def check_endings(run: Run, events: list[HistoryEvent]) -> None:
    """W1, T1 and A1: what was begun is pending, or ended once, or its run is closed."""
    begun: dict[int, str] = {}
    ended: dict[int, str] = {}
    for event in events:
        kind = type_name(event)
        attributes = getattr(event, str(event.WhichOneof("attributes")))
        if kind in _BEGINNINGS:
            begun[event.event_id] = kind
        elif kind in _ENDINGS:
            beginning = getattr(attributes, _ENDINGS[kind])
            assert beginning not in ended, f"event {event.event_id} ends what has ended"
            ended[beginning] = kind
    pending = set(run.activities) | {timer.started_event_id for timer in run.timers.values()}
    pending |= {*run.children, *run.external_signals, *run.external_cancels}
    pending |= {*run.nexus_operations}
    assert pending.isdisjoint(ended), "what has ended is pending"
    assert pending | ended.keys() <= begun.keys()
    if run.is_open:
        assert begun.keys() == pending | ended.keys(), "something was forgotten"
    closes = [event for event in events if type_name(event) in _CLOSES]
    assert len(closes) == (0 if run.is_open else 1), "W1: closed once"
    assert not closes or closes[0] is events[-1], "W1: something happened after the close"


_BEGINNINGS = (
    "ACTIVITY_TASK_SCHEDULED",
    "TIMER_STARTED",
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
    "NEXUS_OPERATION_SCHEDULED",
)
_ENDINGS = {
    "ACTIVITY_TASK_COMPLETED": "scheduled_event_id",
    "ACTIVITY_TASK_FAILED": "scheduled_event_id",
    "ACTIVITY_TASK_TIMED_OUT": "scheduled_event_id",
    "ACTIVITY_TASK_CANCELED": "scheduled_event_id",
    "TIMER_FIRED": "started_event_id",
    "TIMER_CANCELED": "started_event_id",
    "START_CHILD_WORKFLOW_EXECUTION_FAILED": "initiated_event_id",
    "CHILD_WORKFLOW_EXECUTION_COMPLETED": "initiated_event_id",
    "CHILD_WORKFLOW_EXECUTION_FAILED": "initiated_event_id",
    "CHILD_WORKFLOW_EXECUTION_CANCELED": "initiated_event_id",
    "CHILD_WORKFLOW_EXECUTION_TIMED_OUT": "initiated_event_id",
    "CHILD_WORKFLOW_EXECUTION_TERMINATED": "initiated_event_id",
    "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED": "initiated_event_id",
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": "initiated_event_id",
    "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED": "initiated_event_id",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED": "initiated_event_id",
    "NEXUS_OPERATION_COMPLETED": "scheduled_event_id",
    "NEXUS_OPERATION_FAILED": "scheduled_event_id",
    "NEXUS_OPERATION_CANCELED": "scheduled_event_id",
    "NEXUS_OPERATION_TIMED_OUT": "scheduled_event_id",
}
_CLOSES = frozenset(
    f"WORKFLOW_EXECUTION_{how}"
    for how in ("COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT")
)


def fold_events(events: list[HistoryEvent]) -> Run:
    """The run that a history makes."""
    return fold_all(events, [])


def fold_all(events: list[HistoryEvent], steps: list[tuple[int, changes.Change]]) -> Run:
    """The run that a history and the changes between its events make."""
    touched: Touched = set()
    run = run_from_start(events[0], _entry_size(events[0]), touched)
    waiting = list(reversed(steps))
    for event in [*events[1:], None]:
        while waiting and waiting[-1][0] == run.recorded.next_event_id:
            evolve_pending(run, waiting.pop()[1], touched)
        if event is not None:
            evolve_event(run, event, _entry_size(event), touched)
    assert not waiting, "changes out of order"
    return run


def recorded_view(run: Run) -> object:
    """Everything of a run that its events alone decide."""
    return msgspec.to_builtins(
        (
            run.recorded,
            sorted((key, pending.activity) for key, pending in run.activities.items()),
            sorted(
                (timer.timer_id, timer.started_event_id, timer.due_ns)
                for timer in run.timers.values()
            ),
            sorted(
                (request.request_id, request.event_type, request.event_id)
                for request in run.requests.values()
                if request.event_id
            ),
            sorted(
                (name, content)
                for name, content in run.blobs.items()
                if name != BlobName.START_EVENT
            ),
            [
                (key, child.workflow_id, child.started_event_id, child.started_run_id)
                for key, child in sorted(run.children.items())
            ],
            sorted(run.external_signals),
            sorted(run.external_cancels),
            sorted(
                (callback.key, callback.callback, callback.registered_ns)
                for callback in run.callbacks.values()
            ),
            sorted((key, one.operation) for key, one in run.nexus_operations.items()),
            sorted(
                (key, msgspec.structs.replace(update, is_rejected=False))
                for key, update in run.updates.items()
            ),
        )
    )


def run_bytes(run: Run) -> tuple[bytes, list[tuple[int, bytes, bytes]], dict[str, int]]:
    """All of a run, comparable."""
    return encode_head(run), sorted(all_records(run)), run.activity_ids


def type_name(event: HistoryEvent) -> str:
    """The type of an event without its prefix."""
    return EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")


def _check_batches(segment: Segment) -> None:
    """Batches follow each other, say what they hold, and never span the close of a task."""
    closes = {"WORKFLOW_TASK_COMPLETED", "WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT"}
    for batch in segment.batches:
        events = list(History.FromString(batch.entries).events)
        ids = [event.event_id for event in events]
        assert ids == list(range(batch.first_event_id, batch.last_event_id + 1))
        assert batch.opens_with_close == (type_name(events[0]) in closes)
        assert not {type_name(event) for event in events[1:]} & closes, "a batch spans a close"


def _entry_size(event: HistoryEvent) -> int:
    return len(history_entry(event.SerializeToString()))


def _copy_workflow(workflow: Workflow) -> Workflow:
    run = None if workflow.run is None else copy_run(workflow.run)
    return msgspec.structs.replace(workflow, run=run, volatile=copy.deepcopy(workflow.volatile))


def _workflow_bytes(workflow: Workflow) -> object:
    run = workflow.run
    return None if run is None else (run_bytes(run), run.speculative, workflow.volatile)


def _decision_bytes(decision: Decision) -> object:
    """All that a decision says, comparable (protobuf messages compare by value)."""
    return (
        [
            (
                segment.is_new,
                msgspec.to_builtins(segment.batches),
                sorted(segment.touched, key=repr),
                segment.steps,
                segment.visibility_changed,
            )
            for segment in decision.segments
        ],
        decision.effects,
        decision.reply,
    )
