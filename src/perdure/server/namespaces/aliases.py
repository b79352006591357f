"""The custom search attributes of a namespace: its settings give each field that is in use the name
that users know it by.

A field says its type: `Keyword01`, `Int02`. Those that are removed stay in the stored settings
without a name, so that no other attribute ever gets their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from temporalio.api.namespace.v1 import NamespaceConfig

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.search_attributes import (
    PREDEFINED_ATTRIBUTES,
    RESERVED_PREFIX,
    SYSTEM_ATTRIBUTES,
    TYPE_NAMES,
    CustomAttribute,
    CustomAttributes,
)

ATTRIBUTES_MAX = 100
"""Of one type in a namespace. The real server has 10 for keywords and 3 for each other type."""
NAME_LENGTH_MAX = 1000
FIELD_DIGITS_MAX = 3
TYPES: dict[str, int] = {name: kind for kind, name in TYPE_NAMES.items()}


def custom_attributes(config: NamespaceConfig) -> CustomAttributes:
    """Those that have a name, by name."""
    return {
        name: CustomAttribute(field, TYPES[field.rstrip("0123456789")])
        for field, name in config.custom_search_attribute_aliases.items()
        if name
    }


def hide_removed(config: NamespaceConfig) -> None:
    """Leave only the fields that are in use, as clients see a namespace."""
    aliases = config.custom_search_attribute_aliases
    for field in [field for field, name in aliases.items() if not name]:
        del aliases[field]


def check_added(added: Mapping[str, int]) -> None:
    """Search attributes to add must have names that are free for users, and types. Raises
    InvalidArgument."""
    if not added:
        raise InvalidArgument("SearchAttributes are not set on request.")
    for name in sorted(added):
        if not name or len(name) > NAME_LENGTH_MAX:
            raise InvalidArgument("Search attribute name is empty or too long.")
        is_known = name in SYSTEM_ATTRIBUTES or name in PREDEFINED_ATTRIBUTES
        if is_known or name.startswith(RESERVED_PREFIX):
            raise InvalidArgument(f"Search attribute {name} is reserved by system.")
        if added[name] and added[name] not in TYPE_NAMES:
            raise InvalidArgument(f"Unknown search attribute type: {added[name]}.")


def add(config: NamespaceConfig, added: Mapping[str, int]) -> None:
    """Give each name a field of its type; one that has a field keeps it, whatever its type. Raises
    InvalidArgument."""
    known = custom_attributes(config)
    aliases = config.custom_search_attribute_aliases
    for name in sorted(added):
        if name in known:
            continue
        kind = TYPE_NAMES.get(added[name], "Unspecified")
        in_use = sum(TYPE_NAMES[one.type] == kind for one in known.values())
        attributes_max = ATTRIBUTES_MAX if added[name] else 0
        if in_use >= attributes_max:
            raise InvalidArgument(
                "Unable to create search attributes: cannot have more than"
                f" {attributes_max} search attribute of type {kind}."
            )
        aliases[_free_field(aliases, kind)] = name
        known = custom_attributes(config)


def _free_field(fields: Iterable[str], kind: str) -> str:
    """The first field of this type that was never in use."""
    numbers = [int(field[len(kind) :]) for field in fields if field.rstrip("0123456789") == kind]
    return f"{kind}{max(numbers, default=0) + 1:02d}"


def check_removed(removed: Iterable[str], known: CustomAttributes) -> None:
    """Only custom search attributes can be removed. Raises InvalidArgument."""
    if not removed:
        raise InvalidArgument("SearchAttributes are not set on request.")
    for name in removed:
        if name not in known and (name in SYSTEM_ATTRIBUTES or name in PREDEFINED_ATTRIBUTES):
            raise InvalidArgument(f"Unable to remove non-custom search attributes: {name}.")


def remove(config: NamespaceConfig, removed: Iterable[str]) -> None:
    """Take names away; what has none stays as it is."""
    known = custom_attributes(config)
    for name in removed:
        if name in known:
            config.custom_search_attribute_aliases[known[name].field] = ""


def rename(config: NamespaceConfig, aliases: Mapping[str, str]) -> None:
    """Name fields as an update of the namespace says; what is no field is passed over. An empty
    name takes it away. Raises InvalidArgument."""
    current = config.custom_search_attribute_aliases
    for field, name in sorted(aliases.items()):
        if not _is_field(field):
            continue
        if name == current.get(field):
            continue  # Clients send back what they have read.
        if name and current.get(field):
            raise InvalidArgument("Custom search attribute field name already allocated.")
        if name:
            check_added({name: TYPES[field.rstrip("0123456789")]})
            if name in custom_attributes(config):
                raise InvalidArgument(f"Search attribute {name} already exists.")
        if name or field in current:
            current[field] = name


def _is_field(text: str) -> bool:
    kind = text.rstrip("0123456789")
    number = text[len(kind) :]
    if kind not in TYPES or not 0 < len(number) <= FIELD_DIGITS_MAX:
        return False
    return number == f"{int(number):02d}" and int(number) > 0
