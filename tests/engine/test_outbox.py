"""What workflows tell each other happens exactly once, whatever crashes or fails in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.engine import outbox
from perdure.server.engine.api import EngineUnavailable, WorkflowTaskWithHistory
from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow import inputs
from perdure.server.store.faulty import Fault
from perdure.server.store.ports import Commit, CommitResult, OutboxRow
from tests.engine.house import House, simulated, spawn, turns
from tests.machines import requests
from tests.machines.neighbours import cancel, signal, start_child

QUIET_SECONDS = 2.0
"""Virtual: long enough for every retry of a delivery, and no workflow task times out."""
COMMITS_MAX = 40
SIGNALED = "WORKFLOW_EXECUTION_SIGNALED"
CHILD = "CHILD_WORKFLOW_EXECUTION_"
Act = Callable[[House], Coroutine[Any, Any, None]]


# ---- crashes and faults at every step


class Crash:
    """The process is cut off from its store after so many commits: the last of them is carried out,
    and heard of or not."""

    def __init__(self, house: House, commits: int, *, is_heard: bool) -> None:
        self.has_happened = False
        self._left = commits
        self._is_heard = is_heard
        self._wire = house.wire
        self._commit = house.wire.commit
        setattr(house.wire, "commit", self.commit)  # noqa: B010  mypy forbids the plain assignment

    async def commit(self, commit: Commit) -> CommitResult:
        """As the wire, or never."""
        if self._left == 0:
            self._cut()
        self._left -= 1
        result = await self._commit(commit)
        if self._left == 0 and not self._is_heard:
            self._cut()
            await asyncio.get_running_loop().create_future()
        return result

    def _cut(self) -> None:
        self.has_happened = True
        self._wire.cut()


async def crashed_everywhere(prepare: Act, act: Act) -> AsyncIterator[House]:
    """A house for each step of `act` that a crash can come before or after; `act` is repeated by
    those who were not answered, and everything comes to rest."""
    for is_heard in (True, False):
        for commits in range(COMMITS_MAX):
            house = House()
            await house.open()
            await prepare(house)
            crash = Crash(house, commits, is_heard=is_heard)
            acting = spawn(act(house))
            await asyncio.sleep(QUIET_SECONDS)
            if not crash.has_happened:
                await acting
                yield house
                break
            await house.crash()
            await act(house)
            await asyncio.sleep(QUIET_SECONDS)
            yield house
        else:
            pytest.fail("it never ends")


async def failing_everywhere(prepare: Act, act: Act) -> AsyncIterator[House]:
    """A house for each step of `act` whose commit can fail, in each way that it can."""
    for fault in (Fault.UNAVAILABLE, Fault.UNKNOWN_DONE, Fault.UNKNOWN_LOST):
        for commits in range(12):
            house = House()
            await house.open()
            await prepare(house)
            house.faults.play([*[Fault.NONE] * commits, fault])
            try:
                await act(house)
            except EngineUnavailable:
                await act(house)
            await asyncio.sleep(QUIET_SECONDS)
            yield house


async def complete(house: House, task: WorkflowTaskWithHistory, *commands: Command) -> None:
    """Complete a workflow task, which may have been completed before the crash."""
    token = task.task.token
    request = RespondWorkflowTaskCompletedRequest(identity="worker", commands=commands)
    try:
        await house.submit(token.workflow_id, inputs.CompleteWorkflowTask(token, request))
    except NotFound:
        return


async def complete_and_go_on(
    house: House, task: WorkflowTaskWithHistory, *commands: Command
) -> WorkflowTaskWithHistory:
    """Complete a workflow task, and get the next one with the answer."""
    token = task.task.token
    request = RespondWorkflowTaskCompletedRequest(
        identity="worker",
        commands=commands,
        force_create_new_workflow_task=True,
        return_new_workflow_task=True,
    )
    reply = await house.submit(token.workflow_id, inputs.CompleteWorkflowTask(token, request))
    assert isinstance(reply, inputs.WorkflowTaskCompleted)
    assert reply.workflow_task is not None
    return WorkflowTaskWithHistory(reply.workflow_task, b"", 0)


async def outbox_rows(house: House) -> int:
    """How much is still to be delivered."""
    return len(await house.faults.inner.outbox(0, 1000))


class Family:
    """A parent, what it does in its first task, and those that it reaches."""

    def __init__(self) -> None:
        self.task: WorkflowTaskWithHistory
        self.child_task: WorkflowTaskWithHistory

    async def parent_waits(self, house: House) -> None:
        """The parent's first task is with a worker; the target waits."""
        await house.start("target", queue="targets")
        await complete(house, await house.take("targets"))
        await house.start("parent")
        self.task = await house.take()

    async def parent_reaches_out(self, house: House) -> None:
        """It starts a child, and sends to a workflow that is there and to one that is not."""
        await complete(
            house,
            self.task,
            start_child("child"),
            signal("target"),
            cancel("target"),
            signal("nobody"),
            start_child("target"),
        )

    async def child_waits(self, house: House) -> None:
        """The child's first task is with a worker."""
        await self.parent_waits(house)
        await self.parent_reaches_out(house)
        await asyncio.sleep(QUIET_SECONDS)
        self.child_task = await house.take("children")

    async def both_wait(self, house: House) -> None:
        """So is the parent's next task."""
        await self.child_waits(house)
        self.task = await house.take()

    async def child_closes(self, house: House) -> None:
        """It completes."""
        await complete(house, self.child_task, requests.command("done bye"))

    async def parent_closes(self, house: House) -> None:
        """It completes, and its child must not outlive it."""
        await complete(house, self.task, requests.command("done bye"))


