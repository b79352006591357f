"""`perdure completion`: what makes a shell complete commands, options and names."""

from __future__ import annotations

from enum import Enum

import typer

PROGRAM = "perdure"
VARIABLE = "_PERDURE_COMPLETE"
"""By which a shell asks the program itself what may come next."""


class Shell(Enum):
    """The shells that can be told."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


def completion(shell: Shell = typer.Argument(help="Which shell.", show_default=False)) -> None:
    """Print what a shell is to read at its start, such as `source <(perdure completion bash)`."""
    from typer import completion as typers

    # Typer's own option for it takes no shell: it looks for one among its parents.
    script = typers.get_completion_script(  # type: ignore[attr-defined]
        prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value
    )
    typer.echo(script)
