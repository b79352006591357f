"""A process that pays for one ride, from the embedded engine on a file. The demo kills it.

    python -m examples.demo.payment_process APP_DB BANK_DB

Started again on the same files, it goes on where it was: nothing here knows of any crash.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import perdure
from examples.ride_payment.activities import Ride
from examples.ride_payment.bank import Bank
from examples.ride_payment.paying import pay, payment_worker

RIDE_ID = "ride-1"
RIDE = Ride(customer="Ada", driver="Grace", cents=1250)
BANK_SECONDS = 1.0
"""The bank takes its time, so that one can be killed while it is at it."""


async def main(app: str, bank: Bank) -> None:
    """Pay, and tell whoever started this process when the file was open and what came of it."""
    async with perdure.embedded(app) as client:
        print(time.time(), flush=True)
        async with payment_worker(client, bank):
            print(await pay(client, RIDE_ID, RIDE), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Bank(Path(sys.argv[2]), seconds_per_transfer=BANK_SECONDS)))
