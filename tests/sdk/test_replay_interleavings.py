"""Whatever the order in which things happen, an evicted run does what a cached one does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import workflow
from perdure.exceptions import ActivityError, ApplicationError
from tests.sdk.replay_world import World

LIMIT = timedelta(seconds=10)


@workflow.defn
class Busy:
    """Activities, timers, signals and patches, all at once."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, branches: int) -> list[str]:
        async with asyncio.TaskGroup() as group:
            for number in range(branches):
                group.create_task(self.branch(number))
        await workflow.wait_condition(lambda: len(self.words) >= branches, timeout=60)
        return self.words

    async def branch(self, number: int) -> None:
        if number % 2:
            await asyncio.sleep(1 + number)
        if workflow.patched(f"patch {number % 3}"):
            self.words.append(await self.call(f"{number} {workflow.random().randint(1, 9)}"))
        try:
            async with asyncio.timeout(5):
                self.words.append(await self.call(f"{number} again"))
        except (TimeoutError, ActivityError):  # a cancelled activity ends as its own error
            self.words.append(f"{number} was late")

    async def call(self, word: str) -> str:
        return str(
            await workflow.execute_activity(
                "echo", word, start_to_close_timeout=LIMIT, result_type=str
            )
        )

    @workflow.signal(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def add(self, word: str) -> None:
        self.words.append(await self.call(word))

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def ask(self, word: str) -> str:
        if len(word) % 2:
            await asyncio.sleep(1)
        self.words.append(await self.call(word))
        if len(word) % 3 == 0:
            raise ApplicationError(word)
        return word

    @ask.validator
    def check_ask(self, word: str) -> None:
        if word.endswith("7"):
            raise ValueError(word)


class Play:
    """Lets happen what the numbers choose, and keeps every command."""

    def __init__(self, choices: list[int], evict_before: set[int]) -> None:
        self.world = World(Busy, 3)
        self.commands: list[list[bytes]] = []
        self._done: set[tuple[str, str]] = set()
        self._updates = 0
        for step, choice in enumerate([0, *choices]):
            if step:
                self._let_happen(choice)
            if step in evict_before:
                self.world.evict()
            completion = self.world.task()
            sent = [*completion.commands, *completion.messages]
            self.commands.append([one.SerializeToString(deterministic=True) for one in sent])
            if completion.closed:
                break
        self.world.evict()

    def _let_happen(self, choice: int) -> None:
        world = self.world
        world.milliseconds += 1000 * (choice % 3)
        open_ones = [("activity", one) for one in world._scheduled]
        open_ones += [("timer", one) for one in world._timers if not self._cancelled(one)]
        waiting = [one for one in open_ones if one not in self._done]
        if choice % 4 == 0 or not waiting:
            world.signal("add", f"signal {choice}")
            return
        if choice % 5 == 0:
            self._updates += 1
            world.update("ask", f"update {choice}", update_id=f"update {self._updates}")
            return
        kind, name = waiting[choice % len(waiting)]
        self._done.add((kind, name))
        if kind == "activity":
            world.complete_activity(name, f"did {name}")
        else:
            world.fire(name)

    def _cancelled(self, timer_id: str) -> bool:
        return any(
            event.timer_canceled_event_attributes.timer_id == timer_id
            for event in self.world.events
            if event.HasField("timer_canceled_event_attributes")
        )


@given(
    choices=st.lists(st.integers(0, 1000), min_size=1, max_size=25),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_an_evicted_run_issues_the_same_commands(choices: list[int], data: Any) -> None:
    evicted = data.draw(st.sets(st.integers(1, len(choices))))
    cached = Play(choices, set())
    assert Play(choices, evicted).commands == cached.commands
    assert Play(choices, set(range(1, len(choices) + 1))).commands == cached.commands
