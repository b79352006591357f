"""Search attributes as the code changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from temporalio.api.command.v1 import Command, UpsertWorkflowSearchAttributesCommandAttributes
from temporalio.api.common.v1 import Payload
from temporalio.api.common.v1 import SearchAttributes as SearchAttributesMessage
from temporalio.api.enums.v1 import CommandType

from perdure._replay.commands.patch import CHANGE_VERSION_ATTRIBUTE
from perdure._replay.commands.simple import SimpleMachine
from perdure._replay.context import WorkflowContext
from perdure._replay.event_groups import EventGroup
from perdure._replay.flags import UPSERT_ON_PATCH
from perdure.common import (
    SearchAttributeIndexedValueType,
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributes,
    SearchAttributeUpdate,
    TypedSearchAttributes,
)
from perdure.converter import encode_search_attribute_values, encode_typed_search_attribute_value


def upsert_search_attributes(
    context: WorkflowContext,
    updates: SearchAttributes | Sequence[SearchAttributeUpdate[Any]],
    groups: Sequence[EventGroup] | None,
) -> None:
    """Changes the search attributes of the run, also as `info()` shows them."""
    context.check_not_read_only("add command")
    if isinstance(updates, Mapping):
        fields = {key: encode_search_attribute_values(values) for key, values in updates.items()}
    else:
        fields = {
            update.key.name: encode_typed_search_attribute_value(update.key, update.value)
            for update in updates
        }
    context.upserted_search_attributes.update(fields)
    machine = context.machine
    if CHANGE_VERSION_ATTRIBUTE in fields and (
        not machine.replaying or UPSERT_ON_PATCH in machine.flags.core
    ):
        fields = {}  # the list of patches is the SDK's own
    command = Command(
        command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes=(
            UpsertWorkflowSearchAttributesCommandAttributes(
                search_attributes=SearchAttributesMessage(indexed_fields=fields)
            )
        ),
    )
    context.mark(command, groups)
    SimpleMachine(machine, command)
    _show_in_info(context, updates)


def _show_in_info(
    context: WorkflowContext,
    updates: SearchAttributes | Sequence[SearchAttributeUpdate[Any]],
) -> None:
    untyped: dict[str, Any] = context.info.search_attributes  # type: ignore[assignment]
    typed = context.info.typed_search_attributes
    pairs = {pair.key.name: pair for pair in typed.search_attributes}
    if isinstance(updates, Mapping):
        untyped.update(updates)
        _show_untyped(pairs, updates)
        updates = ()
    for update in updates:
        name = update.key.name
        if update.value is None:
            pairs.pop(name, None)
            untyped[name] = []
            continue
        pairs[name] = SearchAttributePair(update.key, update.value)
        keyword_list = SearchAttributeIndexedValueType.KEYWORD_LIST
        is_list = update.key.indexed_value_type == keyword_list
        untyped[name] = list(update.value) if is_list else [update.value]
    # The info that the code holds must show the change, though it is frozen for everybody else.
    object.__setattr__(typed, "search_attributes", list(pairs.values()))


def _show_untyped(pairs: dict[str, SearchAttributePair[Any]], updates: SearchAttributes) -> None:
    """What has a type keeps it; that of others is guessed from their values."""
    for name, values in updates.items():
        known = pairs.pop(name, None)
        key = known.key if known is not None else _guessed_key(name, values)
        if not values or key is None:
            continue
        is_list = key.indexed_value_type == SearchAttributeIndexedValueType.KEYWORD_LIST
        pairs[name] = SearchAttributePair(key, list(values) if is_list else values[0])


def _guessed_key(name: str, values: Sequence[Any]) -> SearchAttributeKey[Any] | None:
    if not values:
        return None
    if len(values) > 1:
        return SearchAttributeKey.for_keyword_list(name) if isinstance(values[0], str) else None
    return next((make(name) for kind, make in _GUESSES if isinstance(values[0], kind)), None)


# A bool is an int too, so it comes first.
_GUESSES: tuple[tuple[type, Callable[[str], SearchAttributeKey[Any]]], ...] = (
    (str, SearchAttributeKey.for_keyword),
    (bool, SearchAttributeKey.for_bool),
    (int, SearchAttributeKey.for_int),
    (float, SearchAttributeKey.for_float),
    (datetime, SearchAttributeKey.for_datetime),
)


def encoded(attributes: SearchAttributes | TypedSearchAttributes) -> dict[str, Payload]:
    """The payloads of search attributes given for another workflow."""
    if isinstance(attributes, TypedSearchAttributes):
        return {
            pair.key.name: encode_typed_search_attribute_value(pair.key, pair.value)
            for pair in attributes
        }
    return {key: encode_search_attribute_values(values) for key, values in attributes.items()}
