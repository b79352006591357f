"""From what JSON gives (scalars, lists, dicts) to what a type hint asks for.

A hint is compiled once into a decoder, a function of the value, and kept; most values then cost a
few calls. A class may refer to itself, so the decoders of its fields are compiled when the first
value comes. What a decoder cannot make of a value is a TypeError (or whatever the class of the hint
raises), with the place in the value as a chain of causes.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any, ClassVar, NewType
from uuid import UUID

Decoder = Callable[[Any], Any]

DECODERS_MAX = 4096
"""A program has fewer hints than this, but it may write a new `list[int]` at every call."""

JSONTypeConverterUnhandled = NewType("JSONTypeConverterUnhandled", object)


class JSONTypeConverter(ABC):
    """Makes values of a type that the hints below do not cover."""

    Unhandled: ClassVar[JSONTypeConverterUnhandled] = JSONTypeConverterUnhandled(object())
    """What `to_typed_value` answers for a hint that is not its own."""

    @abstractmethod
    def to_typed_value(self, hint: Any, value: Any) -> Any | JSONTypeConverterUnhandled | None:
        """The value as the hint asks for it, or `Unhandled`."""


def value_to_type(
    hint: Any, value: Any, custom_converters: Sequence[JSONTypeConverter] = ()
) -> Any:
    """The value as the hint asks for it. Raises TypeError when it cannot be made.

    Custom converters are asked first, at every level of the value.
    """
    if custom_converters:
        return Decoders(custom_converters).decoder(hint)(value)
    return _DECODERS.decoder(hint)(value)


class Decoders:
    """Compiles hints, and keeps what it has compiled.

    Equal hints may differ: `int | str` equals `str | int`, but their members are tried in another
    order. So a hint is kept by its identity, along with the hint itself, lest its id be used again.
    """

    def __init__(self, custom_converters: Sequence[JSONTypeConverter] = ()) -> None:
        self._custom_converters = tuple(custom_converters)
        self._known: dict[int, tuple[Any, Decoder]] = {}

    def decoder(self, hint: Any) -> Decoder:
        """The function that makes of a value what the hint asks for."""
        known = self._known.get(id(hint))
        if known is not None:
            return known[1]
        decoder = self._compile(hint)
        if len(self._known) >= DECODERS_MAX:
            self._known.clear()
        self._known[id(hint)] = (hint, decoder)
        return decoder

    def _compile(self, hint: Any) -> Decoder:
        plain = _compile(hint, self)
        if not self._custom_converters:
            return plain

        def decode(value: Any) -> Any:
            for converter in self._custom_converters:
                converted = converter.to_typed_value(hint, value)
                if converted is not JSONTypeConverter.Unhandled:
                    return converted
            return plain(value)

        return decode


def _compile(hint: Any, decoders: Decoders) -> Decoder:
    scalar = _SCALARS.get(hint) if isinstance(hint, (type, types.NoneType)) else None
    if scalar is not None:
        return scalar
    if hint is Any or isinstance(hint, typing.TypeVar):
        return _as_it_is
    if isinstance(hint, NewType):
        return decoders.decoder(hint.__supertype__)
    origin = typing.get_origin(hint)
    if origin in _WRAPPERS:
        return decoders.decoder(typing.get_args(hint)[0])
    if origin is typing.Literal:
        return _literal(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(hint, decoders)
    kind = hint if origin is None else origin
    if isinstance(kind, type):
        for suits, build in _CLASSES:
            if suits(kind):
                return build(kind, hint, decoders)
    return _unserializable(hint)


_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What the code of a hint's class, which is the user's, may raise for a value it is not for."""


# --- scalars


def _as_it_is(value: Any) -> Any:
    return value


def _none(value: Any) -> None:
    if value is not None:
        raise TypeError(f"Expected None, got value of type {type(value)}")


def _integer(value: Any) -> int:
    if not isinstance(value, (int, float)):
        raise TypeError(f"Expected value to be int|float, was {type(value)}")
    return int(value)


def _float(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"Expected value to be int|float, was {type(value)}")
    return float(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"Expected value to be bool, was {type(value)}")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"Expected value to be str, was {type(value)}")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, list):
        raise TypeError(f"Expected value to be list of int, was {type(value)}")
    return bytes(value)


def _bytearray(value: Any) -> bytearray:
    return bytearray(_bytes(value))