async def check_reached(house: House) -> None:
    """Everything that the parent asked for happened once, and it heard of each once."""
    parent, target = await house.types("parent"), await house.types("target")
    assert parent.count(CHILD + "STARTED") == 1
    assert parent.count("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED") == 1
    assert parent.count("EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED") == 1
    assert parent.count("SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED") == 1
    assert parent.count("START_CHILD_WORKFLOW_EXECUTION_FAILED") == 1
    assert target.count(SIGNALED) == 1
    assert target.count("WORKFLOW_EXECUTION_CANCEL_REQUESTED") == 1
    assert (await house.types("child"))[0] == "WORKFLOW_EXECUTION_STARTED"
    started = [event for event in await house.history("parent") if _is_child_started(event)]
    attributes = started[0].child_workflow_execution_started_event_attributes
    run = await house.run("child")
    assert attributes.workflow_execution.run_id == run.recorded.run_id
    assert await outbox_rows(house) == 0


def _is_child_started(event: HistoryEvent) -> bool:
    return event.HasField("child_workflow_execution_started_event_attributes")


@pytest.mark.parametrize("everywhere", [crashed_everywhere, failing_everywhere])
def test_what_a_parent_asks_for_happens_once(
    everywhere: Callable[[Act, Act], AsyncIterator[House]],
) -> None:
    @simulated
    async def test(_: House) -> None:
        family = Family()
        houses = 0
        async for house in everywhere(family.parent_waits, family.parent_reaches_out):
            await check_reached(house)
            houses += 1
        assert houses > 6, "there are that many steps"

    test()


@pytest.mark.parametrize("everywhere", [crashed_everywhere, failing_everywhere])
def test_a_parent_hears_once_that_its_child_has_closed(
    everywhere: Callable[[Act, Act], AsyncIterator[House]],
) -> None:
    @simulated
    async def test(_: House) -> None:
        family = Family()
        async for house in everywhere(family.child_waits, family.child_closes):
            await check_reached(house)
            assert (await house.types("parent")).count(CHILD + "COMPLETED") == 1

    test()


@pytest.mark.parametrize("everywhere", [crashed_everywhere, failing_everywhere])
def test_a_child_does_not_outlive_its_parent(
    everywhere: Callable[[Act, Act], AsyncIterator[House]],
) -> None:
    @simulated
    async def test(_: House) -> None:
        family = Family()
        async for house in everywhere(family.both_wait, family.parent_closes):
            assert (await house.types("child"))[-1] == "WORKFLOW_EXECUTION_TERMINATED"
            assert (await house.types("parent"))[-1] == "WORKFLOW_EXECUTION_COMPLETED"
            assert await outbox_rows(house) == 0

    test()


# ---- order, and bounds


async def _signals(house: House, count: int, targets: list[str]) -> None:
    """A source that signals each target so often, all with one task."""
    await _signals_of(house, "source", count, targets)


async def _signals_of(house: House, source: str, count: int, targets: list[str]) -> None:
    for target in targets:
        await house.start(target)
    await house.start(source, queue="sources")
    task = await house.take("sources")
    commands = [signal(target, str(number)) for number in range(count) for target in targets]
    await complete(house, task, *commands)


