"""Workflows whose commands depend on the order in which an SDK runs things.

They are written against the official SDK and loaded a second time against ours, by
`replay_loader.py`, so one text is run by both. Activities are called by name, since each SDK has
its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

SOON = timedelta(milliseconds=50)
LIMIT = timedelta(seconds=10)


async def echo(word: str, **options: Any) -> str:
    """The word, by an activity."""
    return str(
        await workflow.execute_activity(
            "echo", word, start_to_close_timeout=LIMIT, result_type=str, **options
        )
    )


@dataclass
class Order:
    """A value with structure."""

    number: int
    lines: list[str]


@workflow.defn
class Gathers:
    """Activities, timers and tasks in parallel, awaited in several ways."""

    @workflow.run
    async def run(self, count: int) -> list[str]:
        """What came back, in the order in which it came."""
        seen: list[str] = []

        async def one(number: int) -> str:
            if number % 2:
                await asyncio.sleep(0.01 * number)
            word = await echo(f"one {number}")
            seen.append(word)
            return word

        await asyncio.gather(*(one(number) for number in range(count)))
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(one(100 + number))
        tasks = [asyncio.create_task(one(200 + number)) for number in range(3)]
        for completed in workflow.as_completed(tasks):
            seen.append("completed " + await completed)
        done, pending = await workflow.wait(
            [asyncio.create_task(one(300)), asyncio.create_task(asyncio.sleep(60))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        seen.append(f"{len(done)} {len(pending)}")
        for task in pending:
            task.cancel()
        # Not `wait_for`, whose turns of the loop differ between versions of Python.
        async with asyncio.timeout(5):
            await echo("last")
        return seen


@workflow.defn
class Randoms:
    """Random numbers and ids decide what is done."""

    @workflow.run
    async def run(self) -> list[str]:
        """All that was drawn."""
        drawn = [str(workflow.uuid4()), str(workflow.random().random())]
        for _ in range(3):
            drawn.append(await echo(str(workflow.random().randint(1, 1_000_000))))
            await workflow.sleep(workflow.random().uniform(0.01, 0.03))
        drawn.append(str(workflow.uuid4()))
        drawn.append(str(workflow.new_random("other").random()))
        drawn.append(str(workflow.random_seed()))
        drawn.append(str(workflow.uuid7()))
        return drawn


@workflow.defn
class Signalled:
    """Signals that run activities while the workflow waits."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.finished = False
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self) -> list[str]:
        """The words in their order."""
        self.words.append("run " + str(workflow.info().attempt))
        await workflow.wait_condition(lambda: len(self.words) >= 3, timeout=30)
        await echo("after three")
        await workflow.wait_condition(lambda: self.finished and workflow.all_handlers_finished())
        return self.words

    @workflow.signal
    async def add(self, word: str) -> None:
        """Adds a word, after an activity, one at a time."""
        async with self.lock:
            self.words.append(await echo(word))

    @workflow.signal(name="finish it")
    def finish(self) -> None:
        """The end may come."""
        self.finished = True

    @workflow.signal(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> None:
        """Adds the name and what was sent."""
        values = [workflow.payload_converter().from_payload(arg.payload, str) for arg in args]
        self.words.append(f"{name}: {values}")

    @workflow.query
    def so_far(self) -> list[str]:
        """The words as they are."""
        return self.words


@workflow.defn
class Updated:
    """Updates at once and after an activity, refused and failed, between signals."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        """The words in their order."""
        await workflow.wait_condition(lambda: len(self.words) >= 4)
        await echo("after four")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.words

    @workflow.signal
    async def add(self, word: str) -> None:
        """Adds a word, after an activity."""
        self.words.append(await echo(word))

    @workflow.update
    def put(self, word: str) -> int:
        """Adds a word at once."""
        self.words.append(word)
        return len(self.words)

    @put.validator
    def check_put(self, word: str) -> None:
        """Only words can be put."""
        if not word:
            raise ApplicationError("no word", type="Empty")

    @workflow.update(name="slowly")
    async def put_slowly(self, word: str) -> str:
        """Adds a word, after a timer and an activity."""
        await workflow.sleep(SOON)
        info = workflow.current_update_info()
        self.words.append(await echo(f"{word} by {info.id if info else None}"))
        if word == "bad":
            raise ApplicationError("a bad word", word, type="Bad")
        return word

    @workflow.update(dynamic=True)
    async def anything(self, name: str, args: Sequence[RawValue]) -> str:
        """Says what it was asked."""
        return f"{name}: {len(args)}"


@workflow.defn
class CleansUp:
    """Cancelled while an activity runs; cleans up by another, shielded from the cancellation."""

    @workflow.run
    async def run(self, kind: str) -> str:
        """Never, unless the cancellation is swallowed."""
        cancellation_type = {
            "try": workflow.ActivityCancellationType.TRY_CANCEL,
            "wait": workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            "abandon": workflow.ActivityCancellationType.ABANDON,
        }[kind]
        try:
            await workflow.execute_activity(
                "hang",
                schedule_to_close_timeout=timedelta(seconds=20),
                heartbeat_timeout=timedelta(seconds=5),
                cancellation_type=cancellation_type,
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError:
            await asyncio.shield(asyncio.create_task(echo("cleaned up")))
            raise
        return "not cancelled"


@workflow.defn
class CancelsItself:
    """Cancels tasks, timers and activities of its own, before and after they began."""

    @workflow.run
    async def run(self) -> list[str]:
        """What each cancellation looked like."""
        seen: list[str] = []
        at_once = workflow.start_activity("echo", "never", start_to_close_timeout=LIMIT)
        at_once.cancel()
        seen.append(await outcome(at_once))
        begun = workflow.start_activity("hang", start_to_close_timeout=timedelta(seconds=20))
        await asyncio.sleep(0)
        begun.cancel()
        seen.append(await outcome(begun))
        later = workflow.start_activity(
            "hang",
            start_to_close_timeout=timedelta(seconds=20),
            heartbeat_timeout=timedelta(seconds=5),
            summary="it hangs",
        )
        await workflow.sleep(SOON)
        later.cancel()
        seen.append(await outcome(later))
        sleeper = asyncio.create_task(workflow.sleep(600, summary="long"))
        await workflow.sleep(SOON)
        sleeper.cancel()
        seen.append(await outcome(sleeper))
        try:
            async with asyncio.timeout(0.05):
                await asyncio.sleep(600)
        except TimeoutError:
            seen.append("timed out")
        try:
            await workflow.wait_condition(
                lambda: False, timeout=SOON, timeout_summary="a condition"
            )
        except TimeoutError:
            seen.append("no condition")
        return seen


async def outcome(awaited: Any) -> str:
    """How it ended."""
    try:
        return str(await awaited)
    except BaseException as error:
        return f"{type(error).__name__} by {type(error.__cause__).__name__}"


@workflow.defn
class Branches:
    """Patches in a loop, a search attribute, a memo."""

    @workflow.run
    async def run(self, rounds: int) -> list[bool]:
        """Which patches were on."""
        on: list[bool] = []
        for number in range(rounds):
            on.append(workflow.patched(f"patch {number % 2}"))
            if on[-1]:
                await echo(f"round {number}")
            workflow.upsert_memo({"round": number})
        workflow.deprecate_patch("gone")
        workflow.upsert_search_attributes(
            [SearchAttributeKey.for_keyword("CustomKeywordField").value_set("a word")]
        )
        await workflow.sleep(0.01)
        return on


@workflow.defn
class Continues:
    """Continues as new, with everything."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """The order when its number is zero."""
        if order.number > 0:
            await echo(str(order.number))
            info = workflow.info()
            order.lines.append("first" if info.run_id == info.first_execution_run_id else "again")
            workflow.continue_as_new(
                Order(order.number - 1, order.lines),
                memo={"number": order.number},
                run_timeout=timedelta(seconds=40),
            )
        return order


@workflow.defn
class Child:
    """Waits for a word, or fails at once."""

    def __init__(self) -> None:
        self.word = ""

    @workflow.run
    async def run(self, kind: str) -> str:
        """The word."""
        if kind == "fail":
            raise ApplicationError("as told", type="Told", non_retryable=True)
        if kind == "echo":
            return await echo(kind)
        await workflow.wait_condition(lambda: bool(self.word))
        return self.word

    @workflow.signal
    def tell(self, word: str) -> None:
        """The word it waits for."""
        self.word = word


@workflow.defn
class Parent:
    """Children that complete, fail, are signalled, are cancelled in every way; other workflows."""

    @workflow.run
    async def run(self) -> list[str]:
        """What became of each."""
        own = workflow.info().workflow_id
        seen = [await workflow.execute_child_workflow(Child.run, "echo", id=f"{own}-echo")]
        seen.append(await outcome(workflow.execute_child_workflow(Child.run, "fail")))
        told = await workflow.start_child_workflow(
            Child.run, "wait", id=f"{own}-told", memo={"a": 1}, static_summary="a child"
        )
        twice = workflow.start_child_workflow(Child.run, "wait", id=f"{own}-told")
        seen.append(await outcome(twice))
        await told.signal(Child.tell, "by handle")
        seen.append(await told)
        for kind in workflow.ChildWorkflowCancellationType:
            child = await workflow.start_child_workflow(
                Child.run,
                "wait",
                id=f"{own}-cancelled-{int(kind)}",
                cancellation_type=kind,
                parent_close_policy=workflow.ParentClosePolicy.TERMINATE,
            )
            child.cancel("no longer")
            seen.append(await outcome(child))
        other = await workflow.start_child_workflow(Child.run, "wait", id=f"{own}-other")
        handle = workflow.get_external_workflow_handle(f"{own}-other")
        await handle.signal(Child.tell, "by id")
        seen.append(await other)
        nobody = workflow.get_external_workflow_handle(f"{own}-nobody")
        seen.append(await reason(nobody.signal("tell", "word")))
        seen.append(await reason(nobody.cancel(reason="why not")))
        return seen


async def reason(awaited: Any) -> str:
    """What it failed with."""
    try:
        return str(await awaited)
    except ApplicationError as error:
        return f"{error.type}: {error.message}"


@workflow.defn(failure_exception_types=[KeyError])
class FailsByKey:
    """Fails by an exception of its own choice."""

    @workflow.run
    async def run(self) -> None:
        """Raises."""
        await workflow.sleep(0.01)
        raise KeyError("missing")


@workflow.defn
class FailsByActivity:
    """An activity's failure becomes its own."""

    @workflow.run
    async def run(self) -> None:
        """Raises."""
        await workflow.execute_activity(
            "fail",
            "reason",
            start_to_close_timeout=LIMIT,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@workflow.defn
class Compensates:
    """A saga: what was done is undone when a later step fails."""

    @workflow.run
    async def run(self) -> list[str]:
        """What was undone."""
        undo: list[str] = []
        undone: list[str] = []
        try:
            for step in ("withdraw", "reserve"):
                await echo(step)
                undo.append(step)
            await workflow.execute_activity(
                "fail",
                "pay",
                start_to_close_timeout=LIMIT,
                retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=SOON),
            )
        except ActivityError as error:
            undone.append(type(error.cause).__name__)
            for step in reversed(undo):
                undone.append(await echo(f"undo {step}"))
        return undone


@workflow.defn
class CallsOperations:
    """Nexus operations that answer, fail, go on, and are cancelled in every way."""

    @workflow.run
    async def run(self, endpoint: str) -> list[str]:
        """What came of them."""
        service = workflow.create_nexus_client(service="Replayed", endpoint=endpoint)
        seen = [
            await outcome(service.execute_operation(name, "word", output_type=str))
            for name in ("answer", "refuse")
        ]
        both = await asyncio.gather(
            *(service.start_operation("go_on", "echo", output_type=str) for _ in range(2))
        )
        await workflow.sleep(0.01)
        seen += [await outcome(one) for one in both]
        for kind in workflow.NexusOperationCancellationType:
            operation: Any = await service.start_operation(
                "go_on", "wait", cancellation_type=kind, summary=kind.name, headers={"a": "b"}
            )
            operation.cancel()
            seen.append(await outcome(operation))
        early: Any = asyncio.create_task(service.start_operation("go_on", "wait"))
        await asyncio.sleep(0)
        early.cancel()
        seen.append(await outcome(early))
        return seen
