"""Commands that are imported and built when they are asked for: a server starts sooner."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer
from typer.core import TyperGroup

from perdure.cli.connecting import with_connections

PLACES: Final[Mapping[str, str]] = {
    "dev": "perdure.cli.dev:command",
    "replay": "perdure.cli.replay:replay",
    "check": "perdure.cli.check:check",
    "completion": "perdure.cli.completion:completion",
    "workflow": "perdure.cli.workflow:workflows",
    "worker": "perdure.cli.worker.group:workers",
    "schedule": "perdure.cli.schedule:schedules",
    "activity": "perdure.cli.activity:activities",
    "batch": "perdure.cli.batch:batches",
    "task-queue": "perdure.cli.task_queue:task_queues",
    "namespace": "perdure.cli.namespace:namespaces",
    "search-attribute": "perdure.cli.search_attribute:search_attributes",
    "nexus": "perdure.cli.nexus:nexus",
    "cluster": "perdure.cli.cluster:clusters",
    "config": "perdure.cli.config:configs",
    "server": "perdure.cli.dev:server",
}
"""By its name: where a command stands, or a group of them."""


class LazyGroup(TyperGroup):
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()  # type: ignore[assignment]  # nothing is ever put into it


class Commands(Mapping[str, Any]):
    """Each command by its name."""

    def __getitem__(self, name: str) -> Any:
        return _built(name)

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


@functools.cache
def _built(name: str) -> Any:
    """The command, built once: the options for connections are added to what its module has."""
    module, _, attribute = PLACES[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    # An application with a callback is built as a group, with nothing that is only of an entry.
    holder = typer.Typer(pretty_exceptions_enable=False)
    holder.callback()(_held)
    if isinstance(found, typer.Typer):
        holder.add_typer(found)
    else:
        holder.command(name)(found)
    with_connections(holder)
    return typer.main.get_command(holder).commands[name]  # type: ignore[attr-defined]


def _held() -> None:
    """What the holder of one command does itself: nothing."""
