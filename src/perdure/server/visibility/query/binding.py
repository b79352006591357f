"""From a syntax tree to a typed one: names become attributes, literals become values of their
types. What makes no sense is refused in the real server's words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from perdure.server.machines.search_attributes import (
    BOOL,
    DATETIME,
    DOUBLE,
    INT,
    KEYWORD,
    KEYWORD_LIST,
    NO_CUSTOM,
    PREDEFINED_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
    TEXT,
    TYPE_NAMES,
    CustomAttributes,
    Scalar,
    datetime_ns,
)
from perdure.server.visibility.query.lexer import QuerySyntaxError
from perdure.server.visibility.query.parser import parse
from perdure.server.visibility.query.syntax import (
    Boolean,
    Column,
    Comparing,
    Expression,
    Group,
    Junction,
    Listing,
    Negation,
    Null,
    Number,
    Ranging,
    Strange,
    Testing,
    Text,
)
from perdure.server.visibility.query.tree import (
    MANY,
    And,
    Attribute,
    Between,
    Compare,
    Comparison,
    Filter,
    HasAny,
    HasLike,
    IsMissing,
    Not,
    OneOf,
    Or,
    Order,
    Query,
    StartsWith,
)
from perdure.server.visibility.query.words import pattern_of, words_of

DIVISION = "TemporalNamespaceDivision"
"""Runs of a division are not shown unless a query speaks of it."""

SCHEDULE_ID = "ScheduleId"
"""What queries of schedules call the id."""

STATUSES: dict[str, int] = {
    "Unspecified": 0,
    "Running": 1,
    "Completed": 2,
    "Failed": 3,
    "Canceled": 4,
    "Terminated": 5,
    "ContinuedAsNew": 6,
    "TimedOut": 7,
    "Paused": 8,
}
"""Each status as queries name it."""


NO_NAMES: Mapping[str, str | Attribute] = MappingProxyType({})


class QueryError(Exception):
    """A query that makes no sense; the message says what is wrong."""


class CannotFilter(QueryError):
    """A query of schedules speaks of what only workflows have; the message names it."""


_UNSUPPORTED = "operation is not supported: "
_INVALID = "invalid expression: "

_EQUALITY = frozenset(("=", "!="))
_COMPARISONS = _EQUALITY | {"<", "<=", ">", ">="}
_PREFIXES = frozenset(("STARTS_WITH", "NOT STARTS_WITH"))
_MEMBERSHIP = frozenset(("IN", "NOT IN"))
_WORDS = frozenset(("CONTAINS", "NOT CONTAINS", "LIKE", "NOT LIKE"))
OPERATORS: dict[int, frozenset[str]] = {
    KEYWORD: _COMPARISONS | _PREFIXES | _MEMBERSHIP,
    TEXT: _EQUALITY | _WORDS,
    KEYWORD_LIST: _EQUALITY | _MEMBERSHIP,
    INT: _COMPARISONS | _MEMBERSHIP,
    DOUBLE: _COMPARISONS | _MEMBERSHIP,
    BOOL: _COMPARISONS | _MEMBERSHIP,
    DATETIME: _COMPARISONS | _MEMBERSHIP,
}
"""What each type may be compared by."""

RANGED = frozenset((KEYWORD, INT, DOUBLE, DATETIME))
"""Types that BETWEEN makes sense of."""


def understand(
    text: str,
    custom: CustomAttributes = NO_CUSTOM,
    *,
    is_count: bool = False,
    is_of_schedules: bool = False,
    names: Mapping[str, str | Attribute] = NO_NAMES,
) -> Query:
    """The typed tree of a query. Raises QueryError.

    Runs of a namespace division are left out unless the query speaks of it. Only a count makes
    groups; a list of them is a list of runs, as on the real server. `names`: what attributes are
    also called, of runs that are not workflows, and what only those have.
    """
    try:
        statement = parse(text)
    except QuerySyntaxError as error:
        raise QueryError(f"malformed SQL query: {error}") from error
    binder = _Binder(custom, names, is_of_schedules=is_of_schedules)
    condition = None if statement.condition is None else binder.filter(statement.condition)
    if len(statement.groups) > 1:
        raise QueryError(f"{_UNSUPPORTED}'GROUP BY' clause supports only a single field")
    group = binder.attribute(statement.groups[0]) if statement.groups else None
    if group is not None and group.type != KEYWORD:
        raise QueryError(
            f"{_UNSUPPORTED}'GROUP BY' clause is not supported for search attribute {group.name}"
        )
    if statement.has_limit:
        raise QueryError(f"{_UNSUPPORTED}'LIMIT' clause")
    order = tuple(Order(binder.attribute(part.column), part.descending) for part in statement.order)
    if order and is_count:
        raise QueryError(f"{_UNSUPPORTED}'ORDER BY' clause")
    for part in order:
        if part.attribute.type in MANY:
            raise QueryError(
                f"{_UNSUPPORTED}'ORDER BY' clause is not supported for search attribute"
                f" {part.attribute.name}"
            )
    if not binder.speaks_of_division:
        outside = IsMissing(system_attribute(DIVISION))
        condition = outside if condition is None else And((outside, condition))
    return Query(condition, order, group if is_count else None)


def system_attribute(name: str) -> Attribute:
    """One of the attributes that every run may have."""
    kind = SYSTEM_ATTRIBUTES.get(name) or PREDEFINED_ATTRIBUTES[name]
    return Attribute(name, kind, name)


class _Binder:
    def __init__(
        self,
        custom: CustomAttributes,
        names: Mapping[str, str | Attribute],
        *,
        is_of_schedules: bool,
    ) -> None:
        self._custom = custom
        self._names = names
        self._is_of_schedules = is_of_schedules
        self.speaks_of_division = False

    def attribute(self, expression: Expression) -> Attribute:
        """What a name names."""
        if not isinstance(expression, Column):
            raise QueryError(f"{_INVALID}must be a column name but was {_kind(expression)}")
        name = self._names.get(expression.name, expression.name)
        if isinstance(name, Attribute):
            return name
        if name == DIVISION:
            self.speaks_of_division = True
        if self._is_of_schedules and name == SCHEDULE_ID:
            return Attribute(name, KEYWORD, "WorkflowId")
        if self._is_of_schedules and name in SYSTEM_ATTRIBUTES:
            raise CannotFilter(name)
        if name in SYSTEM_ATTRIBUTES or name in PREDEFINED_ATTRIBUTES:
            return system_attribute(name)
        custom = self._custom.get(name)
        if custom is None:
            raise QueryError(f"invalid search attribute: {name}")
        return Attribute(name, custom.type, custom.field)

    def filter(self, expression: Expression) -> Filter:
        """A condition."""
        match expression:
            case Group(inner):
                return self.filter(inner)
            case Negation(inner):
                return Not(self.filter(inner))
            case Junction("or", parts):
                return Or(tuple(self.filter(part) for part in parts))
            case Junction(_, parts):
                return And(tuple(self.filter(part) for part in parts))
            case Comparing():
                return self._comparing(expression)
            case Listing():
                return self._listing(expression)
            case Ranging():
                return self._ranging(expression)
            case Testing(left, what):
                return self._testing(left, what)
            case Column():
                raise QueryError(f"{_INVALID}incomplete expression")
            case _:
                raise QueryError(f"{_UNSUPPORTED}expression of type {_kind(expression)}")

    def _comparing(self, expression: Comparing) -> Filter:
        attribute = self.attribute(expression.left)
        value = _value(attribute, expression.right)
        operator = expression.operator
        _check_operator(attribute, operator)
        if operator in _WORDS:
            found = _found_in_text(attribute, operator.removeprefix("NOT "), str(value))
            return Not(found) if operator.startswith("NOT ") else found
        if attribute.type in MANY:
            has_any = HasAny(attribute, _elements(attribute, value))
            return has_any if operator == "=" else Not(has_any)
        if operator in _PREFIXES:
            return StartsWith(attribute, str(value), operator != "STARTS_WITH")
        return Compare(attribute, Comparison(operator), value)

    def _listing(self, expression: Listing) -> Filter:
        attribute = self.attribute(expression.left)
        values = tuple(_value(attribute, item) for item in expression.items)
        _check_operator(attribute, "NOT IN" if expression.negated else "IN")
        if attribute.type in MANY:
            has_any = HasAny(attribute, values)
            return Not(has_any) if expression.negated else has_any
        return OneOf(attribute, values, expression.negated)

    def _ranging(self, expression: Ranging) -> Filter:
        attribute = self.attribute(expression.left)
        low = _value(attribute, expression.low)
        high = _value(attribute, expression.high)
        if attribute.type not in RANGED:
            raise QueryError(
                f"{_INVALID}cannot do range condition on search attribute"
                f" '{attribute.name}' of type {TYPE_NAMES[attribute.type]}"
            )
        return Between(attribute, low, high, expression.negated)

    def _testing(self, left: Expression, what: str) -> Filter:
        attribute = self.attribute(left)
        if what not in ("null", "not null"):
            raise QueryError(
                f"{_INVALID}'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'"
            )
        missing = IsMissing(attribute)
        return missing if what == "null" else Not(missing)


def _check_operator(attribute: Attribute, operator: str) -> None:
    if operator not in OPERATORS[attribute.type]:
        raise QueryError(
            f"{_UNSUPPORTED}operator '{operator}' not supported for"
            f" {TYPE_NAMES[attribute.type]} type search attribute '{attribute.name}'"
        )


def _found_in_text(attribute: Attribute, operator: str, value: str) -> Filter:
    """A text that has each of some words, or one that is like a pattern. The SQL stores of the real
    server have no such filters."""
    if operator == "CONTAINS":
        words = _elements(attribute, value)
        return And(tuple(HasAny(attribute, (word,)) for word in words))
    pattern = pattern_of(value)
    if pattern is None:
        raise QueryError(
            f"{_INVALID}pattern '{value}' for Text type search attribute {attribute.name} is not of"
            " one word: letters and digits, % for any, _ for one"
        )
    return HasLike(attribute, pattern)


def _elements(attribute: Attribute, value: Scalar) -> tuple[Scalar, ...]:
    """What an attribute that has many values is asked for: one of these."""
    if attribute.type == KEYWORD_LIST:
        return (value,)
    words = words_of(str(value))
    if not words:
        raise QueryError(
            f"{_INVALID}no tokens found filtering on Text type search attribute {attribute.name}"
        )
    return words


# ---- values


def _value(attribute: Attribute, expression: Expression) -> Scalar:
    """A literal as a value of the attribute's type."""
    literal = _literal(expression)
    special = _SPECIAL.get(attribute.name)
    if special is not None and not isinstance(literal, bool):
        return special(literal)
    read = _VALUES[attribute.type](literal)
    if read is None:
        raise QueryError(
            f"{_INVALID}invalid value type for search attribute {attribute.name}"
            f" of type {TYPE_NAMES[attribute.type]}: {_shown(literal)}"
        )
    return read


