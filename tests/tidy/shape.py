"""How code is cut and described: sizes, docstrings, no printing, no broad excepts.

The exceptions are tables of what and why. An exception that nothing needs is itself a finding.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from tests.tidy.source import FunctionNode, Source, definitions, functions

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800

SIZE_EXCEPTIONS: dict[str, str] = {
    "src/perdure/client/client.py": "the methods of the mirrored SDK, with their overloads",
    "src/perdure/testing/environment.py:WorkflowEnvironment.start_local": (
        "the parameters of the mirrored SDK"
    ),
}
"""`path` of a file, or `path:Class.method` of a function, with the reason why it is longer."""

BROAD_EXCEPT_BOUNDARIES: dict[str, str] = {
    "src/perdure/_embedded.py": "the engine's thread: whoever opened it is told",
    "src/perdure/_replay/context.py": "the converters of the user's workflows",
    "src/perdure/contrib/opentelemetry/_metrics_exporter.py": "a meter provider, and `on_error`",
    "src/perdure/_replay/closing.py": "the user's workflow code, which is being ended",
    "src/perdure/_replay/handlers.py": "the user's workflow code: what it raises ends run or task",
    "src/perdure/_replay/loop.py": "the user's exception handler",
    "src/perdure/_replay/runner.py": "an activation: whatever is raised fails the workflow task",
    "src/perdure/_replay/updates.py": "the user's handlers: what they raise ends update or task",
    "src/perdure/contrib/opentelemetry/_calls.py": "whatever a span is around, told and raised",
    "src/perdure/worker/activity_worker.py": "the user's activities and converters",
    "src/perdure/worker/replayer.py": "the user's codecs and storage drivers",
    "src/perdure/worker/workflow_worker.py": "the user's codecs and storage drivers",
    "src/perdure/worker/heartbeats.py": "the user's payload codec",
    "src/perdure/worker/local_payloads.py": "the user's codec",
    "src/perdure/worker/loop_watch.py": "the network, and the user's payload codec",
    "src/perdure/worker/nexus_task.py": "the user's codec and converters",
    "src/perdure/worker/nexus_worker.py": "the user's handlers and converters",
    "src/perdure/worker/supplied_slots.py": "the user's slot supplier",
    "src/perdure/worker/worker.py": "the user's on_fatal_error",
    "src/perdure/server/app.py": "start-up: the store is let go of first",
    "src/perdure/server/engine/committer.py": "sealing: one bad write is lost alone",
    "src/perdure/server/engine/pipeline.py": "a decision that breaks half-way",
    "src/perdure/server/frontend/dispatch.py": "the RPC edge: it becomes a status",
    "src/perdure/server/http/listener.py": "the edge of HTTP: it becomes a status",
    "src/perdure/server/store/sqlite/readers.py": "a reader thread: whoever waits is told",
    "src/perdure/server/store/sqlite/writer.py": "the writer thread: whoever waits is told",
}
"""`path` of each file where exceptions of any kind are caught, with the boundary it guards."""

BROAD = frozenset({"Exception", "BaseException"})


def oversized(source: Source) -> Iterator[tuple[str, str]]:
    """Every file and function beyond its limit: its key in `SIZE_EXCEPTIONS`, and the finding."""
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX:
        yield source.path, f"{source.path}: {lines} lines (at most {FILE_LINES_MAX})"
    for name, node in functions(source.tree):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            finding = (
                f"{source.path}:{node.lineno}: {name}: {lines} lines (at most {FUNCTION_LINES_MAX})"
            )
            yield f"{source.path}:{name}", finding


def broad_excepts(source: Source) -> Iterator[tuple[str, str]]:
    """Every catch-all: its key in `BROAD_EXCEPT_BOUNDARIES`, and the finding."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = [] if node.type is None else _names(node.type)
            broad = node.type is None or not BROAD.isdisjoint(caught)
        else:
            broad = (
                isinstance(node, ast.Call)
                and "suppress" in _names(node.func)
                and any(not BROAD.isdisjoint(_names(argument)) for argument in node.args)
            )
            if not broad:
                continue
        if broad:
            line = getattr(node, "lineno", 0)
            yield source.path, f"{source.path}:{line}: catches everything outside a named boundary"


def _names(expression: ast.expr) -> list[str]:
    match expression:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return [name]
        case ast.Tuple(elts=elements):
            return [name for element in elements for name in _names(element)]
    return []


def not_excepted(
    keyed_findings: Iterator[tuple[str, str]], exceptions: Mapping[str, str]
) -> Iterator[str]:
    """The findings that no exception covers, and the exceptions that cover no finding."""
    unused = dict(exceptions)
    for key, finding in keyed_findings:
        if key not in exceptions:
            yield finding
        unused.pop(key, None)
    for key in unused:
        yield f"{key}: listed as an exception, but needs none"


def undescribed(source: Source) -> Iterator[str]:
    """Every module, and every public class and function, whose docstring has no first line.

    Private is what has a leading underscore somewhere in its qualified name. Functions inside
    functions, overloads and setters are described by what they belong to.
    """
    if not _described(source.tree):
        yield f"{source.path}:1: the module has no docstring"
    if any(part.startswith("_") for part in source.module.split(".")):
        return
    nested_in = {name for name, node in functions(source.tree)}
    for name, node in definitions(source.tree):
        private = any(part.startswith("_") for part in name.split("."))
        nested = name.rpartition(".")[0] in nested_in or _local(name, nested_in)
        if not (private or nested or _described(node) or _described_elsewhere(node)):
            yield f"{source.path}:{node.lineno}: {name} has no docstring"


def _local(name: str, function_names: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in function_names for length in range(1, len(parts)))


def _described(node: ast.Module | ast.ClassDef | FunctionNode) -> bool:
    docstring = ast.get_docstring(node, clean=False)
    return docstring is not None and docstring.split("\n", 1)[0].strip() != ""


def _described_elsewhere(node: ast.ClassDef | FunctionNode) -> bool:
    names = {name for decorator in node.decorator_list for name in _names(decorator)}
    return not names.isdisjoint({"overload", "override", "setter", "deleter"})


def prints(source: Source) -> Iterator[str]:
    """Every call of print(); only the command line talks to a terminal."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield f"{source.path}:{node.lineno}: print() outside perdure.cli"
