"""Histories in JSON, as Temporal's own tools write and read them."""

from __future__ import annotations

import json

import pytest
import temporalio.client
from temporalio.api.history.v1 import History, HistoryEvent

from perdure.client import WorkflowHistory


def _history() -> WorkflowHistory:
    started = HistoryEvent(event_id=1, event_type=1)  # type: ignore[arg-type]
    attributes = started.workflow_execution_started_event_attributes
    attributes.original_execution_run_id = "run"
    attributes.workflow_type.name = "Type"
    attributes.workflow_run_timeout.FromSeconds(90)
    attributes.initiator = 1  # type: ignore[assignment]
    attributes.memo.fields["m"].data = b"\x00\xff"
    attributes.memo.fields["m"].metadata["encoding"] = b"binary/plain"
    timed_out = HistoryEvent(event_id=2, event_type=14)  # type: ignore[arg-type]
    failure = timed_out.activity_task_timed_out_event_attributes.failure
    failure.timeout_failure_info.timeout_type = 4  # type: ignore[assignment]
    failure.cause.message = "cause"
    return WorkflowHistory("w", [started, timed_out])


def test_a_history_comes_back_from_its_json() -> None:
    history = _history()
    assert WorkflowHistory.from_json("w", history.to_json()) == history
    assert WorkflowHistory.from_json("w", history.to_json_dict()) == history
    assert history.run_id == "run"


def test_shortened_names_of_enumerations_are_understood() -> None:
    text = (
        _history()
        .to_json()
        .replace("EVENT_TYPE_WORKFLOW_EXECUTION_STARTED", "WorkflowExecutionStarted")
        .replace("EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT", "ActivityTaskTimedOut")
        .replace("TIMEOUT_TYPE_HEARTBEAT", "Heartbeat")
        .replace("CONTINUE_AS_NEW_INITIATOR_WORKFLOW", "Workflow")
    )
    assert "EVENT_TYPE" not in text
    assert WorkflowHistory.from_json("w", text) == _history()


def test_fields_of_a_newer_service_are_passed_over() -> None:
    content = _history().to_json_dict()
    content["events"][0]["addedLater"] = {"x": 1}
    assert WorkflowHistory.from_json("w", content) == _history()


def test_a_history_without_a_start_has_no_run() -> None:
    with pytest.raises(RuntimeError, match="No events"):
        _ = WorkflowHistory("w", []).run_id
    with pytest.raises(RuntimeError, match="not workflow start"):
        _ = WorkflowHistory("w", _history().events[1:]).run_id


@pytest.mark.interop
def test_both_packages_write_and_read_the_same_json() -> None:
    ours = _history()
    theirs = temporalio.client.WorkflowHistory("w", ours.events)
    assert json.loads(ours.to_json()) == json.loads(theirs.to_json())
    read = temporalio.client.WorkflowHistory.from_json("w", ours.to_json())
    assert History(events=read.events) == History(events=ours.events)
    assert WorkflowHistory.from_json("w", theirs.to_json()) == ours
