"""Updates that are refused: wrong requests, wrong messages of workers, and too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import (
    Acceptance,
    Input,
    Meta,
    Outcome,
    Rejection,
    Request,
    Response,
    UpdateRef,
    WaitPolicy,
)
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueResponse

from tests.interop.programs.updates_by_hand import idle
from tests.interop.raw import HandWorker, complete_workflow
from tests.interop.stage import Stage, payloads
from tests.interop.updates_raw import (
    ACCEPTED,
    ADMITTED,
    accept,
    admitted,
    answer,
    commands_of,
    poll_update,
    reject,
    request_of,
    respond,
    update,
)

FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
LONG = "x" * 1001
NO_RUN = "11111111-1111-1111-1111-111111111111"
FIELDS: dict[str, dict[str, Any]] = {
    "no namespace": {"namespace": ""},
    "unknown namespace": {"namespace": "nowhere"},
    "no execution": {"workflow_execution": None},
    "no workflow id": {"workflow_execution": WorkflowExecution()},
    "unknown workflow": {"workflow_execution": WorkflowExecution(workflow_id="unknown")},
    "no request": {"request": None},
    "no meta": {"request": Request(input=Input(name="change"))},
    "no input": {"request": Request(meta=Meta(update_id="u"))},
    "no name": {"request": Request(meta=Meta(update_id="u"), input=Input())},
    "long id": {"request": Request(meta=Meta(update_id=LONG), input=Input(name="n"))},
    "admitted": {"wait_policy": WaitPolicy(lifecycle_stage=ADMITTED)},
    "other first run": {"first_execution_run_id": NO_RUN},
    "long first run": {"first_execution_run_id": LONG},
}
Said = Callable[[PollWorkflowTaskQueueResponse], list[Message]]


async def refused_updates(stage: Stage) -> None:
    """Fields that are missing, too long or wrong."""
    execution = await idle(stage)
    for label, fields in FIELDS.items():
        await stage.outcome(label, update(stage, execution, "u", **fields))
    for label, run_id in (("bad run id", "zz"), ("unknown run", NO_RUN)):
        other = WorkflowExecution(workflow_id=execution.workflow_id, run_id=run_id)
        await stage.outcome(label, update(stage, other, "u"))
        await stage.outcome(f"{label}, polled", poll_update(stage, other, "u"))
    unnamed = UpdateRef(update_id="u")
    unknown = WorkflowExecution(workflow_id="unknown")
    for label, ref in (
        ("no reference", {"update_ref": None}),
        ("no namespace", {"namespace": ""}),
        ("no execution", {"update_ref": unnamed}),
        ("no id", {"update_ref": UpdateRef(workflow_execution=execution)}),
        ("unknown workflow", {"update_ref": UpdateRef(workflow_execution=unknown, update_id="u")}),
        ("unknown update", {}),
    ):
        await stage.outcome(f"poll: {label}", poll_update(stage, execution, "u", **ref))
    unlimited = Request(meta=Meta(update_id="long", identity=LONG), input=Input(name=LONG))
    sent = update(stage, execution, "long", request=unlimited)
    task = await HandWorker(stage).poll()
    stage.task("long names are no fault", task)
    await HandWorker(stage).complete(task, messages=[reject(task)])
    await sent
    await stage.history("history", execution)


async def too_many_updates(stage: Stage) -> None:
    """Ten may be in flight, accepted ones counted."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    accepted = update(stage, execution, "accepted", wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await accepted
    sent = []
    for index in range(9):
        sent.append(update(stage, execution, f"u{index}"))
        await admitted(stage, execution, f"u{index}")
    await stage.outcome("one too many", update(stage, execution, "more"))
    for task_of in sent:
        task_of.cancel()


async def bad_update_messages(stage: Stage) -> None:
    """Each fails the workflow task, or does not, as on the real server."""
    worker = HandWorker(stage, "no body")
    await worker.start("no body")
    empty = [Message(id="u/x", protocol_instance_id="u")]
    await stage.outcome("no body", worker.complete(await worker.poll(), messages=empty))
    for label, (messages, commands) in MESSAGES.items():
        worker = HandWorker(stage, label)
        execution = await worker.start(label)
        await worker.complete(await worker.poll())
        sent = update(stage, execution, "u")
        task = await worker.poll()
        said = messages(task)
        placed = commands_of(*said) if commands is None else commands
        await stage.outcome(label, worker.complete(task, *placed, messages=said))
        events = await stage.history(f"{label}, history", execution)
        if events[-1].event_type in (
            EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
            EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        ):
            await stage.outcome(f"{label}, update", sent)
        else:
            sent.cancel()


