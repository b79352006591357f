"""Tests of one process run in any order: none may leave that process otherwise than it was."""

from __future__ import annotations

from collections.abc import Iterator

import grpc  # noqa: F401 -- makes its logger, for which the first test that needs it is not to blame
import pytest

from tests.process_state import process_state, restore


@pytest.fixture(autouse=True)
def process_is_left_as_it_was() -> Iterator[None]:
    """Fails the test that leaves something behind, rather than one that comes later."""
    was = process_state()
    yield
    left = restore(was)
    assert not left, "\n".join(["The test has left behind, in its process:", *left])
