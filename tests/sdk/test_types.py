"""The names of `perdure.types` are those of the official SDK, and fit the same functions."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar, get_origin

import pytest
import temporalio.client
import temporalio.types
import temporalio.workflow

import perdure.client
import perdure.types
import perdure.workflow
from perdure import workflow
from perdure.types import (
    CallableSyncSingleParam,
    MethodAsyncNoParam,
    MethodAsyncSingleParam,
    ParamType,
    ReturnType,
    SelfType,
)


def names_of(module: Any) -> set[str]:
    """What a module makes itself."""
    made = {
        name
        for name, value in vars(module).items()
        if isinstance(value, TypeVar) or getattr(value, "__module__", "") == module.__name__
    }
    return {name for name in made if not name.startswith("_")}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(perdure.client, temporalio.client), (perdure.workflow, temporalio.workflow)],
    ids=["client", "workflow"],
)
def test_modules_offer_them_where_the_official_ones_do(ours: Any, theirs: Any) -> None:
    of_types = vars(temporalio.types)
    offered = {name for name in theirs.__all__ if getattr(theirs, name) is of_types.get(name)}
    assert "ReturnType" in offered
    assert offered <= set(ours.__all__)
    for name in offered:
        assert getattr(ours, name) is getattr(perdure.types, name), name


def test_names_are_those_of_the_official_sdk() -> None:
    assert names_of(perdure.types) == names_of(temporalio.types)
    for name in names_of(perdure.types):
        ours, theirs = getattr(perdure.types, name), getattr(temporalio.types, name)
        if isinstance(ours, TypeVar):
            variance = (ours.__covariant__, ours.__contravariant__)
            assert variance == (theirs.__covariant__, theirs.__contravariant__), name
        elif isinstance(ours, type):
            assert issubclass(ours, Protocol), name
            assert get_origin(ours) is None


class Greeting:
    """A class with methods of two shapes."""

    @workflow.run
    async def run(self, name: str) -> str:
        """Greets."""
        return name

    async def rest(self) -> int:
        """Nothing."""
        return 0


def run_of(
    method: MethodAsyncSingleParam[SelfType, ParamType, ReturnType],
    of: SelfType,
    argument: ParamType,
) -> Awaitable[ReturnType]:
    """Calls a method of one parameter."""
    return method(of, argument)


def rest_of(
    method: MethodAsyncNoParam[SelfType, ReturnType], of: SelfType
) -> Awaitable[ReturnType]:
    """Calls a method without parameters."""
    return method(of)


async def test_methods_are_taken_with_their_types() -> None:
    text: str = await run_of(Greeting.run, Greeting(), "Ada")
    number: int = await rest_of(Greeting.rest, Greeting())
    length: CallableSyncSingleParam[str, int] = len
    assert (text, number, length("four")) == ("Ada", 0, 4)