async def _heard(house: House, target: str) -> list[int]:
    return [
        int(event.workflow_execution_signaled_event_attributes.signal_name)
        for event in await house.history(target)
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]


@simulated
async def test_signals_of_one_source_keep_their_order_through_lost_commits(house: House) -> None:
    house.engine.committer.group_writes_max = 1
    await _signals(house, 30, ["a", "b"])
    house.faults.play([Fault.UNAVAILABLE, Fault.NONE, Fault.UNKNOWN_LOST, Fault.UNAVAILABLE])
    await asyncio.sleep(QUIET_SECONDS)
    assert await _heard(house, "a") == list(range(30))
    assert await _heard(house, "b") == list(range(30))
    assert await outbox_rows(house) == 0


@simulated
async def test_messages_that_memory_has_no_room_for_wait_in_the_store(house: House) -> None:
    house.engine.outbox.waiting_max = 3
    targets = [f"target {number}" for number in range(5)]
    await _signals(house, 8, targets)
    await asyncio.sleep(QUIET_SECONDS)
    for target in targets:
        assert await _heard(house, target) == list(range(8))
    assert await outbox_rows(house) == 0
    assert (await house.types("source")).count("EXTERNAL_WORKFLOW_EXECUTION_SIGNALED") == 40


def test_what_an_earlier_engine_left_is_read_by_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PAGE", 7)

    @simulated
    async def test(house: House) -> None:
        targets = [f"target {number}" for number in range(5)]
        # Five starts, the source's, that of its task; then its commands, of which nobody hears.
        crash = Crash(house, 8, is_heard=False)
        unheard = spawn(_signals(house, 8, targets))
        await asyncio.sleep(QUIET_SECONDS)
        assert crash.has_happened
        assert not unheard.done()
        assert await outbox_rows(house) == 40
        await house.crash()
        await asyncio.sleep(QUIET_SECONDS)
        for target in targets:
            assert await _heard(house, target) == list(range(8))
        assert await outbox_rows(house) == 0

    test()


@simulated
async def test_what_is_read_before_its_commit_is_answered_is_delivered_once(house: House) -> None:
    commit = house.wire.commit

    async def answered_late(rows: Commit) -> CommitResult:
        result = await commit(rows)
        if any(write.outbox_put for write in rows.writes):
            house.engine.outbox.recover()
            await turns()
        return result

    setattr(house.wire, "commit", answered_late)  # noqa: B010  mypy forbids the plain assignment
    await _signals(house, 8, ["target"])
    await asyncio.sleep(QUIET_SECONDS)
    assert await _heard(house, "target") == list(range(8))
    writes = [write for rows in house.wire.commits for write in rows.writes]
    put = [row.sequence for write in writes for row in write.outbox_put]
    gone = [sequence for write in writes for sequence in write.outbox_deleted]
    assert sorted(gone) == sorted(put), "no message goes twice"


@simulated
async def test_a_target_that_cannot_be_written_holds_up_nobody_else(house: House) -> None:
    house.faults.poisoned_workflow_ids.add("bad")
    with pytest.raises(EngineUnavailable):
        await house.start("bad")
    house.faults.poisoned_workflow_ids.clear()
    await house.start("bad")
    house.faults.poisoned_workflow_ids.add("bad")
    await house.start("good")
    await house.start("source", queue="sources")
    await complete(house, await house.take("sources"), signal("bad", "1"), signal("good", "2"))
    await asyncio.sleep(QUIET_SECONDS)
    assert await _heard(house, "good") == [2]
    assert await outbox_rows(house) == 1
    house.faults.poisoned_workflow_ids.clear()
    await asyncio.sleep(QUIET_SECONDS)
    assert await _heard(house, "bad") == [1]
    assert await outbox_rows(house) == 0


@simulated
async def test_a_parent_with_many_children_is_not_told_more_than_its_task_can_bear(
    house: House,
) -> None:
    await house.start("parent")
    children = [start_child(f"child {number}") for number in range(150)]
    held = await complete_and_go_on(house, await house.take(), *children)
    await asyncio.sleep(QUIET_SECONDS)
    assert len((await house.run("parent")).buffered) == DEFAULT_LIMITS.buffered_events_max // 2
    await complete(house, held)
    await asyncio.sleep(QUIET_SECONDS)
    types = await house.types("parent")
    assert types.count(CHILD + "STARTED") == 150
    assert "WORKFLOW_TASK_FAILED" not in types
    assert await outbox_rows(house) == 0


