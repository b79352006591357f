"""The machine of a run: history in, jobs out; commands in, and checked against history on replay.

It owns what a run is between two activations of its code: where in the history it stands, the
commands that history has not mirrored yet, and one small machine per command (`commands/`). It
knows nothing of the code itself, which asks through methods and is told through callbacks.

    feed(history)            a workflow task has arrived
    advance()                applies events until there are jobs for the code, or no more events
    take_jobs()              what to tell the code
    ... the code runs; it makes command machines, calls patch() and terminate() ...
    end_activation()
    take_commands()          at the end of the task: what to send

**Matching.** A command stays in the queue until the event that mirrors it arrives, on replay as in
life. Each such event must find its command at the head of the queue; anything else is `Unmatched`,
which `nondeterminism.py` turns into a report.

**Order.** Commands leave in the order in which the code asked for them, but the one that ends the
run goes last, and only the first such counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import (
    HistoryEvent,
    WorkflowExecutionSignaledEventAttributes,
    WorkflowTaskStartedEventAttributes,
)
from temporalio.api.protocol.v1 import Message
from temporalio.api.sdk.v1 import EventGroupMarker

from perdure._replay.api import HistoryGap
from perdure._replay.call_site import CallSite, call_site
from perdure._replay.commands.patch import (
    CHANGE_VERSION_ATTRIBUTE,
    PatchMachine,
    change_version_command,
    patch_of_marker,
)
from perdure._replay.commands.port import CommandMachine, Mismatch
from perdure._replay.commands.simple import SimpleMachine
from perdure._replay.commands.update import UpdateMachine, UpdateRequest
from perdure._replay.flags import (
    CHECK_IDS_AND_TYPES,
    TERMINAL_COMMANDS_LAST,
    UPSERT_ON_PATCH,
    Flags,
)
from perdure._replay.history import (
    COMMAND_EVENTS,
    FINAL_EVENTS,
    MARKER_RECORDED,
    TASK_COMPLETED,
    TASK_STARTED,
    History,
)
from perdure._replay.inbox import UPDATE_ACCEPTED, Inbox
from perdure._replay.local_queue import LocalQueue
from perdure._replay.randomness import seed_of_run

_UPSERTED = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES


_TIMER_CANCELED = EventType.EVENT_TYPE_TIMER_CANCELED

# Events that no later event refers to.
_WITHOUT_SEQUEL = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
        UPDATE_ACCEPTED,
    }
)


_EVENTS_OF_STARTED_TASK = 2
"""WorkflowTaskScheduled and WorkflowTaskStarted."""


class IssuedCommand(NamedTuple):
    """A command that no event has mirrored yet."""

    machine: CommandMachine
    command: Command
    call_site: CallSite | None


class Unmatched(Exception):
    """An event that the code's commands do not account for."""

    def __init__(
        self,
        event: HistoryEvent,
        issued: IssuedCommand | None,
        reason: str,
        *,
        commands_after: Sequence[Command] = (),
        events_after: Sequence[HistoryEvent] = (),
    ) -> None:
        """The commands and events after these tell what has changed."""
        super().__init__(reason)
        self.event = event
        self.issued = issued
        self.reason = reason
        self.commands_after = commands_after
        self.events_after = events_after


class Unreadable(Exception):
    """The history has an event that this SDK does not know and may not pass over."""


class Jobs(NamedTuple):
    """What to tell the code in one activation, in this order. Updates go with the signals."""

    patches: list[str]
    signals: list[tuple[WorkflowExecutionSignaledEventAttributes, int]]
    updates: list[UpdateRequest]
    others: list[tuple[Callable[[Any], None], Any]]


class Code(Protocol):
    """What the workflow's code can be told besides resolutions and signals."""

    def begin(self, started: HistoryEvent) -> None:
        """The first event is known; nothing runs yet."""

    def start(self, started: HistoryEvent) -> None:
        """The run begins."""

    def cancel(self, reason: str) -> None:
        """Somebody asked for the cancellation of the run."""

    def reseed(self, seed: int) -> None:
        """The run was reset, so it draws other random numbers from here on."""


