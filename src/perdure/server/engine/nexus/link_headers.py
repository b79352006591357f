"""The header that carries links: `<address>; type="type"`, several with commas between."""

from __future__ import annotations

import re
from collections.abc import Iterable

from temporalio.api.nexus.v1 import Link

LINK = re.compile(r'\s*<([^<>\s]+)>\s*;\s*type="([^"]*)"\s*(?:,|$)')
LINKS_MAX = 100


class BadLinks(Exception):
    """What should be links is none."""


def write_links(links: Iterable[Link]) -> str:
    """The header's value; "" for no links."""
    return ", ".join(f'<{link.url}>; type="{link.type}"' for link in links)


def read_links(value: str) -> list[Link]:
    """The links of a header. Raises BadLinks."""
    found: list[Link] = []
    position = 0
    while position < len(value):
        match = LINK.match(value, position)
        if match is None or len(found) >= LINKS_MAX:
            raise BadLinks
        found.append(Link(url=match[1], type=match[2]))
        position = match.end()
    return found
