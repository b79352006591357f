"""What a query means, and how one that means nothing is refused, in the real server's words."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.server.machines.search_attributes import CustomAttribute
from perdure.server.visibility.query import tree
from perdure.server.visibility.query.binding import QueryError, system_attribute, understand
from perdure.server.visibility.query.tree import (
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
    StartsWith,
)
from perdure.server.visibility.query.words import is_like, words_of

CUSTOM = {
    "K": CustomAttribute("Keyword01", 2),
    "I": CustomAttribute("Int01", 3),
    "D": CustomAttribute("Double01", 4),
    "B": CustomAttribute("Bool01", 5),
    "DT": CustomAttribute("Datetime01", 6),
    "KL": CustomAttribute("KeywordList01", 7),
    "TX": CustomAttribute("Text01", 1),
    "Key": CustomAttribute("Keyword02", 2),
}
K, INT, D, B, DT, KL, TX = (
    Attribute(name, CUSTOM[name].type, CUSTOM[name].field)
    for name in ("K", "I", "D", "B", "DT", "KL", "TX")
)
EQUAL = Comparison.EQUAL
STATUS = system_attribute("ExecutionStatus")
K1, K2 = Compare(K, EQUAL, "k1"), Compare(K, EQUAL, "k2")

MEANINGS: list[tuple[str, Filter]] = [
    ("K = 'k1'", K1),
    ('K = "k1"', K1),
    ("`K`='k1'", K1),
    ("(K = 'k1');", K1),
    ("K = 'k1' -- why", K1),
    ("/* why */ K = 'k1' # because", K1),
    ("K <> 'k1'", Compare(K, Comparison.UNEQUAL, "k1")),
    ("K >= 'k1'", Compare(K, Comparison.AT_LEAST, "k1")),
    ("K = 'it''s'", Compare(K, EQUAL, "it's")),
    (r"K = 'it\'s\n'", Compare(K, EQUAL, "it's\n")),
    ("`Key` = 'x'", Compare(Attribute("Key", 2, "Keyword02"), EQUAL, "x")),
    ("K in ('k1', 'k2')", OneOf(K, ("k1", "k2"))),
    ("K NOT IN ('k1')", OneOf(K, ("k1",), negated=True)),
    ("K BETWEEN 'a' AND 'b'", Between(K, "a", "b")),
    ("K NOT BETWEEN 'a' AND 'b'", Between(K, "a", "b", negated=True)),
    ("K STARTS_WITH 'k'", StartsWith(K, "k")),
    ("K not starts_with 'k'", StartsWith(K, "k", negated=True)),
    ("K IS NULL", IsMissing(K)),
    ("K is not null", Not(IsMissing(K))),
    ("NOT NOT K = 'k1'", Not(Not(K1))),
    ("K = 'k1' AND K = 'k2' OR NOT K = 'k1'", Or((And((K1, K2)), Not(K1)))),
    ("K = 'k1' && (K = 'k2' || K = 'k1')", And((K1, Or((K2, K1))))),
    ("I = 5", Compare(INT, EQUAL, 5)),
    ("I = +5", Compare(INT, EQUAL, 5)),
    ("I = - -5", Compare(INT, EQUAL, 5)),
    ("I > -5.5", Compare(INT, Comparison.MORE, -5.5)),
    ("I = 99999999999999999999", Compare(INT, EQUAL, 1e20)),
    ("D = 1e3", Compare(D, EQUAL, 1000.0)),
    ("B = TRUE", Compare(B, EQUAL, True)),
    ("B > false", Compare(B, Comparison.MORE, False)),
    ("DT = '1970-01-01T00:00:01.000000002Z'", Compare(DT, EQUAL, 1_000_000_002)),
    ("DT = '1970-01-01T02:00:00+02:00'", Compare(DT, EQUAL, 0)),
    ("DT = 17", Compare(DT, EQUAL, 17)),
    ("KL = 'a'", HasAny(KL, ("a",))),
    ("KL != 'a'", Not(HasAny(KL, ("a",)))),
    ("KL IN ('a', 'b')", HasAny(KL, ("a", "b"))),
    ("KL NOT IN ('a')", Not(HasAny(KL, ("a",)))),
    ("TX = 'Some text, sÖme'", HasAny(TX, ("some", "text"))),
    ("TX != 'some'", Not(HasAny(TX, ("some",)))),
    ("ExecutionStatus = 'Running'", Compare(STATUS, EQUAL, 1)),
    ("ExecutionStatus IN ('TimedOut', 2)", OneOf(STATUS, (7, 2))),
    ("ExecutionDuration > '1h30m'", Compare(
        system_attribute("ExecutionDuration"), Comparison.MORE, 5_400_000_000_000)),
    ("ExecutionDuration = '01:00:01'", Compare(
        system_attribute("ExecutionDuration"), EQUAL, 3_601_000_000_000)),
    ("ExecutionDuration = '-2d'", Compare(
        system_attribute("ExecutionDuration"), EQUAL, -172_800_000_000_000)),
]  # fmt: skip

OUTSIDE = IsMissing(system_attribute("TemporalNamespaceDivision"))


@pytest.mark.parametrize(("text", "meaning"), MEANINGS, ids=[text for text, _ in MEANINGS])
def test_a_query_means(text: str, meaning: Filter) -> None:
    assert understand(text, CUSTOM).filter == And((OUTSIDE, meaning))


@pytest.mark.parametrize("text", ["", "  \n", "GROUP BY ExecutionStatus"])
def test_without_a_condition_it_means_all_runs_outside_of_divisions(text: str) -> None:
    assert understand(text) == tree.Query(OUTSIDE)


def test_a_query_that_speaks_of_divisions_sees_them() -> None:
    division = system_attribute("TemporalNamespaceDivision")
    query = understand("TemporalNamespaceDivision = 'x'")
    assert query.filter == Compare(division, EQUAL, "x")


def test_order_and_groups_are_understood() -> None:
    query = understand("K = 'k1' ORDER BY I DESC, StartTime", CUSTOM)
    assert query.order == (Order(INT, descending=True), Order(system_attribute("StartTime")))
    assert understand("group by ExecutionStatus", is_count=True).group == STATUS
    assert understand("GROUP BY ExecutionStatus").group is None, "a list has no groups"


_SYNTAX = "malformed SQL query: syntax error at position "
_PATTERN = (
    "pattern 'a b' for Text type search attribute TX is not of one word: letters and digits, % for"
    " any, _ for one"
)
_NOT = "operation is not supported: "
_BAD = "invalid expression: "
_RIGHT_SIDE = f"{_NOT}column name on the right side of comparison expression"

REFUSALS: list[tuple[str, str]] = [
    ("k = 'k1'", "invalid search attribute: k"),
    ("K.x = 'k1'", "invalid search attribute: K.x"),
    ("Foo > 5 AND K = 5", "invalid search attribute: Foo"),
    ("K == 'k1'", f"{_SYNTAX}32"),
    ("K = 'k1' AND", f"{_SYNTAX}40"),
    ("K =", f"{_SYNTAX}31"),
    ("= 'k1'", f"{_SYNTAX}29"),
    ("K 'k1'", f"{_SYNTAX}34 near 'k1'"),
    ("K = 'k1", f"{_SYNTAX}35 near 'k1'"),
    ("(K = 'k1'", f"{_SYNTAX}37"),
    ("K = 'k1')", f"{_SYNTAX}37"),
    ("K IN ()", f"{_SYNTAX}35"),
    ("K IN 'k1'", f"{_SYNTAX}37 near 'k1'"),
    ("K IN ('a',)", f"{_SYNTAX}39"),
    ("K NOT NULL", f"{_SYNTAX}38 near 'null'"),
    ("K IS UNKNOWN", f"{_SYNTAX}40 near 'UNKNOWN'"),
    ("K BETWEEN 'a' OR 'b'", f"{_SYNTAX}44 near 'or'"),
    ("K = 'k1' XOR K = 'k2'", f"{_SYNTAX}40 near 'xor'"),
    ("K = 'k1' ;;", f"{_SYNTAX}39"),
    ("K = 'k1' GROUP BY", f"{_SYNTAX}45"),
    ("SELECT * FROM x", f"{_SYNTAX}34 near 'select'"),
    ("Key = 'x'", f"{_SYNTAX}31 near 'key'"),
    ("$K = 'x'", f"{_SYNTAX}29 near '$'"),
    ("K ~ 'x'", f"{_SYNTAX}31"),
    ("K", f"{_BAD}incomplete expression"),
    ("NOT K", f"{_BAD}incomplete expression"),
    ("'k1'", f"{_NOT}expression of type *sqlparser.SQLVal"),
    ("true", f"{_NOT}expression of type sqlparser.BoolVal"),
    ("EXISTS (SELECT 1)", f"{_NOT}expression of type *sqlparser.ExistsExpr"),
    ("'k1' = K", f"{_BAD}must be a column name but was *sqlparser.SQLVal"),
    ("(K) = 'k1'", f"{_BAD}must be a column name but was *sqlparser.ParenExpr"),
    ("I + 1 = 6", f"{_BAD}must be a column name but was *sqlparser.BinaryExpr"),
    ("lower(K) = 'x'", f"{_BAD}must be a column name but was *sqlparser.FuncExpr"),
    ("! K = 'k1'", f"{_BAD}must be a column name but was *sqlparser.UnaryExpr"),
    (
        "K = k1",
        f'{_RIGHT_SIDE} (did you forget to quote "k1"?)',
    ),
    ("K = upper('k1')", f"{_NOT}nested func"),
    ("K = (SELECT 1)", f"{_BAD}unexpected value type *sqlparser.Subquery"),
    ("K IN (SELECT 1)", f"{_BAD}unexpected value type *sqlparser.Subquery"),
    ("K = ('k1')", f"{_BAD}unexpected value type *sqlparser.ParenExpr"),
    ("K = NULL", f"{_BAD}unexpected value type *sqlparser.NullVal"),
    ("I = I + 1", f"{_BAD}unexpected value type *sqlparser.BinaryExpr"),
    ("K = ?", f'{_BAD}unable to parse value ":v1"'),
    ("I = 0x10", f'{_BAD}unable to parse value "0x10"'),
    ("I = 1e999", f'{_BAD}unable to parse value "1e999"'),
    ("I = 5e", f'{_BAD}unable to parse value "5e"'),
    ("K = -'a'", f"{_BAD}unary operator not supported in \"-'a'\""),
    (
        "K = 5",
        f"{_BAD}invalid value type for search attribute K of type Keyword: 5 (type: int64)",
    ),
    (
        "I = '5'",
        f'{_BAD}invalid value type for search attribute I of type Int: "5" (type: string)',
    ),
    ("B = 1", f"{_BAD}invalid value type for search attribute B of type Bool: 1 (type: int64)"),
    (
        "K IN (true)",
        f"{_BAD}invalid value type for search attribute K of type Keyword: true (type: bool)",
    ),
    (
        "DT = 1.5",
        f"{_BAD}invalid value type for search attribute DT of type Datetime: 1.5 (type: float64)",
    ),
    ("DT = '2020-01-01'", f"{_BAD}unable to parse datetime '2020-01-01'"),
    ("ExecutionStatus = 'running'", f"{_BAD}invalid ExecutionStatus value 'running'"),
    ("ExecutionStatus = 99", f"{_BAD}invalid ExecutionStatus value 99"),
    (
        "ExecutionStatus = 1.0",
        f"{_BAD}unexpected value type float64 for search attribute ExecutionStatus",
    ),
    (
        "ExecutionDuration > 'x'",
        f"{_BAD}invalid duration value for search attribute ExecutionDuration: x",
    ),
    ("TX = ', '", f"{_BAD}no tokens found filtering on Text type search attribute TX"),
    ("K LIKE 'k%'", f"{_NOT}operator 'LIKE' not supported for Keyword type search attribute 'K'"),
    (
        "TX LIKE 'a b'",
        _BAD + _PATTERN,
    ),
    (
        "K CONTAINS 'k'",
        f"{_NOT}operator 'CONTAINS' not supported for Keyword type search attribute 'K'",
    ),
    (
        "K NOT LIKE 'k'",
        f"{_NOT}operator 'NOT LIKE' not supported for Keyword type search attribute 'K'",
    ),
    ("K <=> 'k'", f"{_NOT}operator '<=>' not supported for Keyword type search attribute 'K'"),
    ("KL > 'a'", f"{_NOT}operator '>' not supported for KeywordList type search attribute 'KL'"),
    ("TX IN ('a')", f"{_NOT}operator 'IN' not supported for Text type search attribute 'TX'"),
    (
        "I STARTS_WITH 5",
        f"{_NOT}operator 'STARTS_WITH' not supported for Int type search attribute 'I'",
    ),
    (
        "B BETWEEN false AND true",
        f"{_BAD}cannot do range condition on search attribute 'B' of type Bool",
    ),
    (
        "K IS TRUE",
        f"{_BAD}'IS' operator can only be used as 'IS NULL' or 'IS NOT NULL'",
    ),
    ("K = 'k1' LIMIT 1", f"{_NOT}'LIMIT' clause"),
    ("GROUP BY Foo", "invalid search attribute: Foo"),
    (
        "GROUP BY StartTime",
        f"{_NOT}'GROUP BY' clause is not supported for search attribute StartTime",
    ),
    (
        "GROUP BY ExecutionStatus, WorkflowType",
        f"{_NOT}'GROUP BY' clause supports only a single field",
    ),
    ("ORDER BY KL", f"{_NOT}'ORDER BY' clause is not supported for search attribute KL"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS, ids=[text for text, _ in REFUSALS])
def test_a_query_is_refused(text: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        understand(text, CUSTOM)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("TX CONTAINS 'Late Train'", And((HasAny(TX, ("late",)), HasAny(TX, ("train",))))),
        ("TX contains 'late'", And((HasAny(TX, ("late",)),))),
        ("TX NOT CONTAINS 'late'", Not(And((HasAny(TX, ("late",)),)))),
        ("TX LIKE 'L\u00e4t%_'", HasLike(TX, "lat%_")),
        ("TX NOT LIKE '%e'", Not(HasLike(TX, "%e"))),
    ],
)
def test_a_text_is_asked_for_all_words_or_for_a_pattern(text: str, meaning: Filter) -> None:
    assert understand(text, CUSTOM).filter == And((OUTSIDE, meaning))


@given(st.text("ab%_", max_size=8), st.text("ab%_", max_size=8))
def test_a_pattern_means_what_it_means_in_sql(word: str, pattern: str) -> None:
    sql: int = apsw.Connection(":memory:").execute("SELECT ? LIKE ?", (word, pattern)).get
    assert is_like(word, pattern) is bool(sql)


def test_a_count_has_no_order() -> None:
    with pytest.raises(QueryError, match="'ORDER BY' clause"):
        understand("GROUP BY ExecutionStatus ORDER BY ExecutionStatus", is_count=True)


HOSTILE = [
    ("nested", "(" * 5000 + "K = 'k1'" + ")" * 5000),
    ("negated", "NOT " * 5000 + "K = 'k1'"),
    ("signed", "I = " + "-" * 5000 + "5"),
    ("shouted", "! " * 5000 + "K = 5"),
    ("long", " AND ".join(["K = 'k1'"] * 5000)),
    ("digits", "I = 1" + "0" * 400 + "x"),
    ("unended", "K = '" + "\\'" * 50_000),
]


@pytest.mark.parametrize("text", [text for _, text in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_a_query_that_is_too_much_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match=r"^malformed SQL query: "):
        understand(text, CUSTOM)


def test_a_long_list_is_one_condition() -> None:
    many = ", ".join(f"'{number}'" for number in range(40_000))
    assert understand(f"K IN ({many})", CUSTOM).filter is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Some text, some TEXT", ("some", "text")),
        ("Crème_brûlée 3.5", ("creme", "brulee", "3", "5")),
        ("--", ()),
        ("日本 語", ("日本", "語")),
    ],
)
def test_words_are_letters_and_digits_without_case_and_accents(
    text: str, words: tuple[str, ...]
) -> None:
    assert words_of(text) == words
