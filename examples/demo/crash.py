"""The payment that is killed in the middle, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from examples.demo.checking import check
from examples.demo.payment_process import RIDE
from examples.demo.stage import Stage
from examples.ride_payment.activities import COMPANY
from examples.ride_payment.bank import Bank
from perdure.cli.rendering.times import took

PATIENCE_SECONDS = 60.0
"""Whatever has not happened by then never will."""
GOES_ON_WITHIN_SECONDS = 1.0
SHORTEST_TIMEOUT = timedelta(seconds=60)
"""With no timeout below this, it is not a timeout that makes the second process go on."""


@dataclass(frozen=True)
class Files:
    """What outlives the processes."""

    app: Path
    bank: Path


async def kill_and_go_on(stage: Stage, files: Files) -> None:
    """Kill the process that pays while it pays, and start it again."""
    bank = Bank(files.bank)
    first = await _start(files)
    try:
        with stage.waiting("the bank takes the fare from Ada"):
            await _until_asked_to_pay_driver(bank, first, times=1)
        check(bank.balance(COMPANY) == RIDE.cents, "the fare was not withdrawn before the crash")
        stage.good(
            f"process {first.pid}: withdraw is done, {RIDE.cents / 100:.2f} are on their way"
        )
        stage.plan(f"process {first.pid}: pay_driver runs …")
    finally:
        first.kill()
    check(await first.wait() != 0, "the first process ended before it could be killed")
    stage.bad(f"process {first.pid}: kill -9, without a goodbye")

    started = time.time()
    second = await _start(files)
    with stage.waiting("a second process opens the same file"):
        opened = float(await _line(second))
        await _until_asked_to_pay_driver(bank, second, times=2)
    went_on = bank.requests(RIDE.driver)[1]
    stage.good(
        f"process {second.pid}: pay_driver goes on {took(went_on - opened)} after the file was "
        f"opened ({took(went_on - started)} after the process was started)"
    )
    with stage.waiting("the bank pays Grace"):
        result = await _line(second)
        check(await second.wait() == 0, "the second process failed")
    stage.good(f"process {second.pid}: {result}")
    check(went_on - opened < GOES_ON_WITHIN_SECONDS, "it did not go on within a second")
    _check_bank(bank)


def check_history(events: list[HistoryEvent]) -> None:
    """Nothing timed out, nothing could have, and only the payment had a second attempt."""
    timeouts = [
        event.activity_task_scheduled_event_attributes.start_to_close_timeout.ToTimedelta()
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    attempts = [
        event.activity_task_started_event_attributes.attempt
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
    ]
    check(min(timeouts) >= SHORTEST_TIMEOUT, "there is a timeout that could have helped")
    check(attempts == [1, 2], f"the attempts of withdraw and pay_driver were {attempts}")


def _check_bank(bank: Bank) -> None:
    done = [(one.payer, one.payee, one.cents) for one in bank.transfers()]
    wanted = [(RIDE.customer, COMPANY, RIDE.cents), (COMPANY, RIDE.driver, RIDE.cents)]
    check(done == wanted, f"the bank's book says {done}")
    check(len(bank.requests(COMPANY)) == 1, "withdraw ran twice")


async def _start(files: Files) -> Process:
    module = "examples.demo.payment_process"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, str(files.app), str(files.bank), stdout=PIPE
    )


async def _line(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        line = await process.stdout.readline()
    check(line != b"", "the process ended too early")
    return line.decode().strip()


async def _until_asked_to_pay_driver(bank: Bank, process: Process, times: int) -> None:
    """The bank's own record says when an attempt to pay has reached it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(bank.requests(RIDE.driver)) < times:
            check(process.returncode is None, "the process ended too early")
            await asyncio.sleep(0.01)
