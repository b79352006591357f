"""A little bank in a SQLite file. It does each transfer once, however often it is asked to."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TABLES = """
create table if not exists requests (payer text, payee text, at real);
create table if not exists transfers (key text primary key, payer text, payee text, cents integer);
create table if not exists closed_accounts (owner text primary key);
"""


class AccountClosed(Exception):
    """The account that is to be paid is closed."""


@dataclass(frozen=True)
class Transfer:
    """Money that moves, by a key that no other transfer has."""

    key: str
    payer: str
    payee: str
    cents: int


class Bank:
    """The accounts of all. Any number of processes may have the same one open."""

    def __init__(self, file: Path, seconds_per_transfer: float = 0) -> None:
        self._file = file
        self._seconds_per_transfer = seconds_per_transfer
        with self._open() as database:
            database.executescript(TABLES)

    def transfer(self, transfer: Transfer) -> None:
        """Move money, unless that was done before. Raises AccountClosed."""
        with self._open() as database:
            database.execute(
                "insert into requests values (?, ?, ?)",
                (transfer.payer, transfer.payee, time.time()),
            )
        time.sleep(self._seconds_per_transfer)
        with self._open() as database:
            closed = "select 1 from closed_accounts where owner = ?"
            if database.execute(closed, (transfer.payee,)).fetchone():
                raise AccountClosed(f"the account of {transfer.payee} is closed")
            database.execute(
                "insert into transfers values (?, ?, ?, ?) on conflict do nothing",
                (transfer.key, transfer.payer, transfer.payee, transfer.cents),
            )

    def close_account(self, owner: str) -> None:
        """Nobody can pay this one any more."""
        with self._open() as database:
            database.execute("insert into closed_accounts values (?)", (owner,))

    def transfers(self) -> list[Transfer]:
        """All that was done, in order."""
        with self._open() as database:
            return [Transfer(*row) for row in database.execute("select * from transfers")]

    def requests(self, payee: str) -> list[float]:
        """When the bank was asked to pay somebody."""
        with self._open() as database:
            rows = database.execute("select at from requests where payee = ?", (payee,))
            return [at for (at,) in rows]

    def balance(self, owner: str) -> int:
        """What somebody has got, less what they have given, in cents."""
        got = sum(one.cents for one in self.transfers() if one.payee == owner)
        return got - sum(one.cents for one in self.transfers() if one.payer == owner)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._file)
        try:
            with database:  # one transaction
                yield database
        finally:
            database.close()
