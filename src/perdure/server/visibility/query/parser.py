"""From a query's text to its syntax tree, by recursive descent.

statement  = [condition] [GROUP BY names] [ORDER BY names] [LIMIT n] [;]
condition  = conjunction {OR conjunction}
conjunction = negation {AND negation}
negation   = NOT negation | predicate
predicate  = operand [operator operand | [NOT] IN (...) | [NOT] BETWEEN .. AND .. | IS ...]
"""

from __future__ import annotations

import re

from perdure.server.visibility.query.lexer import (
    STATEMENT_BARE,
    STATEMENT_BEFORE,
    Kind,
    QuerySyntaxError,
    Token,
    tokens_of,
)
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
    Ordering,
    Ranging,
    Statement,
    Strange,
    Testing,
    Text,
)

NESTING_MAX = 100
"""Of parentheses and NOTs."""
CONDITIONS_MAX = 300
"""In all: each may become a search of its own."""

QUERY_LENGTH_MAX = 1024 * 1024
"""Characters."""
TOKENS_MAX = 100_000
"""Reading so many takes half a second, in which nobody else has a turn."""
ORDERINGS_MAX = 20
"""Each makes every page's search longer."""

_COMPARISONS = frozenset(("=", "!=", "<", "<=", ">", ">=", "<=>"))
_ARITHMETIC = frozenset("+-*/%^&|")
_BARE = re.compile(r"\s*(group|order)\s+by\b", re.IGNORECASE)


def parse(text: str) -> Statement:
    """The syntax tree of a query. Raises QuerySyntaxError."""
    text = text.strip()
    if not text:
        return Statement()
    if len(text) > QUERY_LENGTH_MAX:
        raise QuerySyntaxError(f"the query is longer than {QUERY_LENGTH_MAX} characters")
    is_bare = _BARE.match(text) is not None
    return _Parser(text, STATEMENT_BARE if is_bare else STATEMENT_BEFORE).statement(is_bare=is_bare)


def parse_condition(text: str, before: str = STATEMENT_BEFORE) -> Statement:
    """The same for a query that has to begin with a condition; `before` is what it follows in the
    statement that places are counted in. Raises QuerySyntaxError."""
    if not text.strip():
        raise QuerySyntaxError("syntax error at position 1")
    if len(text) > QUERY_LENGTH_MAX:
        raise QuerySyntaxError(f"the query is longer than {QUERY_LENGTH_MAX} characters")
    return _Parser(text.strip(), before).statement(is_bare=False)


