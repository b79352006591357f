"""A query's text as tokens.

A token knows where it ends, since a syntax error names that place. The real server counts it in the
statement that it makes of a query, so it lies `STATEMENT_BEFORE` (or, without a condition,
`STATEMENT_BARE`) characters further on; the texts of its errors are what users search for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from enum import Enum

import msgspec

STATEMENT_BEFORE = "select * from table1 where "
STATEMENT_BARE = "select * from table1 "


class QuerySyntaxError(Exception):
    """A query that cannot be read; the message says where."""


class Kind(Enum):
    """What a token is."""

    NAME = "name"
    KEYWORD = "keyword"
    STRING = "string"
    INTEGER = "integer"
    DECIMAL = "decimal"
    PARAMETER = "parameter"
    SYMBOL = "symbol"
    END = "end"
    ERROR = "error"


class Token(msgspec.Struct, frozen=True):
    """A piece of a query. `text` of a keyword is in lower case; `end` is the place after it."""

    kind: Kind
    text: str
    end: int


KEYWORDS = frozenset(
    (
        *("and", "or", "not", "in", "between", "is", "null", "true", "false"),
        *("like", "regexp", "starts_with", "group", "order", "by", "asc", "desc", "limit"),
        *("having", "exists", "select", "for", "union", "case", "interval", "default", "key"),
        *("values", "from", "where", "join", "on", "distinct", "xor"),
    )
)
"""Words that have a meaning of their own. Any other word, or these between back quotes, is a
name."""

_PATTERN = re.compile(
    r"""
    (?P<space>\s+|/\*.*?\*/|--[^\n]*|\#[^\n]*)
    |(?P<name>[A-Za-z_@][A-Za-z0-9_@$]*)
    |(?P<quoted>`(?:[^`]|``)+`)
    |(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    |(?P<decimal>(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d*)?|\d+[eE][+-]?\d*)
    |(?P<other>0[xX][0-9A-Fa-f]+)
    |(?P<integer>\d+)
    |(?P<parameter>\?|:{1,2}[A-Za-z_][A-Za-z0-9_]*)
    |(?P<symbol><=>|<>|!=|<=|>=|&&|\|\||[=<>!(),.;+\-*/%~^&|])
    """,
    re.VERBOSE | re.DOTALL,
)
_SYMBOLS = {"<>": "!=", "&&": "and", "||": "or"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}


def tokens_of(text: str, count_max: int) -> list[Token]:
    """The tokens, the last of which is the end (or what cannot be read). Raises QuerySyntaxError
    when there are too many."""
    tokens = list(itertools.islice(_tokens(text), count_max + 1))
    if len(tokens) > count_max:
        raise QuerySyntaxError(f"the query has more than {count_max} words and symbols")
    return tokens


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    while place < len(text):
        match = _PATTERN.match(text, place)
        if match is None:
            yield _unreadable(text, place)
            return
        place = match.end()
        token = _token(match)
        if token is not None:
            yield token
    yield Token(Kind.END, "", len(text))


def _token(match: re.Match[str]) -> Token | None:
    group, text, end = match.lastgroup, match.group(), match.end()
    if group == "space":
        return None
    if group == "name":
        is_keyword = text.lower() in KEYWORDS
        return Token(Kind.KEYWORD, text.lower(), end) if is_keyword else Token(Kind.NAME, text, end)
    if group == "quoted":
        return Token(Kind.NAME, text[1:-1].replace("``", "`"), end)
    if group == "string":
        return Token(Kind.STRING, _unquoted(text), end)
    if group == "symbol":
        symbol = _SYMBOLS.get(text, text)
        return Token(Kind.KEYWORD if symbol.isalpha() else Kind.SYMBOL, symbol, end)
    kinds = {"integer": Kind.INTEGER, "decimal": Kind.DECIMAL}
    return Token(kinds.get(group or "", Kind.PARAMETER), text, end)


def _unquoted(text: str) -> str:
    quote, inner = text[0], text[1:-1]
    inner = inner.replace(quote * 2, "\\" + quote)
    return re.sub(r"\\(.)", lambda found: _escaped(found[1]), inner, flags=re.DOTALL)


def _escaped(character: str) -> str:
    return _ESCAPES.get(character, character)


def _unreadable(text: str, place: int) -> Token:
    if text[place] in "'\"`":
        return Token(Kind.ERROR, text[place + 1 :], len(text))
    if text.startswith("/*", place):
        return Token(Kind.ERROR, text[place:], len(text))
    return Token(Kind.ERROR, text[place], place + 1)
