"""Search attributes: typed values by which workflows can be found."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, cast

from temporalio.api.enums.v1 import common_pb2

SearchAttributeValues: TypeAlias = list[str] | list[int] | list[float] | list[bool] | list[datetime]
SearchAttributes: TypeAlias = Mapping[str, SearchAttributeValues]
"""The untyped form, deprecated in the mirrored package: lists of values by name."""
SearchAttributeValue: TypeAlias = str | int | float | bool | datetime | Sequence[str]

SearchAttributeValueType = TypeVar(
    "SearchAttributeValueType", str, int, float, bool, datetime, Sequence[str]
)


class SearchAttributeIndexedValueType(IntEnum):
    """How the service indexes a search attribute."""

    TEXT = common_pb2.INDEXED_VALUE_TYPE_TEXT
    KEYWORD = common_pb2.INDEXED_VALUE_TYPE_KEYWORD
    INT = common_pb2.INDEXED_VALUE_TYPE_INT
    DOUBLE = common_pb2.INDEXED_VALUE_TYPE_DOUBLE
    BOOL = common_pb2.INDEXED_VALUE_TYPE_BOOL
    DATETIME = common_pb2.INDEXED_VALUE_TYPE_DATETIME
    KEYWORD_LIST = common_pb2.INDEXED_VALUE_TYPE_KEYWORD_LIST


_METADATA_NAMES = {
    SearchAttributeIndexedValueType.TEXT: "Text",
    SearchAttributeIndexedValueType.KEYWORD: "Keyword",
    SearchAttributeIndexedValueType.INT: "Int",
    SearchAttributeIndexedValueType.DOUBLE: "Double",
    SearchAttributeIndexedValueType.BOOL: "Bool",
    SearchAttributeIndexedValueType.DATETIME: "Datetime",
    SearchAttributeIndexedValueType.KEYWORD_LIST: "KeywordList",
}
"""How a payload's `type` metadata names the types."""


@dataclass(frozen=True)
class SearchAttributeKey(Generic[SearchAttributeValueType]):
    """The name of a search attribute and the type of its value. Made by one of the `for_`s."""

    name: str
    indexed_value_type: SearchAttributeIndexedValueType
    # Sequence[str] is a hint and no class, hence Any.
    value_type: Any
    origin_value_type: type
    """What a value is an instance of."""

    @property
    def metadata_type(self) -> str:
        """How a payload's `type` metadata names the type."""
        return _METADATA_NAMES[self.indexed_value_type]

    def value_set(
        self, value: SearchAttributeValueType
    ) -> SearchAttributeUpdate[SearchAttributeValueType]:
        """The change that gives the attribute a value."""
        return SearchAttributeUpdate(self, value)

    def value_unset(self) -> SearchAttributeUpdate[SearchAttributeValueType]:
        """The change that takes the attribute away."""
        return SearchAttributeUpdate(self, None)

    @staticmethod
    def for_text(name: str) -> SearchAttributeKey[str]:
        """A text, found by its words."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.TEXT, str, str)

    @staticmethod
    def for_keyword(name: str) -> SearchAttributeKey[str]:
        """A text, found as a whole."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD, str, str)

    @staticmethod
    def for_int(name: str) -> SearchAttributeKey[int]:
        """An integer."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.INT, int, int)

    @staticmethod
    def for_float(name: str) -> SearchAttributeKey[float]:
        """A floating-point number."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DOUBLE, float, float)

    @staticmethod
    def for_bool(name: str) -> SearchAttributeKey[bool]:
        """True or false."""
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.BOOL, bool, bool)

    @staticmethod
    def for_datetime(name: str) -> SearchAttributeKey[datetime]:
        """An instant; the datetime needs a time zone."""
        kind = SearchAttributeIndexedValueType.DATETIME
        return SearchAttributeKey(name, kind, datetime, datetime)

    @staticmethod
    def for_keyword_list(name: str) -> SearchAttributeKey[Sequence[str]]:
        """Several texts, each found as a whole."""
        kind = SearchAttributeIndexedValueType.KEYWORD_LIST
        # The origin of Sequence[str] is an abstract class, which mypy does not take for a type.
        return SearchAttributeKey(name, kind, Sequence[str], cast(type, Sequence))

    @staticmethod
    def from_metadata_type(name: str, metadata_type: str) -> SearchAttributeKey[Any] | None:
        """The key for a payload's `type` metadata; None for a type that is not known."""
        make = _KEYS_BY_METADATA_NAME.get(metadata_type)
        return None if make is None else make(name)


_KEYS_BY_METADATA_NAME: dict[str, Any] = {
    "Text": SearchAttributeKey.for_text,
    "Keyword": SearchAttributeKey.for_keyword,
    "Int": SearchAttributeKey.for_int,
    "Double": SearchAttributeKey.for_float,
    "Bool": SearchAttributeKey.for_bool,
    "Datetime": SearchAttributeKey.for_datetime,
    "KeywordList": SearchAttributeKey.for_keyword_list,
}


@dataclass(frozen=True)
class SearchAttributeUpdate(Generic[SearchAttributeValueType]):
    """A change of one search attribute: its new value, or None to take it away."""

    key: SearchAttributeKey[SearchAttributeValueType]
    value: SearchAttributeValueType | None


class SearchAttributePair(NamedTuple, Generic[SearchAttributeValueType]):
    """A search attribute and its value."""

    key: SearchAttributeKey[SearchAttributeValueType]
    value: SearchAttributeValueType


@dataclass(frozen=True)
class TypedSearchAttributes(Collection[SearchAttributePair[Any]]):
    """Search attributes with their values, sorted by name. Each name occurs once."""

    search_attributes: Sequence[SearchAttributePair[Any]] = field(default_factory=list)

    empty: ClassVar[TypedSearchAttributes]

    def __post_init__(self) -> None:
        pairs = sorted(self.search_attributes, key=lambda pair: pair.key.name)
        object.__setattr__(self, "search_attributes", pairs)
        for before, after in itertools.pairwise(pairs):
            if before.key.name == after.key.name:
                raise ValueError(f"Duplicate search attribute entries for name: {after.key.name}")

    def __len__(self) -> int:
        return len(self.search_attributes)

    def __iter__(self) -> Iterator[SearchAttributePair[Any]]:
        return iter(self.search_attributes)

    def __contains__(self, key: object) -> bool:
        """Whether the key, of this very type, has a value."""
        return any(pair.key == key for pair in self.search_attributes)

    def __getitem__(
        self, key: SearchAttributeKey[SearchAttributeValueType]
    ) -> SearchAttributeValueType:
        """The value of a key. Raises KeyError."""
        for pair in self.search_attributes:
            if pair.key == key:
                return cast(SearchAttributeValueType, pair.value)
        raise KeyError(key)

    def get(
        self, key: SearchAttributeKey[SearchAttributeValueType], default: Any | None = None
    ) -> Any:
        """The value of a key, or the default."""
        for pair in self.search_attributes:
            if pair.key == key:
                return pair.value
        return default

    def updated(self, *search_attributes: SearchAttributePair[Any]) -> TypedSearchAttributes:
        """A copy in which the given attributes replace those of the same name."""
        replaced = {pair.key.name for pair in search_attributes}
        kept = [pair for pair in self.search_attributes if pair.key.name not in replaced]
        return TypedSearchAttributes([*kept, *search_attributes])


TypedSearchAttributes.empty = TypedSearchAttributes()
