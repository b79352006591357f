"""Subscriptions over years, by skipping the time between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from examples.subscription_polling.__main__ import TASK_QUEUE, subscription_worker
from examples.subscription_polling.billing import Billing
from examples.subscription_polling.workflows import PERIODS_MAX, Standing, Subscription, Terms
from perdure.client import WorkflowHandle
from perdure.testing import WorkflowEnvironment

AT_ONCE = (1, 0)


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping() as environment:
        yield environment


def _billing(paid_after: dict[int, tuple[int, int]], refusals: int = 0) -> Billing:
    return Billing(paid_after, tell=lambda _: None, refusals=refusals)


async def _started(environment: WorkflowEnvironment) -> WorkflowHandle[Subscription, str]:
    return await environment.client.start_workflow(
        Subscription.run, args=[Terms("ada"), Standing()], id="s", task_queue=TASK_QUEUE
    )


async def _ended(environment: WorkflowEnvironment, billing: Billing) -> str:
    async with subscription_worker(environment.client, billing):
        return await (await _started(environment)).result()


async def test_years_of_renewals_make_no_long_history(environment: WorkflowEnvironment) -> None:
    paid = PERIODS_MAX + 1
    billing = _billing(dict.fromkeys(range(1, paid + 1), AT_ONCE))
    assert await _ended(environment, billing) == f"not paid in period {paid + 1}"
    assert billing.active_periods == {"ada": paid}
    runs = [run async for run in environment.client.list_workflows()]
    assert len(runs) == 2
    begun = min(run.start_time for run in runs)
    ended = max(run.close_time for run in runs if run.close_time is not None)
    # Polling ends when another question would come after the reminder, so a little before it.
    assert paid * 30 + 27 <= (ended - begun).days <= paid * 30 + 28


async def test_thousands_of_questions_are_no_events(environment: WorkflowEnvironment) -> None:
    billing = _billing({})
    async with subscription_worker(environment.client, billing):
        handle = await _started(environment)
        assert await handle.result() == "not paid in period 1"
        history = await handle.fetch_history()
    invoice = "ada/1"
    assert billing.reminders == {invoice: 3}
    assert billing.voided == {invoice}
    assert billing.questions[invoice] > 4 * 20
    assert len(history.events) < 100


async def test_nobody_is_reminded_while_the_service_cannot_tell(
    environment: WorkflowEnvironment,
) -> None:
    """It is down for a fortnight, after which the money is there."""
    billing = _billing({1: AT_ONCE}, refusals=4 * 14)
    assert await _ended(environment, billing) == "not paid in period 2"
    assert "ada/1" not in billing.reminders
    assert billing.active_periods == {"ada": 1}


async def test_a_cancellation_ends_the_polling_and_voids_the_invoice(
    environment: WorkflowEnvironment,
) -> None:
    billing = _billing({})
    async with subscription_worker(environment.client, billing):
        handle = await _started(environment)
        await handle.signal(Subscription.cancel)
        ended = await handle.result()
    assert ended in ("cancelled in period 0", "cancelled in period 1")
    assert billing.active_periods == {}
    assert billing.voided == set(billing.invoices)


async def test_a_subscription_tells_how_it_stands(environment: WorkflowEnvironment) -> None:
    async with subscription_worker(environment.client, _billing({1: AT_ONCE})):
        handle = await _started(environment)
        await handle.result()
        standing = await handle.query(Subscription.standing)
    assert (standing.period, standing.reminders, standing.is_cancelled) == (1, 3, False)
