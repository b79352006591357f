"""Commands that are refused, and how the timeouts and retry policies of good ones are completed."""

from __future__ import annotations

from typing import Any

from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    CancelWorkflowExecutionCommandAttributes,
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    ModifyWorkflowPropertiesCommandAttributes,
    RecordMarkerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import (
    ActivityType,
    Memo,
    Payloads,
    RetryPolicy,
    SearchAttributes,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue

from tests.interop.raw import HandWorker, cancel_activity, complete_workflow, seconds, start_timer
from tests.interop.stage import Stage, payloads

TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


def _command(kind: str, attributes: Any = None) -> Command:
    """A command of the kind, its attributes in the field of that kind."""
    command = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))
    if attributes is not None:
        getattr(command, f"{kind.lower()}_command_attributes").CopyFrom(attributes)
    return command


LONG = "x" * 1001


def _bad_commands(worker: HandWorker) -> dict[str, list[Command]]:
    """Each list is one completion."""
    return {**_bad_activities(worker), **_bad_timers(), **_bad_others()}


def _bad_activities(worker: HandWorker) -> dict[str, list[Command]]:
    activity = worker.schedule_activity
    return {
        "activity without id": [activity("")],
        "activity without type": [activity("a", activity_type=ActivityType())],
        "activity without timeout": [activity("a", start_to_close_timeout=None)],
        "activity with a negative timeout": [activity("a", start_to_close_timeout=seconds(-1))],
        "activity with a negative heartbeat": [activity("a", heartbeat_timeout=seconds(-1))],
        "activity with a long id": [activity(LONG)],
        "activity with a long type": [activity("a", activity_type=ActivityType(name=LONG))],
        "activity with a long queue": [activity("a", task_queue=TaskQueue(name=LONG))],
        "activity without a queue": [activity("a", task_queue=TaskQueue())],
        "activity with a reserved queue": [
            activity("a", task_queue=TaskQueue(name="/_sys/somewhere"))
        ],
        "activity with a bad retry policy": [
            activity("a", retry_policy=RetryPolicy(backoff_coefficient=0.5))
        ],
        "activity with negative attempts": [
            activity("a", retry_policy=RetryPolicy(maximum_attempts=-1))
        ],
        "activity without attributes": [_command("SCHEDULE_ACTIVITY_TASK")],
        "two activities of one id": [activity("a"), activity("a")],
    }


def _bad_timers() -> dict[str, list[Command]]:
    cancel_timer = CancelTimerCommandAttributes
    return {
        "cancels an unknown activity": [cancel_activity(4711)],
        "cancels activity zero": [cancel_activity(0)],
        "timer without id": [start_timer("", 1)],
        "timer with a long id": [start_timer(LONG, 1)],
        "timer with a negative time": [start_timer("t", -1)],
        "two timers of one id": [start_timer("t", 60), start_timer("t", 60)],
        "cancels an unknown timer": [_command("CANCEL_TIMER", cancel_timer(timer_id="u"))],
        "cancels a timer without id": [_command("CANCEL_TIMER", cancel_timer())],
    }


def _bad_others() -> dict[str, list[Command]]:
    fields = {"Unknown": payloads("x").payloads[0]}
    return {
        "marker without name": [_command("RECORD_MARKER", RecordMarkerCommandAttributes())],
        "marker with a long name": [
            _command("RECORD_MARKER", RecordMarkerCommandAttributes(marker_name=LONG))
        ],
        "unknown search attribute": [
            _command(
                "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
                UpsertWorkflowSearchAttributesCommandAttributes(
                    search_attributes=SearchAttributes(indexed_fields=fields)
                ),
            )
        ],
        "no search attribute": [
            _command(
                "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
                UpsertWorkflowSearchAttributesCommandAttributes(),
            )
        ],
        "no properties": [
            _command("MODIFY_WORKFLOW_PROPERTIES", ModifyWorkflowPropertiesCommandAttributes())
        ],
        "empty memo": [
            _command(
                "MODIFY_WORKFLOW_PROPERTIES",
                ModifyWorkflowPropertiesCommandAttributes(upserted_memo=Memo()),
            )
        ],
        "fails without a failure": [
            _command("FAIL_WORKFLOW_EXECUTION", FailWorkflowExecutionCommandAttributes())
        ],
        "completes without attributes": [_command("COMPLETE_WORKFLOW_EXECUTION")],
        "unspecified command": [Command()],
        "good before bad": [start_timer("good", 60), start_timer("", 1)],
        "bad after the end": [complete_workflow(), start_timer("", 1)],
        "continues with a negative timeout": [
            _command(
                "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
                ContinueAsNewWorkflowExecutionCommandAttributes(
                    workflow_type=WorkflowType(name="ByHand"), workflow_run_timeout=seconds(-1)
                ),
            )
        ],
        "continues with a long type": [
            _command(
                "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
                ContinueAsNewWorkflowExecutionCommandAttributes(
                    workflow_type=WorkflowType(name=LONG)
                ),
            )
        ],
    }