class _Parser:
    def __init__(self, text: str, before: str) -> None:
        self._text = text
        self._tokens = tokens_of(text, TOKENS_MAX)
        self._before = len(before)
        self._next = 0
        self._depth = 0
        self._conditions = 0

    # ---- the statement

    def statement(self, *, is_bare: bool) -> Statement:
        condition = None if is_bare else self._condition()
        groups: list[Expression] = []
        order: list[Ordering] = []
        if self._takes("group"):
            self._expect("by")
            groups.append(self._operand())
            while self._takes(","):
                groups.append(self._operand())
        if self._takes("order"):
            self._expect("by")
            order.append(self._ordering())
            while self._takes(","):
                order.append(self._ordering())
            if len(order) > ORDERINGS_MAX:
                raise QuerySyntaxError(f"'ORDER BY' names more than {ORDERINGS_MAX} attributes")
        has_limit = self._takes("limit")
        if has_limit:
            self._operand()
        self._takes(";")
        if self._token.kind is not Kind.END:
            raise self._error()
        return Statement(condition, tuple(groups), tuple(order), has_limit)

    def _ordering(self) -> Ordering:
        column = self._operand()
        descending = self._takes("desc")
        if not descending:
            self._takes("asc")
        return Ordering(column, descending)

    # ---- conditions

    def _condition(self) -> Expression:
        parts = [self._conjunction()]
        while self._takes("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Junction("or", tuple(parts))

    def _conjunction(self) -> Expression:
        parts = [self._negation()]
        while self._takes("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else Junction("and", tuple(parts))

    def _negation(self) -> Expression:
        if self._takes("not"):
            with_depth = self._deeper()
            inner = Negation(self._negation())
            self._depth = with_depth
            return inner
        return self._predicate()

    def _predicate(self) -> Expression:
        self._conditions += 1
        if self._conditions > CONDITIONS_MAX:
            raise QuerySyntaxError("max ast depth reached")
        left = self._operand()
        token = self._token
        if token.kind is Kind.SYMBOL and token.text in _COMPARISONS:
            self._next += 1
            return Comparing(left, token.text, self._operand())
        if self._takes("is"):
            return self._testing(left)
        negated = self._takes("not")
        if self._takes("in"):
            return self._listing(left, negated)
        if self._takes("between"):
            low = self._operand()
            self._expect("and")
            return Ranging(left, low, self._operand(), negated)
        if self._token.kind is Kind.NAME and self._token.text.lower() == "contains":
            # Not a keyword: an attribute may be called so, as on the real server.
            self._next += 1
            return Comparing(left, "NOT CONTAINS" if negated else "CONTAINS", self._operand())
        for word in ("starts_with", "like", "regexp"):
            if self._takes(word):
                operator = f"NOT {word.upper()}" if negated else word.upper()
                return Comparing(left, operator, self._operand())
        if negated:
            raise self._error()
        return left

    def _testing(self, left: Expression) -> Expression:
        negated = "not " if self._takes("not") else ""
        for word in ("null", "true", "false"):
            if self._takes(word):
                return Testing(left, negated + word)
        raise self._error()

    def _listing(self, left: Expression, negated: bool) -> Expression:
        self._expect("(")
        if self._token.text == "select" and self._token.kind is Kind.KEYWORD:
            self._skip_parentheses()
            return Listing(left, (Strange("*sqlparser.Subquery"),), negated)
        items = [self._operand()]
        while self._takes(","):
            items.append(self._operand())
        self._expect(")")
        return Listing(left, tuple(items), negated)

    # ---- operands

    def _operand(self) -> Expression:
        first = self._single()
        if not self._is_at_arithmetic():
            return first
        while self._is_at_arithmetic():
            self._next += 1
            self._single()
        return Strange("*sqlparser.BinaryExpr")

    def _is_at_arithmetic(self) -> bool:
        return self._token.kind is Kind.SYMBOL and self._token.text in _ARITHMETIC

    def _single(self) -> Expression:
        token = self._token
        self._next += 1
        match token.kind:
            case Kind.STRING:
                return Text(token.text)
            case Kind.INTEGER:
                return Number(token.text, is_whole=True)
            case Kind.DECIMAL:
                return Number(token.text, is_whole=False)
            case Kind.PARAMETER:
                return Strange("value", ":v1" if token.text == "?" else token.text)
            case Kind.NAME:
                return self._name(token)
            case Kind.KEYWORD:
                return self._word(token)
            case Kind.SYMBOL:
                return self._symbol(token)
            case _:
                raise self._error(token)

    def _name(self, token: Token) -> Expression:
        name = token.text
        for _ in range(2):
            if not self._takes("."):
                break
            part = self._token
            if part.kind is not Kind.NAME:
                raise self._error()
            self._next += 1
            name = f"{name}.{part.text}"
        if self._takes("("):
            self._skip_parentheses()
            return Strange("*sqlparser.FuncExpr")
        return Column(name)

    def _word(self, token: Token) -> Expression:
        match token.text:
            case "true" | "false":
                return Boolean(token.text == "true")
            case "null":
                return Null()
            case "exists" if self._takes("("):
                self._skip_parentheses()
                return Strange("*sqlparser.ExistsExpr")
            case _:
                raise self._error(token)

    def _symbol(self, token: Token) -> Expression:
        if token.text == "(":
            if self._token.text == "select" and self._token.kind is Kind.KEYWORD:
                self._skip_parentheses()
                return Strange("*sqlparser.Subquery")
            depth = self._deeper()
            inner = self._condition()
            self._expect(")")
            self._depth = depth
            return Group(inner)
        if token.text in "+-":
            return self._signed(token.text)
        if token.text == "!":
            depth = self._deeper()
            self._single()
            self._depth = depth
            return Strange("*sqlparser.UnaryExpr")
        raise self._error(token)

    def _signed(self, sign: str) -> Expression:
        depth = self._deeper()
        value = self._single()
        self._depth = depth
        if not isinstance(value, Number):
            shown = f"'{value.value}'" if isinstance(value, Text) else "..."
            return Strange("unary", f'"{sign}{shown}"')
        if sign == "+":
            return value
        text = value.text[1:] if value.text.startswith("-") else f"-{value.text}"
        return Number(text, value.is_whole)

    def _skip_parentheses(self) -> None:
        """Go on after the parenthesis that closes what was opened last."""
        opened = 1
        while opened:
            token = self._token
            if token.kind in (Kind.END, Kind.ERROR):
                raise self._error()
            if token.kind is Kind.SYMBOL:
                opened += {"(": 1, ")": -1}.get(token.text, 0)
            self._next += 1

    # ---- tokens

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _takes(self, text: str) -> bool:
        """Whether this word or symbol comes next; it is taken if so."""
        token = self._token
        found = token.text == text and token.kind in (Kind.KEYWORD, Kind.SYMBOL)
        self._next += found
        return found

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise self._error()

    def _deeper(self) -> int:
        """Count one more level; what to set the depth to when it is left."""
        before = self._depth
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise QuerySyntaxError(
                f"max nesting level reached at position {self._position(self._token)}"
            )
        return before

    def _position(self, token: Token) -> int:
        return self._before + len(self._text[: token.end].encode()) + 1

    def _error(self, token: Token | None = None) -> QuerySyntaxError:
        token = token or self._token
        message = f"syntax error at position {self._position(token)}"
        if token.text and token.kind is not Kind.SYMBOL:
            message += f" near '{token.text}'"
        return QuerySyntaxError(message)
