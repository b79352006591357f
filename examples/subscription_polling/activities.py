"""What the workflow asks of the billing service."""

from __future__ import annotations

from dataclasses import dataclass

from examples.subscription_polling.billing import Billing
from perdure import activity
from perdure.exceptions import ApplicationError, ApplicationErrorCategory

NOT_PAID_YET = "NotPaidYet"


@dataclass
class Invoice:
    """What is owed: a subscriber and a period, which make its number too."""

    subscriber: str
    period: int

    @property
    def number(self) -> str:
        """The same whenever it is asked for, so that trying again issues no second invoice."""
        return f"{self.subscriber}/{self.period}"


@dataclass
class Reminder:
    """The first, second, ... reminder of an invoice."""

    invoice: Invoice
    number: int


class Accounts:
    """The activities, with the service that they need."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    @activity.defn
    async def issue_invoice(self, invoice: Invoice) -> None:
        """Ask for the money."""
        self._billing.issue(invoice.number, invoice.period)

    @activity.defn
    async def poll_payment(self, invoice: Invoice) -> None:
        """Return once the invoice is paid. Failing until then lets the engine do the polling."""
        if not self._billing.is_paid(invoice.number):
            raise ApplicationError(
                "the money has not come yet",
                type=NOT_PAID_YET,
                # What mostly happens is not worth an error in the log.
                category=ApplicationErrorCategory.BENIGN,
            )

    @activity.defn
    async def send_reminder(self, reminder: Reminder) -> None:
        """Remind of the invoice."""
        self._billing.remind(reminder.invoice.number, reminder.number)

    @activity.defn
    async def renew(self, invoice: Invoice) -> None:
        """Give access for the period that was paid."""
        self._billing.renew(invoice.subscriber, invoice.period)

    @activity.defn
    async def void_invoice(self, invoice: Invoice) -> None:
        """Want the money no longer."""
        self._billing.void(invoice.number)
