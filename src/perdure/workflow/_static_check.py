"""A look at the code of a workflow class when it is decorated, for calls that would not replay.

It follows names and attributes in the bytecode of the class's own functions as far as they can be
resolved without running anything. It warns of what the run-time guard cannot see, too: what was
imported by name before (`from time import time`), and methods of built-in types (`datetime.now`).
A function that mentions `sandbox_unrestricted` knows what it does and is left alone, and so is a
line that suppresses a finding of the check of sources (`perdure check`), which sees more and takes
longer.
"""

from __future__ import annotations

import datetime as dt
import dis
import inspect
import linecache
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from perdure._replay.guard import ENTRY_POINTS

_NOW = "workflow.now()"

_METHODS: dict[tuple[Any, str], str] = {
    (dt.datetime, "now"): _NOW,
    (dt.datetime, "utcnow"): _NOW,
    (dt.datetime, "today"): _NOW,
    (dt.date, "today"): f"{_NOW}.date()",
}

_LOADS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_LOADS_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_UNKNOWN: Any = object()


class NondeterminismWarning(UserWarning):
    """Workflow code mentions what would come out differently on replay."""


def warn_of_nondeterminism(cls: type) -> None:
    """Warns of each such mention in the functions that the class defines."""
    for member in vars(cls).values():
        function = inspect.unwrap(getattr(member, "__func__", member))
        if isinstance(function, FunctionType):
            for line, mentioned, instead in mentions(function):
                # Imported here, since most classes have no such mention.
                from perdure._check.suppressing import is_suppressed

                if is_suppressed(linecache.getline(function.__code__.co_filename, line)):
                    continue
                warnings.warn_explicit(
                    f"the workflow {cls.__qualname__} uses {mentioned} in {function.__name__}(), "
                    f"which would come out differently on replay. Use {instead} instead",
                    NondeterminismWarning,
                    function.__code__.co_filename,
                    line,
                )


def mentions(function: FunctionType) -> Iterator[tuple[int, str, str]]:
    """Line, name, and what to use instead, of each mention in a function and those within it."""
    for code in _codes(function.__code__):
        if "sandbox_unrestricted" not in code.co_names:
            yield from _mentions_in(code, function.__globals__)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _mentions_in(code: CodeType, names: dict[str, Any]) -> Iterator[tuple[int, str, str]]:
    value = _UNKNOWN
    path = ""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        position = instruction.positions
        if position is not None and position.lineno is not None:
            line = position.lineno
        name = str(instruction.argval)
        if instruction.opname in _LOADS_GLOBAL:
            value, path = names.get(name, _UNKNOWN), name
            instead = _by_value(value)
        elif instruction.opname in _LOADS_ATTRIBUTE and value is not _UNKNOWN:
            instead = _METHODS.get(_key(value, name)) or _entry_point(value, name)
            path = f"{path}.{name}"
            value = _attribute(value, name)
        else:
            value, instead = _UNKNOWN, None
        if instead is not None:
            yield line, path, instead


def _key(owner: Any, name: str) -> tuple[Any, str]:
    return (owner, name) if isinstance(owner, type) else (None, name)


def _entry_point(owner: Any, name: str) -> str | None:
    return ENTRY_POINTS.get((owner, name)) if inspect.ismodule(owner) else None


def _attribute(owner: Any, name: str) -> Any:
    """Only of modules and classes: anything else might run code."""
    if inspect.ismodule(owner) or inspect.isclass(owner):
        return inspect.getattr_static(owner, name, _UNKNOWN)
    return _UNKNOWN


def _by_value(value: Any) -> str | None:
    """A function that was imported by its name."""
    if not callable(value):
        return None
    for (module, name), instead in ENTRY_POINTS.items():
        original: Callable[..., Any] = vars(module)[name]
        if value is original or (inspect.ismethod(value) and value == original):
            return instead
    return None
