"""A process that pays: a worker, and a workflow that it starts, or goes on with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from examples.ride_payment.activities import Payments, Ride
from examples.ride_payment.bank import Bank
from examples.ride_payment.workflows import RidePayment
from perdure.client import Client
from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.worker import Worker

TASK_QUEUE = "payments"


@asynccontextmanager
async def payment_worker(client: Client, bank: Bank) -> AsyncIterator[Worker]:
    """A worker for payments by this bank."""
    payments = Payments(bank)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[RidePayment],
        activities=[payments.withdraw, payments.pay_driver, payments.refund],
    )
    async with worker:
        yield worker


async def pay(client: Client, ride_id: str, ride: Ride) -> str:
    """Pay for a ride, once, however often this is called. Raises WorkflowFailureError."""
    try:
        handle = await client.start_workflow(
            RidePayment.run,
            ride,
            id=ride_id,
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
    except WorkflowAlreadyStartedError:
        handle = client.get_workflow_handle_for(RidePayment.run, ride_id)
    return await handle.result()