def _closing_commands() -> dict[str, list[Command]]:
    """Completions that close, some more than once."""
    failure = Failure(message="failed", source="interop")
    return {
        "completed twice": [complete_workflow("one"), complete_workflow("two")],
        "timer after the end": [complete_workflow("one"), start_timer("t", 60)],
        "failed then completed": [
            _command(
                "FAIL_WORKFLOW_EXECUTION", FailWorkflowExecutionCommandAttributes(failure=failure)
            ),
            complete_workflow("two"),
        ],
        "cancelled without a request": [
            _command(
                "CANCEL_WORKFLOW_EXECUTION",
                CancelWorkflowExecutionCommandAttributes(details=payloads("why")),
            )
        ],
        "timer started and cancelled": [
            start_timer("t", 60),
            _command("CANCEL_TIMER", CancelTimerCommandAttributes(timer_id="t")),
            complete_workflow(),
        ],
        "marker with everything": [
            _command(
                "RECORD_MARKER",
                RecordMarkerCommandAttributes(
                    marker_name="m",
                    details={"a": payloads(1), "b": Payloads()},
                    failure=failure,
                ),
            ),
            complete_workflow(),
        ],
    }


async def bad_commands(stage: Stage) -> None:
    """Each is refused, and its workflow task fails with a cause; nothing of it is recorded."""
    for label in _bad_commands(HandWorker(stage)):
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        task = await worker.poll()
        commands = _bad_commands(worker)[label]
        await stage.outcome(f"{label}, answer", worker.complete(task, *commands))
        await stage.history(label, execution)


async def closing_commands(stage: Stage) -> None:
    """The first closing command wins; what follows it is ignored."""
    for label, commands in _closing_commands().items():
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        answer = worker.complete(await worker.poll(), *commands)
        await stage.outcome(f"{label}, answer", answer)
        await stage.history(label, execution)


def _activities(worker: HandWorker) -> list[Command]:
    """Activities whose timeouts and policies the server completes or caps."""
    timeouts: list[dict[str, Any]] = [
        {"start_to_close_timeout": seconds(5)},
        {"start_to_close_timeout": seconds(500)},
        {"start_to_close_timeout": None, "schedule_to_close_timeout": seconds(5)},
        {"start_to_close_timeout": seconds(7), "schedule_to_close_timeout": seconds(5)},
        {"start_to_close_timeout": seconds(5), "schedule_to_close_timeout": seconds(500)},
        {"schedule_to_start_timeout": seconds(3), "start_to_close_timeout": seconds(5)},
        {"schedule_to_start_timeout": seconds(500), "start_to_close_timeout": seconds(5)},
        {
            "schedule_to_start_timeout": seconds(9),
            "schedule_to_close_timeout": seconds(5),
            "start_to_close_timeout": None,
        },
        {"heartbeat_timeout": seconds(2), "start_to_close_timeout": seconds(5)},
        {"heartbeat_timeout": seconds(9), "start_to_close_timeout": seconds(5)},
    ]
    policies = [
        RetryPolicy(),
        RetryPolicy(initial_interval=seconds(3)),
        RetryPolicy(backoff_coefficient=1.5, maximum_attempts=2),
        RetryPolicy(initial_interval=seconds(1), maximum_interval=seconds(2)),
        RetryPolicy(non_retryable_error_types=["A", "B"]),
    ]
    fields = timeouts + [{"retry_policy": policy} for policy in policies]
    return [worker.schedule_activity(str(n), **some) for n, some in enumerate(fields)]


async def activity_defaults(stage: Stage) -> None:
    """Timeouts under a run timeout of 100 s and without one, and retry policies."""
    worker = HandWorker(stage)
    for name, run_timeout in (("with a run timeout", seconds(100)), ("without", None)):
        execution = await worker.start(name, workflow_run_timeout=run_timeout)
        await worker.complete(await worker.poll(), *_activities(worker), complete_workflow())
        await stage.chain(name, execution)
