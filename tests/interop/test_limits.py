"""Rule: at its limits our server does what the real one does. Both have small ones here."""

from __future__ import annotations

import concurrent.futures

import pytest

from tests.interop.conftest import TARGETS, differ, quiet
from tests.interop.programs import LIMITED
from tests.interop.programs.limits import SETTINGS
from tests.interop.runs import Sides, difference, run_against, settled


@pytest.mark.interop
def test_at_the_limits_ours_equals_the_real_one() -> None:
    with quiet():
        sides = settled(_run_both, list(LIMITED), differ)
    problems = []
    for program in LIMITED:
        real, ours = (sides[target][program] for target in TARGETS)
        diff = difference(real.observations, ours.observations, "the real server", "our server")
        problems += [text for text in (real.error, ours.error, diff) if text]
    assert not problems, "\n".join(problems)


def _run_both(names: list[str]) -> Sides:
    with concurrent.futures.ThreadPoolExecutor(len(TARGETS)) as pool:
        sides = {target: pool.submit(run_against, target, names, SETTINGS) for target in TARGETS}
        return {target: side.result() for target, side in sides.items()}
