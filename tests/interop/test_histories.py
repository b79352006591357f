"""Rule: our server records, describes and refuses as the real one does."""

from __future__ import annotations

import pytest

from tests.interop.conftest import Outcomes
from tests.interop.programs import PROGRAMS
from tests.interop.runs import difference


@pytest.mark.interop
@pytest.mark.parametrize("program", PROGRAMS)
def test_ours_equals_the_real_one(program: str, outcomes: Outcomes) -> None:
    real, ours = outcomes["real"][program], outcomes["ours"][program]
    assert not real.error, f"{program} fails on the real server\n{real.error}"
    diff = difference(real.observations, ours.observations, "the real server", "our server")
    assert not ours.error, f"{program} fails on our server\n{ours.error}\n{diff}"
    assert not diff, f"{program}: what was observed differs\n{diff}"
