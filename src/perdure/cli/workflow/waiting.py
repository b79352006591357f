"""Waiting for a workflow's end, and telling how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer
from google.protobuf import json_format
from rich.text import Text
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.cli.calling import Target, call
from perdure.cli.exits import INTERRUPTED, REFUSED, fail
from perdure.cli.rendering.events import attributes_of
from perdure.cli.rendering.executions import status_text
from perdure.cli.rendering.failures import failure_lines
from perdure.cli.rendering.payloads import brief_all, json_value
from perdure.cli.saying import say
from perdure.cli.terminal import output, print_json, waiting
from perdure.client import Client, WorkflowHistoryEventFilterType

RESULT_LENGTH_MAX = 100_000
"""A result is what was asked for, so it is shown whole, unless it is absurdly long."""

_STATUS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "COMPLETED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "FAILED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "CANCELED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "TERMINATED",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "TIMED_OUT",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "CONTINUED_AS_NEW",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the last run of a workflow ended."""

    workflow_id: str
    run_id: str
    status: str
    results: list[Payload]
    failure: Failure | None
    reason: str


def print_started(workflow_id: str, run_id: str | None, *, as_json: bool) -> None:
    """Say what was started."""
    if as_json:
        print_json({"workflowId": workflow_id, "runId": run_id})
    else:
        text = Text.assemble("started ", (workflow_id, "bold"), (f"  run {run_id}", "dim"))
        output().print(text, soft_wrap=True)


def wait_for_outcome(target: Target, workflow_id: str, run_id: str | None) -> Outcome:
    """Wait until a workflow, with all runs that follow, has ended."""

    async def wait(client: Client) -> Outcome:
        return await _outcome(client, workflow_id, run_id or "")

    try:
        with waiting(f"waiting for {workflow_id}"):
            return call(target, wait)
    except KeyboardInterrupt:
        fail(
            "stopped waiting, the workflow goes on: "
            f"`perdure workflow result {workflow_id}` waits again",
            INTERRUPTED,
        )


def print_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Say how it ended. Ends the command with 1 unless the workflow completed."""
    if as_json:
        _print_json(outcome)
    else:
        _print_text(outcome)
    if outcome.status != "COMPLETED":
        raise typer.Exit(REFUSED)


async def _outcome(client: Client, workflow_id: str, run_id: str) -> Outcome:
    while True:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id or None)
        events = handle.fetch_history_events(
            wait_new_event=True,
            event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT,
        )
        closing = [event async for event in events][-1]
        attributes = attributes_of(closing)
        next_run_id = getattr(attributes, "new_execution_run_id", "")
        if not next_run_id:
            if not run_id:
                run_id = (await handle.describe()).run_id
            return _ended(workflow_id, run_id, closing, attributes)
        run_id = next_run_id


def _ended(workflow_id: str, run_id: str, closing: HistoryEvent, attributes: Any) -> Outcome:
    failed = closing.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
    completed = closing.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    return Outcome(
        workflow_id=workflow_id,
        run_id=run_id,
        status=_STATUS[closing.event_type],
        results=list(attributes.result.payloads) if completed else [],
        failure=attributes.failure if failed else None,
        reason=getattr(attributes, "reason", ""),
    )


def _print_json(outcome: Outcome) -> None:
    failure = outcome.failure
    print_json(
        {
            "workflowId": outcome.workflow_id,
            "runId": outcome.run_id,
            "status": outcome.status,
            "result": json_value(outcome.results[0]) if outcome.results else None,
            "failure": None if failure is None else json_format.MessageToDict(failure),
            "reason": outcome.reason or None,
        }
    )


def _print_text(outcome: Outcome) -> None:
    console = output()
    if outcome.status == "COMPLETED":
        console.print(brief_all(outcome.results, RESULT_LENGTH_MAX) or "null", soft_wrap=True)
        return
    told = failure_lines(outcome.failure) if outcome.failure is not None else [outcome.reason]
    first, *causes = told
    said = ": " if first else ""
    text = Text.assemble(
        f"perdure: workflow {outcome.workflow_id} ended as ",
        status_text(outcome.status),
        said,
        first,
    )
    say(text.plain, err=True)
    for cause in causes:
        say(f"  {cause}", err=True)
