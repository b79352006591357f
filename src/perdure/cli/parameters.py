"""The options that commands share, and how their texts are read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_ADDRESS = "127.0.0.1:7233"
DEFAULT_NAMESPACE = "default"

_UNIT_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def duration(text: str | timedelta) -> timedelta:
    """`30s`, `5m`, `1h30m`, `250ms`, `2d` as a time. Raises BadParameter."""
    if isinstance(text, timedelta):
        return text
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is not a duration: write it like 30s, 5m, 1h30m, 250ms or 2d"
        )
    try:
        return timedelta(
            seconds=sum(float(n) * _UNIT_SECONDS[unit] for n, unit in _PART.findall(text))
        )
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is more than can be counted") from None


AddressOption = Annotated[str, typer.Option("--address")]
"""With `NamespaceOption`: what `connecting` makes the options of connections of."""
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
WorkflowIdArgument = Annotated[
    str | None, typer.Argument(metavar="WORKFLOW_ID", help="Which workflow.", show_default=False)
]
WorkflowIdOption = Annotated[
    str | None,
    typer.Option("--workflow-id", "-w", help="The same as the argument.", show_default=False),
]
RunIdOption = Annotated[
    str | None,
    typer.Option("--run-id", "-r", help="Which run of it; the latest, unless given."),
]
InputOption = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        metavar="JSON",
        help="An argument, as JSON (may be repeated, one for each argument).",
    ),
]
InputFileOption = Annotated[
    list[Path],
    typer.Option(
        "--input-file",
        metavar="FILE",
        help="An argument, as a file of JSON, - for the standard input (may be repeated; "
        "these come after those of --input).",
    ),
]
DurationOption = Annotated[timedelta | None, typer.Option(parser=duration, metavar="DURATION")]


def duration_option(help_text: str) -> Any:
    """An option that takes a duration."""
    return typer.Option(parser=duration, metavar="DURATION", help=help_text, show_default=False)


def the_workflow_id(argument: str | None, option: str | None) -> str:
    """The workflow's id, which may be given in either way. Raises UsageError's kin otherwise."""
    given = {text for text in (argument, option) if text}
    if len(given) != 1:
        problem = "is missing" if not given else "is given twice"
        raise typer.BadParameter(problem, param_hint="WORKFLOW_ID")
    return given.pop()


def inputs_from(texts: Sequence[str], files: Sequence[Path]) -> list[Any]:
    """The arguments that were given as JSON. Raises BadParameter."""
    values = [json_from(text, "--input") for text in texts]
    return values + [json_from(_content(file), f"--input-file {file}") for file in files]


def memo_from(pairs: Sequence[str], option: str = "--memo") -> dict[str, Any]:
    """What was given as KEY=JSON. Raises BadParameter."""
    memo: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{pair!r} is not KEY=JSON", param_hint=option)
        memo[key] = json_from(text, f"{option} {key}")
    return memo


def json_from(text: str, option: str) -> Any:
    """A value given as JSON. Raises BadParameter."""
    try:
        return json.loads(text)
    except ValueError as error:
        hint = "" if text[:1] in '[{"' else f" (a text needs its quotes: '{json.dumps(text)}')"
        raise typer.BadParameter(
            f"{_shortened(text)} is not JSON: {error}{hint}", param_hint=option
        ) from None


def _content(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(
            f"cannot be read: {reason}", param_hint=f"--input-file {file}"
        ) from None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
