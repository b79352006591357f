"""What is compared of a program: plain values that are equal when two servers behaved alike.

Without a race, that is what `tests.interop.normaliser` makes of every answer, history and
description. A race is a region of a history, between two workflow tasks. What it holds may come in
any order and in any number of workflow tasks, so within a region

- events are a set, each under a name that does not count: "timer t4 fired";
- the workflow tasks that succeeded are left out; one that failed or timed out is not;
- an event's number, and every mention of one, becomes that name. After the region, events are in
  order again, and numbered from its end.

Only in programs with a race, what counts events is `<counted>`, and the ids of requests are `<id>`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from temporalio.api.enums.v1 import ContinueAsNewInitiator, EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.service import RPCError

from tests.differential.board import Region
from tests.differential.seen import Seen
from tests.differential.settled import RunView
from tests.interop.normaliser import Normaliser

COUNTED = frozenset({"history_length", "state_transition_count"})
"""Fields of a description that depend on how many workflow tasks a race took."""
MENTIONED = COUNTED | {"event_id", "initiated_id", "first_workflow_task_completed_id"}
"""In descriptions and answers, also the numbers of events."""
FOREIGN = frozenset(
    {
        "links",
        "parent_initiated_event_id",
        "external_initiated_event_id",
        "completion_event_batch_id",
        "first_workflow_task_completed_id",
        "accepted_request_sequencing_event_id",
    }
)
"""Fields that mention events of other histories, or one that depends on the order in a race."""
FAILURE_NUMBERS = frozenset({"scheduled_event_id", "started_event_id", "initiated_event_id"})
_TASKS = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    }
)
_BY_ITSELF = "CONTINUE_AS_NEW_INITIATOR_WORKFLOW"
_CLOSE_TIME = "close_time"
_PLACEHOLDER = re.compile(
    r"<(?:request|id)-\d+>|request-from-RespondWorkflowTaskCompleted|(?<=>):\d+:(?=0$)"
)
"""Ids in the order in which they were met, and what stands for one where a task came with the
answer to the one before; also the number in a request id that is made of one."""
WORKERS_FAULT = "the worker itself fails"
_WORKERS_FAULTS = (
    "Fatal error in workflow machines",
    "Invalid transition in state machine",
    # Of one that was abandoned and is heard of all the same.
    "Nexus operation which don't have the ABANDON cancellation type",
)
_NOBODY_WAITS = (
    "operation not found",
    "stale reference: state machine not found",
    "workflow execution already completed",
)
_ABORTED = (
    "workflow update was aborted by closing workflow",
    "workflow execution already completed",
)

Plain = dict[str, Any]


def canonical(seen: Seen, *, has_races: bool, has_heartbeats: bool) -> Plain:
    """Everything that was seen, comparable."""
    normaliser = Normaliser([*_tokens(seen), seen.nonce, seen.queue])
    plain: Plain = {"error": _error(seen)} if seen.error else {}
    for run, label in _labelled(seen.runs):
        # Runs get their placeholders here, in one order for both servers.
        normaliser.text(run.run_id, f"run of {label}")
    for run, label in _labelled(seen.runs):
        regions = list(seen.regions.get(run.run_id, {}).values())
        events = [_without_pause(normaliser.message(event)) for event in run.events]
        _forget_closer(events)
        if has_races:
            events = _relative(events, run.events, regions)
        plain[f"history of {label}"] = events
        description = _described(normaliser.message(run.description))
        _forget_why_nobody_waits(description)
        if events and _is_continued(run.events[0]):
            # Whether it began at once or after a pause.
            description = _blank(description, {"state_transition_count"}, "<counted>")
        plain[f"description of {label}"] = description if run.is_open else _closed(description)
    plain["answers"] = [
        {label: _answer(normaliser, answer)} for label, answer in _ordered(seen, has_races)
    ]
    _forget_aborted(plain["answers"])
    if has_races:
        plain = {
            key: _blank(value, COUNTED if key.startswith("history") else MENTIONED, "<counted>")
            for key, value in plain.items()
        }
        return dict(_without_placeholders(plain))
    if has_heartbeats:
        return dict(_blank(plain, {"state_transition_count", "total_heartbeat_count"}, "<counted>"))
    return plain


def _tokens(seen: Seen) -> Iterator[str]:
    """Of Nexus operations: what is in them is their maker's own affair."""
    for run in seen.runs:
        for event in run.events:
            if token := event.nexus_operation_started_event_attributes.operation_token:
                yield token
            for callback in event.workflow_execution_started_event_attributes.completion_callbacks:
                for name in ("nexus-operation-token", "temporal-callback-token"):
                    if token := callback.nexus.header[name]:
                        yield token


