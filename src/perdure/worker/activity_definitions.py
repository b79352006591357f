"""The activities of a worker, by name, checked when the worker is made."""

from __future__ import annotations

import inspect
import pickle
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from perdure._definitions import ActivityDefinition, activity_definition_of
from perdure.exceptions import ApplicationError


class UnknownActivityError(ApplicationError):
    """The worker has no activity of this type; the message lists those that it has."""


class ActivityDefinitions:
    """What serves which activity type."""

    def __init__(self, activities: Sequence[Callable[..., Any]], executor: Executor | None) -> None:
        """Raises ValueError or TypeError for what cannot be run."""
        self._by_name: dict[str, ActivityDefinition] = {}
        self._dynamic: ActivityDefinition | None = None
        self.any_in_executor = False
        for activity in activities:
            self._add(activity, executor)

    def find(self, activity_type: str, workflow_id: str) -> ActivityDefinition:
        """What serves a type. Raises ApplicationError, which may be tried elsewhere."""
        found = self._by_name.get(activity_type, self._dynamic)
        if found is None:
            available = ", ".join(sorted(self._by_name))
            raise UnknownActivityError(
                f"Activity function {activity_type} for workflow {workflow_id} is not registered "
                f"on this worker, available activities: {available}",
                type="NotFoundError",
            )
        return found

    def check_local(self, activity_type: str) -> None:
        """Raises ValueError when nothing serves a type, to the code that asks for it."""
        if self._by_name.get(activity_type, self._dynamic) is None:
            available = ", ".join(sorted(self._by_name))
            listed = (
                f"available activities: {available}" if available else "no available activities"
            )
            raise ValueError(
                f"Activity function {activity_type} is not registered on this worker, {listed}"
            )

    def _add(self, activity: Callable[..., Any], executor: Executor | None) -> None:
        definition = activity_definition_of(activity)
        name = definition.name
        if name in self._by_name:
            raise ValueError(f"More than one activity named {name}")
        if inspect.isclass(activity):
            raise TypeError(f"Activity named {name} is a class instead of an instance")
        _warn_of_unbound_method(name, activity)
        if not definition.is_async:
            self.any_in_executor = True
            if _is_of_processes(executor):
                _check_picklable(name, activity)
        if name is not None:
            self._by_name[name] = definition
        elif self._dynamic is not None:
            raise TypeError("More than one dynamic activity")
        else:
            self._dynamic = definition


def _is_of_processes(executor: Executor | None) -> bool:
    if executor is None or isinstance(executor, ThreadPoolExecutor):
        return False
    from concurrent.futures import ProcessPoolExecutor  # With all it brings.

    return isinstance(executor, ProcessPoolExecutor)


def _warn_of_unbound_method(name: str | None, activity: Callable[..., Any]) -> None:
    if inspect.isfunction(activity):
        first = next(iter(inspect.signature(activity).parameters), None)
        if first == "self":
            warnings.warn(
                f"Activity named {name} has a first parameter named self but is not bound to an "
                "instance, did you mean to register it from an instance of the class?",
                stacklevel=6,
            )


def _check_picklable(name: str | None, activity: Callable[..., Any]) -> None:
    try:
        pickle.dumps(activity)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"Activity {name} must be picklable when using a process executor"
        ) from error
