"""The public face has the names and signatures of the official SDK's `workflow` module."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import inspect
import logging
import typing
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import temporalio.workflow as theirs

import perdure.workflow as ours
from perdure import workflow
from perdure._definitions import (
    query_definition_of,
    signal_definition_of,
    update_definition_of,
    workflow_definition_of,
)
from perdure.common import RawValue, SearchAttributeKey
from tests.sdk.replay_world import World, kinds, result

# Helpers for the official SDK's own typing.
TYPING_HELPERS = frozenset(
    name
    for name in theirs.__all__
    if getattr(getattr(theirs, name), "__module__", "") in ("temporalio.types", "typing")
    or type(getattr(theirs, name)).__name__ in ("TypeVar", "ParamSpec")
)
PUBLIC = sorted(
    name for name in theirs.__all__ if not name.startswith("_") and name not in TYPING_HELPERS
)
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(theirs, name))]
ENUMS = [
    name
    for name in PUBLIC
    if isinstance(getattr(theirs, name), type) and issubclass(getattr(theirs, name), enum.IntEnum)
]


def test_nothing_is_missing() -> None:
    assert set(PUBLIC) - set(ours.__all__) == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_the_same_parameters(name: str) -> None:
    def parameters(module: Any) -> list[tuple[str, Any, bool]]:
        return [
            (one.name, one.kind, one.default is not one.empty)
            for one in inspect.signature(getattr(module, name)).parameters.values()
        ]

    assert parameters(ours) == parameters(theirs)
    is_async = inspect.iscoroutinefunction
    assert is_async(getattr(ours, name)) == is_async(getattr(theirs, name))


@pytest.mark.parametrize("name", ENUMS)
def test_enums_have_the_same_members(name: str) -> None:
    def members(module: Any) -> list[tuple[str, int]]:
        """In their order, which code may go through."""
        return [(member.name, int(member)) for member in getattr(module, name)]

    assert members(ours) == members(theirs)


def test_info_has_the_same_fields_and_methods() -> None:
    def fields(cls: Any) -> set[str]:
        return {field.name for field in dataclasses.fields(cls)}

    for name in ("Info", "ParentInfo", "RootInfo", "UpdateInfo"):
        assert fields(getattr(ours, name)) == fields(getattr(theirs, name))
    methods = {name for name in vars(theirs.Info) if name.startswith(("get_", "is_"))}
    assert methods - vars(ours.Info).keys() == set()


def test_unsafe_has_the_same_functions() -> None:
    public = {name for name in vars(theirs.unsafe) if not name.startswith("_")}
    assert public - vars(ours.unsafe).keys() == set()


# Definitions


@workflow.defn(name="Named", failure_exception_types=[KeyError])
class Declared:
    """Everything that a class can declare."""

    @workflow.init
    def __init__(self, number: int) -> None:
        self.number = number

    @workflow.run
    async def run(self, number: int) -> str:
        return f"{self.number} {number}"

    @workflow.signal
    def plain(self, word: str) -> None:
        """A signal."""

    @workflow.signal(name="other name", unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def renamed(self) -> None:
        """A signal of another name."""

    @workflow.signal(dynamic=True)
    def rest(self, name: str, args: Sequence[RawValue]) -> None:
        """All other signals."""

    @workflow.query(description="the number")
    def ask(self) -> int:
        return self.number

    @workflow.update
    async def change(self, number: int) -> int:
        self.number = number
        return number

    @change.validator
    def check_change(self, number: int) -> None:
        if number < 0:
            raise ValueError("negative")


def test_a_definition_says_what_was_declared() -> None:
    definition = workflow_definition_of(Declared)
    assert definition is workflow_definition_of(Declared.run)
    assert definition.name == "Named"
    assert definition.arg_types == [int]
    assert definition.ret_type is str
    assert definition.has_init
    assert list(definition.failure_exception_types) == [KeyError]
    assert definition.signals.keys() == {"plain", "other name", None}
    assert signal_definition_of(Declared.renamed).unfinished_policy == 2
    assert query_definition_of(Declared.ask).ret_type is int
    update = update_definition_of(Declared.change)
    assert update.arg_types == [int]
    assert update.validator is not None


def test_init_gets_the_arguments_of_run() -> None:
    assert result(World(Declared, 7).task()) == "7 7"


def test_everything_that_is_wrong_with_a_class_is_said_at_once() -> None:
    class Wrong:
        """No run method, and a signal twice."""

        @workflow.signal(name="same")
        def one(self) -> None:
            """One."""

        @workflow.signal(name="same")
        def two(self) -> None:
            """Two."""

    with pytest.raises(ValueError, match="2 reasons") as raised:
        workflow.defn(Wrong)
    assert "Missing @workflow.run method" in str(raised.value)
    assert "Multiple signal methods found for same" in str(raised.value)


def test_run_must_be_async_and_not_local() -> None:
    with pytest.raises(ValueError, match="must be an async function"):

        @workflow.run  # type: ignore[type-var]
        def run(self: Any) -> None:
            """Not async."""

    with pytest.raises(ValueError, match="Local classes unsupported"):

        @workflow.run
        async def local(self: Any) -> None:
            """In a function."""


def test_a_handler_that_is_overridden_must_be_declared_again() -> None:
    class Base:
        """Declares a signal."""

        @workflow.signal
        def told(self) -> None:
            """A signal."""

    class Derived(Base):
        """Overrides it without saying so."""

        def told(self) -> None:
            """No signal."""

    with pytest.raises(ValueError, match=r"signal defined on .*told but not on the override"):
        workflow.defn(Derived)


def test_handlers_take_positional_arguments() -> None:
    with pytest.raises(ValueError, match="positional"):

        @workflow.signal
        def told(self: Any, *, word: str) -> None:
            """A signal."""


def test_dynamic_handlers_take_a_name_and_raw_values() -> None:
    def of_typing(self: Any, name: str, args: typing.Sequence[RawValue]) -> None:
        """What older code says."""

    def of_collections(self: Any, name: str, args: Sequence[RawValue]) -> None:
        """What newer code says."""

    def of_values(self: Any, name: str, args: Sequence[str]) -> None:
        """Nobody says what the values are."""

    def of_numbers(self: Any, name: int, args: Sequence[RawValue]) -> None:
        """No name is a number."""

    handlers: list[Any] = [of_typing, of_collections]
    others: list[Any] = [of_values, of_numbers]
    for decorate in (workflow.signal, workflow.query, workflow.update):
        for handler in handlers:
            decorate(dynamic=True)(handler)
        for handler in others:
            with pytest.raises(RuntimeError, match="must have 3 arguments: self, str, and"):
                decorate(dynamic=True)(handler)


def test_outside_of_a_workflow_the_functions_say_so() -> None:
    assert not workflow.in_workflow()
    with pytest.raises(Exception, match="not in a workflow"):
        workflow.info()


# What code sees


@workflow.defn
class Looks:
    """Says what it sees."""

    @workflow.run
    async def run(self) -> dict[str, Any]:
        info = workflow.info()
        assert workflow.in_workflow()
        assert workflow.instance() is self
        loop = asyncio.get_running_loop()
        before = loop.time(), workflow.time_ns()
        await workflow.sleep(timedelta(seconds=1))
        return {
            "now": workflow.now().isoformat(),
            "went by": round(loop.time() - before[0], 3),
            "ns": workflow.time_ns() - before[1],
            "id": info.workflow_id,
            "queue": info.task_queue,
            "length": info.get_current_history_length(),
            "start": info.start_time.isoformat(),
            "attempt": info.attempt,
        }


@pytest.mark.parametrize("evict_always", [False, True])
def test_time_is_that_of_the_task(evict_always: bool) -> None:
    world = World(Looks, evict_always=evict_always)
    world.task()
    world.milliseconds += 5000
    world.fire("1")
    assert result(world.task()) == {
        "now": "2023-11-14T22:13:27+00:00",
        "went by": 6.0,
        "ns": 6_000_000_000,
        "id": "workflow",
        "queue": "queue",
        "length": 8,
        "start": "2023-11-14T22:13:21+00:00",
        "attempt": 1,
    }


@workflow.defn
class Draws:
    """Draws random numbers."""

    @workflow.run
    async def run(self) -> list[Any]:
        return [workflow.random().random(), str(workflow.uuid4()), workflow.random_seed()]


def test_random_numbers_come_from_the_run_id() -> None:
    drawn = result(World(Draws).task())
    assert drawn == result(World(Draws).task())
    assert drawn[2] == 7727541144460110179


@workflow.defn
class Changes:
    """Changes its memo and search attributes."""

    @workflow.run
    async def run(self) -> list[Any]:
        key = SearchAttributeKey.for_keyword_list("Words")
        workflow.upsert_memo({"kept": 1, "gone": None})
        workflow.upsert_search_attributes([key.value_set(["a", "b"])])
        return [
            dict(workflow.memo()),
            workflow.memo_value("missing", "default"),
            list(workflow.info().typed_search_attributes[key]),
        ]


def test_memo_and_search_attributes_show_their_changes() -> None:
    completion = World(Changes).task()
    assert kinds(completion) == [
        "MODIFY_WORKFLOW_PROPERTIES",
        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
        "COMPLETE_WORKFLOW_EXECUTION",
    ]
    assert result(completion) == [{"kept": 1}, "default", ["a", "b"]]


@workflow.defn
class HoldsOn:
    """Goes on waiting whatever is raised."""

    @workflow.run
    async def run(self) -> None:
        while True:
            with contextlib.suppress(BaseException):
                await workflow.wait_condition(lambda: False)


# Such code is left as it is; that it goes on is said when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_code_that_swallows_everything_does_not_keep_the_thread_when_it_is_evicted() -> None:
    world = World(HoldsOn)
    assert kinds(world.task()) == []
    world.evict()


@workflow.defn
class ChangesUntyped:
    """Changes its search attributes without telling their types."""

    @workflow.run
    async def run(self) -> list[Any]:
        key = SearchAttributeKey.for_text("Text")
        workflow.upsert_search_attributes([key.value_set("a")])
        workflow.upsert_search_attributes(
            {"Text": ["b"], "Flag": [True], "Number": [1], "Words": ["c", "d"], "Gone": [1.5]}
        )
        workflow.upsert_search_attributes({"Gone": []})
        return [
            [pair.key.name, pair.key.metadata_type, pair.value]
            for pair in workflow.info().typed_search_attributes
        ]


def test_search_attributes_without_types_show_in_those_with_types() -> None:
    completion = World(ChangesUntyped).task()
    assert sorted(result(completion)) == [
        ["Flag", "Bool", True],
        ["Number", "Int", 1],
        ["Text", "Text", "b"],
        ["Words", "KeywordList", ["c", "d"]],
    ]


@workflow.defn
class Groups:
    """Labels what it does."""

    @workflow.run
    async def run(self) -> None:
        outer = workflow.create_event_group("outer", label="The outer one")
        own = [workflow.create_event_group("own")]
        with outer.scope():
            workflow.patched("patch", event_groups=own)
            workflow.upsert_memo({"a": 1}, event_groups=own)
            sleeper = asyncio.create_task(workflow.sleep(1, event_groups=own))
        handle = workflow.start_activity(
            "echo", start_to_close_timeout=timedelta(seconds=1), event_groups=own
        )
        with pytest.raises(TimeoutError):
            await workflow.wait_condition(lambda: False, timeout=1, event_groups=own)
        await handle
        await sleeper

    @workflow.signal
    async def told(self) -> None:
        await workflow.sleep(2)


def test_commands_carry_their_event_groups() -> None:
    world = World(Groups)
    world.signal("told")
    completion = world.task()
    groups = [
        [one.label.id or one.inbound_event.inbound_event_id for one in command.event_group_markers]
        for command in completion.commands
    ]
    assert dict(zip(kinds(completion), groups, strict=True)) == {
        "START_TIMER": ["outer", "own"],
        "RECORD_MARKER": ["outer", "own"],
        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": [],
        "MODIFY_WORKFLOW_PROPERTIES": ["outer", "own"],
        "SCHEDULE_ACTIVITY_TASK": ["own"],
    }
    timers = [
        group
        for kind, group in zip(kinds(completion), groups, strict=True)
        if kind == "START_TIMER"
    ]
    assert timers == [[2], ["own"], ["outer", "own"]]


@workflow.defn
class Logs:
    """Logs before and after it sleeps."""

    @workflow.run
    async def run(self) -> None:
        workflow.logger.info("before")
        await workflow.sleep(1)
        workflow.logger.info("after", extra={"own": 1})


def test_the_logger_is_silent_on_replay(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "perdure.workflow")
    world = World(Logs, evict_always=True)
    world.task()
    world.fire("1")
    world.task()
    assert [record.message.partition(" (")[0] for record in caplog.records] == ["before", "after"]
    last: Any = caplog.records[-1]
    assert last.temporal_workflow["workflow_id"] == "workflow"
    assert last.own == 1
    assert last.funcName == "run"


@workflow.defn
class UsesAsyncio:
    """What asyncio offers."""

    @workflow.run
    async def run(self) -> list[str]:
        seen: list[str] = []
        queue: asyncio.Queue[int] = asyncio.Queue()
        event = asyncio.Event()

        async def produce() -> None:
            for number in range(2):
                await asyncio.sleep(1)
                await queue.put(number)
            event.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            seen += [str(await queue.get()), str(await queue.get())]
            await event.wait()
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        except TimeoutError:
            seen.append("wait_for")
        seen += await asyncio.gather(*(asyncio.sleep(0, f"g{number}") for number in range(2)))
        return seen


@pytest.mark.parametrize("evict_always", [False, True])
def test_asyncio_works(evict_always: bool) -> None:
    world = World(UsesAsyncio, evict_always=evict_always)
    for timer in range(1, 5):
        assert kinds(world.task()) == ["START_TIMER"]
        world.milliseconds += 5000
        world.fire(str(timer))
    assert result(world.task()) == ["0", "1", "timeout", "wait_for", "g0", "g1"]