async def bad_messages_of_known_updates(stage: Stage) -> None:
    """An update that is over, or accepted, or lost and known to its worker only."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    sent = update(stage, execution, "done")
    task = await worker.poll()
    said = [accept(task), respond("done")]
    await worker.complete(task, *commands_of(*said), messages=said)
    await sent
    await worker.signal(execution, "s")
    again = worker.complete(await worker.poll(), *commands_of(said[1]), messages=said[1:])
    await stage.outcome("answered again", again)
    sent = update(stage, execution, "accepted")
    await admitted(stage, execution, "accepted")
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await worker.signal(execution, "s2")
    again = worker.complete(await worker.poll(), *commands_of(*said), messages=said)
    await stage.outcome("accepted again", again)
    task = await worker.poll()
    known = Request(meta=Meta(update_id="lost"), input=Input(name="change"))
    body = Acceptance(
        accepted_request_message_id="lost/request",
        accepted_request_sequencing_event_id=4,
        accepted_request=known,
    )
    lost = [answer("lost", "accept", body)]
    await stage.outcome("lost", worker.complete(task, *commands_of(*lost), messages=lost))
    await stage.history("history", execution)
    first = update(stage, execution, "first")
    task = await worker.poll()
    nothing = commands_of(Message(id="nothing"))
    await stage.outcome("refused", worker.complete(task, *nothing))
    await stage.outcome("first, of the refused task", first)


def _nobody(task: PollWorkflowTaskQueueResponse) -> list[Message]:
    return []


def _unknown(task: PollWorkflowTaskQueueResponse) -> list[Message]:
    return [answer("nope", "accept", Acceptance(accepted_request_sequencing_event_id=5))]


def _body(type_name: str, value: bytes) -> Said:
    body = AnyMessage(type_url=f"type.googleapis.com/{type_name}", value=value)
    return lambda task: [Message(id="u/x", protocol_instance_id="u", body=body)]


_RESULT = Outcome(success=payloads(1))
_CLOSE = complete_workflow("x")
_UNSET = Command(command_type=CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE)
MESSAGES: dict[str, tuple[Said, Sequence[Command] | None]] = {
    "accept, no command": (lambda task: [accept(task)], ()),
    "accept and respond, no command": (lambda task: [accept(task), respond("u")], ()),
    "absent": (_nobody, commands_of(Message(id="zz"))),
    "no message id": (_nobody, commands_of(Message(id=""))),
    "no attributes": (_nobody, (_UNSET,)),
    "respond": (lambda task: [respond("u")], None),
    "respond, accept": (lambda task: [respond("u"), accept(task)], None),
    "accept twice": (lambda task: [accept(task), accept(task)], None),
    "unknown update": (_unknown, None),
    "meta": (lambda task: [answer("u", "x", Meta(update_id="u"))], None),
    "request": (lambda task: [answer("u", "x", request_of(task.messages[0]))], None),
    "other package": (_body("nope.Nope", b""), ()),
    "empty acceptance": (lambda task: [answer("u", "accept", Acceptance())], None),
    "no request": (lambda task: [accept(task, accepted_request=None)], None),
    "other message id": (lambda task: [accept(task, accepted_request_message_id="huh")], None),
    "other event": (lambda task: [accept(task, accepted_request_sequencing_event_id=77)], None),
    "no failure": (lambda task: [answer("u", "reject", Rejection())], ()),
    "reject twice": (lambda task: [reject(task), reject(task)], ()),
    "accept, reject": (lambda task: [accept(task), reject(task)], None),
    "no outcome": (
        lambda task: [accept(task), answer("u", "done", Response(meta=Meta(update_id="u")))],
        None,
    ),
    "no meta": (
        lambda task: [accept(task), answer("u", "done", Response(outcome=_RESULT))],
        None,
    ),
    "other meta": (
        lambda task: [
            accept(task),
            answer("u", "done", Response(meta=Meta(update_id="v"), outcome=_RESULT)),
        ],
        None,
    ),
    "too large": (
        lambda task: [accept(task), respond("u", Outcome(success=payloads("x" * 2_100_000)))],
        None,
    ),
    "accept, close": (lambda task: [accept(task)], (_CLOSE,)),
    "reject, close": (lambda task: [reject(task)], (_CLOSE,)),
}
"""What the worker says, and the commands that place it (None: one for each)."""
