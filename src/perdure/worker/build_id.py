"""The build id of a worker that was not given one: a digest of the code that it runs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perdure import __version__


def default_build_id(definitions: Iterable[Any]) -> str:
    """The same for workers with the same workflows and activities in the same source files.

    What those files import is not looked at, so it tells builds apart only as far as that goes.
    """
    files = {_file_of(definition) for definition in definitions}
    digest = hashlib.md5(__version__.encode(), usedforsecurity=False)
    for file in sorted(file for file in files if file is not None):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _file_of(definition: Any) -> Path | None:
    target = definition if inspect.isclass(definition) else inspect.unwrap(definition)
    if not (inspect.isclass(target) or inspect.isroutine(target)):
        target = type(target)
    try:
        file = inspect.getsourcefile(target)
    except (TypeError, OSError):
        return None  # made in an interactive session, or by `python -c`
    path = Path(file) if file else None
    return path if path is not None and path.is_file() else None
