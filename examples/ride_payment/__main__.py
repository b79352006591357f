"""Pay for a ride: `python -m examples.ride_payment [--closed] [--address HOST:PORT]`.

With `--db` and `--bank` it can be killed at any moment, and run again: it goes on where it was.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from argparse import Namespace
from pathlib import Path

from examples.connecting import arguments, connected, keep_quiet
from examples.ride_payment.activities import Ride
from examples.ride_payment.bank import Bank
from examples.ride_payment.paying import pay, payment_worker
from perdure.client import WorkflowFailureError


async def main(options: Namespace, bank: Bank) -> str:
    """Pay for one ride, and tell how it went."""
    ride = Ride(customer="Ada", driver="Grace", cents=1250)
    async with connected(options) as client, payment_worker(client, bank):
        try:
            return await pay(client, options.ride or f"ride-{uuid.uuid4()}", ride)
        except WorkflowFailureError as error:
            return f"not paid: {error.cause}"


if __name__ == "__main__":
    keep_quiet()
    parser = arguments(__doc__)
    parser.add_argument("--ride", help="the id of the ride; made up, unless given")
    parser.add_argument("--bank", type=Path, help="SQLite file of the bank to keep")
    parser.add_argument("--closed", action="store_true", help="the driver's account is closed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        the_bank = Bank(given.bank or Path(folder, "bank.db"))
        if given.closed:
            the_bank.close_account("Grace")
        print(asyncio.run(main(given, the_bank)))
        for transfer in the_bank.transfers():
            print(f"  {transfer.payer} → {transfer.payee}: {transfer.cents / 100:.2f}")