@simulated
async def test_nothing_is_said_before_the_source_has_committed(house: House) -> None:
    await house.start("target")
    await house.start("source", queue="sources")
    task = await house.take("sources")
    house.wire.hold()
    unheard = spawn(complete(house, task, signal("target", "1"), start_child("child")))
    await asyncio.sleep(QUIET_SECONDS)
    assert not unheard.done()
    await house.crash()
    await asyncio.sleep(QUIET_SECONDS)
    assert await _heard(house, "target") == []
    with pytest.raises(NotFound):
        await house.run("child")


@simulated
async def test_a_source_that_closes_at_once_reaches_nobody(house: House) -> None:
    await house.start("target")
    await house.start("source", queue="sources")
    commands = [signal("target", "1"), cancel("target"), start_child("child")]
    await complete(house, await house.take("sources"), *commands, requests.command("done bye"))
    await asyncio.sleep(QUIET_SECONDS)
    assert await house.types("target") == ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED"]
    with pytest.raises(NotFound):
        await house.run("child")
    assert await outbox_rows(house) == 0


async def _lose_close(house: House, closing: str) -> None:
    """A signal is delivered again and again in vain; when it is next, this workflow has closed, but
    that is not durable yet, and never will be."""
    await house.start("target")
    await house.start("source", queue="sources")
    house.faults.poisoned_workflow_ids.add("target")
    await complete(house, await house.take("sources"), signal("target", "1"))
    await asyncio.sleep(outbox.RETRY_SECONDS / 2)
    house.wire.hold()
    terminated = spawn(house.terminate(closing))
    await asyncio.sleep(QUIET_SECONDS)
    house.faults.poisoned_workflow_ids.clear()
    house.faults.poisoned_workflow_ids.add(closing)
    house.wire.release()
    with pytest.raises(EngineUnavailable):
        await terminated
    house.faults.poisoned_workflow_ids.clear()
    await asyncio.sleep(QUIET_SECONDS)


@simulated
async def test_a_message_is_not_given_up_for_a_close_of_its_source_that_is_lost(
    house: House,
) -> None:
    await _lose_close(house, "source")
    assert await _heard(house, "target") == [1]
    assert (await house.types("source"))[5] == "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED"


@simulated
async def test_a_message_is_not_refused_for_a_close_of_its_target_that_is_lost(
    house: House,
) -> None:
    await _lose_close(house, "target")
    assert await _heard(house, "target") == [1]
    assert (await house.types("source"))[5] == "EXTERNAL_WORKFLOW_EXECUTION_SIGNALED"


@simulated
async def test_a_row_that_comes_while_the_store_is_read_is_not_overlooked(house: House) -> None:
    await house.crash()
    read = house.wire.outbox

    async def read_slowly(after: int, limit: int) -> list[OutboxRow]:
        rows: list[OutboxRow] = await read(after, limit)
        await asyncio.sleep(QUIET_SECONDS)
        return rows

    setattr(house.wire, "outbox", read_slowly)  # noqa: B010  as above
    await _signals(house, 1, ["target"])
    await asyncio.sleep(3 * QUIET_SECONDS)
    assert await _heard(house, "target") == [0]


@simulated
async def test_rows_of_an_earlier_engine_keep_their_numbers_to_themselves(house: House) -> None:
    await house.start("source", queue="sources")
    await complete(house, await house.take("sources"), signal("nobody", "1"))
    house.faults.poisoned_workflow_ids.add("source")  # It cannot hear that there is nobody.
    await asyncio.sleep(QUIET_SECONDS)
    await house.crash()
    await _signals_of(house, "another source", 1, ["good"])
    await asyncio.sleep(QUIET_SECONDS)
    assert await _heard(house, "good") == [0]
    assert await outbox_rows(house) == 1


@simulated
async def test_a_run_that_is_over_is_found_by_its_id(house: House) -> None:
    first = await house.start("target")
    await house.terminate("target")
    await house.start("target", request="again")
    await house.start("source", queue="sources")
    task = await house.take("sources")
    await complete(
        house,
        task,
        cancel("target", run_id=first.run_id),
        signal("target", run_id=first.run_id),
        cancel("target", run_id="00000000-0000-0000-0000-00000000dead"),
    )
    await asyncio.sleep(QUIET_SECONDS)
    source = await house.types("source")
    assert "EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED" in source, "a closed run is success"
    assert "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED" in source
    assert "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED" in source
    assert (await house.run("target")).is_open
