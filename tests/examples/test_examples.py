"""The examples, on an engine in memory, on our server and on the real one."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import perdure
from examples.bonus_cron.__main__ import USERS
from examples.bonus_cron.__main__ import main as give_bonus
from examples.bonus_cron.database import Database
from examples.database_migration.__main__ import main as migrate
from examples.greeting.__main__ import main as greet
from examples.nexus_greeting.__main__ import main as arrive
from examples.reminders.__main__ import main as remind
from examples.reminders.activities import Mail, Mailer
from examples.reminders.flaky_mail_service import FlakyMailService
from examples.reminders.workflows import Reminders, Signup
from examples.ride_payment.__main__ import main as ride
from examples.ride_payment.activities import COMPANY, Ride
from examples.ride_payment.bank import AccountClosed, Bank, Transfer
from examples.ride_payment.paying import pay, payment_worker
from examples.subscription_polling.__main__ import main as subscribe
from examples.subscription_polling.billing import Billing
from examples.traced_order.__main__ import main as trace
from perdure.worker import Worker
from tests.interop.servers import SERVERS

EMBEDDED = Namespace(address=None, db=":memory:")
SHORT_DAY_SECONDS = 0.002


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "perdure.activity")


@pytest.fixture(
    scope="module",
    params=["embedded", "ours", pytest.param("real", marks=pytest.mark.interop)],
)
def place(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """The options by which an example runs in each place."""
    if request.param == "embedded":
        yield EMBEDDED
        return
    with SERVERS[request.param]() as address:
        yield Namespace(address=address, db=":memory:")


def options(place: Namespace, **more: object) -> Namespace:
    return Namespace(**vars(place), **more)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path / "bank.db")


async def test_somebody_is_greeted(place: Namespace) -> None:
    assert await greet(options(place, name="Ada")) == "Hello, Ada!"


async def test_an_order_is_traced_from_the_client_to_its_activities(place: Namespace) -> None:
    assert await trace(place) == [
        "StartWorkflow:Order",
        "  RunWorkflow:Order",
        "  StartActivity:charge",
        "    RunActivity:charge",
        "  Paid",
        "  StartActivity:ship",
        "    RunActivity:ship",
        "  CompleteWorkflow:Order",
    ]


async def test_guests_are_greeted_by_another_team(place: Namespace) -> None:
    assert await arrive(place) == [
        "Hallo, Ada!",
        "Bonjour, Bob!",
        "Eve is not greeted: OperationError: nobody here has been to Atlantis",
    ]


async def test_everybody_gets_what_the_schedules_give(place: Namespace, tmp_path: Path) -> None:
    database = Database(tmp_path / "users.db")
    database.add_users(USERS)
    assert await give_bonus(place, database) == {"Ada": 301, "Bob": 1}


async def test_mails_are_sent_in_order_once_the_service_works(place: Namespace) -> None:
    told: list[str] = []
    service = FlakyMailService(refusals=2, tell=told.append)
    assert await remind(options(place, day_seconds=SHORT_DAY_SECONDS), service) == 3
    assert service.sent == [
        Mail("ada@example.com", f"You joined {since} ago")
        for since in ("a day", "a week", "a month")
    ]
    attempts = [line.partition(":")[0] for line in told]
    assert attempts == [f"attempt {number}" for number in (1, 2, 3, 1, 1)]


async def test_a_subscription_lasts_while_it_is_paid_for(place: Namespace) -> None:
    told: list[str] = []
    billing = Billing(paid_after={1: (1, 0), 2: (1, 1)}, tell=told.append)
    ended = await subscribe(options(place, day_seconds=SHORT_DAY_SECONDS), billing)
    assert ended == "not paid in period 3"
    assert told[:5] == [
        *("period 1: invoice", "period 1: renewed", "period 2: invoice"),
        *("period 2: reminder 1", "period 2: renewed"),
    ]
    assert len([line for line in told if "period 3: reminder" in line]) == 3


async def test_migrations_that_do_not_fit_leave_no_trace(
    place: Namespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await migrate(place, tmp_path)
    ends = [line.strip() for line in capsys.readouterr().out.splitlines() if ": step" not in line]
    assert [line for line in ends if line.endswith("Grace")] == ["applied, approved by Grace"]
    assert [line for line in ends if "reverted" in line or "rolled back" in line] == [
        "reverted 4: a currency",
        "rolled back: UNIQUE constraint failed: purchase.email, purchase.day",
    ]


async def test_a_service_that_is_down_for_long_delays_the_mails_that_follow() -> None:
    """The second mail is overdue when the first is sent at last, and goes out at once."""
    service = FlakyMailService(refusals=6, tell=lambda _: None)
    assert await remind(options(EMBEDDED, day_seconds=0.0005), service) == 3


async def test_reminders_are_due_after_a_day_a_week_and_a_month() -> None:
    """The timers in the history say so, whatever the length of a day."""
    service = FlakyMailService(refusals=0, tell=lambda _: None)
    async with (
        perdure.embedded() as client,
        Worker(
            client,
            task_queue="q",
            workflows=[Reminders],
            activities=[Mailer(service).send_mail],
        ),
    ):
        handle = await client.start_workflow(
            Reminders.run, Signup("ada@example.com", day_seconds=0.01), id="r", task_queue="q"
        )
        await handle.result()
        history = await handle.fetch_history()
    begin = history.events[0].event_time.ToDatetime()
    due = [
        event.event_time.ToDatetime()
        + event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
        - begin
        for event in history.events
        if event.HasField("timer_started_event_attributes")
    ]
    # A timer is started a moment after its workflow, so that it is due a little later.
    for days, offset in zip((1, 7, 30), due, strict=True):
        assert timedelta(0) <= offset - days * timedelta(seconds=0.01) < timedelta(seconds=1)
    assert Signup("ada@example.com").day_seconds == timedelta(days=1).total_seconds()


async def test_a_ride_is_paid_with_two_transfers(place: Namespace, bank: Bank) -> None:
    assert await ride(options(place, ride=None), bank) == "Ada paid 12.50 to Grace"
    moves = [(one.payer, one.payee, one.cents) for one in bank.transfers()]
    assert moves == [("Ada", COMPANY, 1250), (COMPANY, "Grace", 1250)]


async def test_a_ride_that_cannot_be_paid_is_refunded(place: Namespace, bank: Bank) -> None:
    bank.close_account("Grace")
    said = await ride(options(place, ride=None), bank)
    assert said == (
        "not paid: PaymentUndone: the driver could not be paid, the customer was refunded"
    )
    assert [bank.balance(owner) for owner in ("Ada", COMPANY, "Grace")] == [0, 0, 0]
    assert len(bank.transfers()) == 2
    assert len(bank.requests("Grace")) == 1, "a closed account was asked again"


async def test_a_ride_is_paid_once_however_often_it_is_asked_for(bank: Bank) -> None:
    async with perdure.embedded() as client, payment_worker(client, bank):
        said = {await pay(client, "ride", Ride("Ada", "Grace", 100)) for _ in range(3)}
    assert said == {"Ada paid 1.00 to Grace"}
    assert bank.balance("Grace") == 100


def test_the_bank_does_a_transfer_once(bank: Bank) -> None:
    for _ in range(2):
        bank.transfer(Transfer(key="k", payer="Ada", payee="Grace", cents=5))
    assert (bank.balance("Ada"), bank.balance("Grace")) == (-5, 5)
    assert len(bank.requests("Grace")) == 2


def test_the_bank_pays_nobody_whose_account_is_closed(bank: Bank) -> None:
    bank.close_account("Grace")
    with pytest.raises(AccountClosed, match="Grace"):
        bank.transfer(Transfer(key="k", payer="Ada", payee="Grace", cents=5))
    assert bank.transfers() == []
