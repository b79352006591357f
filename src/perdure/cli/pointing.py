"""Where a query has gone wrong, in the words of whoever wrote it.

Servers count the position of a syntax error in the statement that they make of the query, which
nobody who writes queries has ever seen.
"""

from __future__ import annotations

import re

_POSITION = re.compile(r"syntax error at position (\d+)")
_BARE = re.compile(r"(group|order)\s+by\b", re.IGNORECASE)
_BEFORE, _BEFORE_BARE = len("select * from table1 where "), len("select * from table1 ")


def pointed(message: str, query: str) -> str:
    """The message of a refusal; of a syntax error, with the part of the query that ends there."""
    found = _POSITION.search(message)
    query = query.strip()
    if found is None or not query:
        return message
    before = _BEFORE_BARE if _BARE.match(query) else _BEFORE
    end = int(found[1]) - before - 1
    read = query.encode()[: max(end, 0)].decode(errors="ignore")
    where = "at its end" if read == query else f"after: {read}" if read else "at its beginning"
    return f"{message}, in the query {where}"
