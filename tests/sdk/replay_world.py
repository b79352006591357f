"""A workflow in a test: a history that grows by what its code does and what the test says happened.

    world = World(Greeting, "you")
    world.task()                        # a workflow task: the code runs
    world.complete_activity("1", "hi")
    assert world.task().closed

The events are those that a server would write; `evict_always` replays the whole history at every
task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.update.v1 import Acceptance, Input, Meta, Rejection, Request, Response

from perdure import converter
from perdure._definitions import WorkflowDefinition, workflow_definition_of
from perdure._replay.api import (
    LocalActivitiesPending,
    QueryAnswer,
    TaskFailure,
    WorkflowActivation,
    WorkflowCompletion,
)
from perdure._replay.runner import WorkflowRunner
from tests.sdk.replay_check import options

RUN_ID = "11111111-2222-3333-4444-555555555555"
START_SECONDS = 1_700_000_000

_CONVERTER = converter.default().payload_converter


def payloads(*values: Any) -> Payloads:
    """The values as a client or worker would send them."""
    return Payloads(payloads=_CONVERTER.to_payloads(values))


class World:
    """One run of one workflow."""

    def __init__(
        self,
        workflow: type,
        *args: Any,
        evict_always: bool = False,
        definition: WorkflowDefinition | None = None,
        **worker_options: Any,
    ) -> None:
        self.definition = definition or workflow_definition_of(workflow)
        self.workflow_type = self.definition.name or "Whatever"
        self.events: list[HistoryEvent] = []
        self.runner: WorkflowRunner | None = None
        self.milliseconds = START_SECONDS * 1000
        self.task_milliseconds = 1000
        """So long after what happened last a task begins."""
        self.evict_always = evict_always
        self._options = options({self.workflow_type: self.definition}, **worker_options)
        self._seen = 0
        self._previous = 0
        self._messages: list[Message] = []
        self._requests: dict[str, Request] = {}
        self._scheduled: dict[str, int] = {}
        self._timers: dict[str, int] = {}
        self._add(
            "WORKFLOW_EXECUTION_STARTED",
            workflow_type={"name": self.workflow_type},
            original_execution_run_id=RUN_ID,
            first_execution_run_id=RUN_ID,
            attempt=1,
            input=payloads(*args) if args else None,
            task_queue={"name": "queue"},
        )

    # What the server does

    def task(self) -> WorkflowCompletion:
        """A workflow task that succeeds; its commands become events."""
        outcome = self.attempt()
        assert isinstance(outcome, WorkflowCompletion), outcome
        self._add(
            "WORKFLOW_TASK_COMPLETED",
            scheduled_event_id=len(self.events) - 1,
            started_event_id=len(self.events),
            sdk_metadata=outcome.sdk_metadata,
        )
        completed = len(self.events)
        bodies = {message.id: body_of(message) for message in outcome.messages}
        for command in outcome.commands:
            if command.command_type == CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE:
                attributes = command.protocol_message_command_attributes
                self._record_answer(bodies[attributes.message_id], completed)
            else:
                self._record(command, completed)
        return outcome

    def discarded_task(self) -> WorkflowCompletion:
        """A workflow task that only refuses updates, of which no trace is kept."""
        previous = self._previous
        outcome = self.attempt()
        assert isinstance(outcome, WorkflowCompletion), outcome
        assert outcome.commands == []
        del self.events[-2:]
        self._seen, self._previous = previous, previous
        if self.runner is not None:
            self.runner.discard_task(previous)
        return outcome

    def failed_task(self) -> TaskFailure:
        """A workflow task that fails, after which the runner is gone."""
        outcome = self.attempt()
        assert isinstance(outcome, TaskFailure), outcome
        self._add(
            "WORKFLOW_TASK_FAILED",
            scheduled_event_id=len(self.events) - 1,
            started_event_id=len(self.events),
            failure=outcome.failure,
        )
        self.evict()
        return outcome

    def attempt(self) -> WorkflowCompletion | QueryAnswer | TaskFailure:
        """Runs the code on all that has happened."""
        self.milliseconds += self.task_milliseconds
        self._add("WORKFLOW_TASK_SCHEDULED")
        scheduled = len(self.events)
        self._add("WORKFLOW_TASK_STARTED", scheduled_event_id=scheduled)
        if self.evict_always:
            self.evict()
        messages, self._messages = self._messages, []
        for message in messages:
            message.event_id = scheduled
        task = self._task(self.events[self._seen :], messages=messages)
        self.runner = self.runner or WorkflowRunner(self._options, task)
        outcome = self.runner.activate(task)
        assert not isinstance(outcome, LocalActivitiesPending)
        self._seen, self._previous = len(self.events), len(self.events)
        return outcome

    def query(self, name: str, *args: Any) -> QueryAnswer:
        """A query between two tasks."""
        query = WorkflowQuery(query_type=name, query_args=payloads(*args))
        task = self._task(self.events[self._seen :], query=query)
        self.runner = self.runner or WorkflowRunner(self._options, task)
        outcome = self.runner.activate(task)
        assert isinstance(outcome, QueryAnswer), outcome
        return outcome

    def evict(self) -> None:
        """The worker forgets the run."""
        if self.runner is not None:
            self.runner.evict()
        self.runner, self._seen = None, 0

    def _task(self, events: list[HistoryEvent], **more: Any) -> WorkflowActivation:
        return WorkflowActivation(
            run_id=RUN_ID,
            workflow_id="workflow",
            workflow_type=self.workflow_type,
            events=events,
            previous_started_event_id=self._previous,
            started_event_id=len(self.events),
            **more,
        )

    # What happens outside

    def complete_activity(self, activity_id: str, value: Any = None) -> None:
        """An activity was started and has a result."""
        scheduled = self._start_activity(activity_id)
        self._add(
            "ACTIVITY_TASK_COMPLETED",
            scheduled_event_id=scheduled,
            started_event_id=len(self.events),
            result=payloads(value),
        )

    def fail_activity(self, activity_id: str, message: str, error_type: str = "Failed") -> None:
        """An activity was started and has failed for good."""
        scheduled = self._start_activity(activity_id)
        info = ApplicationFailureInfo(type=error_type)
        self._add(
            "ACTIVITY_TASK_FAILED",
            scheduled_event_id=scheduled,
            started_event_id=len(self.events),
            failure=Failure(message=message, application_failure_info=info),
        )

    def cancel_activity(self, activity_id: str) -> None:
        """An activity has let itself be cancelled."""
        self._add(
            "ACTIVITY_TASK_CANCELED",
            scheduled_event_id=self._scheduled[activity_id],
            details=payloads("bye"),
        )

    def _start_activity(self, activity_id: str) -> int:
        scheduled = self._scheduled[activity_id]
        self._add("ACTIVITY_TASK_STARTED", scheduled_event_id=scheduled, attempt=1)
        return scheduled

    def fire(self, timer_id: str) -> None:
        """A timer is due."""
        self._add("TIMER_FIRED", timer_id=timer_id, started_event_id=self._timers[timer_id])

    def signal(self, name: str, *args: Any) -> None:
        """Somebody sends a signal."""
        self._add(
            "WORKFLOW_EXECUTION_SIGNALED",
            signal_name=name,
            input=payloads(*args) if args else None,
        )

    def update(self, name: str, *args: Any, update_id: str) -> None:
        """Somebody asks for an update: the next task has it."""
        request = Request(
            meta=Meta(update_id=update_id, identity="client"),
            input=Input(name=name, args=payloads(*args) if args else None),
        )
        message = Message(id=f"{update_id}/request", protocol_instance_id=update_id)
        message.body.Pack(request)
        self._messages.append(message)
        self._requests[update_id] = request

    def cancel(self, reason: str = "enough") -> None:
        """Somebody asks for the cancellation."""
        self._add("WORKFLOW_EXECUTION_CANCEL_REQUESTED", cause=reason)

    # Events

    def _add(self, name: str, **attributes: Any) -> HistoryEvent:
        field = f"{name.lower()}_event_attributes"
        event = HistoryEvent(
            event_id=len(self.events) + 1,
            event_time=_timestamp(self.milliseconds),
            event_type=EventType.Value(f"EVENT_TYPE_{name}"),
            **{field: attributes},  # type: ignore[arg-type]
        )
        self.events.append(event)
        return event

    def _record_answer(self, body: Any, completed: int) -> None:
        if isinstance(body, Acceptance):
            request = body.accepted_request
            assert request == self._requests[request.meta.update_id]
            self._add(
                "WORKFLOW_EXECUTION_UPDATE_ACCEPTED",
                protocol_instance_id=request.meta.update_id,
                accepted_request_message_id=body.accepted_request_message_id,
                accepted_request_sequencing_event_id=body.accepted_request_sequencing_event_id,
                accepted_request=request,
            )
            return
        assert isinstance(body, Response)
        self._add("WORKFLOW_EXECUTION_UPDATE_COMPLETED", meta=body.meta, outcome=body.outcome)

    def _record(self, command: Command, completed: int) -> None:
        name, copied = _RECORDS[command.command_type]
        which = command.WhichOneof("attributes")
        assert which is not None
        attributes = getattr(command, which)
        values = copied(self, attributes)
        self._add(name, workflow_task_completed_event_id=completed, **values)
        if name == "ACTIVITY_TASK_SCHEDULED":
            self._scheduled[attributes.activity_id] = len(self.events)
        elif name == "TIMER_STARTED":
            self._timers[attributes.timer_id] = len(self.events)


def _timestamp(milliseconds: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromMilliseconds(milliseconds)
    return timestamp


def _fields(*names: str) -> Callable[[World, Any], dict[str, Any]]:
    return lambda _, attributes: {name: getattr(attributes, name) for name in names}


_RECORDS: dict[int, tuple[str, Callable[[World, Any], dict[str, Any]]]] = {
    CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK: (
        "ACTIVITY_TASK_SCHEDULED",
        _fields("activity_id", "activity_type", "input"),
    ),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: (
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        _fields("scheduled_event_id"),
    ),
    CommandType.COMMAND_TYPE_START_TIMER: (
        "TIMER_STARTED",
        _fields("timer_id", "start_to_fire_timeout"),
    ),
    CommandType.COMMAND_TYPE_CANCEL_TIMER: (
        "TIMER_CANCELED",
        lambda world, attributes: {
            "timer_id": attributes.timer_id,
            "started_event_id": world._timers[attributes.timer_id],
        },
    ),
    CommandType.COMMAND_TYPE_RECORD_MARKER: (
        "MARKER_RECORDED",
        lambda _, attributes: {
            "marker_name": attributes.marker_name,
            "details": dict(attributes.details),
        },
    ),
    CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: (
        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
        _fields("search_attributes"),
    ),
    CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES: (
        "WORKFLOW_PROPERTIES_MODIFIED",
        _fields("upserted_memo"),
    ),
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: (
        "WORKFLOW_EXECUTION_COMPLETED",
        _fields("result"),
    ),
    CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION: (
        "WORKFLOW_EXECUTION_FAILED",
        _fields("failure"),
    ),
    CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION: (
        "WORKFLOW_EXECUTION_CANCELED",
        _fields(),
    ),
    CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: (
        "WORKFLOW_EXECUTION_CONTINUED_AS_NEW",
        _fields("workflow_type", "input"),
    ),
}


_BODIES = {body.DESCRIPTOR.full_name: body for body in (Acceptance, Rejection, Response)}


def body_of(message: Message) -> Any:
    """What a message says."""
    return _BODIES[message.body.TypeName()].FromString(message.body.value)


def answers(completion: WorkflowCompletion) -> dict[str, Any]:
    """What each message says, by its id."""
    return {message.id: body_of(message) for message in completion.messages}


def kinds(completion: WorkflowCompletion) -> list[str]:
    """The kinds of the commands, for a check at a glance."""
    return [
        CommandType.Name(command.command_type).removeprefix("COMMAND_TYPE_")
        for command in completion.commands
    ]


def result(completion: WorkflowCompletion) -> Any:
    """What the workflow returned."""
    attributes = completion.commands[-1].complete_workflow_execution_command_attributes
    return _CONVERTER.from_payloads(attributes.result.payloads, None)[0]


def failure(completion: WorkflowCompletion) -> Failure:
    """How the workflow failed."""
    return completion.commands[-1].fail_workflow_execution_command_attributes.failure
