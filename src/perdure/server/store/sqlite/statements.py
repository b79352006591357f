"""The adapter's SQL, read once from the files beside this one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent


@cache
def statements() -> dict[str, str]:
    """Each statement of `statements.sql` by its name."""
    text = (_FOLDER / "statements.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for section in text.split("-- name: ")[1:]:
        name, _, body = section.partition("\n")
        found[name.strip()] = body.strip().removesuffix(";")
    return found


@cache
def migrations() -> list[tuple[int, str]]:
    """The schema's versions in order: (version, script); the version is in the file's name."""
    folder = _FOLDER / "migrations"
    scripts = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [
        (int(name.partition("_")[0]), (folder / name).read_text(encoding="utf-8"))
        for name in scripts
    ]
