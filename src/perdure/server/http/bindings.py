"""Which RPC a path means: the google.api.http options of the services' methods, as a tree of path
segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import msgspec
from google.api import annotations_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor


class Binding(msgspec.Struct, frozen=True):
    """One way to call an RPC. `parts` are the segments of its path: texts, or names of fields in
    braces."""

    method: MethodDescriptor
    verb: str
    parts: tuple[str, ...]
    has_body: bool

    @property
    def path(self) -> str:
        """The template."""
        return "/" + "/".join(self.parts)

    @property
    def fields(self) -> list[str]:
        """The fields that the path gives, with dots for fields of fields."""
        return [part[1:-1] for part in self.parts if part.startswith("{")]


class _Node:
    def __init__(self) -> None:
        self.texts: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.bindings: dict[str, Binding] = {}


class Routes:
    """All bindings of some services."""

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        self.bindings = [binding for service in services for binding in _of(service)]
        self._root = _Node()
        for binding in self.bindings:
            self._add(binding)

    def find(self, verb: str, path: str) -> tuple[Binding, list[str]] | set[str]:
        """The binding of a path, and the texts that stand for its fields; else the verbs that the
        path has (none: there is no such path). Raises UnicodeDecodeError."""
        verbs: set[str] = set()
        parts = path.removeprefix("/").split("/")
        for node, texts in _walk(
            self._root, [unquote(part, errors="strict") for part in parts], 0, []
        ):
            binding = node.bindings.get(verb)
            if binding is not None:
                return binding, texts
            verbs |= node.bindings.keys()
        return verbs

    def _add(self, binding: Binding) -> None:
        node = self._root
        for part in binding.parts:
            if part.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.texts.setdefault(part, _Node())
        # The first one in the order of the services counts, where two would be alike.
        node.bindings.setdefault(binding.verb, binding)


def _walk(
    node: _Node, parts: list[str], place: int, texts: list[str]
) -> Iterator[tuple[_Node, list[str]]]:
    """Nodes that a path leads to; a segment that is written out goes before a field."""
    if place == len(parts):
        yield node, texts
        return
    following = node.texts.get(parts[place])
    if following is not None:
        yield from _walk(following, parts, place + 1, texts)
    if node.any is not None:
        yield from _walk(node.any, parts, place + 1, [*texts, parts[place]])


def _of(service: ServiceDescriptor) -> Iterator[Binding]:
    for method in service.methods:
        options = method.GetOptions()
        if not options.HasExtension(annotations_pb2.http):
            continue
        rule = options.Extensions[annotations_pb2.http]
        for one in (rule, *rule.additional_bindings):
            verb = one.WhichOneof("pattern") or ""
            path: str = getattr(one, verb)
            parts = tuple(path.removeprefix("/").split("/"))
            yield Binding(method, verb.upper(), parts, bool(one.body))
