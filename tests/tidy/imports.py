"""Which module may import which: the layers of docs/architecture.md as a table.

A module belongs to the longest prefix in `LAYERS`. A new part of the server gets its own row; a
module of the server without one is an error, so that no layer is added without deciding its place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.source import Source

ROOTS = frozenset(
    {
        "perdure.server.app",
        "perdure._embedded",
        "perdure.cli",
        "perdure.testing.environment",
    }
)
"""Composition roots wire everything, so they import anything; nothing but a root imports a root,
except what `FACE` allows."""

SHARED = frozenset({"perdure.__version__", "perdure.transport"})
"""What the SDK and the server may both import."""

SDK = "perdure"
"""Whatever of the package has no longer prefix below is the SDK."""

MACHINES = "perdure.server.machines"
STORE = "perdure.server.store"
ENGINE = "perdure.server.engine"
MATCHING = "perdure.server.matching"
VISIBILITY = "perdure.server.visibility"
QUERY = "perdure.server.visibility.query"
NAMESPACES = "perdure.server.namespaces"
CLUSTER = "perdure.server.cluster"
HOUSEKEEPING = "perdure.server.housekeeping"
HTTP = "perdure.server.http"
HTTP_MESSAGES = "perdure.server.http.messages"
"""Plain values, for what answers requests of HTTP but no RPC."""
FRONTEND = "perdure.server.frontend"
TELEMETRY = "perdure.server.telemetry"
CONFIG = "perdure.server.config"

LAYERS: dict[str, frozenset[str]] = {
    MACHINES: frozenset(),
    CONFIG: frozenset({MACHINES}),
    TELEMETRY: frozenset({MACHINES, CONFIG}),
    QUERY: frozenset({MACHINES}),
    STORE: frozenset({MACHINES, QUERY, CONFIG, TELEMETRY}),
    MATCHING: frozenset({MACHINES, STORE, CONFIG, TELEMETRY}),
    VISIBILITY: frozenset({MACHINES, QUERY, STORE, CONFIG, TELEMETRY}),
    NAMESPACES: frozenset({MACHINES, STORE, CONFIG, TELEMETRY}),
    ENGINE: frozenset({MACHINES, STORE, MATCHING, CONFIG, TELEMETRY}),
    CLUSTER: frozenset({MACHINES, STORE, ENGINE, MATCHING, CONFIG, TELEMETRY}),
    HOUSEKEEPING: frozenset(
        {MACHINES, STORE, ENGINE, VISIBILITY, QUERY, NAMESPACES, CONFIG, TELEMETRY}
    ),
    FRONTEND: frozenset(
        {
            HOUSEKEEPING,
            MACHINES,
            STORE,
            ENGINE,
            MATCHING,
            VISIBILITY,
            QUERY,
            NAMESPACES,
            CLUSTER,
            CONFIG,
            TELEMETRY,
            HTTP_MESSAGES,
        }
    ),
    HTTP_MESSAGES: frozenset(),
    HTTP: frozenset({HTTP_MESSAGES, CONFIG, TELEMETRY}),
    "perdure.server": frozenset(),
    "perdure.ui": frozenset(),
    "perdure.transport": frozenset(),
    SDK: frozenset(),
}
"""What each layer imports of ours, besides itself; all but the machines import `SHARED` too."""

FACE = {"perdure": frozenset({"perdure._embedded"}), "perdure.testing": ROOTS}
"""The public faces that re-export a composition root, by exact module."""


def imported_names(source: Source) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of all that a file imports, wherever in it the import stands.

    `from a import b` gives `a.b`, since `b` may be a module; when it is not, the prefix decides.
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for alias in node.names:
                yield node.lineno, base if alias.name == "*" else f"{base}.{alias.name}"


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = source.package.split(".")
    base = parts[: len(parts) - (node.level - 1)]
    return ".".join([*base, node.module] if node.module else base)


def is_within(name: str, prefix: str) -> bool:
    """Whether a dotted name is the prefix itself or lies below it."""
    return name == prefix or name.startswith(prefix + ".")


def layer_of(name: str) -> str:
    """The longest known prefix of one of our modules: a layer, a root or a shared module."""
    known = [prefix for prefix in (*LAYERS, *ROOTS, *SHARED) if is_within(name, prefix)]
    return max(known, key=len)


def wrong_directions(source: Source) -> Iterator[str]:
    """Every import of ours that goes against the layers."""
    layer = layer_of(source.module)
    if layer in ROOTS:
        return
    if layer == "perdure.server" and source.module != "perdure.server":
        yield f"{source.path}: {source.module} has no row in LAYERS (tests/tidy/imports.py)"
    allowed = LAYERS[layer] | {layer} | FACE.get(source.module, frozenset())
    if layer != MACHINES:
        allowed |= SHARED
    for line, name in imported_names(source):
        if is_within(name, "perdure") and layer_of(name) not in allowed:
            yield f"{source.path}:{line}: {layer} must not import {name}"


def foreign_temporal(source: Source) -> Iterator[str]:
    """Every import of the `temporalio` distribution but its protobuf contract, `temporalio.api`."""
    for line, name in imported_names(source):
        if is_within(name, "temporalio") and not is_within(name, "temporalio.api"):
            yield f"{source.path}:{line}: only temporalio.api may be imported, not {name}"
