"""Asking before something that cannot be undone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from perdure.cli.exits import MISUSED, fail

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]


def confirm(question: str, *, yes: bool) -> None:
    """Go on if it is wanted; else end the command."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Say so with --yes", MISUSED)
    typer.confirm(question, abort=True, err=True)