def _literal(expression: Expression) -> Scalar:
    match expression:
        case Text(value) | Boolean(value):
            return value
        case Number(text, is_whole):
            return _number(text, is_whole)
        case Column(name):
            raise QueryError(
                f"{_UNSUPPORTED}column name on the right side of comparison expression"
                f' (did you forget to quote "{name}"?)'
            )
        case Strange("value", text):
            raise QueryError(f'{_INVALID}unable to parse value "{text}"')
        case Strange("unary", text):
            raise QueryError(f"{_INVALID}unary operator not supported in {text}")
        case Strange("*sqlparser.FuncExpr"):
            raise QueryError(f"{_UNSUPPORTED}nested func")
        case _:
            raise QueryError(f"{_INVALID}unexpected value type {_kind(expression)}")


def _number(text: str, is_whole: bool) -> int | float:
    if is_whole:
        whole = int(text) if len(text) < 25 else None
        if whole is not None and -(2**63) <= whole < 2**63:
            return whole
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if math.isinf(number):
        raise QueryError(f'{_INVALID}unable to parse value "{text}"')
    return number


def _text_value(literal: Scalar) -> Scalar | None:
    return literal if isinstance(literal, str) else None


def _number_value(literal: Scalar) -> Scalar | None:
    return None if isinstance(literal, bool | str) else literal


