"""What releases do to the database. Each step says how to go, and how to go back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One change of the schema, and its opposite: statements of SQL."""

    version: int
    name: str
    up: str
    down: str


@dataclass(frozen=True)
class Release:
    """Steps that belong together, and what must be true after them."""

    steps: tuple[Step, ...]
    checks: Mapping[str, str] = field(default_factory=dict)
    """By what is wrong: a query for the rows that show it."""


RELEASES = {
    "customers": Release(
        steps=(
            Step(
                1,
                "a table of customers",
                "CREATE TABLE customer (email TEXT PRIMARY KEY);"
                "INSERT INTO customer SELECT DISTINCT email FROM purchase;",
                "DROP TABLE customer;",
            ),
            Step(
                2,
                "purchases in cents",
                "ALTER TABLE purchase ADD COLUMN cents INTEGER NOT NULL DEFAULT 0;"
                "UPDATE purchase SET cents = round(price * 100);",
                "ALTER TABLE purchase DROP COLUMN cents;",
            ),
        ),
        checks={
            "purchases of nobody": "SELECT id FROM purchase WHERE email NOT IN customer",
            "prices that changed": "SELECT id FROM purchase WHERE abs(cents - price * 100) > 0.5",
        },
    ),
    "one-purchase-each": Release(
        steps=(
            Step(
                3,
                "emails are unique",
                "CREATE UNIQUE INDEX purchase_email ON purchase (email);",
                "DROP INDEX purchase_email;",
            ),
        ),
    ),
    "one-purchase-a-day": Release(
        steps=(
            Step(
                4,
                "a currency",
                "ALTER TABLE purchase ADD COLUMN currency TEXT NOT NULL DEFAULT 'EUR';",
                "ALTER TABLE purchase DROP COLUMN currency;",
            ),
            Step(
                5,
                "one purchase a day",
                "CREATE UNIQUE INDEX purchase_day ON purchase (email, day);",
                "DROP INDEX purchase_day;",
            ),
        ),
    ),
}
"""The first is fine. The second does not fit the data. The third does, until somebody buys more."""
