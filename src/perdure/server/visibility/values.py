"""Search attributes as what a run is found by."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.common.v1 import SearchAttributes

from perdure.server.machines.search_attributes import (
    KEYWORD_LIST,
    PREDEFINED_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TEXT,
    CustomAttributes,
    Scalar,
    read_value,
)
from perdure.server.visibility.query.words import words_of


def values_of(
    attributes: SearchAttributes, custom: CustomAttributes
) -> Iterator[tuple[str, Scalar]]:
    """Each field and value of search attributes; what a list shows is found by it too."""
    # A map has another order in each process, and rows are to be the same in all.
    for name, payload in sorted(attributes.indexed_fields.items()):
        known = custom.get(name)
        kind = known.type if known is not None else _kind_of(name)
        if kind is None:
            continue  # It was removed from the namespace.
        field = known.field if known is not None else name
        try:
            value = read_value(payload, kind)
        except ValueError:
            continue  # It was removed, and added again with another type.
        if kind == KEYWORD_LIST:
            assert isinstance(value, list)
            yield from ((field, one) for one in dict.fromkeys(value))
        elif kind == TEXT:
            # A text without words is there all the same.
            yield from ((field, word) for word in words_of(str(value)) or ("",))
        else:
            assert not isinstance(value, list)
            yield field, value


def _kind_of(name: str) -> int | None:
    return PREDEFINED_ATTRIBUTES.get(name) or SYSTEM_ATTRIBUTES.get(name)
