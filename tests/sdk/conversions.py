"""Types and values that converters are tried with."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID

import pydantic
from temporalio.api.common.v1 import WorkflowExecution

T = TypeVar("T")
Number = NewType("Number", int)


@dataclass
class Tree:
    number: int
    name: str = "x"
    child: Tree | None = None


@dataclass
class Other:
    x: int


@dataclass
class Box(Generic[T]):
    content: T
    more: list[T] = field(default_factory=list)


@dataclass
class Everything:
    when: datetime
    id: UUID
    trees: list[Tree]
    by_number: dict[int, Tree]
    choice: Literal["a", 2] = "a"
    maybe: int | None = None
    made: int = dataclasses.field(init=False, default=4)


class Point(NamedTuple):
    x: int
    label: str


class Grade(enum.IntEnum):
    LOW = 1


class Colour(enum.StrEnum):
    RED = "red"


class Shape(str, enum.Enum):  # noqa: UP042 -- the older way to write a StrEnum
    ROUND = "round"


class Options(TypedDict, total=False):
    size: int
    tree: Tree


class Model(pydantic.BaseModel):
    when: datetime
    n: int = 3


NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
SOME_ID = UUID(int=5)

VALUES: list[Any] = [
    None,
    b"bytes",
    bytearray(b"b"),
    1,
    1.5,
    True,
    "é \u2028",
    {"b": 1, "a": [2, None]},
    {1: 2},
    [1, (2,)],
    {3},
    frozenset([1]),
    deque([1]),
    range(3),
    [b"b"],
    Tree(1, child=Tree(2)),
    [Tree(1)],
    Everything(NOW, SOME_ID, [Tree(1)], {1: Tree(2)}),
    Point(1, "x"),
    Grade.LOW,
    Colour.RED,
    Shape.ROUND,
    {Grade.LOW: Colour.RED},
    SOME_ID,
    NOW,
    NOW.replace(tzinfo=None),
    Box(Tree(1)),
    WorkflowExecution(workflow_id="é", run_id="r"),
]
"""Both packages encode these as the same bytes."""

UNSERIALISABLE: list[Any] = [object(), Tree, NOW.date(), {SOME_ID: 1}, 1j]
"""Both packages refuse these."""

CONVERSIONS: list[tuple[Any, Any]] = [
    (int, 1),
    (int, 1.5),
    (int, "1"),
    (int, None),
    (float, 1),
    (float, "1"),
    (bool, True),
    (bool, 1),
    (str, "a"),
    (str, 1),
    (bytes, [120]),
    (type(None), None),
    (type(None), 1),
    (Any, [1]),
    (Number, 3),
    (Number, "x"),
    (list, [1]),
    (list, 1),
    (list[int], [1, 2]),
    (list[int], [1, "a"]),
    (tuple, [1, "a"]),
    (tuple[int, str], [1, "a"]),
    (tuple[int, ...], [1, 2]),
    (tuple[()], []),
    (set[int], [1]),
    (frozenset[int], [1]),
    (deque[int], [1]),
    (Sequence[Tree], [{"number": 1}]),
    (Iterable[int], [1]),
    (Collection[int], [1]),
    (dict, {"a": 1}),
    (dict, [1]),
    (dict[str, int], {"a": 1}),
    (dict[str, int], {"a": "x"}),
    (dict[int, str], {"1": "x"}),
    (dict[int, str], {"x": "x"}),
    (dict[float, int], {"1.5": 1}),
    (dict[bool, int], {"true": 1}),
    (dict[UUID, int], {str(SOME_ID): 1}),
    (dict[Colour, int], {"red": 1}),
    (dict[Grade, int], {"1": 1}),
    (dict[int | str, int], {"1": 1}),
    (dict[tuple[int, int], int], {"1": 1}),
    (dict[Literal["a"], int], {"a": 1}),
    (Mapping[str, Tree], {"a": {"number": 1}}),
    (Tree, {"number": 1}),
    (Tree, {"number": 1, "added later": 3}),
    (Tree, {"name": "x"}),
    (Tree, {"number": "no"}),
    (Tree, {"number": 1, "child": {"number": 2}}),
    (Tree, None),
    (Tree, [1]),
    (Tree | None, None),
    (Tree | None, {"number": 1}),
    (int | str, "a"),
    (str | int, 1),
    (Tree | str, "q"),
    (Tree | Other, {"x": 1}),
    (int | str, None),
    (int | None, "x"),
    (datetime | str, "2026-01-01T00:00:00"),
    (str | datetime, "2026-01-01T00:00:00"),
    (list[int] | list[str], ["a"]),
    (Options, {"size": 1, "tree": {"number": 1}}),
    (Options, {"size": "q"}),
    (Options, {"size": 1, "added later": 5}),
    (Options, {}),
    (Options, [1]),
    (Grade, 1),
    (Grade, 2),
    (Grade, "1"),
    (Shape, "round"),
    (Shape, "square"),
    (Colour, "red"),
    (Colour, 1),
    (Literal["a", 1], "a"),
    (Literal["a", 1], "b"),
    (UUID, str(SOME_ID)),
    (UUID, "no"),
    (datetime, "2026-01-01T00:00:00+00:00"),
    (datetime, "2026-01-01T00:00:00Z"),
    (datetime, "no"),
    (datetime, 1),
    (Model, {"when": "2026-01-01T00:00:00", "n": "4"}),
    (Model, {"n": 1}),
    (list[Model], [{"when": "2026-01-01T00:00:00"}]),
    (
        Everything,
        {
            "when": "2026-01-01T00:00:00",
            "id": str(SOME_ID),
            "trees": [{"number": 1}],
            "by_number": {"1": {"number": 1}},
            "choice": 2,
            "made": 5,
        },
    ),
    (complex, 1),
    (type, 1),
    (list[int | None], [None, 1]),
    (dict[str, Any], {"a": [1]}),
]
"""Both packages make the same of these, or both refuse them."""
