"""Reading lists and counts of runs: the statements beside this file, with a query filled in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import apsw

from perdure.server.machines.search_attributes import Scalar
from perdure.server.store.ports import TooManyGroups, VisibilityCursor
from perdure.server.store.sqlite.connections import SqliteSettings
from perdure.server.store.sqlite.finding import EVER, Finder, Found, among_statuses, runs_of
from perdure.server.store.sqlite.ordering import narrowed
from perdure.server.visibility.query.access import STATUSES, Source
from perdure.server.visibility.query.sql import Compiler, Fragment, keyset
from perdure.server.visibility.query.tree import Query

INTEGER_MAX = 2**63 - 1

Row = tuple[Any, ...]
Place = tuple[int, int]
"""In a list: when a run started, or closed, and its number."""

_BEFORE_ALL: Place = (INTEGER_MAX, INTEGER_MAX)
_STATUS = "ExecutionStatus"
_OPEN, _CLOSED = "open", "closed"
"""The two parts of a list."""


class VisibilityReader:
    """One query on one namespace, as SQL."""

    def __init__(
        self,
        sql: dict[str, str],
        settings: SqliteSettings,
        namespace: int,
        query: Query,
        kind: int = 0,
    ) -> None:
        self._settings = settings
        self._sql = sql
        self._namespace = namespace
        self._query = query
        self._kind = kind
        self._compiler = Compiler(namespace, kind)

    def page(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        """Rows after a place: close, start, number, namespace, workflow id, run id, head, and then
        the keys of the query's order."""
        order = self._query.order
        if self._kind:
            return self._page_of_kind(connection, after, limit)
        if len(order) == 1 and order[0].attribute.field == "StartTime":
            return self._by_start(connection, after, limit)
        finder = Finder(connection, self._settings, self._namespace)
        found = finder.find(self._query.filter)
        if order:
            found = self._before_end(connection, finder, found, after, limit)
            return self._ordered(connection, *_source(self._namespace, found), after, limit)
        if found.few:
            return self._few(connection, found, after, limit)
        rows: list[Row] = []
        if after is None or after.close_time_ns == 0:
            place = (after.start_time_ns, after.run) if after else _BEFORE_ALL
            rows += self._walk(connection, found, _OPEN, place, limit)
            after = None
        if len(rows) < limit:
            place = (after.close_time_ns, after.run) if after else _BEFORE_ALL
            rows += self._walk(connection, found, _CLOSED, place, limit - len(rows))
        return rows

    def _before_end(
        self,
        connection: apsw.Connection,
        finder: Finder,
        found: Found,
        after: VisibilityCursor | None,
        limit: int,
    ) -> Found:
        """Of what is found as much as a sorted page may have."""
        if found.few or not found.statuses:
            return found
        condition = narrowed(
            connection,
            self._namespace,
            self._query.filter,
            found,
            finder.all_of(found),
            self._query.order[0],
            after,
            limit,
        )
        return found if condition is None else finder.find(condition)

    def _page_of_kind(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        condition = self._compiler.condition(self._query.filter)
        if self._query.order:
            plus = "+" if condition.is_narrow else ""
            where = Fragment(
                f"{plus}r.namespace = ? AND r.kind = ? AND r.status IS NOT NULL"
                f" AND {condition.sql.text}",
                (self._namespace, self._kind, *condition.sql.parameters),
            )
            return self._ordered(connection, Fragment("perdure_run r"), where, after, limit)
        place = (after.start_time_ns, after.run) if after else _BEFORE_ALL
        text = self._sql["list_kind"].format(filter=condition.sql.text)
        parameters = (self._namespace, self._kind, *place, *condition.sql.parameters, limit)
        return connection.execute(text, parameters).fetchall()

    def _few(
        self,
        connection: apsw.Connection,
        found: Found,
        after: VisibilityCursor | None,
        limit: int,
    ) -> list[Row]:
        """All runs that there are, sorted."""
        place = Fragment("1")
        if after is not None:
            is_open = after.close_time_ns == 0
            time_ns = after.start_time_ns if is_open else after.close_time_ns
            same = "status IN (1, 8)" if is_open else "status NOT IN (1, 8)"
            later = "status NOT IN (1, 8)" if is_open else "0"
            text = f"({later} OR {same} AND (place, run) < (?, ?))"
            place = Fragment(text, (time_ns, after.run))
        keys = (("is_open", "DESC"), ("place", "DESC"), ("run", "DESC"))
        return self._sorted(connection, runs_of(found), place, keys, limit)

    def _sorted(
        self,
        connection: apsw.Connection,
        runs: Fragment,
        after: Fragment,
        keys: Sequence[tuple[str, str]],
        limit: int,
    ) -> list[Row]:
        text = self._sql["list_few"].format(
            runs=runs.text,
            after=after.text,
            order=", ".join(" ".join(key) for key in keys),
            order_of_all=", ".join("f." + " ".join(key) for key in keys),
        )
        parameters = (*runs.parameters, *after.parameters, limit)
        return connection.execute(text, parameters).fetchall()

    def _walk(
        self,
        connection: apsw.Connection,
        found: Found,
        part: str,
        after: Place,
        limit: int,
    ) -> list[Row]:
        """Runs as an index has them in order: of each value and status, merged as they are met."""
        is_open = part == _OPEN
        statuses = found.open_statuses if is_open else found.closed_statuses
        first, last = found.asked.start if is_open else found.asked.close
        if last < after[0]:
            after = (last, INTEGER_MAX)
        texts: list[str] = []
        parameters: list[Any] = []
        for source in found.sources or (_listed(self._namespace),):
            text = self._sql["list_status"].format(
                place=source.place,
                run=source.run,
                status=source.status,
                table=_joined_to_runs(source),
                where=source.where.text,
                rest=found.rest.text,
            )
            for status in statuses:
                texts.append(text)
                parameters += [*source.where.parameters, status, first, after[0], *after]
                parameters += found.rest.parameters
        if not texts:
            return []
        rows = connection.execute(
            f"{' UNION ALL '.join(texts)} ORDER BY place DESC, run DESC LIMIT ?",
            (*parameters, limit),
        )
        return [(close, start, run, *names) for _, run, close, start, *names in rows]

    def _by_start(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        finder = Finder(connection, self._settings, self._namespace)
        found = finder.find(self._query.filter, by_start=True)
        is_descending = self._query.order[0].descending
        direction, sign = ("DESC", "<") if is_descending else ("ASC", ">")
        start, run = ("start", "run") if found.few else ("r.start_time_ns", "r.run")
        place = Fragment("1")
        if after is not None:
            text = f"{start} {sign}= ? AND ({start} {sign} ? OR {run} < ?)"
            place = Fragment(text, (after.start_time_ns, after.start_time_ns, after.run))
        rows: list[Row] | None = None
        if found.few:
            keys = (("start", direction), ("run", "DESC"))
            rows = self._sorted(connection, runs_of(found, with_start=True), place, keys, limit)
        elif not found.statuses:
            rows = []
        elif is_descending and _may_be_late(found):
            rows = self._latest(connection, found, after, limit)
        if rows is None:
            rest = finder.all_of(found)
            text = self._sql["list_started"].format(
                after=place.text,
                statuses=among_statuses(found.statuses),
                rest=rest.text,
                direction=direction,
            )
            first, last = found.asked.start
            if after is not None:
                bound = after.start_time_ns
                first, last = (
                    (first, min(last, bound)) if is_descending else (max(first, bound), last)
                )
            parameters = (self._namespace, first, last, *place.parameters, *rest.parameters, limit)
            rows = connection.execute(text, parameters).fetchall()
        return [(*row, row[1]) for row in rows]

    def _latest(
        self,
        connection: apsw.Connection,
        found: Found,
        after: VisibilityCursor | None,
        limit: int,
    ) -> list[Row] | None:
        """The last starts, off an index by close: whatever comes later there started before that.
        None when too many would have to be read."""
        before = (after.start_time_ns, after.run) if after else _BEFORE_ALL
        best = self._walk(connection, found, _OPEN, before, limit)
        place, left = _BEFORE_ALL, self._settings.sorted_runs_max
        while left > 0:
            rows = self._walk(connection, found, _CLOSED, place, 2 * limit)
            best += [row for row in rows if (row[1], row[2]) < before]
            best = sorted(best, key=lambda row: (row[1], row[2]), reverse=True)[:limit]
            if len(rows) < 2 * limit:
                return best
            place = (rows[-1][0], rows[-1][2])
            if len(best) == limit and best[-1][1] > place[0]:
                return best
            left -= len(rows)
        return None

    def _ordered(
        self,
        connection: apsw.Connection,
        source: Fragment,
        where: Fragment,
        after: VisibilityCursor | None,
        limit: int,
    ) -> list[Row]:
        """All runs that there are, sorted by what the query says."""
        order = self._query.order
        keys = [self._compiler.value(part.attribute) for part in order]
        place = Fragment("1") if after is None else keyset(order, after.keys, after.run)
        names = [f"k{number}{' DESC' * part.descending}" for number, part in enumerate(order)]
        text = self._sql["list_ordered"].format(
            keys=", ".join(f"{key.text} AS k{number}" for number, key in enumerate(keys)),
            source=source.text,
            filter=where.text,
            after=place.text,
            order=", ".join([*names, "run DESC"]),
        )
        parameters = [parameter for key in keys for parameter in key.parameters]
        parameters += [*source.parameters, *where.parameters, *place.parameters, limit]
        return connection.execute(text, parameters).fetchall()

    def count(self, connection: apsw.Connection, groups_max: int) -> dict[Scalar | None, int]:
        """How many runs there are of each group, unless there are more groups."""
        group = Fragment("NULL")
        if self._query.group is not None:
            group = self._compiler.value(self._query.group)
        if self._kind:
            condition = self._compiler.condition(self._query.filter).sql
            text = "r.namespace = ? AND r.kind = ? AND r.kind > 0 AND " + condition.text
            where = Fragment(text, (self._namespace, self._kind, *condition.parameters))
            return self._counted(connection, group, Fragment("perdure_run r"), where, groups_max)
        found = Finder(connection, self._settings, self._namespace).find(self._query.filter)
        by_status = self._query.group is None or self._query.group.field == _STATUS
        if by_status and not found.sources and found.is_whole:
            return self._count_statuses(connection, found.statuses, groups_max)
        if by_status and found.sources and found.is_whole:
            source, where = runs_of(found), Fragment("1")
            source = Fragment(f"({source.text}) r", source.parameters)
        else:
            source, where = _source(self._namespace, found)
        return self._counted(connection, group, source, where, groups_max)

    def _count_statuses(
        self, connection: apsw.Connection, statuses: Sequence[int], groups_max: int
    ) -> dict[Scalar | None, int]:
        """How many runs each status has: one range of an index, which is counted fastest."""
        counts: Counter[Scalar | None] = Counter()
        for status in statuses:
            text = self._sql["count_status"]
            count = connection.execute(text, (self._namespace, status)).get
            if count:
                counts[None if self._query.group is None else status] += count
        if len(counts) > groups_max:
            raise TooManyGroups
        return counts

    def _counted(
        self,
        connection: apsw.Connection,
        group: Fragment,
        source: Fragment,
        where: Fragment,
        groups_max: int,
    ) -> dict[Scalar | None, int]:
        text = self._sql["count_runs"].format(
            group=group.text, source=source.text, filter=where.text
        )
        parameters = (*group.parameters, *source.parameters, *where.parameters, groups_max + 1)
        counts = dict(connection.execute(text, parameters))
        if len(counts) > groups_max:
            raise TooManyGroups
        return counts


def _may_be_late(found: Found) -> bool:
    """Whether the last starts may lie far before others that are not asked for."""
    is_some = len(found.statuses) < len(STATUSES)
    return found.is_ordered or (is_some and found.asked.start == EVER)


def _listed(namespace: int) -> Source:
    return Source(
        "perdure_run r INDEXED BY perdure_run_listed",
        Fragment("r.namespace = ? AND r.kind = 0", (namespace,)),
        status="r.status",
        place="r.place_ns",
    )


def _joined_to_runs(source: Source) -> str:
    if source.run == "r.run":
        return source.table
    return f"{source.table} CROSS JOIN perdure_run r ON r.run = {source.run}"


def _source(namespace: int, found: Found) -> tuple[Fragment, Fragment]:
    """Runs `r` that pass, for a sort or a count of all: where they come from, and a condition."""
    if found.sources:
        runs = runs_of(found)
        text = f"({runs.text}) f CROSS JOIN perdure_run r ON r.run = f.run"
        return Fragment(text, runs.parameters), Fragment("1")
    where = Fragment(
        f"r.namespace = ? AND r.kind = 0 AND r.status IN ({among_statuses(found.statuses)})"
        f" AND {found.rest.text}",
        (namespace, *found.rest.parameters),
    )
    return Fragment("perdure_run r INDEXED BY perdure_run_listed"), where
