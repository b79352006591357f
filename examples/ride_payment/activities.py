"""The steps of a payment. Each may be tried again, and must not move money twice."""

from __future__ import annotations

from dataclasses import dataclass

from examples.ride_payment.bank import Bank, Transfer
from perdure import activity

COMPANY = "the company"


@dataclass
class Ride:
    """What is to be paid."""

    customer: str
    driver: str
    cents: int


class Payments:
    """These are not async, so each runs in a thread: the bank may take its time."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    @activity.defn
    def withdraw(self, ride: Ride) -> None:
        """Take the fare from the customer."""
        self._transfer(payer=ride.customer, payee=COMPANY, cents=ride.cents)

    @activity.defn
    def pay_driver(self, ride: Ride) -> None:
        """Give the fare to the driver."""
        self._transfer(payer=COMPANY, payee=ride.driver, cents=ride.cents)

    @activity.defn
    def refund(self, ride: Ride) -> None:
        """Give the fare back to the customer."""
        self._transfer(payer=COMPANY, payee=ride.customer, cents=ride.cents)

    def _transfer(self, *, payer: str, payee: str, cents: int) -> None:
        # The same in each attempt of a step, and in no other step of any run: by this the bank
        # knows what it has done already.
        info = activity.info()
        key = f"{info.workflow_run_id}/{info.activity_id}"
        self._bank.transfer(Transfer(key=key, payer=payer, payee=payee, cents=cents))