class Machine:
    """The machine of one run."""

    def __init__(self, code: Code, flags: Flags) -> None:
        self.flags = flags
        self.replaying = False
        self.time_ns = 0
        self.last_event_id = 0
        self.history_size_bytes = 0
        self.continue_as_new_suggested = False
        self.target_deployment_version_changed = False
        self.build_id = ""
        self.deployment_name = ""
        self.closed = False
        self.local_activities = LocalQueue()
        self.task_started_ns = 0
        """The time of the run when its present task began."""
        self._code = code
        self._history = History((), 0)
        self._inbox = Inbox()
        self._outbox: list[Message] = []
        self._saw_final_event = False
        self._started_event_id = 0
        self._next_started_event_id = 0
        self._learned_event_id = 0
        self._commands: deque[IssuedCommand] = deque()
        self._terminal: IssuedCommand | None = None
        self._by_event_id: dict[int, CommandMachine] = {}
        self._patch_ahead: set[str] = set()
        self._patches_issued: set[str] = set()
        self._start_job: list[tuple[Callable[[Any], None], Any]] = []
        self._patches: list[str] = []
        self._signals: list[tuple[WorkflowExecutionSignaledEventAttributes, int]] = []
        self._updates: list[UpdateRequest] = []
        self._others: list[tuple[Callable[[Any], None], Any]] = []
        self._last: list[tuple[Callable[[Any], None], Any]] = []

    # Tasks and jobs

    def feed(self, history: History, messages: Iterable[Message] = ()) -> None:
        """Takes the history and the messages of a workflow task and applies the first sequence."""
        if messages:
            self._inbox.receive(messages)
        if self.last_event_id == 0:
            completed = history.peek_completed(0)
            if completed is not None:
                self.flags.add_from(completed.workflow_task_completed_event_attributes)
        self._history = history
        self.replaying = history.previous_started_event_id > 0
        self._apply_sequence()

    def advance(self) -> bool:
        """Applies events until the code has something to be told. False: the task is done."""
        while not self._has_jobs():
            self.local_activities.apply_ahead(self.move_time)
            if self._has_jobs() or not self.replaying or self._apply_sequence() == 0:
                break
        return self._has_jobs()

    def take_jobs(self) -> Jobs:
        """What to tell the code now."""
        others = self._start_job + self._others + self._last
        jobs = Jobs(self._patches, self._signals, self._updates, others)
        self._patches, self._signals, self._updates = [], [], []
        self._start_job, self._others, self._last = [], [], []
        return jobs

    def end_activation(self) -> None:
        """The code has nothing more to do until the next jobs."""
        if self._terminal is not None and not self.closed:
            self.closed = True
            self._commands.append(self._terminal)

    def take_commands(self) -> list[Command]:
        """What to send for this task. The commands stay until their events arrive."""
        return [issued.command for issued in self._commands if not issued.machine.withdrawn]

    def take_messages(self) -> list[Message]:
        """At the end of the task: the messages that go with the commands."""
        messages, self._outbox = self._outbox, []
        return messages

    def discard_task(self, started_event_id: int) -> None:
        """The service has kept no trace of the task that was just answered.

        The history goes on from the task that was started by this event, so that the next event
        has the number of the one that scheduled the discarded task.
        """
        self._started_event_id = self._next_started_event_id = started_event_id
        self.last_event_id -= _EVENTS_OF_STARTED_TASK

    def release_history(self) -> None:
        """Forgets the events of the task, all of which have been applied."""
        self._history = History((), self._history.previous_started_event_id)

    def release(self) -> None:
        """Lets go of all that refers to this machine in turn: the run has been evicted."""
        self._commands.clear()
        self._by_event_id.clear()
        self.local_activities.clear()
        self._terminal = None
        del self._code

    @property
    def finished(self) -> bool:
        """The history ends with the close of the run: there is nothing to send."""
        return self._saw_final_event

    def _has_jobs(self) -> bool:
        return bool(
            self._others
            or self._signals
            or self._updates
            or self._patches
            or self._start_job
            or self._last
        )

    # Commands

    def issue(self, machine: CommandMachine, command: Command) -> None:
        """Puts a command into the queue; those after the run's end are dropped."""
        if not self.closed:
            self._commands.append(IssuedCommand(machine, command, call_site()))

    def send(self, message: Message) -> None:
        """Has a message sent with this task; on replay it was sent long ago."""
        if not self.replaying and not self.closed:
            self._outbox.append(message)

    def begin_update(self, asked: UpdateRequest) -> UpdateMachine:
        """The machine of an update that the code is about to look at."""
        return UpdateMachine(self, asked, self.send)

    def resolve(self, apply: Callable[[Any], None], outcome: Any) -> None:
        """Has the code told, in the next activation."""
        self._others.append((apply, outcome))

    def resolve_last(self, apply: Callable[[Any], None], outcome: Any) -> None:
        """Has the code told after the other resolutions of the next activation."""
        self._last.append((apply, outcome))

    def checks_ids(self) -> bool:
        """Whether this history was written by a core that compares ids and types."""
        return not self.replaying or CHECK_IDS_AND_TYPES in self.flags.core

    def terminate(self, command: Command) -> None:
        """Ends the run, at the end of this activation; only the first such command counts."""
        if self._terminal is None:
            outlet = _Aside(self)
            SimpleMachine(outlet, command)
            self._terminal = outlet.issued
            if self.replaying and TERMINAL_COMMANDS_LAST not in self.flags.core:
                # Cores before that flag dropped what the code asked for after this.
                self.end_activation()

    def patch(self, patch_id: str, *, deprecated: bool, groups: Sequence[EventGroupMarker]) -> None:
        """Records a patch, once."""
        if patch_id in self._patches_issued:
            return
        PatchMachine(self, patch_id, deprecated=deprecated, groups=groups)
        self._patches_issued.add(patch_id)
        if self.replaying and (
            patch_id not in self._patch_ahead or UPSERT_ON_PATCH not in self.flags.core
        ):
            return
        command = change_version_command(self._patches_issued)
        if command is not None:
            SimpleMachine(self, command)

    # Events

    def _apply_sequence(self) -> int:
        """Applies the next sequence of the history; the number of events that were new."""
        if self._saw_final_event:
            self.replaying = False
            return 0
        history = self._history
        started_before = self._started_event_id
        taken, is_last = history.take_sequence(started_before)
        events = [event for event in taken if event.event_id > self.last_event_id]
        if not events:
            self.replaying = False
        else:
            self._learn_from_completions(events)
            if events[-1].event_type == TASK_STARTED:
                self._next_started_event_id = events[-1].event_id
            self._apply_events(events, is_last)
        self._look_ahead(started_before)
        self._updates += self._inbox.take(self.last_event_id)
        if events:
            self._begin_task(events)
        return len(events)

    def _begin_task(self, events: list[HistoryEvent]) -> None:
        """The code is about to be told of a task, which may be one that followed others that only
        kept local activities alive: what these brought was told later."""
        self.local_activities.begin_task()
        kept_alive = any(event.event_type == TASK_COMPLETED for event in events[1:])
        if self._has_jobs() and not kept_alive:
            self.local_activities.apply_ahead(self.move_time, first=True)

    def _learn_from_completions(self, events: list[HistoryEvent]) -> None:
        for event in events:
            if event.event_type == TASK_COMPLETED and event.event_id > self._learned_event_id:
                self._learn(event)
        ahead = self._history.peek_completed(events[-1].event_id)
        if ahead is not None:
            self._learn(ahead)

    def _learn(self, event: HistoryEvent) -> None:
        self._learned_event_id = event.event_id
        completed = event.workflow_task_completed_event_attributes
        self.flags.add_from(completed)
        if completed.HasField("deployment_version"):
            self.build_id = completed.deployment_version.build_id
            self.deployment_name = completed.deployment_version.deployment_name
        elif completed.HasField("worker_version"):
            self.build_id = completed.worker_version.build_id
            self.deployment_name = completed.worker_deployment_name

    def _apply_events(self, events: list[HistoryEvent], is_last: bool) -> None:
        previous_started = self._history.previous_started_event_id
        skip = False
        for index, event in enumerate(events):
            event_id = event.event_id
            event_type = event.event_type
            if event_id != self.last_event_id + 1:
                raise HistoryGap(f"event {event_id} after event {self.last_event_id}")
            if event_type in COMMAND_EVENTS:
                if not skip:
                    following = events[index + 1] if index + 1 < len(events) else None
                    skip = self._apply_command_event(event, following)
                else:
                    skip = False
            else:
                if (
                    self.replaying
                    and is_last
                    and event_id > previous_started
                    and event_type != TASK_COMPLETED
                ):
                    # Nothing that the code did is in the history after this.
                    self.replaying = False
                self._apply_other_event(event)
            if event_type in FINAL_EVENTS:
                self._saw_final_event = True
            self.last_event_id = event_id

    def _look_ahead(self, started_event_id: int) -> None:
        """Finds the patches that the code is about to ask for, the updates it accepted, and what
        came of local activities."""
        for event in self._history.peek_sequence(started_event_id):
            if event.event_type == UPDATE_ACCEPTED:
                self._updates.append(self._inbox.bring_back(event))
                continue
            if event.event_type != MARKER_RECORDED:
                continue
            marker = patch_of_marker(event)
            if marker is not None:
                self._patch_ahead.add(marker[0])
                self._patches.append(marker[0])
            else:
                self.local_activities.look_ahead(event)

    # Events that mirror commands

    def _apply_command_event(self, event: HistoryEvent, following: HistoryEvent | None) -> bool:
        """Gives the event to the command that it mirrors. True: the next event goes with it."""
        marker = patch_of_marker(event) if event.event_type == MARKER_RECORDED else None
        while True:
            issued = self._commands.popleft() if self._commands else None
            if issued is not None and issued.machine.withdrawn:
                continue
            is_patch = issued is not None and isinstance(issued.machine, PatchMachine)
            if marker is not None and marker[1] and not self._asks_for(issued, marker[0]):
                # A deprecated patch that the code no longer mentions.
                if issued is not None:
                    self._commands.appendleft(issued)
                return _lists_patches(following)
            if marker is None and is_patch:
                continue
            break
        if issued is None:
            raise Unmatched(event, None, "the code issued no command for this event")
        try:
            issued.machine.handle(event)
        except Mismatch as mismatch:
            raise Unmatched(
                event,
                issued,
                str(mismatch),
                commands_after=self.take_commands(),
                events_after=self._history.events_after(event.event_id),
            ) from None
        if event.event_type == _TIMER_CANCELED:
            self._by_event_id.pop(event.timer_canceled_event_attributes.started_event_id, None)
        elif event.event_type not in _WITHOUT_SEQUEL and not issued.machine.resolved:
            self._by_event_id[event.event_id] = issued.machine
        return False

    def _asks_for(self, issued: IssuedCommand | None, patch_id: str) -> bool:
        if issued is None or not isinstance(issued.machine, PatchMachine):
            return False
        return issued.machine.patch_id == patch_id

    # Other events

    def _apply_other_event(self, event: HistoryEvent) -> None:
        apply = _OTHER_EVENTS.get(event.event_type)
        if apply is not None:
            apply(self, event)
            return
        origin = _ORIGINS.get(event.event_type)
        if origin is None:
            if event.worker_may_ignore:
                return
            raise Unreadable(
                f"event {event.event_id} is of a kind that this SDK does not know: "
                f"{event.event_type}"
            )
        attributes, field = origin
        initial = getattr(getattr(event, attributes), field)
        machine = self._by_event_id.get(initial)
        if machine is None:
            raise Unmatched(event, None, f"no command of the code made event {initial}")
        try:
            machine.handle(event)
        except Mismatch as mismatch:
            raise Unmatched(event, None, str(mismatch)) from None
        if machine.resolved:
            del self._by_event_id[initial]

    def _on_started(self, event: HistoryEvent) -> None:
        self._move_time_to(event)
        self._code.begin(event)
        self._start_job.append((self._code.start, event))

    def _on_signaled(self, event: HistoryEvent) -> None:
        attributes = event.workflow_execution_signaled_event_attributes
        self._signals.append((attributes, event.event_id))

    def _on_update_admitted(self, event: HistoryEvent) -> None:
        self._inbox.admit(event)

    def _on_cancel_requested(self, event: HistoryEvent) -> None:
        attributes = event.workflow_execution_cancel_requested_event_attributes
        self._others.append((self._code.cancel, attributes.cause))

    def _on_task_started(self, event: HistoryEvent) -> None:
        attributes: WorkflowTaskStartedEventAttributes = (
            event.workflow_task_started_event_attributes
        )
        self.history_size_bytes = attributes.history_size_bytes
        self.continue_as_new_suggested = attributes.suggest_continue_as_new
        self.target_deployment_version_changed = attributes.target_worker_deployment_version_changed
        if event.event_id >= self._next_started_event_id:
            self._started_event_id = self._next_started_event_id
            self._move_time_to(event)
            self.task_started_ns = self.time_ns

    def _on_task_failed(self, event: HistoryEvent) -> None:
        attributes = event.workflow_task_failed_event_attributes
        if attributes.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW:
            seed = seed_of_run(attributes.new_run_id)
            self._start_job.append((self._code.reseed, seed))

    def _nothing(self, event: HistoryEvent) -> None:
        """The event is not the code's business."""

    def _move_time_to(self, event: HistoryEvent) -> None:
        time = event.event_time
        self.move_time(time.seconds * 1_000_000_000 + time.nanos)

    def move_time(self, time_ns: int) -> None:
        """It is at least as late as this; time never goes back."""
        self.time_ns = max(self.time_ns, time_ns)


