"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
from perdure import activity, workflow
from perdure.exceptions import ApplicationError
from perdure.testing import mock_activity


@dataclass
class Letter:
    text: str


@activity.defn
async def send(letter: Letter, copies: int = 1) -> Letter:
    raise RuntimeError("no mail server here")


@workflow.defn
class Reminder:
    @workflow.run
    async def run(self, text: str) -> str:
        await asyncio.sleep(timedelta(days=30).total_seconds())
        letter = await workflow.execute_activity(
            send, Letter(text), start_to_close_timeout=timedelta(minutes=1)
        )
        return letter.text


MARK


async def test_thirty_days(perdure_client, perdure_worker, perdure_task_queue):
    unsent = ApplicationError("busy")
    sending = mock_activity(send, unsent, lambda letter: Letter(letter.text.upper()))
    await perdure_worker(workflows=[Reminder], activities=[sending])
    result = await perdure_client.execute_workflow(
        Reminder.run, "rent", id="r", task_queue=perdure_task_queue
    )
    assert result == "RENT"
    assert sending.calls == [(Letter("rent"),)] * 2


async def test_an_activity_alone(perdure_activity_environment):
    with pytest.raises(RuntimeError, match="no mail"):
        await perdure_activity_environment.run(send, Letter("rent"))
"""
OPTIONS = ("-p", "no:cacheprovider", "-p", "no:xdist")


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("pytestmark = pytest.mark.asyncio", ("--asyncio-mode=strict",)),
        ("pytestmark = pytest.mark.anyio", ("-p", "no:asyncio")),
    ],
    ids=["asyncio", "anyio"],
)
def test_fixtures_run_workflows_of_months(
    pytester: pytest.Pytester, mark: str, options: tuple[str, ...]
) -> None:
    backend = "@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    pytester.makepyfile(TESTS.replace("MARK", mark + "\n\n" + backend))
    result = pytester.runpytest_subprocess(*OPTIONS, *options, timeout=60)
    result.assert_outcomes(passed=2)


def test_time_may_be_that_of_the_wall(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\nperdure_time = wall\n")
    pytester.makepyfile(
        "async def test(perdure_environment):\n"
        "    assert not perdure_environment.supports_time_skipping\n"
    )
    pytester.runpytest_subprocess(*OPTIONS, timeout=60).assert_outcomes(passed=1)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nperdure_time = sundial\n")
    result = pytester.runpytest_subprocess(*OPTIONS, timeout=60)
    result.stdout.fnmatch_lines(["*perdure_time is one of skipping, wall, not 'sundial'*"])


def test_runs_that_do_not_ask_for_it_import_nothing_of_the_sdk() -> None:
    """What pytest loads in every run is the plugin alone."""
    code = (
        "import sys, pytest, perdure.pytest_plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith('perdure')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['perdure', 'perdure._contract', 'perdure.pytest_plugin']"
