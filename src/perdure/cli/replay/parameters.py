"""The options of `perdure replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LIMIT_DEFAULT = 1_000
"""Histories of a server, unless said otherwise: enough to tell, and over within a minute."""

FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILES]...",
        help="Histories as files, or directories of them: JSON as `temporal workflow show "
        "--output json`, `perdure workflow show --json` and the web page write it, or binary.",
        show_default=False,
    ),
]
WorkflowsOption = Annotated[
    list[str],
    typer.Option(
        "--workflows",
        "-W",
        metavar="MODULE[:ATTR]",
        help="Where the workflows are (may be repeated).",
        show_default=False,
    ),
]
FromServerOption = Annotated[
    str | None,
    typer.Option(
        "--from-server",
        metavar="QUERY",
        help="Replay the runs that a server finds by this query, such as "
        "\"ExecutionStatus = 'Running'\".",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int, typer.Option(min=1, help="How many runs to take from the server at most.")
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, help="How many processes; one for each core, unless given."
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:ATTR",
        help="More arguments for the Replayer, as a mapping: data_converter, interceptors...",
        show_default=False,
    ),
]
SkipUnknownOption = Annotated[
    bool, typer.Option(help="Pass over runs whose workflow the modules do not have.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Also list the histories that fit.")]
