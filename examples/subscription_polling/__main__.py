"""Run a subscription: `python -m examples.subscription_polling [--day-seconds 0.01]`."""

from __future__ import annotations

import asyncio
import uuid
from argparse import Namespace

from examples.connecting import arguments, connected, keep_quiet
from examples.subscription_polling.activities import Accounts
from examples.subscription_polling.billing import Billing
from examples.subscription_polling.workflows import Standing, Subscription, Terms
from perdure.client import Client
from perdure.worker import Worker

TASK_QUEUE = "subscriptions"


def subscription_worker(client: Client, billing: Billing) -> Worker:
    """What runs subscriptions."""
    accounts = Accounts(billing)
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Subscription],
        activities=[
            accounts.issue_invoice,
            accounts.poll_payment,
            accounts.send_reminder,
            accounts.renew,
            accounts.void_invoice,
        ],
    )


async def main(options: Namespace, billing: Billing) -> str:
    """Run a worker, and one subscription on it until it ends."""
    async with connected(options) as client, subscription_worker(client, billing):
        return await client.execute_workflow(
            Subscription.run,
            args=[Terms("ada", day_seconds=options.day_seconds), Standing()],
            id=f"subscription-{uuid.uuid4()}",
            task_queue=TASK_QUEUE,
        )


if __name__ == "__main__":
    keep_quiet()
    parser = arguments(__doc__)
    parser.add_argument(
        "--day-seconds", type=float, default=0.01, help="how long a day is (86400 for real ones)"
    )
    # Ada pays at once, then when she is reminded twice, and then no more.
    payments = Billing(paid_after={1: (1, 0), 2: (1, 2)})
    print(f"the subscription ended: {asyncio.run(main(parser.parse_args(), payments))}")
