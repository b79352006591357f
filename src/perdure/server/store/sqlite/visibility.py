"""Reading lists and counts of runs: the statements beside this file, with a query filled in."""

from __future__ import annotations

from collections import Counter
from typing import Any

import apsw

from perdure.server.machines.search_attributes import Scalar
from perdure.server.store.ports import TooManyGroups, VisibilityCursor
from perdure.server.store.sqlite.statements import workflow_hash
from perdure.server.visibility.query.sql import Compiler, Fragment, keyset
from perdure.server.visibility.query.tree import Query

INTEGER_MAX = 2**63 - 1

Row = tuple[Any, ...]


class VisibilityReader:
    """One query on one namespace, as SQL."""

    def __init__(self, sql: dict[str, str], namespace: int, query: Query, kind: int = 0) -> None:
        self._sql = sql
        self._namespace = namespace
        self._query = query
        self._kind = kind
        self._compiler = Compiler(namespace, lambda name: workflow_hash(namespace, name, kind))
        condition = self._compiler.condition(query.filter)
        self._filter = condition.sql
        self._plus = "+" if condition.is_narrow else ""

    def page(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        """Rows after a place: close, start, number, namespace, workflow id, run id, head, and then
        the keys of the query's order."""
        if self._query.order:
            return self._ordered(connection, after, limit)
        if self._kind:
            place = (after.start_time_ns, after.run) if after else (INTEGER_MAX,) * 2
            return self._all(connection, "list_kind", (self._kind, *place), (limit,))
        rows: list[Row] = []
        if after is None or after.close_time_ns == 0:
            rows += self._open(connection, after, limit)
            after = None
        if len(rows) < limit:
            rows += self._closed(connection, after, limit - len(rows))
        return rows

    def _open(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        start, run = (after.start_time_ns, after.run) if after else (INTEGER_MAX, INTEGER_MAX)
        place = (start, start, run)
        return self._all(connection, "list_open", place, (limit,))

    def _closed(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        place = (INTEGER_MAX,) * 3
        if after is not None:
            place = (after.close_time_ns, after.start_time_ns, after.run)
        return self._all(connection, "list_closed", (place[0], *place), (limit,))

    def _ordered(
        self, connection: apsw.Connection, after: VisibilityCursor | None, limit: int
    ) -> list[Row]:
        order = self._query.order
        keys = [self._compiler.value(part.attribute) for part in order]
        place = Fragment("1") if after is None else keyset(order, after.keys, after.run)
        names = [f"k{number}{' DESC' * part.descending}" for number, part in enumerate(order)]
        text = self._filled(
            "list_ordered",
            keys=", ".join(f"{key.text} AS k{number}" for number, key in enumerate(keys)),
            after=place.text,
            order=", ".join([*names, "run DESC"]),
        )
        parameters = [parameter for key in keys for parameter in key.parameters]
        parameters += [self._namespace, self._kind]
        parameters += [*self._filter.parameters, *place.parameters, limit]
        return connection.execute(text, parameters).fetchall()

    def count(self, connection: apsw.Connection, groups_max: int) -> dict[Scalar | None, int]:
        """How many runs there are of each group, unless there are more groups."""
        group = Fragment("NULL")
        if self._query.group is not None:
            group = self._compiler.value(self._query.group)
        counts: Counter[Scalar | None] = Counter()
        names: tuple[str, ...] = ("count_open", "count_closed")
        kind: tuple[int, ...] = ()
        if self._kind:
            names, kind = ("count_kind",), (self._kind,)
        for name in names:
            text = self._filled(name, group=group.text)
            parameters = (
                *group.parameters,
                self._namespace,
                *kind,
                *self._filter.parameters,
                groups_max + 1,
            )
            counts.update(dict(connection.execute(text, parameters)))
        if len(counts) > groups_max:
            raise TooManyGroups
        return counts

    def _all(self, connection: apsw.Connection, name: str, before: Row, after: Row) -> list[Row]:
        parameters = (self._namespace, *before, *self._filter.parameters, *after)
        return connection.execute(self._filled(name), parameters).fetchall()

    def _filled(self, name: str, **parts: str) -> str:
        return self._sql[name].format(plus=self._plus, filter=self._filter.text, **parts)