def _bool_value(literal: Scalar) -> Scalar | None:
    return literal if isinstance(literal, bool) else None


def _datetime_value(literal: Scalar) -> Scalar | None:
    if isinstance(literal, str):
        time_ns = datetime_ns(literal)
        if time_ns is None:
            raise QueryError(f"{_INVALID}unable to parse datetime '{literal}'")
        return time_ns
    return literal if isinstance(literal, int) and not isinstance(literal, bool) else None


_VALUES: dict[int, Callable[[Scalar], Scalar | None]] = {
    KEYWORD: _text_value,
    TEXT: _text_value,
    KEYWORD_LIST: _text_value,
    INT: _number_value,
    DOUBLE: _number_value,
    BOOL: _bool_value,
    DATETIME: _datetime_value,
}


def _status(literal: Scalar) -> Scalar:
    """A status by its name or its number."""
    if isinstance(literal, str):
        if literal not in STATUSES:
            raise QueryError(f"{_INVALID}invalid ExecutionStatus value '{literal}'")
        return STATUSES[literal]
    if isinstance(literal, float):
        raise QueryError(
            f"{_INVALID}unexpected value type float64 for search attribute ExecutionStatus"
        )
    if literal not in STATUSES.values():
        raise QueryError(f"{_INVALID}invalid ExecutionStatus value {literal}")
    return literal


