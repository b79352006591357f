"""Where an example runs: in its own process, or on a server given by `--address`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import perdure
from perdure.client import Client


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every example has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--address", help="HOST:PORT of a server; without it, no server is needed")
    parser.add_argument("--db", default=":memory:", help="SQLite file to keep, without a server")
    return parser


def keep_quiet() -> None:
    """Failing activities are part of what the examples show, so their log says nothing new."""
    logging.getLogger("perdure.activity").setLevel(logging.CRITICAL)


@asynccontextmanager
async def connected(options: argparse.Namespace) -> AsyncIterator[Client]:
    """A client of the server, or of an engine in this very process."""
    if options.address:
        yield await Client.connect(options.address)
    else:
        async with perdure.embedded(options.db) as client:
            yield client
