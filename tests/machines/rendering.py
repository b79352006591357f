"""Events, effects and replies as lines of a play: everything that is set is shown, in few words.

Hidden are only sizes in bytes (the laws check them) and what every play has the same (the workflow
id). Times count from the beginning of the play; ids that the machine made are #1, #2...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult

from perdure.server.machines.activity.options import options_message
from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.queue import routing
from perdure.server.machines.workflow import changes, inputs
from perdure.server.machines.workflow.effects import (
    CallNexus,
    Effect,
    InvokeCallback,
    LookAgain,
    OfferTask,
    SettleQuery,
    TaskKind,
    TellUpdate,
)
from perdure.server.machines.workflow.state import (
    Attempt,
    AttemptState,
    CallbackState,
    PendingVersioning,
    Status,
)
from perdure.server.machines.workflow.turn import Segment
from tests.machines import nexus
from tests.machines.world import BEGIN_NS, type_name

HIDDEN = frozenset(("history_size_bytes", "workflow_id"))
SHORT = {"workflow_task_completed_event_id": "completed", "identity": "by"}
_MADE_ID = re.compile(r"0{8}-0{4}-0{4}-0{4}-0*(\d+)")


def shown(text: str) -> str:
    """A line with the ids that the machine made shortened."""
    return _MADE_ID.sub(r"#\1", text)


def length(length_ns: int) -> str:
    """A duration."""
    return f"{length_ns / SECOND_NS:g}s"


def moment(time_ns: int) -> str:
    """A time, from the beginning of the play."""
    return f"+{length(time_ns - BEGIN_NS)}" if time_ns else "never"


def segment_lines(segment: Segment, now_ns: int) -> Iterator[str]:
    """What was done to one run, in order."""
    if segment.is_new:
        copied = segment.copied_event_id
        whence = f" with events 1..{copied} of {segment.copied_from}" if copied else ""
        yield f"run {segment.run.recorded.run_id}{whence}"
    steps = list(reversed(segment.steps))
    for batch in segment.batches:
        for event in History.FromString(batch.entries).events:
            while steps and steps[-1][0] <= event.event_id:
                yield from change_lines(steps.pop()[1])
            yield event_line(event, now_ns)
    while steps:
        yield from change_lines(steps.pop()[1])


def event_line(event: HistoryEvent, now_ns: int) -> str:
    """One event, on one line."""
    name = "".join(word.capitalize() for word in type_name(event).split("_"))
    parts = [f"{event.event_id} {name}" if event.event_id else name]
    time_ns = event.event_time.seconds * SECOND_NS + event.event_time.nanos
    if time_ns != now_ns:
        parts.append(f"@{moment(time_ns)}")
    attributes = getattr(event, str(event.WhichOneof("attributes")))
    parts.extend(_fields(attributes))
    for extra in ("user_metadata", "links"):
        value = getattr(event, extra)
        if not isinstance(value, Message):
            parts += [f"{extra}={len(value)}"] if value else []
        elif value != type(value)():
            parts.append(f"{extra}={_value(value)}")
    return " ".join(parts)


def change_lines(change: changes.Change) -> Iterator[str]:
    """A change of what is pending, where a reader wants to see it."""
    match change:
        case changes.TaskScheduled(transient=task) if task is not None:
            yield (
                f"transient task {task.scheduled_event_id} attempt={task.attempt}"
                f" timeout={length(task.start_to_close_ns)}"
            )
        case changes.StickySet(queue="", timeout_ns=_):
            yield "not sticky"
        case changes.StickySet(queue=queue, timeout_ns=timeout_ns):
            yield f"sticky {queue} {length(timeout_ns)}"
        case changes.EventBuffered(event=content):
            event = HistoryEvent.FromString(content)
            yield "buffer " + event_line(event, 0)
        case changes.BufferedDropped():
            yield "drop the buffered event"
        case changes.AttemptChanged(scheduled_event_id=event_id, attempt=attempt):
            state = AttemptState(attempt.state).name.lower()
            yield (
                f"activity {event_id} attempt={attempt.attempt} {state}"
                f" since={moment(attempt.scheduled_time_ns)}{_control(attempt)}"
            )
        case changes.ProblemNoted(failures=failures, reported=reported):
            if reported:
                yield f"{failures} failures, reported: {' '.join(reported)}"
        case changes.CallbackChanged(callback=callback):
            yield (
                f"callback {callback.key} {CallbackState(callback.state).name.lower()}"
                + (f" due {moment(callback.due_ns)}" if callback.due_ns else "")
                + (f": {Failure.FromString(callback.failure).message}" if callback.failure else "")
            )
        case changes.NexusCallsChanged(scheduled_event_id=event_id, calls=calls):
            yield nexus.calls_line(event_id, calls, moment)
        case changes.UpdateRejected(update_id=update_id):
            yield f"update {update_id} is rejected"
        case changes.PausesNoted(types=types):
            yield f"paused types: {', '.join(types) or 'none'}"
        case changes.PauseSet(pause=pause):
            yield "goes on" if pause is None else f"paused by {pause.identity} for {pause.reason!r}"
        case changes.VersioningChanged(versioning=versioning):
            yield _versioning(versioning)
        case changes.ResetInto(run_id=run_id):
            yield f"reset into {run_id}"
        case changes.WakeArmed(wake_at_ns=wake_at_ns):
            yield f"wake {moment(wake_at_ns)}"
        case _:
            return


def _versioning(versioning: PendingVersioning) -> str:
    """What is pending of versions."""
    parts = []
    if versioning.is_in_transition:
        to = versioning.transition
        parts.append(f"to {'unversioned' if to is None else to.text}@{versioning.revision}")
    for name, target in (("told of", versioning.notified), ("declines", versioning.declined)):
        if target is not None:
            text = "unversioned" if target.version is None else target.version.text
            parts.append(f"{name} {text}@{target.revision}")
    return f"version: {', '.join(parts) or 'settled'}"


def _control(attempt: Attempt) -> str:
    """What an operator has done to an attempt."""
    parts = []
    if attempt.pause is not None:
        parts.append(f" paused by {attempt.pause.identity}")
    if attempt.options is not None:
        parts.append(f" options={_value(options_message(attempt.options))}")
    if attempt.is_reset:
        parts.append(" reset")
    if attempt.forgets_heartbeat:
        parts.append(" forgets heartbeat")
    return "".join(parts)


def effect_line(effect: Effect) -> str:
    """An effect."""
    if isinstance(effect, SendMessage):
        return f"send {type(effect.message).__name__} to {effect.workflow_id}"
    if isinstance(effect, DeleteRun):
        return f"delete run {effect.run_id}"
    if isinstance(effect, TellUpdate):
        return f"tell {_status(effect.status)}"
    if isinstance(effect, InvokeCallback):
        return f"invoke callback {effect.key} of {effect.run_id}, attempt {effect.attempt}"
    if isinstance(effect, CallNexus):
        return nexus.call_line(effect)
    if isinstance(effect, LookAgain):
        return f"look again {moment(effect.at_ns)}"
    if isinstance(effect, SettleQuery):
        return f"settle query {effect.query_id}: {_query_outcome(effect)}"
    what = str(effect.scheduled_event_id) if effect.scheduled_event_id else "workflow task"
    if not isinstance(effect, OfferTask):
        return f"withdraw {what}"
    kind = "" if effect.kind is TaskKind.WORKFLOW else "activity "
    line = f"offer {kind}{what} on {effect.queue} stamp={stamp(effect.stamp)}"
    if not effect.is_stored:
        line += " in memory"
    if effect.priority != 3:
        line += f" priority={effect.priority}"
    if effect.sticky_for:
        line += f" sticky_for={effect.sticky_for}"
    if (directive := routing.decode(effect.directive)) is not None:
        what = "pinned to" if directive.behavior == routing.PINNED else "upgraded from"
        line += f" {what} {'unversioned' if directive.version is None else directive.version.text}"
        line += " or ramping" if directive.uses_ramping else ""
    return line


def stamp(number: int) -> str:
    """A stamp; that of a speculative task begins with a time, and there may be more after it."""
    return str(number) if number < BEGIN_NS // 2 else f"@{number - BEGIN_NS}"


def _started(reply: inputs.WorkflowStarted) -> str:
    how = "started" if reply.is_new else "exists"
    return f"= {how} {reply.run_id} first={reply.first_execution_run_id}" + (
        "" if reply.status == Status.RUNNING else f" {Status(reply.status).name.lower()}"
    )


def _status(status: inputs.UpdateStatus) -> str:
    line = f"update {status.update_id} {status.stage.name.lower()}"
    if status.completed_event_id:
        line += f" by {status.completed_event_id}"
    if status.failure is not None:
        line += f": {Failure.FromString(status.failure).message}"
    if status.aborted is not None:
        line += f" aborted: {status.aborted}"
    return line


def _query_outcome(effect: SettleQuery) -> str:
    if effect.result is None:
        return effect.refusal or "ask directly"
    return " ".join(_fields(WorkflowQueryResult.FromString(effect.result)))


def reply_lines(reply: inputs.Reply, now_ns: int) -> Iterator[str]:
    """An answer."""
    match reply:
        case inputs.WorkflowStarted():
            yield _started(reply)
            if reply.eager_task is not None:
                yield from _task_lines(reply.eager_task, now_ns)
        case inputs.StartedWorkflowTask():
            yield from _task_lines(reply, now_ns)
        case inputs.StartedActivityTask():
            yield _activity_line(reply)
        case inputs.WorkflowTaskCompleted():
            reset = reply.reset_history_event_id
            yield "= completed" + (f" reset to {reset}" if reset else "")
            if reply.workflow_task is not None:
                yield from _task_lines(reply.workflow_task, now_ns)
            for task in reply.activity_tasks:
                yield _activity_line(task)
        case inputs.RefusedWorkflowTask():
            yield f"= refused{' (not found)' if reply.is_not_found else ''}: {reply.message}"
        case inputs.Heartbeat():
            told = {
                "shall cancel": reply.cancel_requested,
                "is paused": reply.activity_paused,
                "was reset": reply.activity_reset,
            }
            yield ", ".join(["= heartbeat", *(what for what, is_so in told.items() if is_so)])
        case inputs.UpdateStatus():
            yield f"= {_status(reply)} of {reply.run_id}"
        case inputs.NotCurrent():
            yield "= not the current run"
        case inputs.UpdatedWithStart():
            yield _started(reply.start)
            yield f"= {_status(reply.update)} of {reply.update.run_id}"
        case inputs.QueryWaits():
            yield f"= query {reply.query_id} waits"
        case inputs.AskDirectly():
            sticky = f" sticky={reply.sticky_queue}" if reply.sticky_queue else ""
            yield f"= ask {reply.run_id} on {reply.task_queue}{sticky}"
        case inputs.TransitionBegun():
            yield "= waits for its workflow to be on that version"
        case inputs.QueryRejected():
            yield f"= query rejected: {Status(reply.status).name.lower()}"
        case inputs.UpdatedActivityOptions():
            yield f"= options {_value(ActivityOptions.FromString(reply.options))}"
        case inputs.Done():
            yield "= done"


def _task_lines(task: inputs.StartedWorkflowTask, now_ns: int) -> Iterator[str]:
    yield (
        f"= task {task.token.scheduled_event_id}/{task.started_event_id} attempt={task.attempt}"
        f" stamp={stamp(task.token.stamp)} previous={task.previous_started_event_id}"
        f" events {task.history_from}..{task.history_to}"
    )
    for query_id, query in task.queries.items():
        yield f"  query {query_id}: {WorkflowQuery.FromString(query).query_type}"
    for serialised in task.messages:
        sent = ProtocolMessage.FromString(serialised)
        yield f"  message {sent.id} after {sent.event_id}"
    for event in History.FromString(task.unrecorded).events:
        yield f"  unrecorded {event_line(event, now_ns)}"


def _activity_line(task: inputs.StartedActivityTask) -> str:
    return (
        f"= activity task {task.token.scheduled_event_id} {task.activity_type}"
        f" attempt={task.attempt} stamp={task.token.stamp}"
    )


def _fields(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.name in HIDDEN:
            continue
        name = SHORT.get(field.name, field.name.removesuffix("_event_id"))
        yield f"{name}={_field(field, value)}"


def _field(field: FieldDescriptor, value: Any) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return "{" + " ".join(f"{key}={_scalar(value[key])}" for key in sorted(value)) + "}"
    if field.is_repeated:
        return "[" + ", ".join(_one(field, item) for item in value) + "]"
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is None:
        return _scalar(value)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", field.enum_type.name).upper() + "_"
    return str(field.enum_type.values_by_number[value].name).removeprefix(prefix)


def _scalar(value: Any) -> str:
    if isinstance(value, Message):
        return _value(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value if re.fullmatch(r"[^\s=\[\]{}]+", value) else repr(value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _value(message: Message) -> str:
    found: Any = message
    match message.DESCRIPTOR.name:
        case "Duration":
            return length(found.seconds * SECOND_NS + found.nanos)
        case "Timestamp":
            return moment(found.seconds * SECOND_NS + found.nanos)
        case "Payload":
            return str(found.data.decode())
        case "Payloads":
            return ",".join(payload.data.decode() for payload in found.payloads)
        case "WorkflowType" | "ActivityType":
            return str(found.name)
        case "TaskQueue":
            kind = {0: "(?)", 1: "", 2: f"(sticky of {found.normal_name})"}[found.kind]
            return f"{found.name}{kind}"
        case "Memo" | "SearchAttributes":
            inner = found.fields if message.DESCRIPTOR.name == "Memo" else found.indexed_fields
            return "{" + " ".join(f"{key}={_value(inner[key])}" for key in sorted(inner)) + "}"
        case _:
            return "{" + " ".join(_fields(message)) + "}"
