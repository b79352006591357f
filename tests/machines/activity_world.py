"""One workflow in a world of its own: a clock set by hand, ids that count, and all offers."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    Command,
    RequestCancelActivityTaskCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
    StartTimerCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, RetryPolicy, WorkflowType
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    StartWorkflowExecutionRequest,
)

from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS, Limits
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.decide import decide
from perdure.server.machines.workflow.effects import OfferTask, TaskKind, WithdrawTask
from perdure.server.machines.workflow.state import AttemptState, PendingActivity, Run, Workflow

BEGIN_NS = 1_700_000_000 * SECOND_NS
WORKER = "worker"
QUEUE = "queue"

R = TypeVar("R")


class CountingIds:
    """Ids 1, 2, 3..."""

    def __init__(self) -> None:
        self.count = 0

    def uuid(self) -> str:
        """The next one."""
        self.count += 1
        return f"00000000-0000-0000-0000-{self.count:012}"


class World:
    """A started workflow, whose first task a worker has."""

    def __init__(self, *, run_timeout_s: float = 0, limits: Limits = DEFAULT_LIMITS) -> None:
        self.now_ns = BEGIN_NS
        self.ids = CountingIds()
        self.limits = limits
        self.workflow = Workflow("default", "namespace-id", "workflow")
        self.history: list[HistoryEvent] = []
        self.offers: dict[int, OfferTask] = {}
        self.effects: list[OfferTask | WithdrawTask] = []
        """Of the newest decision."""
        request = StartWorkflowExecutionRequest(
            namespace="default",
            workflow_id="workflow",
            workflow_type=WorkflowType(name="Tester"),
            task_queue=TaskQueue(name=QUEUE),
            workflow_task_timeout=duration(10 * SECOND_NS),
            request_id="start",
            identity="client",
        )
        if run_timeout_s:
            request.workflow_run_timeout.CopyFrom(seconds(run_timeout_s))
        self.do(inputs.StartWorkflow(request), inputs.WorkflowStarted)
        self.start_task()

    @property
    def run(self) -> Run:
        """The run."""
        assert self.workflow.run is not None
        return self.workflow.run

    def do(self, message: inputs.Input, reply: type[R]) -> R:
        """Take a decision, and check the kind of its reply."""
        decision = decide(self.workflow, message, self.now_ns, self.ids, self.limits)
        self.effects = [
            effect for effect in decision.effects if isinstance(effect, OfferTask | WithdrawTask)
        ]
        for segment in decision.segments:
            for batch in segment.batches:
                self.history.extend(History.FromString(batch.entries).events)
        for effect in self.effects:
            if isinstance(effect, OfferTask):
                self.offers[effect.scheduled_event_id] = effect
            else:
                self.offers.pop(effect.scheduled_event_id, None)
        assert isinstance(decision.reply, reply)
        return decision.reply

    def pass_time(self, length_s: float) -> None:
        """Let time pass, and wake the workflow up if it is due."""
        self.now_ns += round(length_s * SECOND_NS)
        wake_at_ns = self.run.pending.wake_at_ns
        if wake_at_ns and wake_at_ns <= self.now_ns:
            self.do(inputs.WakeUp(""), inputs.Done)

    # ---- workflow tasks

    def start_task(self) -> inputs.StartedWorkflowTask:
        """A worker polls the workflow task that is on offer."""
        offer = next(o for o in self.offers.values() if o.kind is TaskKind.WORKFLOW)
        message = inputs.StartWorkflowTask(offer.run_id, offer.stamp, self.ids.uuid(), WORKER)
        self.task = self.do(message, inputs.StartedWorkflowTask)
        return self.task

    def complete_task(
        self, *commands: Command
    ) -> inputs.WorkflowTaskCompleted | inputs.RefusedWorkflowTask:
        """The worker answers with commands."""
        request = RespondWorkflowTaskCompletedRequest(identity=WORKER, commands=commands)
        message = inputs.CompleteWorkflowTask(self.task.token, request)
        return self.do(message, inputs.WorkflowTaskCompleted | inputs.RefusedWorkflowTask)  # type: ignore[arg-type]

    def refusal_of(self, *commands: Command) -> str:
        """What the worker is told about commands that are refused."""
        reply = self.complete_task(*commands)
        assert isinstance(reply, inputs.RefusedWorkflowTask)
        return reply.message

    # ---- activities

    def pending(self, activity_id: str = "a") -> PendingActivity:
        """The activity of this id."""
        return self.run.activities[self.run.activity_ids[activity_id]]

    def state(self, activity_id: str = "a") -> AttemptState:
        """Where its newest attempt stands."""
        return AttemptState(self.pending(activity_id).attempt.state)

    def offer_of(self, activity_id: str = "a") -> OfferTask | None:
        """What of it is on offer."""
        return self.offers.get(self.run.activity_ids[activity_id])

    def start_activity(self, activity_id: str = "a") -> inputs.TaskToken:
        """A worker polls it."""
        offer = self.offer_of(activity_id)
        assert offer is not None
        return self.do(self.start_message(offer), inputs.StartedActivityTask).token

    def start_message(self, offer: OfferTask) -> inputs.StartActivityTask:
        """The input of a poller that got this offer."""
        return inputs.StartActivityTask(
            offer.run_id, offer.scheduled_event_id, offer.stamp, self.ids.uuid(), WORKER
        )

    def complete_activity(self, token: inputs.TaskToken, result: str = "done") -> None:
        """A worker (or someone who knows the token or id) completes it."""
        self.do(inputs.CompleteActivity(token, payloads(result), WORKER), inputs.Done)

    def fail_activity(self, token: inputs.TaskToken, failure: Failure | None = None) -> None:
        """A worker reports that the attempt failed."""
        self.do(inputs.FailActivity(token, failure or application_failure(), WORKER), inputs.Done)

    def heartbeat(self, token: inputs.TaskToken, details: str | None = None) -> bool:
        """A worker reports progress; whether it learns that it shall cancel."""
        message = inputs.HeartbeatActivity(
            token, None if details is None else payloads(details), WORKER
        )
        return self.do(message, inputs.Heartbeat).cancel_requested

    # ---- history

    def types(self, after: int = 0) -> list[str]:
        """Types of the events after an event id, without their common prefix."""
        return [
            EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
            for event in self.history[after:]
        ]

    def last(self, event_type: str) -> HistoryEvent:
        """The newest event of a type."""
        number = EventType.Value(f"EVENT_TYPE_{event_type}")
        return next(event for event in reversed(self.history) if event.event_type == number)


def by_id(activity_id: str = "a") -> inputs.TaskToken:
    """How one names an activity by its id."""
    return inputs.TaskToken("namespace-id", "workflow", "", 0, 0, 0, activity_id=activity_id)


def seconds(length_s: float) -> Duration:
    """A Duration."""
    return duration(round(length_s * SECOND_NS))


def payloads(text: str) -> Payloads:
    """One payload."""
    return Payloads(payloads=[Payload(data=text.encode())])


def application_failure(
    message: str = "failed",
    *,
    kind: str = "Kind",
    non_retryable: bool = False,
    delay_s: float | None = None,
) -> Failure:
    """What a worker reports of an exception."""
    info = ApplicationFailureInfo(type=kind, non_retryable=non_retryable)
    if delay_s is not None:
        info.next_retry_delay.CopyFrom(seconds(delay_s))
    return Failure(message=message, application_failure_info=info)


def schedule_activity(
    activity_id: str = "a",
    *,
    schedule_to_close: float = 0,
    schedule_to_start: float = 0,
    start_to_close: float = 10,
    heartbeat: float = 0,
    retry: RetryPolicy | None = None,
    queue: str = QUEUE,
    eager: bool = False,
) -> Command:
    """The command, with timeouts in seconds; 0 is not set."""
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id=activity_id,
        activity_type=ActivityType(name="work"),
        task_queue=TaskQueue(name=queue),
        request_eager_execution=eager,
        retry_policy=retry,
    )
    for name, length_s in (
        ("schedule_to_close_timeout", schedule_to_close),
        ("schedule_to_start_timeout", schedule_to_start),
        ("start_to_close_timeout", start_to_close),
        ("heartbeat_timeout", heartbeat),
    ):
        if length_s:
            getattr(attributes, name).CopyFrom(seconds(length_s))
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=attributes,
    )


def cancel_activity(scheduled_event_id: int) -> Command:
    """The command."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
        request_cancel_activity_task_command_attributes=RequestCancelActivityTaskCommandAttributes(
            scheduled_event_id=scheduled_event_id
        ),
    )


def start_timer(timer_id: str = "t", length_s: float = 1) -> Command:
    """The command."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes=StartTimerCommandAttributes(
            timer_id=timer_id, start_to_fire_timeout=seconds(length_s)
        ),
    )


def cancel_timer(timer_id: str = "t") -> Command:
    """The command."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
        cancel_timer_command_attributes=CancelTimerCommandAttributes(timer_id=timer_id),
    )
