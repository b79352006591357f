"""Warns of what the check of sources finds in a worker's workflows, while they are being written.

It reads files, 5 to 20 ms for each: too long for each start of each worker, so it is for
`debug_mode`. The look at a class when it is decorated takes 0.2 ms, and is always taken.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pathlib import Path

from perdure.workflow._static_check import NondeterminismWarning


def warn_of_findings(workflows: Sequence[type]) -> None:
    """Warns of each finding, at its line."""
    from perdure._check.checker import check

    for finding in check(_files_of(workflows)):
        warnings.warn_explicit(
            f"{finding.rule.code} {finding.message}",
            NondeterminismWarning,
            str(finding.path),
            finding.line,
        )


def _files_of(workflows: Sequence[type]) -> list[Path]:
    files: dict[Path, None] = {}
    for one in workflows:
        try:
            name = inspect.getsourcefile(one)
        except TypeError:  # typed in, or made by code
            continue
        if name is not None and Path(name).is_file():
            files[Path(name)] = None
    return list(files)
