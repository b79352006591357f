"""Rules of `perdure.activity`: what is an activity, and what can be called where."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import temporalio.activity

from perdure import activity
from perdure._definitions import activity_definition_of
from perdure.common import RawValue


async def of_two(first: int, second: str) -> bool:
    """Not decorated yet."""
    return bool(first or second)


def test_a_function_is_named_as_it_is_unless_a_name_is_given() -> None:
    @activity.defn
    def plain() -> None: ...

    @activity.defn(name="other")
    def named() -> None: ...

    assert activity_definition_of(plain).name == "plain"
    assert activity_definition_of(named).name == "other"


def test_types_and_kind_are_read_from_the_function() -> None:
    definition = activity_definition_of(activity.defn(of_two))
    assert (definition.arg_types, definition.ret_type) == ([int, str], bool)
    assert definition.is_async


def test_a_method_is_called_on_its_instance() -> None:
    class Greeter:
        def __init__(self, greeting: str) -> None:
            self.greeting = greeting

        @activity.defn
        def greet(self, name: str) -> str:
            return f"{self.greeting}, {name}!"

    definition = activity_definition_of(Greeter("Hi").greet)
    assert definition.arg_types == [str]
    assert definition.fn("you") == "Hi, you!"


def test_an_object_that_can_be_called_is_an_activity() -> None:
    @activity.defn
    class Greeter:
        async def __call__(self, name: str) -> str:
            return f"Hello, {name}!"

    assert activity_definition_of(Greeter()).name == "Greeter"


@pytest.mark.parametrize(
    ("decorate", "kind", "message"),
    [
        (lambda: activity.defn(name="x", dynamic=True), RuntimeError, "name and dynamic"),
        (
            lambda: activity.defn(dynamic=True)(lambda: None),
            TypeError,
            r"a single Sequence\[RawValue\]",
        ),
        (lambda: activity.defn(lambda *, key: key), TypeError, "keyword-only"),
        (lambda: activity.defn(activity.defn(lambda: None)), ValueError, "already contains"),
    ],
)
def test_what_cannot_be_an_activity_is_refused(
    decorate: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        decorate()


def test_a_dynamic_activity_has_no_name() -> None:
    @activity.defn(dynamic=True)
    async def anything(args: Sequence[RawValue]) -> None: ...

    assert activity_definition_of(anything).name is None


@pytest.mark.parametrize(
    "call",
    [
        activity.info,
        activity.heartbeat,
        activity.is_cancelled,
        activity.is_worker_shutdown,
        activity.cancellation_details,
        activity.payload_converter,
        activity.client,
        activity.wait_for_cancelled_sync,
        activity.wait_for_worker_shutdown_sync,
    ],
)
def test_outside_of_an_activity_nothing_is_known(call: Callable[[], Any]) -> None:
    assert not activity.in_activity()
    with pytest.raises(RuntimeError, match="Not in activity context"):
        call()


def test_the_logger_works_outside_of_an_activity(caplog: pytest.LogCaptureFixture) -> None:
    activity.logger.warning("a %s", "word", extra={"key": "value"})
    [record] = caplog.records
    assert record.getMessage() == "a word"
    assert record.__dict__["key"] == "value"
    assert activity.logger.base_logger is logging.getLogger("perdure.activity")


def test_names_and_parameters_are_those_of_the_official_sdk() -> None:
    official = temporalio.activity
    for name in activity.__all__:
        ours, theirs = getattr(activity, name), getattr(official, name)
        if inspect.isfunction(ours):
            assert _parameters(ours) == _parameters(theirs), name
    assert list(activity.Info.__dataclass_fields__) == list(official.Info.__dataclass_fields__)


def _parameters(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind) for parameter in parameters]
