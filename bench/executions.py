"""A million workflows to find: written by the store's own commits, each started and, if it is over,
closed. They have no events: nothing that is measured here reads any."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from perdure.server.machines.search_attributes import Scalar
from perdure.server.store.codec import seal
from perdure.server.store.ports import (
    Commit,
    Fence,
    RunIdentity,
    RunWrite,
    Store,
    VisibilityRow,
    WorkflowWrite,
)

NAMESPACE: Final = 1
SHARD: Final = 1
GROUP: Final = 500
HEAD_BYTES: Final = 380
BEGAN_NS: Final = 1_790_000_000_000_000_000
STEP_NS: Final = 100_000_000
"""One starts every 100 ms."""
SECOND_NS: Final = 1_000_000_000

TYPES: Final = tuple(f"Type{number}" for number in range(20))
RETIRED: Final = "Retired"
"""A type of which there is none among the last nine tenths."""
QUEUES: Final = tuple(f"queue-{number}" for number in range(10))
PREFIXES: Final = ("order", "payment", "invoice", "delivery", "refund")
REGIONS: Final = ("north", "south", "east", "west")
CUSTOMERS: Final = 100_000
STATUSES: Final = ((1, 50), (2, 850), (3, 40), (4, 20), (5, 15), (6, 15), (7, 10))
"""Of a thousand."""

REGION, CUSTOMER, AMOUNT, DUE, URGENT = (
    *("Keyword01", "Keyword02", "Int01", "Datetime01", "Bool01"),
)
CUSTOM: Final = {"Region": REGION, "Customer": CUSTOMER, "Amount": AMOUNT}
CUSTOM_TIMES: Final = {"Due": DUE, "Urgent": URGENT}


@dataclass(frozen=True)
class Execution:
    """One of them: what is written when it starts, and when it closes."""

    identity: RunIdentity
    started: VisibilityRow
    closed: VisibilityRow | None


def execution(number: int, of: int) -> Execution:
    """The one with a number; always the same."""
    dice = random.Random(number)
    started_ns = BEGAN_NS + number * STEP_NS + dice.randrange(STEP_NS)
    statuses, weights = zip(*STATUSES, strict=True)
    status: int = dice.choices(statuses, weights)[0]
    kind = RETIRED if number < of // 10 and dice.random() < 0.3 else _skewed(dice, TYPES)
    parent = number - dice.randrange(1, 1_000) if number > 1_000 and dice.random() < 0.1 else 0
    length = 5 + 3 * int(dice.expovariate(1 / 5))
    fields = {
        "workflow_type": kind,
        "start_time_ns": started_ns,
        "execution_time_ns": started_ns + 60 * SECOND_NS if dice.random() < 0.02 else 0,
        "task_queue": dice.choice(QUEUES),
        "parent_workflow_id": workflow_id(parent) if parent else "",
        "parent_run_id": str(uuid.UUID(bytes=run_id(parent))) if parent else "",
        "root_workflow_id": workflow_id(parent) if parent else "",
        "root_run_id": str(uuid.UUID(bytes=run_id(parent))) if parent else "",
        "attributes": _attributes(dice, started_ns),
    }
    close_ns = started_ns + int(dice.lognormvariate(1, 2) * SECOND_NS)
    closed = VisibilityRow(
        status=status,
        close_time_ns=close_ns,
        history_length=length,
        history_size_bytes=length * 120 + dice.randrange(2_000),
        state_transitions=length * 2 // 3,
        build_ids=("unversioned", f"unversioned:{dice.randrange(5)}"),
        **fields,  # type: ignore[arg-type]
    )
    return Execution(
        RunIdentity(NAMESPACE, workflow_id(number), run_id(number)),
        VisibilityRow(status=1, close_time_ns=0, **fields),  # type: ignore[arg-type]
        None if status == 1 else closed,
    )


def workflow_id(number: int) -> str:
    """An id: prefixes take turns."""
    return f"{PREFIXES[number % len(PREFIXES)]}-{number}"


def run_id(number: int) -> bytes:
    """As the engine makes them: they begin with the time."""
    began_ms = (BEGAN_NS + number * STEP_NS) // 1_000_000
    return began_ms.to_bytes(6, "big") + random.Random(-number).randbytes(10)


def _attributes(dice: random.Random, started_ns: int) -> tuple[tuple[str, Scalar], ...]:
    return (
        (REGION, dice.choice(REGIONS)),
        (CUSTOMER, f"customer-{dice.randrange(CUSTOMERS)}"),
        (AMOUNT, dice.randrange(1_000_000)),
        (DUE, started_ns + dice.randrange(30 * 86_400) * SECOND_NS),
        (URGENT, dice.random() < 0.01),
    )


def _skewed(dice: random.Random, choices: Sequence[str]) -> str:
    """The first half of the time, the second a quarter of it, and so on."""
    return choices[min(int(dice.expovariate(0.7)), len(choices) - 1)]


async def fill(store: Store, fence: Fence, count: int, first: int = 1) -> AsyncIterator[int]:
    """Write so many; tells how many there are after each group."""
    head = seal(random.Random(0).randbytes(HEAD_BYTES))
    for begin in range(first, first + count, GROUP):
        numbers = range(begin, min(begin + GROUP, first + count))
        made = [(number, execution(number, count)) for number in numbers]
        starts = [start_of(number, each, head) for number, each in made]
        closes = [close_of(number, each, head) for number, each in made if each.closed is not None]
        for writes in (starts, closes):
            result = await store.commit(Commit(fence, writes))
            assert not result.poisoned, result.poisoned
        yield numbers.stop - first


def start_of(number: int, of: Execution, head: bytes) -> WorkflowWrite:
    """The write that makes a run."""
    run = RunWrite(number, 1, number * 2, head, insert=of.identity, visibility=of.started)
    return WorkflowWrite(NAMESPACE, of.identity.workflow_id, [run], current=number)


def close_of(number: int, of: Execution, head: bytes) -> WorkflowWrite:
    """The write that ends it."""
    run = RunWrite(number, 2, number * 2 + 1, head, visibility=of.closed)
    return WorkflowWrite(NAMESPACE, of.identity.workflow_id, [run])
