"""What the worker of these tests runs."""

from __future__ import annotations

from datetime import timedelta

from perdure import activity, workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ApplicationError

MINUTE = timedelta(minutes=1)


@activity.defn
async def greet(name: str) -> str:
    """A greeting."""
    return f"Hello, {name}!"


@activity.defn
async def break_down(reason: str) -> None:
    """Fails."""
    raise ApplicationError(reason, {"where": "here"}, type="BrokenDown") from ValueError("rust")


@workflow.defn
class Greeting:
    """Greets."""

    @workflow.run
    async def run(self, name: str, times: int = 1) -> list[str]:
        """As many greetings as wanted."""
        return [
            await workflow.execute_activity(greet, name, start_to_close_timeout=MINUTE)
            for _ in range(times)
        ]


@workflow.defn
class Failing:
    """Fails with its activity."""

    @workflow.run
    async def run(self) -> None:
        """Never succeeds."""
        await workflow.execute_activity(
            break_down,
            "no brakes",
            start_to_close_timeout=MINUTE,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


@workflow.defn
class Retrying:
    """Has an activity that failed and is to be tried again, much later."""

    @workflow.run
    async def run(self) -> None:
        """Does not end."""
        await workflow.execute_activity(
            break_down,
            "no brakes",
            start_to_close_timeout=MINUTE,
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
        )


@workflow.defn
class Waiting:
    """Waits for a signal, or to be cancelled."""

    def __init__(self) -> None:
        self._words: list[str] = []

    @workflow.signal
    def say(self, *words: str) -> None:
        """What to end with."""
        self._words.extend(words)

    @workflow.update
    async def say_later(self, word: str) -> int:
        """Add to what was said, and tell how much it is."""
        await workflow.wait_condition(lambda: word != "stuck")
        if word == "secret":
            raise ApplicationError("I will not say that", type="Shy")
        self._words.append(word)
        return len(self._words)

    @say_later.validator
    def check_say_later(self, word: str) -> None:
        """Something must be said."""
        if not word:
            raise ValueError("nothing to say")

    @workflow.query
    def so_far(self, upper: bool = False) -> list[str]:
        """What was said until now."""
        return [word.upper() for word in self._words] if upper else self._words

    @workflow.run
    async def run(self) -> str:
        """What was said."""
        await workflow.wait_condition(lambda: bool(self._words))
        return " ".join(self._words)


@workflow.defn
class Successive:
    """Continues as new."""

    @workflow.run
    async def run(self, left: int) -> str:
        """The last of the runs."""
        if left:
            workflow.continue_as_new(left - 1)
        return workflow.info().run_id


@workflow.defn
class Sleeping:
    """Sleeps for a moment."""

    @workflow.run
    async def run(self) -> None:
        """Ends."""
        await workflow.sleep(0.01)


@workflow.defn
class Parent:
    """Has a child."""

    @workflow.run
    async def run(self) -> list[str]:
        """What its child says."""
        child_id = f"{workflow.info().workflow_id}-child"
        greetings: list[str] = await workflow.execute_child_workflow(
            Greeting.run, args=["child", 1], id=child_id
        )
        return greetings


@activity.defn
async def answer_later() -> str:
    """Somebody else says what it results in."""
    activity.raise_complete_async()


@workflow.defn
class Outside:
    """Has an activity that is ended from outside."""

    @workflow.run
    async def run(self) -> str:
        """What the activity results in."""
        answer: str = await workflow.execute_activity(
            answer_later, activity_id="later", start_to_close_timeout=MINUTE
        )
        return answer
