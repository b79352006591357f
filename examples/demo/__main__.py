"""Run the examples in this very process, kill one half-way, and see it go on: `make demo`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import perdure
from examples.connecting import keep_quiet
from examples.demo.checking import DemoFailed, check
from examples.demo.crash import Files, check_history, kill_and_go_on
from examples.demo.payment_process import RIDE_ID
from examples.demo.stage import Stage
from examples.greeting.__main__ import main as greet
from examples.reminders.__main__ import main as remind
from examples.reminders.flaky_mail_service import FlakyMailService
from examples.ride_payment.activities import Ride
from examples.ride_payment.bank import Bank
from examples.ride_payment.paying import pay, payment_worker
from perdure.cli.rendering.timeline import print_timeline
from perdure.client import WorkflowFailureError

DAY_SECONDS = 0.06


async def demo(stage: Stage, folder: Path) -> None:
    """All scenes. Raises DemoFailed when anything is not as it should be."""
    files = Files(app=folder / "app.db", bank=folder / "bank.db")
    await greeting(stage, files)
    await reminders(stage, files)
    await crash(stage, files)
    await saga(stage, files)


async def greeting(stage: Stage, files: Files) -> None:
    """A workflow calls an activity."""
    stage.scene("Greeting", "A workflow calls an activity. Each step is on disk before the next.")
    result = await greet(Namespace(address=None, db=files.app, name="Ada"))
    check(result == "Hello, Ada!", f"the greeting was {result!r}")
    stage.good(result)


async def reminders(stage: Stage, files: Files) -> None:
    """A workflow sleeps for a month, and its mail service fails."""
    about = f"A workflow sleeps for a month, of days of {DAY_SECONDS} s. The mail service is down."
    stage.scene("Reminders", about)
    service = FlakyMailService(refusals=2, tell=lambda text: _tell_mail(stage, text))
    with stage.waiting("a month passes"):
        options = Namespace(address=None, db=files.app, day_seconds=DAY_SECONDS)
        check(await remind(options, service) == 3, "not all mails were sent")
    subjects = [mail.subject for mail in service.sent]
    wanted = [f"You joined {since} ago" for since in ("a day", "a week", "a month")]
    check(subjects == wanted, f"the mails were {subjects}")


async def crash(stage: Stage, files: Files) -> None:
    """A process is killed between two transfers, and another goes on."""
    stage.scene(
        "Ride payment", "Withdraw from Ada, pay Grace. The process is killed between the two."
    )
    await kill_and_go_on(stage, files)
    async with perdure.embedded(files.app) as client:
        history = await client.get_workflow_handle(RIDE_ID).fetch_history()
    check_history(list(history.events))
    stage.console.print()
    print_timeline(stage.console, history.events)


async def saga(stage: Stage, files: Files) -> None:
    """The second step fails for good, and the first is undone."""
    stage.scene("Compensation", "Alan's account is closed, so Ada gets her money back.")
    bank = Bank(files.bank)
    before = bank.balance("Ada")
    bank.close_account("Alan")
    async with perdure.embedded(files.app) as client, payment_worker(client, bank):
        try:
            result = await pay(client, "ride-2", Ride(customer="Ada", driver="Alan", cents=900))
        except WorkflowFailureError as error:
            stage.bad(str(error.cause))
        else:
            raise DemoFailed(f"Alan was paid: {result}")
    check(bank.balance("Ada") == before, "Ada did not get her money back")
    stage.console.print()
    for number, one in enumerate(bank.transfers(), start=1):
        stage.plan(f"the bank's book, {number}: {one.payer} → {one.payee}  {one.cents / 100:.2f}")


def _tell_mail(stage: Stage, text: str) -> None:
    (stage.bad if text.endswith("down") else stage.good)(text)


def main() -> int:
    """Run the demo; the exit code."""
    stage = Stage()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="perdure-demo-") as folder:
        stage.console.print(f"Perdure keeps everything in one SQLite file, {folder}/app.db")
        try:
            asyncio.run(demo(stage, Path(folder)))
        except DemoFailed as failed:
            stage.console.print(f"\nThe demo failed: {failed}", style="red")
            return 1
    stage.console.print(
        f"\nAll as promised, in {time.monotonic() - begin:.1f} s: each transfer once, no timeout "
        "waited for.\nNext: docs/getting-started.md"
    )
    return 0


if __name__ == "__main__":
    keep_quiet()
    sys.exit(main())
