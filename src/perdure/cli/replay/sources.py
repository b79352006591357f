"""Where histories come from: files as several programs write them, and servers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History

from perdure.cli.calling import Target, connected
from perdure.client import Client, RPCError, WorkflowHistory

SUFFIXES = frozenset({".json", ".bin", ".pb", ".binpb"})
"""What is taken from a directory; a file that is named itself may be called anything."""

_STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED


class NoHistories(Exception):
    """There is nothing to replay."""


class Unreadable(Exception):
    """What should be a history is none."""


@dataclass(frozen=True)
class Found:
    """A history, or why there is none."""

    source: str
    history: WorkflowHistory | None
    workflow_id: str
    problem: str = ""


class Source(Protocol):
    """Histories, one after the other."""

    @property
    def total(self) -> int | None:
        """How many there will be, once that is known."""

    def histories(self) -> AsyncIterator[Found]:
        """Each of them, whether it can be read or not."""


def from_files(paths: Sequence[Path]) -> Source:
    """The histories in files. Raises NoHistories."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES)
            if not files:
                raise NoHistories(f"there are no histories in {path} (*.json, *.bin)")
            found += files
        elif path.exists():
            found.append(path)
        else:
            raise NoHistories(f"there is no file {path}")
    return _Files(found)


class _Files:
    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    @property
    def total(self) -> int | None:
        return len(self._paths)

    async def histories(self) -> AsyncIterator[Found]:
        for path in self._paths:
            try:
                history = history_of(path.read_bytes(), path.stem)
            except (Unreadable, OSError) as error:
                yield Found(str(path), None, path.stem, str(error))
            else:
                yield Found(str(path), history, history.workflow_id)


def history_of(content: bytes, name: str) -> WorkflowHistory:
    """The history in a file of that name. Raises Unreadable."""
    document = _json(content)
    if document is None:
        history = _binary(content)
    else:
        history = _from_json(name, document)
    if not history.events:
        raise Unreadable("it has no events")
    started = history.events[0]
    if started.event_type != _STARTED:
        raise Unreadable("it does not begin with WorkflowExecutionStarted")
    known_id = started.workflow_execution_started_event_attributes.workflow_id
    return WorkflowHistory(known_id or name, history.events)


def _json(content: bytes) -> Any:
    """The JSON document; None when it is no JSON."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    except ValueError:  # neither JSON nor UTF-8
        return None


def _from_json(name: str, document: Any) -> WorkflowHistory:
    if isinstance(document, dict) and isinstance(document.get("history"), dict):
        document = document["history"]  # as an API's response
    if isinstance(document, list):
        document = {"events": document}
    if not isinstance(document, dict) or not isinstance(document.get("events"), list):
        raise Unreadable("it is JSON, but no history: it has no events")
    try:
        return WorkflowHistory.from_json(name, document)
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        raise Unreadable(f"it is JSON, but no history: {error}") from None


def _binary(content: bytes) -> WorkflowHistory:
    try:
        return WorkflowHistory("", list(History.FromString(content).events))
    except DecodeError:
        raise Unreadable("it is neither JSON nor a binary history") from None


def from_query(target: Target, query: str, limit: int) -> Source:
    """The histories of the runs that a server finds."""
    return _Server(target, query, limit)


class _Server:
    def __init__(self, target: Target, query: str, limit: int) -> None:
        self._target = target
        self._query = query
        self._limit = limit
        self._total: int | None = None

    @property
    def total(self) -> int | None:
        return self._total

    async def histories(self) -> AsyncIterator[Found]:
        client = await connected(self._target)
        try:
            runs = [run async for run in client.list_workflows(self._query, limit=self._limit)]
            self._total = len(runs)
            if not runs:
                raise NoHistories(f"no run in namespace {self._target.namespace!r} matches")
            for run in runs:
                yield await _fetched(client, run.id, run.run_id)
        finally:
            await client.service_client.close()


async def _fetched(client: Client, workflow_id: str, run_id: str) -> Found:
    source = f"{workflow_id} (run {run_id})"
    try:
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
    except RPCError as error:  # deleted since it was listed, for example
        return Found(source, None, workflow_id, f"{error.message} ({error.status.name})")
    return Found(source, history, workflow_id)
