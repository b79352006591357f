"""How workflows are found: which index leads to them, and what is checked of each.

A filter is a conjunction. Of its parts that have indexes the one with the fewest runs is looked
for, by counting each up to a limit. Up to that limit all its runs are read and sorted
(`Found.few`). When every part has more, a page is read off an index that is in the list's order:
that of a part which asks for one value, or the list itself. Runs that pass are then met soon.

All of it happens in one read transaction, so what was counted is what is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw
import msgspec

from perdure.server.store.sqlite.connections import SqliteSettings
from perdure.server.visibility.query.access import (
    CLOSED_ONLY,
    CLOSED_STATUSES,
    OPEN_STATUSES,
    STATUSES,
    Source,
    sources_of,
    union,
)
from perdure.server.visibility.query.binding import system_attribute
from perdure.server.visibility.query.normal import without_negations
from perdure.server.visibility.query.sql import COLUMNS, LISTS, Compiler, Fragment
from perdure.server.visibility.query.tree import (
    And,
    Attribute,
    Between,
    Compare,
    Comparison,
    Filter,
    IsMissing,
    Not,
    OneOf,
)

Span = tuple[int, int]
"""From the first to the last nanosecond."""

EVER: Span = (-(2**63), 2**63 - 1)
_ALWAYS = Fragment("1")


class Asked(msgspec.Struct, frozen=True):
    """A filter: what is left of it apart from statuses, and the times between which all that it is
    true of started, and closed."""

    parts: tuple[Filter, ...]
    start: Span = EVER
    close: Span = EVER


class Found(msgspec.Struct, frozen=True):
    """Where to look: the sources that lead, the statuses asked for, and what else must be true.

    `few`: all runs of the sources can be read. `is_ordered`: one status of theirs is in a list's
    order. Without sources it is the list itself.
    """

    sources: tuple[Source, ...]
    statuses: tuple[int, ...]
    rest: Fragment
    asked: Asked
    few: bool = False

    @property
    def is_ordered(self) -> bool:
        """Whether a list can be read off the source, status by status."""
        return all(source.is_ordered for source in self.sources) and bool(self.sources)

    @property
    def is_whole(self) -> bool:
        """Whether the sources tell all that is needed to sort and to count."""
        return self.rest is _ALWAYS and all(source.place for source in self.sources)

    @property
    def open_statuses(self) -> tuple[int, ...]:
        """Those of the first part of a list."""
        return tuple(status for status in self.statuses if status in OPEN_STATUSES)

    @property
    def closed_statuses(self) -> tuple[int, ...]:
        """Those of the second part."""
        return tuple(status for status in self.statuses if status in CLOSED_STATUSES)


class Finder:
    """Decides how the workflows are found that a filter is true of."""

    def __init__(
        self, connection: apsw.Connection, settings: SqliteSettings, namespace: int
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._namespace = namespace

    def find(self, condition: Filter | None, *, by_start: bool = False) -> Found:
        """Where to look for a list without an order, or one `by_start`."""
        statuses = frozenset(STATUSES)
        parts: list[Filter] = []
        for part in conjunction(condition):
            told = _statuses_of(part)
            if told is not None:
                statuses &= told
            elif not self._is_vacuous(part):
                parts.append(part)
                if _is_of_closed(part):
                    statuses &= frozenset(CLOSED_STATUSES)
        if not statuses:
            parts = []  # Nothing is true of any: there is no need to look.
        asked = Asked(tuple(parts), _span("StartTime", parts), _span("CloseTime", parts))
        return self._choose(asked, _in_order(statuses), by_start)

    def _choose(self, asked: Asked, statuses: tuple[int, ...], by_start: bool) -> Found:
        ordered: Found | None = None
        best: Found | None = None
        least = self._settings.sorted_entries_max + 1
        for found in self._choices(asked, statuses, by_start):
            if found.is_ordered and found.is_whole and not by_start:
                return msgspec.structs.replace(found, few=False)
            if found.is_ordered and ordered is None:
                ordered = msgspec.structs.replace(found, few=False)
            count = self._count(found, by_start)
            if count is not None and count < least:
                least, best = count, found
        return best or ordered or Found((), statuses, self._rest(asked.parts), asked)

    def _choices(self, asked: Asked, statuses: tuple[int, ...], by_start: bool) -> list[Found]:
        """The parts that have indexes, each with what is left to check."""
        found = []
        for part in asked.parts:
            sources = sources_of(part, self._namespace)
            if sources is not None:
                rest = self._rest([other for other in asked.parts if other is not part])
                found.append(Found(sources, statuses, rest, asked, few=True))
        if by_start and 0 < len(statuses) < len(STATUSES):
            wanted = OneOf(system_attribute("ExecutionStatus"), statuses)
            sources = sources_of(wanted, self._namespace) or ()
            found.append(Found(sources, statuses, self._rest(asked.parts), asked, few=True))
        return found

    def _rest(self, parts: Sequence[Filter]) -> Fragment:
        if not parts:
            return _ALWAYS
        return Compiler(self._namespace).condition(And(tuple(parts))).sql

    def all_of(self, found: Found) -> Fragment:
        """All that must be true of a run besides its status, however it was found."""
        return self._rest(found.asked.parts)

    def _count(self, found: Found, by_start: bool) -> int | None:
        """How many runs of the sources have a status that is asked for; None when they are too
        many to read."""
        knows_status = all(source.status for source in found.sources)
        settings = self._settings
        limit = settings.sorted_entries_max if knows_status else settings.sorted_runs_max
        looked_at = passing = 0
        statuses = among_statuses(found.statuses)
        for source in found.sources:
            test = f"{source.status} IN ({statuses})" if knows_status else "1"
            seen, passed = self._connection.execute(
                f"SELECT count(*), coalesce(sum(passes), 0) FROM ("
                f"SELECT {test} AS passes FROM {source.table} WHERE {source.where.text} LIMIT ?)",
                (*source.where.parameters, limit - looked_at + 1),
            ).get
            looked_at += seen
            passing += passed
            if looked_at > limit:
                return None
        is_cheap = found.is_whole and not by_start
        return passing if is_cheap or passing <= settings.sorted_runs_max else None

    def _is_vacuous(self, part: Filter) -> bool:
        """Whether a part is true of all, because nothing has the attribute that must be missing:
        as divisions of a namespace, which each list leaves out, hardly ever are there."""
        if not isinstance(part, IsMissing):
            return False
        field = part.attribute.field
        if field in COLUMNS or field in LISTS:
            return False
        row = self._connection.execute(
            "SELECT 1 FROM perdure_attribute WHERE namespace = ? AND attribute = ? LIMIT 1",
            (self._namespace, field),
        ).get
        return row is None


def _in_order(statuses: frozenset[int]) -> tuple[int, ...]:
    return tuple(status for status in STATUSES if status in statuses)


def conjunction(condition: Filter | None) -> Iterator[Filter]:
    """The parts of a filter that must all be true, without negations."""
    if condition is not None:
        yield from _conjunction(without_negations(condition))


def _conjunction(part: Filter) -> Iterator[Filter]:
    if isinstance(part, And):
        for one in part.parts:
            yield from _conjunction(one)
    else:
        yield part


def _is_of_closed(part: Filter) -> bool:
    match part:
        case Compare() | OneOf() | Between():
            return part.attribute.field in CLOSED_ONLY
        case _:
            return False


def _span(field: str, parts: Sequence[Filter]) -> Span:
    """Between what times an attribute lies when all parts are true."""
    first, last = EVER
    for part in parts:
        match part:
            case Compare(Attribute(_, _, name), comparison, value) if name == field:
                if comparison in (Comparison.EQUAL, Comparison.LESS, Comparison.AT_MOST):
                    last = min(last, int(value))
                if comparison in (Comparison.EQUAL, Comparison.MORE, Comparison.AT_LEAST):
                    first = max(first, int(value))
            case Between(Attribute(_, _, name), low, high, False) if name == field:
                first, last = max(first, int(low)), min(last, int(high))
            case _:
                pass
    return first, last


def _statuses_of(part: Filter) -> frozenset[int] | None:
    """The statuses that a part asks for; None when it asks for something else."""
    match part:
        case Compare(Attribute("ExecutionStatus"), Comparison.EQUAL, value):
            return frozenset((int(value),))
        case Compare(Attribute("ExecutionStatus"), Comparison.UNEQUAL, value):
            return frozenset(STATUSES) - {int(value)}
        case OneOf(Attribute("ExecutionStatus"), values, negated):
            asked = frozenset(int(value) for value in values)
            return frozenset(STATUSES) - asked if negated else asked
        case IsMissing(Attribute("CloseTime")):
            return frozenset(OPEN_STATUSES)
        case Not(IsMissing(Attribute("CloseTime"))):
            return frozenset(CLOSED_STATUSES)
        case _:
            return None


def runs_of(found: Found, *, with_start: bool = False) -> Fragment:
    """All runs of the sources that pass: `run`, `status` and `place` of each, and perhaps
    `start`."""
    statuses = among_statuses(found.statuses)
    if found.is_whole and not with_start:
        inner = union(found.sources, ("run", "status", "place"))
        text = f"SELECT run, status, place FROM ({inner.text}) WHERE status IN ({statuses})"
        return Fragment(text, inner.parameters)
    inner = union([_of_statuses(source, statuses) for source in found.sources], ("run",))
    text = (
        "SELECT r.run AS run, r.status AS status, r.place_ns AS place, r.start_time_ns AS start"
        f" FROM ({inner.text}) c CROSS JOIN perdure_run r ON r.run = c.run"
        f" WHERE r.kind = 0 AND r.status IN ({statuses}) AND {found.rest.text}"
    )
    return Fragment(text, (*inner.parameters, *found.rest.parameters))


def _of_statuses(source: Source, statuses: str) -> Source:
    """The same, as far as its index tells of statuses."""
    if not source.status:
        return source
    where = source.where
    text = f"{where.text} AND {source.status} IN ({statuses})"
    return msgspec.structs.replace(source, where=Fragment(text, where.parameters))


def among_statuses(statuses: Sequence[int]) -> str:
    """What stands in the brackets of IN."""
    return ", ".join(map(str, statuses)) or "NULL"
