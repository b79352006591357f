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
    Compare,
    Comparison,
    Filter,
    IsMissing,
    Not,
    OneOf,
)

_ALWAYS = Fragment("1")


class Found(msgspec.Struct, frozen=True):
    """Where to look: the sources that lead, the statuses asked for, and what else must be true.

    `few`: all runs of the sources can be read. `is_ordered`: one status of theirs is in a list's
    order. Without sources it is the list itself.
    """

    sources: tuple[Source, ...]
    statuses: tuple[int, ...]
    rest: Fragment
    few: bool = False

    @property
    def is_ordered(self) -> bool:
        """Whether a list can be read off the source, status by status."""
        return len(self.sources) == 1 and self.sources[0].is_ordered

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
        if by_start:
            return self._find_by_start(parts, statuses)
        return self._choose(parts, _in_order(statuses))

    def _choose(self, parts: Sequence[Filter], statuses: tuple[int, ...]) -> Found:
        ordered: Found | None = None
        best: Found | None = None
        least = self._settings.sorted_entries_max
        for found in self._choices(parts, statuses):
            if found.is_ordered and found.is_whole:
                return msgspec.structs.replace(found, few=False)
            if found.is_ordered and ordered is None:
                ordered = msgspec.structs.replace(found, few=False)
            limit = least if found.is_whole else min(least, self._settings.sorted_runs_max)
            count = self._count(found.sources, limit)
            if count < limit:
                least, best = count, found
        return best or ordered or Found((), statuses, self._rest(parts))

    def _find_by_start(self, parts: Sequence[Filter], statuses: frozenset[int]) -> Found:
        """Few runs of one part or of the statuses asked for; or else the list of all starts."""
        asked = _in_order(statuses)
        choices = self._choices(parts, asked)
        if len(asked) < len(STATUSES):
            wanted = OneOf(system_attribute("ExecutionStatus"), asked)
            sources = sources_of(wanted, self._namespace) or ()
            choices.append(Found(sources, asked, self._rest(parts), few=True))
        best, least = Found((), asked, self._rest(parts)), self._settings.sorted_runs_max
        for found in choices:
            count = self._count(found.sources, least)
            if count < least:
                least, best = count, found
        return best

    def _choices(self, parts: Sequence[Filter], statuses: tuple[int, ...]) -> list[Found]:
        """The parts that have indexes, each with what is left to check."""
        found = []
        for part in parts:
            sources = sources_of(part, self._namespace)
            if sources is not None:
                rest = self._rest([other for other in parts if other is not part])
                found.append(Found(sources, statuses, rest, few=True))
        return found

    def _rest(self, parts: Sequence[Filter]) -> Fragment:
        if not parts:
            return _ALWAYS
        return Compiler(self._namespace).condition(And(tuple(parts))).sql

    def _count(self, sources: Sequence[Source], limit: int) -> int:
        """How many runs there are in the sources, counted up to a limit."""
        total = 0
        for source in sources:
            total += self._connection.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM {source.table}"
                f" WHERE {source.where.text} LIMIT ?)",
                (*source.where.parameters, limit - total),
            ).get
            if total >= limit:
                break
        return total

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
    inner = union(found.sources, ("run",))
    text = (
        "SELECT r.run AS run, r.status AS status, r.place_ns AS place, r.start_time_ns AS start"
        f" FROM ({inner.text}) c CROSS JOIN perdure_run r ON r.run = c.run"
        f" WHERE r.kind = 0 AND r.status IN ({statuses}) AND {found.rest.text}"
    )
    return Fragment(text, (*inner.parameters, *found.rest.parameters))


def among_statuses(statuses: Sequence[int]) -> str:
    """What stands in the brackets of IN."""
    return ", ".join(map(str, statuses)) or "NULL"
