"""The billing service of somebody else: it takes invoices, and can only be asked about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Billing:
    """Invoices, which are paid after so many questions and so many reminders, or never."""

    paid_after: dict[int, tuple[int, int]]
    """By period: how often it is asked for before, and how many reminders that takes."""
    tell: Callable[[str], None] = print
    refusals: int = 0
    """So many questions are not answered, since the service is down."""
    invoices: dict[str, int] = field(default_factory=dict)
    questions: dict[str, int] = field(default_factory=dict)
    reminders: dict[str, int] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    active_periods: dict[str, int] = field(default_factory=dict)
    """By subscriber: up to which period there is access."""

    def issue(self, invoice: str, period: int) -> None:
        """Ask for money, once for each number of an invoice."""
        if invoice not in self.invoices:
            self.invoices[invoice] = period
            self.tell(f"period {period}: invoice")

    def is_paid(self, invoice: str) -> bool:
        """Whether the money has come."""
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("the billing service is down")
        self.questions[invoice] = self.questions.get(invoice, 0) + 1
        needed = self.paid_after.get(self.invoices[invoice])
        if needed is None or invoice in self.voided:
            return False
        asked, reminded = self.questions[invoice], self.reminders.get(invoice, 0)
        return (asked, reminded) >= needed and reminded >= needed[1]

    def remind(self, invoice: str, number: int) -> None:
        """Send a reminder, once for each number of it."""
        if number > self.reminders.get(invoice, 0):
            self.reminders[invoice] = number
            self.tell(f"period {self.invoices[invoice]}: reminder {number}")

    def void(self, invoice: str) -> None:
        """Want the money no longer."""
        self.voided.add(invoice)

    def renew(self, subscriber: str, period: int) -> None:
        """Give access until the end of a period."""
        if period > self.active_periods.get(subscriber, 0):
            self.active_periods[subscriber] = period
            self.tell(f"period {period}: renewed")
