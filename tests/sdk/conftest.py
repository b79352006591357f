"""Tests that take `client` run in every home."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from perdure.client import Client
from tests.sdk.homes import HOMES, Homes


@pytest.fixture(scope="session")
def homes() -> Iterator[Homes]:
    """What opens clients; one for all tests of a process."""
    with contextlib.ExitStack() as stack:
        yield Homes(stack)


@pytest.fixture(
    params=[
        pytest.param(home, marks=[pytest.mark.interop] if home == "real" else []) for home in HOMES
    ]
)
def home(request: pytest.FixtureRequest, homes: Homes) -> str:
    """The name of each home in turn, which is ready."""
    name: str = request.param
    # Not in the test's own loop: starting a server takes a loop, and the test's time.
    homes.start(name)
    return name


@pytest.fixture
async def client(homes: Homes, home: str) -> AsyncIterator[Client]:
    """A client of each home in turn."""
    async with homes.open(home) as client:
        yield client


@pytest.fixture
def queue() -> str:
    """A task queue, or the id of a workflow, that is this test's alone."""
    return uuid.uuid4().hex