def _datetime(value: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError(f"Expected ISO 8601 string, got {type(value)}")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise TypeError(f"Failed parsing datetime string: {value}") from error


def _uuid(value: Any) -> UUID:
    if not isinstance(value, str):
        raise TypeError(f"Expected value to be UUID string, was {type(value)}")
    return UUID(value)


_SCALARS: dict[Any, Decoder] = {
    None: _none,
    types.NoneType: _none,
    object: _as_it_is,
    int: _integer,
    float: _float,
    bool: _boolean,
    str: _string,
    bytes: _bytes,
    bytearray: _bytearray,
    datetime: _datetime,
    UUID: _uuid,
}

_WRAPPERS = frozenset({typing.Annotated, typing.Required, typing.NotRequired, typing.Final})
"""What only decorates the hint inside it."""


def _unserializable(hint: Any) -> Decoder:
    def decode(value: Any) -> Any:
        raise TypeError(f"Unserializable type during conversion: {hint}")

    return decode


# --- alternatives


def _literal(hint: Any) -> Decoder:
    allowed = typing.get_args(hint)

    def decode(value: Any) -> Any:
        if value not in allowed:
            raise TypeError(f"Value {value} not in literal values {allowed}")
        return value

    return decode


def _union(hint: Any, decoders: Decoders) -> Decoder:
    """Each member in order; the first that takes the value wins.

    Only a number goes to the member of its very type first, so that `int | float` does not cut off
    the fraction.
    """
    members = typing.get_args(hint)
    numbers = frozenset(members) & {int, float, bool}
    alternatives = [decoders.decoder(member) for member in members]

    def decode(value: Any) -> Any:
        if type(value) in numbers:
            return value
        for alternative in alternatives:
            try:
                return alternative(value)
            except _REFUSALS:
                continue
        raise TypeError(f"Failed converting to {hint} from {value}")

    return decode


# --- classes with named fields


def _model(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    """Pydantic's models validate for themselves; only their methods are known here."""
    validate: Decoder = getattr(kind, "model_validate", None) or kind.parse_obj  # type: ignore[attr-defined]
    return validate


def _dataclass(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    fields: dict[str, Decoder] | None = None

    def decode(value: Any) -> Any:
        nonlocal fields
        if not isinstance(value, dict):
            raise TypeError(f"Cannot convert to dataclass {kind}, value is {type(value)} not dict")
        if fields is None:
            hints = _field_hints(kind, hint)
            names = [field.name for field in dataclasses.fields(kind)]
            fields = {name: decoders.decoder(hints[name]) for name in names}
        arguments: dict[str, Any] = {}
        for name, decoder in fields.items():
            if name in value:  # what is left over was added by a newer version of the class
                try:
                    arguments[name] = decoder(value[name])
                except _REFUSALS as error:
                    raise TypeError(
                        f"Failed converting field {name} on dataclass {kind}"
                    ) from error
        return _instance(kind, arguments)

    return decode


def _instance(kind: Any, arguments: dict[str, Any]) -> Any:
    """An instance of a dataclass, including the fields that its constructor does not take."""
    later = {
        field.name: arguments.pop(field.name)
        for field in dataclasses.fields(kind)
        if not field.init and field.name in arguments
    }
    instance = kind(**arguments)
    for name, value in later.items():
        object.__setattr__(instance, name, value)
    return instance


def _field_hints(kind: type, hint: Any) -> dict[str, Any]:
    """The hints of a class's fields; in those of `Box[int]`, int stands for the parameter."""
    hints = typing.get_type_hints(kind, include_extras=True)
    parameters = getattr(kind, "__parameters__", ())
    substitutes = dict(zip(parameters, typing.get_args(hint), strict=False))
    return {name: _substituted(field_hint, substitutes) for name, field_hint in hints.items()}


def _substituted(hint: Any, substitutes: Mapping[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return substitutes.get(hint, Any)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or not substitutes or isinstance(hint, type):
        return hint
    return hint[tuple(substitutes.get(parameter, Any) for parameter in parameters)]


def _named_tuple(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    """A named tuple is a list in JSON."""
    names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    fields: list[Decoder] | None = None

    def decode(value: Any) -> Any:
        nonlocal fields
        if not isinstance(value, list):
            raise TypeError(f"Expected {kind}, value was {type(value)}")
        if fields is None:
            hints = _field_hints(kind, hint)
            fields = [decoders.decoder(hints.get(name, Any)) for name in names]
        if len(value) > len(fields):
            raise TypeError(f"Expected at most {len(fields)} items for {kind}, got {len(value)}")
        return kind(*_items(hint, fields[: len(value)], value))

    return decode


def _typed_dict(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    fields: dict[str, Decoder] | None = None

    def decode(value: Any) -> Any:
        nonlocal fields
        if not isinstance(value, dict):
            raise TypeError(f"Expected {kind}, value was {type(value)}")
        if fields is None:
            hints = _field_hints(kind, hint)
            fields = {name: decoders.decoder(hints[name]) for name in hints}
        return {
            key: _mapped(hint, key, fields.get(key, _as_it_is), item) for key, item in value.items()
        }

    return decode


# --- enumerations


def _enumeration(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    noun, base = ("an integer", int) if issubclass(kind, int) else ("a string", str)

    def decode(value: Any) -> Any:
        if not isinstance(value, base):
            raise TypeError(
                f"Cannot convert to enum {kind}, value not {noun}, value is {type(value)}"
            )
        return kind(value)

    return decode


# --- collections


def _mapping(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    arguments = typing.get_args(hint)
    key_decoder = _key(arguments[0], decoders) if len(arguments) == 2 else _as_it_is
    value_decoder = decoders.decoder(arguments[1]) if len(arguments) == 2 else _as_it_is
    ordered = issubclass(kind, collections.OrderedDict)

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"Expected {hint}, value was {type(value)}")
        decoded: dict[Any, Any] = collections.OrderedDict() if ordered else {}
        for key, item in value.items():
            try:
                decoded_key = key_decoder(key)
            except _REFUSALS as error:
                raise TypeError(
                    f"Failed converting key {key!r} to type {arguments[0]} in mapping {hint}"
                ) from error
            decoded[decoded_key] = _mapped(hint, key, value_decoder, item)
        return decoded

    return decode


def _mapped(hint: Any, key: Any, decoder: Decoder, item: Any) -> Any:
    try:
        return decoder(item)
    except _REFUSALS as error:
        raise TypeError(f"Failed converting value for key {key!r} in mapping {hint}") from error


def _key(hint: Any, decoders: Decoders) -> Decoder:
    """The decoder of a mapping's keys, which JSON writes as strings whatever they are."""
    if isinstance(hint, NewType):
        return _key(hint.__supertype__, decoders)
    members = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if str in members:
            return _string
        alternatives = [_key(member, decoders) for member in members]
        return lambda key: _first_of(alternatives, key, hint)
    if isinstance(hint, type) and issubclass(hint, enum.IntEnum):
        return lambda key: hint(int(key))
    return _KEYS.get(hint) or decoders.decoder(hint)


def _first_of(alternatives: Sequence[Decoder], key: Any, hint: Any) -> Any:
    for alternative in alternatives:
        try:
            return alternative(key)
        except _REFUSALS:
            continue
    raise TypeError(f"Failed converting to {hint} from {key}")


def _constant(names: Mapping[str, Any]) -> Decoder:
    def decode(key: Any) -> Any:
        if key not in names:
            raise TypeError(f"Expected one of {list(names)}, was {key!r}")
        return names[key]

    return decode


_KEYS: dict[Any, Decoder] = {
    int: int,
    float: float,
    bool: _constant({"true": True, "false": False}),
    types.NoneType: _constant({"null": None}),
    None: _string,  # `dict[None, ...]`; `typing.Dict` makes it NoneType
}


def _tuple(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    arguments = typing.get_args(hint)
    if not arguments or arguments[-1] is Ellipsis:
        return _many(tuple, hint, decoders)
    members = [decoders.decoder(argument) for argument in arguments]

    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"Expected {hint}, value was {type(value)}")
        if len(value) != len(members):
            raise TypeError(f"Expected {len(members)} items for {hint}, got {len(value)}")
        return tuple(_items(hint, members, value))

    return decode


def _collection(kind: type, hint: Any, decoders: Decoders) -> Decoder:
    for known in (list, set, frozenset, collections.deque):
        if issubclass(kind, known):
            return _many(known, hint, decoders)
    return _many(set if issubclass(kind, AbstractSet) else list, hint, decoders)


def _many(make: Any, hint: Any, decoders: Decoders) -> Decoder:
    """Any number of items, each decoded alike; `make` collects them."""
    arguments = typing.get_args(hint)
    decoder = decoders.decoder(arguments[0]) if arguments else _as_it_is

    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"Expected {hint}, value was {type(value)}")
        if decoder is _as_it_is:
            return value if make is list else make(value)
        return make(_items(hint, [decoder] * len(value), value))

    return decode


def _items(hint: Any, decoders: Sequence[Decoder], values: Sequence[Any]) -> list[Any]:
    decoded: list[Any] = []
    try:
        for decoder, value in zip(decoders, values, strict=True):
            decoded.append(decoder(value))
    except _REFUSALS as error:
        raise TypeError(f"Failed converting {hint} index {len(decoded)}") from error
    return decoded


_Build = Callable[[type, Any, Decoders], Decoder]

_CLASSES: tuple[tuple[Callable[[type], bool], _Build], ...] = (
    (lambda kind: issubclass(kind, dict) and hasattr(kind, "__total__"), _typed_dict),
    (lambda kind: hasattr(kind, "model_validate") or hasattr(kind, "parse_obj"), _model),
    (dataclasses.is_dataclass, _dataclass),
    (lambda kind: issubclass(kind, enum.Enum) and issubclass(kind, (int, str)), _enumeration),
    (lambda kind: issubclass(kind, tuple) and hasattr(kind, "_fields"), _named_tuple),
    (lambda kind: issubclass(kind, tuple), _tuple),
    (lambda kind: issubclass(kind, Mapping), _mapping),
    (lambda kind: issubclass(kind, Iterable) and not issubclass(kind, (str, bytes)), _collection),
)
"""Which classes are made how; the first row that suits wins."""

_DECODERS = Decoders()
"""A cache and nothing more: what a hint compiles to depends on the hint alone."""
