"""The run book: what is approved is applied, and all else leaves the database as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from examples.database_migration import database
from examples.database_migration.__main__ import (
    TASK_QUEUE,
    THREADS,
    migration_worker,
    propose,
)
from examples.database_migration.activities import Change, Operator
from examples.database_migration.releases import RELEASES, Step
from examples.database_migration.workflows import Migrate, Verdict
from perdure.client import Client
from perdure.testing import WorkflowEnvironment

YES = Verdict("Grace", is_approved=True)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    database.open_shop(path)
    return path


def _change(shop: Path, release: str = "customers") -> Change:
    return Change(release, str(shop), str(shop.with_name("before.db")))


@asynccontextmanager
async def _working(tell: Callable[[str], None] = lambda _: None) -> AsyncIterator[Client]:
    with ThreadPoolExecutor(THREADS) as threads:
        async with (
            await WorkflowEnvironment.start_time_skipping() as environment,
            migration_worker(environment.client, Operator(tell), threads),
        ):
            yield environment.client


async def test_an_approved_release_is_applied(shop: Path) -> None:
    before = database.schema(shop)
    async with _working() as client:
        handle = await propose(client, _change(shop))
        assert await handle.query(Migrate.stage) == "waiting for approval"
        assert database.schema(shop) == before
        await handle.signal(Migrate.decide, YES)
        assert await handle.result() == "applied, approved by Grace"
    assert database.schema(shop) - before >= {"customer.email", "purchase.cents"}
    assert database.count(shop, "SELECT * FROM purchase WHERE cents = 1250") == 1
    assert database.schema(shop.with_name("before.db")) == before


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict("Eve", is_approved=False, reason="it is Friday"), "Eve said no, it is Friday"),
        (None, "nobody approved it in time"),
    ],
)
async def test_what_is_not_approved_is_not_applied(
    shop: Path, verdict: Verdict | None, told: str
) -> None:
    before = database.schema(shop)
    async with _working() as client:
        handle = await propose(client, _change(shop))
        if verdict is not None:
            await handle.signal(Migrate.decide, verdict)
        assert await handle.result() == f"not applied: {told}"
    assert database.schema(shop) == before


async def test_what_does_not_fit_the_data_is_found_before_anybody_is_asked(shop: Path) -> None:
    async with _working() as client:
        change = _change(shop, "one-purchase-each")
        result = await client.execute_workflow(Migrate.run, change, id="m", task_queue=TASK_QUEUE)
    assert result.startswith("not applied: step 3 (emails are unique) fails: UNIQUE constraint")


async def test_steps_are_taken_back_when_a_later_one_fails(shop: Path) -> None:
    before = database.schema(shop)
    told: list[str] = []
    async with _working(told.append) as client:
        handle = await propose(client, _change(shop, "one-purchase-a-day"))
        database.buy(shop, "ada@example.com", "monday")
        await handle.signal(Migrate.decide, YES)
        assert (await handle.result()).startswith("rolled back: UNIQUE constraint failed")
    assert told[-2:] == ["applied 4: a currency", "reverted 4: a currency"]
    assert database.schema(shop) == before


async def test_steps_are_taken_back_when_a_check_fails(shop: Path) -> None:
    before = database.schema(shop)

    def tell(text: str) -> None:
        if text.startswith("applied 1"):
            database.buy(shop, "new@example.com", "monday")

    async with _working(tell) as client:
        handle = await propose(client, _change(shop))
        await handle.signal(Migrate.decide, YES)
        assert await handle.result() == "rolled back: 1 purchases of nobody"
    assert database.schema(shop) == before


async def test_a_step_whose_answer_is_lost_is_not_applied_twice(shop: Path) -> None:
    lost: list[str] = []

    def tell(text: str) -> None:
        if text.startswith("applied") and text not in lost:
            lost.append(text)
            raise ConnectionError("the answer is lost")

    async with _working(tell) as client:
        handle = await propose(client, _change(shop))
        await handle.signal(Migrate.decide, YES)
        assert await handle.result() == "applied, approved by Grace"
    assert len(lost) == 2
    assert database.count(shop, "SELECT * FROM customer") == 2


def test_a_step_is_applied_as_a_whole_or_not_at_all(shop: Path) -> None:
    before = database.schema(shop)
    step = Step(9, "half", "CREATE TABLE half (x); INSERT INTO nothing VALUES (1);", "")
    with pytest.raises(sqlite3.OperationalError, match="nothing"):
        database.apply(shop, step)
    assert database.schema(shop) == before


@pytest.mark.parametrize("name", RELEASES)
def test_every_step_has_its_opposite(name: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    database.open_shop(empty)
    with closing(sqlite3.connect(empty)) as connection, connection:
        connection.execute("DELETE FROM purchase")
    before = database.schema(empty)
    for step in RELEASES[name].steps:
        assert database.apply(empty, step)
        assert not database.apply(empty, step)
    for step in reversed(RELEASES[name].steps):
        assert database.revert(empty, step)
        assert not database.revert(empty, step)
    assert database.schema(empty) == before