def _error(seen: Seen) -> str:
    """What kept the program from its end. A fault in the worker's own state machines keeps a
    workflow task failing on either server."""
    for run in seen.runs:
        failed = [each.workflow_task_failed_event_attributes for each in run.events]
        if any(fault in each.failure.message for each in failed for fault in _WORKERS_FAULTS):
            return f"{WORKERS_FAULT}: {run.workflow_id.rpartition('-')[0]}"
    return seen.error


def _forget_why_nobody_waits(description: Plain) -> None:
    """A completion of an operation that is over: see docs/compatibility.md."""
    for callback in description.get("callbacks", []):
        failure = callback.get("last_attempt_failure", {})
        if any(text in failure.get("message", "") for text in _NOBODY_WAITS):
            failure["message"] = "<either>"


def _forget_aborted(answers: list[Plain]) -> None:
    """An update that is sent again after its run has closed: what the real server answers depends
    on whether it still has the run in memory."""
    known: set[str] = set()
    for answer in answers:
        for label, told in answer.items():
            if ": update" not in label:
                continue
            if label in known and told.get("message") in _ABORTED:
                told["message"] = "<either>"
            known.add(label)


def _forget_closer(events: list[Plain]) -> None:
    """A task that brought an update has as its worker whoever closed it, or nobody when other news
    made it a normal one: which of the two is a matter of milliseconds."""
    for started, accepted in zip(events, events[2:], strict=False):
        if "workflow_execution_update_accepted_event_attributes" in accepted:
            attributes = started.get("workflow_task_started_event_attributes", {})
            attributes.pop("identity", None)
            attributes.pop("worker_version", None)


def _without_pause(event: Plain) -> Plain:
    """The real server leaves a second between the starts of two runs: the rest of it is measured,
    if the one before was short."""
    started = event.get("workflow_execution_started_event_attributes", {})
    if started.get("initiator") == _BY_ITSELF:
        started["first_workflow_task_backoff"] = "<measured>"
    elif started.get("cron_schedule"):
        # To a full second.
        started["first_workflow_task_backoff"] = "<measured>"
    return event


def _is_continued(event: HistoryEvent) -> bool:
    started = event.workflow_execution_started_event_attributes
    return started.initiator == ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW


def _closed(description: Plain) -> Plain:
    """Ours says of a closed run only that it is closed: see docs/compatibility.md."""
    return {key: value for key, value in description.items() if not key.startswith("pending_")}


def _labelled(runs: Iterable[RunView]) -> Iterable[tuple[RunView, str]]:
    counts: Counter[str] = Counter()
    for run in runs:
        name = run.workflow_id.rpartition("-")[0]
        counts[name] += 1
        yield run, f"{name} #{counts[name]}"


def _ordered(seen: Seen, has_races: bool) -> list[tuple[str, Message | RPCError]]:
    return sorted(seen.answers, key=lambda each: each[0]) if has_races else seen.answers


def _answer(normaliser: Normaliser, answer: Message | RPCError) -> Plain:
    if isinstance(answer, RPCError):
        return {
            "code": answer.status.name,
            "message": normaliser.text(answer.message),
            "details": normaliser.message(answer.grpc_status).get("details", []),
        }
    plain = _described(normaliser.message(answer))
    return _closed(plain) if _CLOSE_TIME in plain.get("workflow_execution_info", {}) else plain


def _described(plain: Plain) -> Plain:
    """With what is pending in the order of its ids: the real server keeps it in a hash table. The
    same with the task queues of a version."""
    for field, key in (
        ("pending_activities", "activity_id"),
        ("pending_children", "workflow_id"),
        ("pending_nexus_operations", "scheduled_event_id"),
    ):
        if field in plain:
            plain[field] = sorted(plain[field], key=lambda each: str(each.get(key)))
    for whole, field in (
        (plain, "version_task_queues"),
        (plain.get("worker_deployment_version_info", {}), "task_queue_infos"),
    ):
        if field in whole:
            whole[field] = sorted(whole[field], key=lambda each: str(each.get("type")))
    return plain


# Regions


@dataclass(frozen=True)
class _Names:
    """What events are called instead of by their numbers."""

    by_number: dict[int, str]
    """In regions and behind them."""

    def of(self, number: Any) -> Any:
        """The number itself, where it means the same on both servers."""
        try:
            return self.by_number.get(int(number), number)
        except (TypeError, ValueError):
            return number