_UNITS_NS: dict[str, int] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d)", re.ASCII)


def _duration(literal: Scalar) -> Scalar:
    """Nanoseconds: as a number, as `1h30m`, or as `1:30:00`."""
    if isinstance(literal, float):
        raise QueryError(
            f"{_INVALID}unexpected value type float64 for search attribute ExecutionDuration"
        )
    if not isinstance(literal, str):
        return literal
    length_ns = _duration_ns(literal)
    if length_ns is None or not -(2**63) <= length_ns < 2**63:
        raise QueryError(
            f"{_INVALID}invalid duration value for search attribute ExecutionDuration: {literal}"
        )
    return length_ns


def _duration_ns(text: str) -> int | None:
    unsigned = text.removeprefix("-").removeprefix("+")
    sign = -1 if text.startswith("-") else 1
    if len(unsigned) > 64 or not unsigned:
        return None
    if unsigned.isascii() and unsigned.isdigit():
        return sign * int(unsigned)
    clock = _CLOCK.fullmatch(unsigned)
    if clock is not None:
        hours, minutes, seconds = map(int, clock.groups())
        return sign * (hours * 3600 + minutes * 60 + seconds) * _UNITS_NS["s"]
    parts = _DURATION_PART.findall(unsigned)
    if "".join(number + unit for number, unit in parts) != unsigned:
        return None
    return sign * round(sum(float(number) * _UNITS_NS[unit] for number, unit in parts))


_SPECIAL: dict[str, Callable[[Scalar], Scalar]] = {
    "ExecutionStatus": _status,
    "ExecutionDuration": _duration,
}
"""Attributes whose values are written in a way of their own."""


# ---- words of the real server


def _shown(literal: Scalar) -> str:
    if isinstance(literal, bool):
        return f"{'true' if literal else 'false'} (type: bool)"
    if isinstance(literal, str):
        return f'"{literal}" (type: string)'
    if isinstance(literal, int):
        return f"{literal} (type: int64)"
    return f"{literal:g} (type: float64)"


_KINDS: dict[type[object], str] = {
    Column: "*sqlparser.ColName",
    Text: "*sqlparser.SQLVal",
    Number: "*sqlparser.SQLVal",
    Boolean: "sqlparser.BoolVal",
    Null: "*sqlparser.NullVal",
    Comparing: "*sqlparser.ComparisonExpr",
    Listing: "*sqlparser.ComparisonExpr",
    Ranging: "*sqlparser.RangeCond",
    Testing: "*sqlparser.IsExpr",
    Group: "*sqlparser.ParenExpr",
    Negation: "*sqlparser.NotExpr",
}
_KINDS_OF_STRANGE = {"value": "*sqlparser.SQLVal", "unary": "*sqlparser.UnaryExpr"}


def _kind(expression: Expression) -> str:
    """How the real server calls a piece of a query."""
    match expression:
        case Strange(kind):
            return _KINDS_OF_STRANGE.get(kind, kind)
        case Junction("or"):
            return "*sqlparser.OrExpr"
        case Junction():
            return "*sqlparser.AndExpr"
        case _:
            return _KINDS[type(expression)]
