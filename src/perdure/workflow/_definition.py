"""Workflow classes: the decorators, and what is wrong with a class before it ever runs.

A decorator only attaches a definition to what it decorates (`perdure._definitions`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from perdure._definitions import (
    INIT_ATTRIBUTE,
    QUERY_ATTRIBUTE,
    RUN_ATTRIBUTE,
    SIGNAL_ATTRIBUTE,
    UPDATE_ATTRIBUTE,
    WORKFLOW_ATTRIBUTE,
    UpdateDefinition,
    WorkflowDefinition,
    is_dynamic,
    types_of,
)
from perdure.common import VersioningBehavior
from perdure.types import CallableAsyncType
from perdure.workflow._static_check import warn_of_nondeterminism

_Class = TypeVar("_Class", bound=type)
_Function = TypeVar("_Function", bound=Callable[..., Any])

_DYNAMIC_CONFIG_ATTRIBUTE = "__perdure_dynamic_config__"
_HANDLER_KINDS = {
    SIGNAL_ATTRIBUTE: "signal",
    QUERY_ATTRIBUTE: "query",
    UPDATE_ATTRIBUTE: "update",
}


@dataclass(frozen=True)
class DynamicWorkflowConfig:
    """What a function decorated by `dynamic_config` returns."""

    failure_exception_types: Sequence[type[BaseException]] | None = None
    versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED


@overload
def defn(cls: _Class) -> _Class: ...


@overload
def defn(
    *,
    name: str | None = ...,
    sandboxed: bool = ...,
    dynamic: bool = ...,
    failure_exception_types: Sequence[type[BaseException]] = ...,
    versioning_behavior: VersioningBehavior = ...,
) -> Callable[[_Class], _Class]: ...


def defn(
    cls: Any = None,
    *,
    name: str | None = None,
    sandboxed: bool = True,
    dynamic: bool = False,
    failure_exception_types: Sequence[type[BaseException]] = (),
    versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED,
) -> Any:
    """Makes a class a workflow, named as the class unless a name is given.

    `sandboxed=False` takes the run-time guard against non-determinism off. A dynamic workflow
    serves every type that no other serves. Raises ValueError that lists all that is wrong.
    """

    def decorate(decorated: Any) -> Any:
        definition = _define(
            decorated,
            name=None if dynamic else name or decorated.__name__,
            sandboxed=sandboxed,
            failure_exception_types=tuple(failure_exception_types),
            versioning_behavior=versioning_behavior,
        )
        setattr(decorated, WORKFLOW_ATTRIBUTE, definition)
        setattr(definition.run_fn, WORKFLOW_ATTRIBUTE, definition)
        if sandboxed:
            warn_of_nondeterminism(decorated)
        return decorated

    if name is not None and dynamic:
        raise RuntimeError("Cannot provide name and dynamic boolean")
    return decorate if cls is None else decorate(cls)


def run(fn: CallableAsyncType) -> CallableAsyncType:
    """Makes an async method the one that runs the workflow."""
    method: Any = fn  # what `inspect` finds out is not to change its type
    if not inspect.iscoroutinefunction(method):
        raise ValueError("Workflow run method must be an async function")
    if "<locals>" in method.__qualname__:
        raise ValueError("Local classes unsupported, @workflow.run cannot be on a local class")
    setattr(fn, RUN_ATTRIBUTE, True)
    return fn


def init(init_fn: _Function) -> _Function:
    """Makes `__init__` take the arguments of the run method, with the same parameters."""
    if init_fn.__name__ != "__init__":
        raise ValueError("@workflow.init may only be used on the __init__ method")
    setattr(init_fn, INIT_ATTRIBUTE, True)
    return init_fn


def dynamic_config(fn: _Function) -> _Function:
    """Makes a method say, before a dynamic workflow runs, how this type of it behaves."""
    if inspect.iscoroutinefunction(fn):
        raise ValueError("Workflow dynamic_config method must be synchronous")
    if len(inspect.signature(fn).parameters) != 1:
        raise ValueError("Workflow dynamic_config method must only take self parameter")
    setattr(fn, _DYNAMIC_CONFIG_ATTRIBUTE, True)
    return fn


def _define(
    cls: type,
    *,
    name: str | None,
    sandboxed: bool,
    failure_exception_types: Sequence[type[BaseException]],
    versioning_behavior: VersioningBehavior,
) -> WorkflowDefinition:
    existing = cls.__dict__.get(WORKFLOW_ATTRIBUTE)
    if existing is not None:
        raise ValueError("Class already contains workflow definition")
    found = _Members(cls, name)
    found.raise_issues()
    assert found.run is not None
    arg_types, ret_type = types_of(found.run)
    if name is None and not is_dynamic(arg_types):
        raise TypeError("Dynamic workflow must accept a single Sequence[RawValue]")
    return WorkflowDefinition(
        name=name,
        cls=cls,
        run_fn=found.run,
        signals=found.handlers[SIGNAL_ATTRIBUTE],
        queries=found.handlers[QUERY_ATTRIBUTE],
        updates=found.handlers[UPDATE_ATTRIBUTE],
        sandboxed=sandboxed,
        failure_exception_types=failure_exception_types,
        arg_types=arg_types,
        ret_type=ret_type,
        has_init=found.init is not None,
        versioning_behavior=int(versioning_behavior),
        dynamic_config_fn=found.dynamic_config,
    )


class _Members:
    """What a class declares, and what is wrong with it."""

    def __init__(self, cls: type, name: str | None) -> None:
        self.run: Callable[..., Any] | None = None
        self.init: Callable[..., Any] | None = None
        self.dynamic_config: Callable[..., Any] | None = None
        self.handlers: dict[str, dict[str | None, Any]] = {kind: {} for kind in _HANDLER_KINDS}
        self._issues: list[str] = []
        self._run_seen = False
        self._cls = cls
        self._look_at_all(name)

    def _look_at_all(self, name: str | None) -> None:
        for member_name, member in inspect.getmembers(self._cls):
            self._look_at(member_name, member, name)
        for base in self._cls.__mro__[1:]:
            self._look_at_base(base)
        if not self._run_seen:
            self._issues.append("Missing @workflow.run method")
        if self.init and self.run and not _same_parameters(self.init, self.run):
            self._issues.append("@workflow.init and @workflow.run method parameters do not match")

    def raise_issues(self) -> None:
        """Raises ValueError when anything is wrong."""
        if len(self._issues) == 1:
            raise ValueError(f"Invalid workflow class: {self._issues[0]}")
        if self._issues:
            raise ValueError(
                f"Invalid workflow class for {len(self._issues)} reasons: {', '.join(self._issues)}"
            )

    def _look_at(self, member_name: str, member: Any, name: str | None) -> None:
        if hasattr(member, RUN_ATTRIBUTE):
            self._look_at_run(member_name, member)
        elif member_name == "__init__" and hasattr(member, INIT_ATTRIBUTE):
            self.init = member
        elif hasattr(member, _DYNAMIC_CONFIG_ATTRIBUTE):
            if name is not None:
                self._issues.append(
                    "@workflow.dynamic_config can only be used in dynamic workflows, but "
                    f"workflow class {name} ({self._cls.__name__}) is not dynamic"
                )
            if self.dynamic_config is not None:
                self._issues.append(
                    "@workflow.dynamic_config can only be defined once per workflow"
                )
            self.dynamic_config = member
        else:
            self._look_at_handler(member_name, member)

    def _look_at_run(self, member_name: str, member: Callable[..., Any]) -> None:
        self._run_seen = True
        if self._cls.__dict__.get(member_name) is not member:
            self._issues.append(
                f"@workflow.run method {member_name} must be defined on {self._cls.__qualname__}"
            )
        elif self.run is not None:
            self._issues.append(
                f"Multiple @workflow.run methods found (at least on {member_name} and "
                f"{self.run.__name__})"
            )
        else:
            self.run = member

    def _look_at_handler(self, member_name: str, member: Any) -> None:
        for attribute, kind in _HANDLER_KINDS.items():
            definition = getattr(member, attribute, None)
            if definition is None:
                continue
            known = self.handlers[attribute]
            if definition.name in known:
                self._issues.append(
                    f"Multiple {kind} methods found for {definition.name or '<dynamic>'} "
                    f"(at least on {member_name} and {known[definition.name].fn.__name__})"
                )
                continue
            known[definition.name] = definition
            if isinstance(definition, UpdateDefinition):
                self._check_validator(definition)

    def _check_validator(self, definition: UpdateDefinition) -> None:
        validator = definition.validator
        if validator is not None and not _same_parameters(definition.fn, validator):
            self._issues.append(
                f"Update validator method {validator.__name__} parameters do not match update "
                f"method {definition.fn.__name__} parameters"
            )

    def _look_at_base(self, base: type) -> None:
        """An override of what a base class declares must declare it again."""
        for member in vars(base).values():
            if getattr(member, RUN_ATTRIBUTE, False):
                self._run_seen = True
                if self.run is None or member.__name__ != self.run.__name__:
                    self._issues.append(
                        f"@workflow.run defined on {member.__qualname__} but not on the override"
                    )
            for attribute, kind in _HANDLER_KINDS.items():
                definition = getattr(member, attribute, None)
                if definition is not None and definition.name not in self.handlers[attribute]:
                    self._issues.append(
                        f"@workflow.{kind} defined on {member.__qualname__} but not on the override"
                    )


def _same_parameters(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Alike up to their names."""

    def parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
        return [
            parameter.replace(name="x") for parameter in inspect.signature(fn).parameters.values()
        ]

    return parameters(one) == parameters(other)
