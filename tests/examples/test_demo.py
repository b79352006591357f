"""`make demo`: it shows what it promises, and fails when that does not happen."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from examples.demo import __main__ as demo
from examples.demo.checking import DemoFailed, check
from examples.demo.payment_process import RIDE
from examples.ride_payment.workflows import STEP
from tests.tidy.source import ROOT

pytestmark = pytest.mark.crash


def test_the_demo_runs_and_shows_the_crash_and_the_timeline() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for pattern in (
        r"✔ Hello, Ada!",
        r"✘ attempt 1: the mail service is down",
        r"✔ attempt 3: to ada@example\.com: You joined a day ago",
        r"✘ process \d+: kill -9",
        r"✔ process \d+: pay_driver goes on \d+ ms after the file was opened",
        r"▶ started +RidePayment\(",
        r"✔ activity completed +\S+ m?s  withdraw",
        r"attempt 2; the one before: ",
        rf"✔ completed +\S+ m?s  \"Ada paid {RIDE.cents / 100:.2f} to Grace\"",
        r"✘ PaymentUndone",
    ):
        assert re.search(pattern, done.stdout), f"{pattern}\n{done.stdout}"
    killed, other = re.findall(r"process (\d+): (?:kill|Ada paid)", done.stdout)
    assert killed != other


def test_no_timeout_of_a_payment_is_under_a_minute() -> None:
    timeout = STEP["start_to_close_timeout"]
    assert timeout is not None
    assert timeout.total_seconds() >= 60


def test_what_does_not_hold_ends_the_demo_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail(*arguments: object) -> None:
        check(False, "the sky fell down")

    monkeypatch.setattr(demo, "demo", fail)
    assert demo.main() == 1
    assert "the sky fell down" in capsys.readouterr().out
    with pytest.raises(DemoFailed):
        check(False, "it")
