"""What makes `server/machines` pure: no clock, no dice, no waiting, no I/O, no logging.

The list of modules is of what is allowed, since a list of what is forbidden is never complete.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.imports import MACHINES, imported_names, is_within
from tests.tidy.source import Source

PURE_MODULES = frozenset(
    {
        "__future__",
        "abc",
        "base64",
        "binascii",
        "bisect",
        "calendar",
        "collections",
        "copy",
        "dataclasses",
        "datetime",  # calendar maths only: what reads the clock is in CLOCK_METHODS
        "decimal",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "struct",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
        "zlib",
        "zoneinfo",  # cron and schedules name time zones; the database of zones is fixed data
        "msgspec",
        MACHINES,
        "google.protobuf",
        "google.rpc",
        "temporalio.api",
    }
)

CLOCK_METHODS = {
    "now": {"datetime"},
    "utcnow": {"datetime"},
    "today": {"date", "datetime"},
    "GetCurrentTime": None,  # of a protobuf Timestamp, whatever the variable is called
}
"""Methods that read the clock, with the classes they are called on (None: any object)."""

IMPURE_BUILTINS = frozenset(
    {
        "__import__",
        "breakpoint",
        "eval",
        "exec",
        "hash",  # of a str or bytes: different in each process
        "id",  # an address: different in each process
        "input",
        "open",
        "print",
    }
)

WAITING = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)


def impurities(source: Source) -> Iterator[str]:
    """Everything in a module of the machines by which two runs of one decision could differ."""
    for line, name in imported_names(source):
        if not any(is_within(name, module) for module in PURE_MODULES):
            yield f"{source.path}:{line}: a machine must not import {name}"
    aliases = _aliases(source)
    for node in ast.walk(source.tree):
        if isinstance(node, WAITING):
            yield f"{source.path}:{node.lineno}: a machine must not wait (async or await)"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield f"{source.path}:{node.target.lineno}: a machine must not wait (async for)"
        elif isinstance(node, ast.Call) and (called := _impure_call(node.func, aliases)):
            yield f"{source.path}:{node.lineno}: a machine must not call {called}"


def _aliases(source: Source) -> dict[str, str]:
    """The local names of imported things, each with its name at home."""
    return {
        alias.asname: alias.name.rpartition(".")[2]
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }


def _impure_call(function: ast.expr, aliases: dict[str, str]) -> str | None:
    match function:
        case ast.Name(id=name) if name in IMPURE_BUILTINS:
            return f"{name}()"
        case ast.Attribute(attr=method, value=receiver) if method in CLOCK_METHODS:
            owners = CLOCK_METHODS[method]
            if owners is None or _home_name(receiver, aliases) in owners:
                return f"{ast.unparse(function)}(), which reads the clock"
    return None


def _home_name(receiver: ast.expr, aliases: dict[str, str]) -> str | None:
    match receiver:
        case ast.Name(id=name):
            return aliases.get(name, name)
        case ast.Attribute(attr=name):
            return name
    return None
