"""Which workflows go to a ramping version: as on the real server, by the fingerprints of their
ids. The answers below are those of Temporal's server 1.32, asked with half of the work ramping."""

from __future__ import annotations

import pytest

from perdure.server.machines.queue.fingerprint import fingerprint32

HALF = 2**31
RAMPING = (
    *("xx2-q", "1-q", "5-q", "xxxxxx6-q", "yyyy11-q", "xxxxxxxxxx10-q", "w10-abcabcabcabc"),
    *(f"{'x' * number}{number}-q" for number in (18, 26, 34, 42, 46, 54, 62)),
)
CURRENT = (
    *("a0-q", "w0-abcabcabcabc"),
    *(f"{'x' * number}{number}-q" for number in (14, 22, 30, 38, 50, 58)),
)


@pytest.mark.parametrize("workflow_id", RAMPING)
def test_who_goes_to_the_ramping_version_does_so_here(workflow_id: str) -> None:
    assert fingerprint32(workflow_id.encode()) < HALF


@pytest.mark.parametrize("workflow_id", CURRENT)
def test_who_goes_to_the_current_version_does_so_here(workflow_id: str) -> None:
    assert fingerprint32(workflow_id.encode()) > HALF


def test_every_length_has_a_fingerprint() -> None:
    found = {fingerprint32(b"\xff" * length) for length in range(100)}
    assert len(found) == 100
    assert all(0 <= each < 2**32 for each in found)
