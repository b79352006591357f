"""A request and a response, as the listener and the API know them."""

from __future__ import annotations

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A request that has arrived whole; names of headers are in lower case."""

    method: str
    target: str
    """The path and the query, as sent."""
    headers: dict[str, str]
    body: bytes


class Response(msgspec.Struct, frozen=True):
    """What is answered."""

    status: int
    body: bytes
    content_type: str = "application/json"
    """"" for no content that has a type."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones."""
