"""Nexus operations of a play: commands, what handlers answer, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Link, Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure, NexusHandlerFailureInfo

from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    HandlerFailed,
    OperationFailed,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.nexus.state import Calls, CallState, CancelState

if TYPE_CHECKING:
    from tests.machines.play import Play

ENDPOINTS = {"endpoint": "endpoint-id"}
"""Those that there are."""
Options = dict[str, str]
Outcome = SyncSuccess | AsyncStarted | OperationFailed | HandlerFailed | Unreachable

_TIMEOUTS = {
    "close": "schedule_to_close_timeout",
    "start": "schedule_to_start_timeout",
    "work": "start_to_close_timeout",
}


def schedule(result: Command, words: list[str], options: Options) -> None:
    """`nexus [ENDPOINT] [input=TEXT] [close=5s] [start=5s] [work=5s] [NAME:VALUE as header]`."""
    result.command_type = CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION
    attributes = result.schedule_nexus_operation_command_attributes
    attributes.endpoint = words[0] if words else "endpoint"
    attributes.service = options.get("service", "service")
    attributes.operation = options.get("operation", "operation")
    if "input" in options:
        attributes.input.CopyFrom(_payload(options["input"]))
    if "header" in options:
        name, _, value = options["header"].partition(":")
        attributes.nexus_header[name] = value
    for name, field in _TIMEOUTS.items():
        if name in options:
            seconds = int(options[name].removesuffix("s"))
            getattr(attributes, field).CopyFrom(Duration(seconds=seconds))


def request_cancel(result: Command, words: list[str], options: Options) -> None:
    """`cancel_nexus EVENT`."""
    result.command_type = CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION
    attributes = result.request_cancel_nexus_operation_command_attributes
    attributes.scheduled_event_id = int(words[0])


def answer(play: Play, words: list[str], options: Options, commands: str) -> Iterator[str]:
    """`nexus_answer EVENT ATTEMPT [...]`: what became of a call to start it."""
    run_id = play.world.run.recorded.run_id
    return play.decide(
        inputs.NexusStartAnswered(run_id, int(words[0]), int(words[1]), outcome_of(options))
    )


def answer_cancel(play: Play, words: list[str], options: Options, commands: str) -> Iterator[str]:
    """`nexus_cancel_answer EVENT ATTEMPT [...]`: what became of a call to cancel it."""
    outcome = outcome_of(options) if options else CancelAccepted()
    assert isinstance(outcome, CancelAccepted | HandlerFailed | Unreachable)
    run_id = play.world.run.recorded.run_id
    return play.decide(inputs.NexusCancelAnswered(run_id, int(words[0]), int(words[1]), outcome))


def complete(play: Play, words: list[str], options: Options, commands: str) -> Iterator[str]:
    """`nexus_complete EVENT [...] [token=TOKEN] [links=N]`: its handler tells how it ended."""
    outcome = outcome_of(options)
    assert isinstance(outcome, SyncSuccess | OperationFailed)
    event_id = int(words[0])
    known = play.world.run.nexus_operations.get(event_id)
    request_id = "gone" if known is None else known.operation.request_id
    return play.decide(
        inputs.CompleteNexusOperation(
            event_id,
            options.get("request", request_id),
            outcome,
            options.get("token", ""),
            play.world.now_ns - int(options["began"]) * SECOND_NS if "began" in options else 0,
            links(options),
        )
    )


def outcome_of(options: Options) -> Outcome:
    """result=TEXT, started=TOKEN, failed=TEXT, canceled=TEXT, handler=TYPE, retry=TYPE, or
    unreachable=TEXT (then also `final=1`)."""
    if "started" in options:
        return AsyncStarted(options["started"], links(options))
    if "result" in options:
        return SyncSuccess(_payload(options["result"]).SerializeToString(), links(options))
    if "failed" in options or "canceled" in options:
        message = options.get("failed") or options["canceled"]
        failure = Failure(message=message).SerializeToString()
        return OperationFailed(failure, "canceled" in options, links(options))
    if "unreachable" in options:
        return Unreachable(options["unreachable"], is_retryable="final" not in options)
    error_type = options.get("handler") or options["retry"]
    failure = Failure(
        message="cannot", nexus_handler_failure_info=NexusHandlerFailureInfo(type=error_type)
    ).SerializeToString()
    return HandlerFailed(failure, error_type, "retry" in options)


def links(options: Options) -> tuple[bytes, ...]:
    """So many."""
    return (
        Link(workflow_event=Link.WorkflowEvent(workflow_id="other")).SerializeToString(),
    ) * int(options.get("links", 0))


def calls_line(event_id: int, calls: Calls, at: Callable[[int], str]) -> str:
    """What is pending of an operation; `at` says a time."""
    line = f"nexus {event_id} {CallState(calls.state).name.lower()} calls={calls.attempt}"
    if calls.due_ns:
        line += f" due {at(calls.due_ns)}"
    if calls.failure:
        line += f": {Failure.FromString(calls.failure).message}"
    cancellation = calls.cancellation
    if cancellation is not None:
        state = CancelState(cancellation.state).name.lower()
        line += f", cancel by {cancellation.requested_event_id} {state}"
        line += f" calls={cancellation.attempt}"
        if cancellation.due_ns:
            line += f" due {at(cancellation.due_ns)}"
    return line


def call_line(effect: CallNexus) -> str:
    """A call that is to be made."""
    what = "cancel" if effect.is_cancel else "start"
    line = f"call to {what} nexus {effect.scheduled_event_id}, attempt {effect.attempt}"
    line += f", in {effect.timeout_ns / SECOND_NS:g}s"
    if effect.operation_timeout_ns:
        line += f" of {effect.operation_timeout_ns / SECOND_NS:g}s"
    return line


def _payload(text: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())
