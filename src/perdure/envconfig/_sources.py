"""Certificates and whole files, given as a path or as what they contain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

DataSource: TypeAlias = Path | str | bytes
"""A file, or the content itself as a text or bytes."""


def source_from_dict(written: Mapping[str, Any] | None) -> DataSource | None:
    """What `source_to_dict` wrote."""
    if not written:
        return None
    if "data" in written:
        data: str | bytes = written["data"]
        return data
    return Path(written["path"]) if "path" in written else None


def source_to_dict(source: object) -> Mapping[str, str] | None:
    """The source as a dictionary with its path or its data; None for what is none."""
    match source:
        case Path():
            return {"path": str(source)}
        case str():
            return {"data": source}
        case bytes():
            return {"data": source.decode()}
        case _:
            return None


def read_source(source: object) -> bytes | None:
    """The content. Raises OSError, and TypeError for what is no source."""
    match source:
        case None:
            return None
        case Path():
            return source.read_bytes()
        case str():
            return source.encode()
        case bytes():
            return source
        case _:
            raise TypeError(
                "Source must be one of pathlib.Path, str, or bytes, but got "
                f"{type(source).__name__}"
            )


def path_or_data(source: object) -> Path | bytes:
    """Where a configuration is, or its content. Raises TypeError for what is neither."""
    match source:
        case Path() | bytes():
            return source
        case str():
            return source.encode()
        case _:
            raise TypeError(
                "config_source must be one of pathlib.Path, str, bytes, or None, but got "
                f"{type(source).__name__}"
            )
