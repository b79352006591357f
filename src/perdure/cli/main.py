"""`perdure`: the command line's entry."""

from __future__ import annotations

import typer

from perdure import __version__
from perdure.cli.lazy import LazyGroup

app = typer.Typer(
    name="perdure",
    cls=LazyGroup,
    help="Durable execution: code that must finish.",
    no_args_is_help=True,
    # A traceback of ours is for a bug report: whole, plain, and without local variables.
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def version(
    *,
    show_version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Durable execution: code that must finish."""
    if show_version:
        typer.echo(f"perdure {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