class _Aside:
    """An outlet that holds one command back."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.issued: IssuedCommand | None = None

    def issue(self, machine: CommandMachine, command: Command) -> None:
        self.issued = IssuedCommand(machine, command, None)

    def resolve(self, apply: Callable[[Any], None], outcome: Any) -> None:
        self._machine.resolve(apply, outcome)

    def resolve_last(self, apply: Callable[[Any], None], outcome: Any) -> None:
        self._machine.resolve_last(apply, outcome)

    def checks_ids(self) -> bool:
        return self._machine.checks_ids()


def _lists_patches(event: HistoryEvent | None) -> bool:
    if event is None or event.event_type != _UPSERTED:
        return False
    attributes = event.upsert_workflow_search_attributes_event_attributes
    return CHANGE_VERSION_ATTRIBUTE in attributes.search_attributes.indexed_fields


_OTHER_EVENTS: dict[int, Callable[[Machine, HistoryEvent], None]] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: Machine._on_started,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: Machine._on_signaled,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED: Machine._on_update_admitted,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: Machine._on_cancel_requested,
    EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED: Machine._on_task_started,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED: Machine._on_task_failed,
    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED: Machine._nothing,
    EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: Machine._nothing,
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT: Machine._nothing,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: Machine._nothing,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: Machine._nothing,
}

# Events about something that a command began: where in them the id of its first event is.
_ORIGINS: dict[int, tuple[str, str]] = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED: (
        "activity_task_started_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: (
        "activity_task_completed_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: (
        "activity_task_failed_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: (
        "activity_task_timed_out_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: (
        "activity_task_canceled_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_TIMER_FIRED: ("timer_fired_event_attributes", "started_event_id"),
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED: (
        "signal_external_workflow_execution_failed_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED: (
        "external_workflow_execution_signaled_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED: (
        "request_cancel_external_workflow_execution_failed_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED: (
        "external_workflow_execution_cancel_requested_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED: (
        "start_child_workflow_execution_failed_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: (
        "child_workflow_execution_started_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: (
        "child_workflow_execution_completed_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: (
        "child_workflow_execution_failed_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: (
        "child_workflow_execution_canceled_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: (
        "child_workflow_execution_timed_out_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: (
        "child_workflow_execution_terminated_event_attributes",
        "initiated_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED: (
        "nexus_operation_started_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED: (
        "nexus_operation_completed_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED: (
        "nexus_operation_failed_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED: (
        "nexus_operation_canceled_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT: (
        "nexus_operation_timed_out_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED: (
        "nexus_operation_cancel_request_completed_event_attributes",
        "scheduled_event_id",
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED: (
        "nexus_operation_cancel_request_failed_event_attributes",
        "scheduled_event_id",
    ),
}
