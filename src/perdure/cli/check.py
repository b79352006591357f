"""`perdure check`: does workflow code do what would come out differently on replay?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.exits import MISUSED, REFUSED, fail
from perdure.cli.parameters import JsonOption
from perdure.cli.saying import say


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Files, or directories of them."),
    ],
    *,
    select: Annotated[
        str, typer.Option(metavar="CODES", help="Only these rules: PD101,PD5 (prefixes will do).")
    ] = "",
    ignore: Annotated[str, typer.Option(metavar="CODES", help="All but these rules.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Read the code of workflows, and of what they call in the project, without running it.

    Prints path:line:column: CODE message, as editors understand it. Ends with 0 when there is
    nothing to say, with 1 otherwise. What the rules mean: docs/determinism.md.
    """
    missing = [path for path in paths if not path.exists()]
    if missing:
        fail(f"there is no {missing[0]}", MISUSED)
    from perdure._check.checker import check as check_paths
    from perdure.cli.terminal import print_json

    wanted, unwanted = _codes(select), _codes(ignore)
    found = [
        finding
        for finding in check_paths(paths)
        if (not wanted or finding.rule.code.startswith(wanted))
        and not (unwanted and finding.rule.code.startswith(unwanted))
    ]
    for finding in found:
        shown = _shown(finding.path)
        if as_json:
            print_json(finding.as_json(shown))
        else:
            say(finding.text(shown))
    if found:
        if not as_json:
            _summarise([finding.rule.code for finding in found])
        raise typer.Exit(REFUSED)


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code.strip() for code in text.split(",") if code.strip())


def _shown(path: Path) -> str:
    """As somebody who is here would write it."""
    here = Path.cwd()
    absolute = path.resolve()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def _summarise(codes: Sequence[str]) -> None:
    findings = "1 finding" if len(codes) == 1 else f"{len(codes)} findings"
    say(f"{findings}; docs/determinism.md says what the rules mean", err=True)
