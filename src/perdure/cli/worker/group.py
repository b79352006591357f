"""The commands of `perdure worker`, of which the first, `run`, need not be said."""

from __future__ import annotations

from typing import Any, Final

import typer
from typer.core import TyperGroup

from perdure.cli.worker.deployments import deployments
from perdure.cli.worker.looking import count, describe, list_all
from perdure.cli.worker.running import worker

_DEFAULT: Final = "run"
_HELP: Final = "--help"


class _RunsByDefault(TyperGroup):
    """What is no command is a module: `perdure worker greetings -t queue`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with the command that was meant."""
        if args and args[0] not in self.commands and args[0] != _HELP:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


workers = typer.Typer(
    name="worker",
    cls=_RunsByDefault,
    help="Run a worker (`perdure worker MODULE`), and look after all workers.",
    no_args_is_help=True,
)
workers.command(_DEFAULT)(worker)
workers.command("list")(list_all)
workers.command("count")(count)
workers.command("describe")(describe)
workers.add_typer(deployments)
