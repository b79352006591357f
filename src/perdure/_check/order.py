"""Which calls take the elements of an argument in order, and which do not care."""

from __future__ import annotations

import ast
from collections.abc import Iterator

INSENSITIVE = frozenset(
    {
        f"builtins.{name}"
        for name in ("sorted", "set", "frozenset", "any", "all", "sum", "min", "max", "len")
    }
    | {"collections.Counter"}
)
"""The same result in whatever order the elements come."""

_IN_ORDER = frozenset(
    {
        *(
            f"builtins.{name}"
            for name in ("list", "tuple", "enumerate", "iter", "zip", "map", "filter", "next")
        ),
        "collections.deque",
        "functools.reduce",
        "builtins.dict.fromkeys",
        "itertools.chain",
        "itertools.islice",
        "asyncio.gather",
    }
)

_METHODS_IN_ORDER = frozenset({"join", "extend"})


def ordered_arguments(name: str, node: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call whose order matters."""
    is_method = isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS_IN_ORDER
    if name in _IN_ORDER or is_method:
        yield from (one for one in node.args if not isinstance(one, ast.Starred))
