"""What a worker is to run: found in modules by what the decorators attached."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from perdure._definitions import (
    ACTIVITY_ATTRIBUTE,
    WORKFLOW_ATTRIBUTE,
    activity_definition_of,
    workflow_definition_of,
)

DYNAMIC = "(any other)"
"""The name that a dynamic workflow or activity does not have."""


class NothingToRegister(Exception):
    """A module or attribute cannot be found, or has nothing that a worker could run."""


@dataclass(frozen=True)
class Registrations:
    """Workflow classes and activities, each once, in the order in which they were found."""

    workflows: list[type] = field(default_factory=list)
    activities: list[Callable[..., Any]] = field(default_factory=list)

    def workflow_names(self) -> list[str]:
        """The types of the workflows."""
        return sorted(workflow_definition_of(one).name or DYNAMIC for one in self.workflows)

    def activity_names(self) -> list[str]:
        """The types of the activities."""
        return sorted(activity_definition_of(one).name or DYNAMIC for one in self.activities)


def registrations_of(references: Sequence[str]) -> Registrations:
    """What `MODULE` or `MODULE:ATTRIBUTE` stand for. Raises NothingToRegister."""
    found = Registrations()
    for reference in references:
        for definition in _definitions(reference):
            kept: list[Any] = found.workflows if _is_workflow(definition) else found.activities
            if definition not in kept:
                kept.append(definition)
    return found


def _definitions(reference: str) -> list[Any]:
    name, colon, path = reference.partition(":")
    module = _imported(name)
    if not colon:
        found = list(_in_module(module))
        if not found:
            raise NothingToRegister(
                f"module {name} has neither classes with @workflow.defn nor functions with "
                f"@activity.defn; an object whose methods are activities is named as {name}:OBJECT"
            )
        return found
    return list(_in_value(reference, _attribute(module, path)))


def value_of(reference: str) -> Any:
    """What `MODULE:ATTRIBUTE` stands for. Raises NothingToRegister."""
    name, colon, path = reference.partition(":")
    if not colon:
        raise NothingToRegister(f"{reference!r} does not say which attribute of the module")
    return _attribute(_imported(name), path)


def _attribute(module: ModuleType, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        if not hasattr(value, part):
            raise NothingToRegister(f"module {module.__name__} has no {path}")
        value = getattr(value, part)
    return value


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that is there but imports one that is not has another problem, shown whole.
        missing = error.name or ""
        if name != missing and not name.startswith(missing + "."):
            raise
        raise NothingToRegister(
            f"there is no module {name} here: modules are found from the current directory, "
            "and named like greetings or shop.payments"
        ) from None
    except ValueError as error:
        raise NothingToRegister(f"{name!r} is not the name of a module: {error}") from None


def _in_module(module: ModuleType) -> Iterator[Any]:
    for value in vars(module).values():
        if _is_workflow(value) or _is_activity(value):
            yield value


def _in_value(reference: str, value: Any) -> Iterable[Any]:
    if _is_workflow(value) or _is_activity(value):
        return [value]
    if isinstance(value, list | tuple | set | frozenset):
        return [one for member in value for one in _in_value(reference, member)]
    if isinstance(value, type):
        raise NothingToRegister(
            f"{reference} is a class without @workflow.defn; if its methods are activities, name "
            "an object of it instead"
        )
    methods = [method for _, method in inspect.getmembers(value, inspect.ismethod)]
    activities = [method for method in methods if _is_activity(method)]
    if not activities:
        raise NothingToRegister(f"{reference} is neither a workflow nor an activity")
    return activities


def _is_workflow(value: Any) -> bool:
    # A subclass inherits the attribute, but is no workflow unless it is decorated itself.
    definition = getattr(value, WORKFLOW_ATTRIBUTE, None) if isinstance(value, type) else None
    return definition is not None and definition.cls is value


def _is_activity(value: Any) -> bool:
    return (
        callable(value)
        and not isinstance(value, type)
        and getattr(value, ACTIVITY_ATTRIBUTE, None) is not None
    )
