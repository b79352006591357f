"""Carries out commands of the official command line on a server, and tells what they print, without
what differs from run to run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import re
import shlex
import subprocess
import time
from datetime import timedelta
from typing import NamedTuple

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.interop.servers import executable, server

QUEUE = "walk"
PATIENCE_SECONDS = 30.0
HOUR = timedelta(hours=1)


class Step(NamedTuple):
    """A command, without the name of the program; what must be printed before the next one, if it
    takes a while; and whether what it prints is compared."""

    command: str
    until: str = ""
    is_compared: bool = True


class Said(NamedTuple):
    """What came of a command."""

    command: str
    exit_code: int
    text: str


@activity.defn
async def answer_later() -> str:
    """Somebody else says what it results in."""
    activity.raise_complete_async()


@workflow.defn
class Greeter:
    """Has what the command line asks for."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, name: str) -> str:
        """Greets after a signal."""
        await workflow.wait_condition(lambda: "end" in self.words)
        return f"Hello, {name}!"

    @workflow.signal
    def say(self, word: str) -> None:
        """Say something."""
        self.words.append(word)

    @workflow.query
    def said(self) -> list[str]:
        """What was said."""
        return self.words

    @workflow.update
    def add(self, word: str) -> int:
        """Say something, and hear how much it is."""
        if word == "bad":
            raise ApplicationError("bad word")
        self.words.append(word)
        return len(self.words)


@workflow.defn
class Outside:
    """Has an activity that is ended from outside."""

    @workflow.run
    async def run(self) -> str:
        """What the activity results in."""
        answer: str = await workflow.execute_activity(
            answer_later, activity_id="later", start_to_close_timeout=HOUR
        )
        return answer


def walk(target: str, steps: list[Step]) -> list[Said]:
    """Carry out the steps on a fresh server, with a worker of the official SDK beside it."""
    with server(target) as address:
        return asyncio.run(_walk(address, steps))


async def _walk(address: str, steps: list[Step]) -> list[Said]:
    client = await Client.connect(address)
    worker = Worker(
        client, task_queue=QUEUE, workflows=[Greeter, Outside], activities=[answer_later]
    )
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        async with worker:
            return [await loop.run_in_executor(pool, _carry_out, address, step) for step in steps]


def _carry_out(address: str, step: Step) -> Said:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        said = _run(address, step.command)
        if not step.until or re.search(step.until, said.text):
            return said
        assert time.monotonic() < deadline, f"{step.command}: {said.text}"
        time.sleep(0.1)


def _run(address: str, command: str) -> Said:
    done = subprocess.run(
        [executable("temporal"), *shlex.split(command), "--address", address, "--color", "never"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS * 2,
        env={**os.environ, "TEMPORAL_DISABLE_UPDATE_CHECK": "1", "NO_COLOR": "1"},
    )
    return Said(command, done.returncode, normal(done.stdout + done.stderr))


REPLACED: list[tuple[str, str]] = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>"),
    (r"\b\d+@[\w.-]+", "<process>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"(a few|a|an|\d+|less than a) (milli)?(second|minute|hour)s?( ago| from now)?|now", "<when>"),
    (r"\b\d+(\.\d+)?(ms|µs|s)\b", "<length>"),
    (r'"(core|lang)UsedFlags": *\[[^\]]*\]', r'"\1UsedFlags": <flags>'),
    (r'"(taskId|historySizeBytes|ScheduleToStartMs)": *"?\d+"?', r'"\1": <number>'),
    (r"HistorySize +\d+", "HistorySize <number>"),
    (r'"(nextPageToken|data|binaryChecksum|buildId|build_id)": *"[^"]*"', r'"\1": <bytes>'),
    (r"temporal-cli:[\w.@-]+", "<cli>"),
]
"""What differs from run to run."""


def normal(text: str) -> str:
    """The text without what differs from run to run; columns are as wide as what is in them."""
    for pattern, replacement in REPLACED:
        text = re.sub(pattern, replacement, text)
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.splitlines())
