"""Activities that are pretended: what a test has them return, and what they were called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from perdure._definitions import (
    ACTIVITY_ATTRIBUTE,
    ActivityDefinition,
    activity_definition_of,
)


class MockedActivity:
    """Stands in for an activity of a worker. Made by `mock_activity`."""

    def __init__(self, definition: ActivityDefinition, outcomes: tuple[Any, ...]) -> None:
        setattr(self, ACTIVITY_ATTRIBUTE, definition)
        self.__name__ = definition.name or "dynamic"
        self.calls: list[tuple[Any, ...]] = []
        """The arguments of each attempt, in their order."""
        self._outcomes = outcomes

    async def __call__(self, *args: Any) -> Any:
        """What the test said."""
        index = min(len(self.calls), len(self._outcomes) - 1)
        self.calls.append(args)
        outcome = self._outcomes[index]
        if isinstance(outcome, BaseException):
            raise outcome
        if not callable(outcome):
            return outcome
        result = outcome(*args)
        return await result if inspect.isawaitable(result) else result


def mock_activity(activity: Callable[..., Any] | str, *outcomes: Any) -> MockedActivity:
    """An activity for a worker of a test, under the name of another and with its type hints.

    Each attempt takes the next outcome, and those after the last take the last one again. An
    exception is raised, a function is called with the arguments, anything else is the result; so is
    None, when there are no outcomes.
    """
    if isinstance(activity, str):
        definition = ActivityDefinition(name=activity, fn=mock_activity, is_async=True)
    else:
        original = activity_definition_of(activity)
        definition = ActivityDefinition(
            name=original.name,
            fn=activity,
            is_async=True,
            arg_types=original.arg_types,
            ret_type=original.ret_type,
        )
    return MockedActivity(definition, outcomes or (None,))