def _relative(plain: list[Plain], events: list[HistoryEvent], regions: list[Region]) -> list[Any]:
    """The history with its regions as sets."""
    names: dict[int, str] = {}
    timers = {
        event.timer_started_event_attributes.timer_id: _summary(event)
        for event in events
        if event.HasField("timer_started_event_attributes")
    }
    parts: list[tuple[bool, list[int]]] = []
    number, base = 1, ""
    known_regions = [region for region in regions if region.first <= len(events)]
    for index, region in enumerate(sorted(known_regions, key=lambda each: each.first)):
        last = min(region.last or len(events), len(events))
        parts.append((False, list(range(number, region.first + 1))))
        parts.append((True, list(range(max(region.first + 1, number), last + 1))))
        _number(names, number, region.first + 1, base)
        number, base = last + 1, f"race {index + 1} + "
    parts.append((False, list(range(number, len(events) + 1))))
    _number(names, number, len(events) + 1, base)
    for is_race, numbers in parts:
        if is_race:
            for event_id in numbers:
                names[event_id] = _name(events[event_id - 1], names, timers)
    known = _Names(names)
    result: list[Any] = []
    for is_race, numbers in parts:
        part = [
            _renamed(plain[event_id - 1], known, timers)
            for event_id in numbers
            if not (is_race and events[event_id - 1].event_type in _TASKS)
        ]
        result.append({"race": sorted(part, key=_sort_key)} if is_race else part)
    return result


def _number(names: dict[int, str], first: int, end: int, base: str) -> None:
    if base:
        for number in range(first, end):
            names[number] = f"{base}{number - first + 1}"


def _sort_key(event: Plain) -> str:
    return _PLACEHOLDER.sub("<id>", json.dumps(event, sort_keys=True))


def _summary(event: HistoryEvent) -> str:
    return event.user_metadata.summary.data.decode() or "?"


def _name(event: HistoryEvent, names: dict[int, str], timers: dict[str, str]) -> str:
    """Says what happened to what, by a name of the program's."""
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
    if event.event_type in _TASKS:
        return "a workflow task"
    which = event.WhichOneof("attributes") or ""
    attributes = getattr(event, which, None)
    update_id = _update_of(attributes)
    if update_id:
        return f"{kind} {update_id}"
    for field in ("activity_id", "timer_id", "signal_name"):
        value = getattr(attributes, field, "")
        if value:
            return f"{kind} {timers.get(value, value)}"
    for field in ("workflow_id", "workflow_execution"):
        workflow = getattr(attributes, field, "")
        workflow_id = workflow if isinstance(workflow, str) else workflow.workflow_id
        if workflow_id:
            return f"{kind} {workflow_id.rpartition('-')[0]}"
    for field in ("scheduled_event_id", "initiated_event_id"):
        number = getattr(attributes, field, 0)
        if number:
            return f"{kind} of {names.get(number, number)}"
    return kind


def _update_of(attributes: Any) -> str:
    """The id of the update that an event is about."""
    if hasattr(attributes, "protocol_instance_id"):
        return str(attributes.protocol_instance_id)
    if hasattr(attributes, "meta"):
        return str(attributes.meta.update_id)
    return str(attributes.request.meta.update_id) if hasattr(attributes, "request") else ""


def _renamed(value: Any, names: _Names, timers: dict[str, str], field: str = "") -> Any:
    """The value with the numbers of its own history replaced."""
    if field in FOREIGN:
        return "<elsewhere>"
    if field.endswith("failure"):
        # Its numbers may be those of a child's history.
        return _blank(value, FAILURE_NUMBERS, "<elsewhere>")
    if isinstance(value, dict):
        return {key: _renamed(inner, names, timers, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names, timers) for inner in value]
    if field == "timer_id":
        return timers.get(value, value)
    if field == "event_id" or field.endswith("_event_id"):
        return names.of(value)
    return value


def _blank(value: Any, fields: Iterable[str], by: str) -> Any:
    if isinstance(value, dict):
        return {
            key: by if key in fields else _blank(inner, fields, by) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_blank(inner, fields, by) for inner in value]
    return value


def _without_placeholders(value: Any) -> Any:
    if isinstance(value, dict):
        plain: Plain = {}
        items = [(_PLACEHOLDER.sub("<id>", key), inner) for key, inner in value.items()]
        if len({key for key, _ in items}) < len(items):
            items.sort(key=lambda item: (item[0], _sort_key({"": item[1]})))
        for key, inner in items:
            # Several ids are the keys of a map: each counts.
            while key in plain:
                key += "'"
            plain[key] = _without_placeholders(inner)
        return plain
    if isinstance(value, list):
        return [_without_placeholders(inner) for inner in value]
    return _PLACEHOLDER.sub("<id>", value) if isinstance(value, str) else value
