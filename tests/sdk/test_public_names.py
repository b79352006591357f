"""What the official SDK has for its users is here by the same name, and is called in the same way.

Names that are absent, and calls that differ, are listed with the reason.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

MODULES = (
    "activity",
    "client",
    "common",
    "contrib.opentelemetry",
    "contrib.pydantic",
    "converter",
    "envconfig",
    "exceptions",
    "nexus",
    "plugin",
    "runtime",
    "service",
    "testing",
    "types",
    "worker",
    "worker.workflow_sandbox",
    "workflow",
)

_RUNNERS = "activations of the official SDK's core are not what workflows are run by here"
_CLOCKS = "a virtual clock for each workflow needs a server that has them"
_ITS_OWN_NEXUS = "operations of the server's own endpoint are intercepted as any other"
ABSENT = {
    "client.StartWorkflowInput.time_skipping_config": _CLOCKS,
    "client.UpdateWithStartStartWorkflowInput.time_skipping_config": _CLOCKS,
    "testing.TimeSkipper": _CLOCKS,
    "testing.TimeSkippingConfig": _CLOCKS,
    "testing.WorkflowEnvironment.fast_forward": _CLOCKS,
    "testing.WorkflowEnvironment.get_time_skipping_info": _CLOCKS,
    "testing.WorkflowEnvironment.start_time_skipping_v2": _CLOCKS,
    "testing.WorkflowEnvironment.with_time_skipping_disabled": _CLOCKS,
    "activity.CallableType": "of `types`",
    "plugin.WorkflowRunner.create_instance": _RUNNERS,
    "plugin.WorkflowRunner.set_worker_level_failure_exception_types": _RUNNERS,
    "worker.UnsandboxedWorkflowRunner.create_instance": _RUNNERS,
    "worker.UnsandboxedWorkflowRunner.set_worker_level_failure_exception_types": _RUNNERS,
    "worker.WorkflowInstance": _RUNNERS,
    "worker.WorkflowInstanceDetails": _RUNNERS,
    "worker.WorkflowOutboundInterceptor.start_signal_with_start_workflow": _ITS_OWN_NEXUS,
    "worker.WorkflowOutboundInterceptor.start_system_nexus_operation": _ITS_OWN_NEXUS,
    "worker.WorkflowRunner.create_instance": _RUNNERS,
    "worker.WorkflowRunner.set_worker_level_failure_exception_types": _RUNNERS,
    "worker.workflow_sandbox.RestrictedWorkflowAccessError.default_message": _RUNNERS,
    "worker.workflow_sandbox.SandboxMatcher.access_matcher": _RUNNERS,
    "worker.workflow_sandbox.SandboxMatcher.match_access": _RUNNERS,
    "worker.workflow_sandbox.SandboxedWorkflowRunner.create_instance": _RUNNERS,
    "worker.workflow_sandbox.SandboxedWorkflowRunner.set_worker_level_failure_exception_types": (
        _RUNNERS
    ),
}


def _names(module: Any) -> list[str]:
    """What a module makes, or says that it has."""
    prefix = module.__name__.partition(".")[0]
    listed = getattr(module, "__all__", None)
    return sorted(
        name
        for name in listed
        or (
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and not inspect.ismodule(value)
            and getattr(value, "__module__", "").startswith(prefix)
        )
        if not name.startswith("_")
    )


def _members(of: type) -> Iterator[str]:
    prefix = of.__module__.partition(".")[0]
    for base in of.__mro__:
        if base.__module__.startswith(prefix):
            yield from (name for name in vars(base) if not name.startswith("_"))
            yield from (name for name in vars(base).get("__annotations__", {}) if name[0] != "_")


def _pairs() -> Iterator[tuple[str, Any, Any]]:
    """What both have, by its name, and what only theirs has with None."""
    for module in MODULES:
        theirs = importlib.import_module(f"temporalio.{module}")
        ours = importlib.import_module(f"perdure.{module}")
        for name in _names(theirs):
            yield f"{module}.{name}", getattr(theirs, name), getattr(ours, name, None)


def _is_service(of: Any) -> bool:
    """Its methods follow from the descriptors of the API, and are made when they are asked for."""
    return isinstance(of, type) and of.__name__.endswith("Service")


def _attributes(of: type) -> set[str]:
    """What objects of a class have, also what `__init__` gives them."""
    names = {*dir(of), *_members(of)}
    for base in of.__mro__:
        code = getattr(vars(base).get("__init__"), "__code__", None)
        names |= set(code.co_names if code else ())
    return names


def _absent() -> Iterator[str]:
    for name, theirs, ours in _pairs():
        if ours is None and theirs is not None:
            yield name
        elif isinstance(theirs, type) and not _is_service(theirs):
            if issubclass(theirs, enum.Enum):
                assert theirs.__members__.keys() == ours.__members__.keys(), name
                continue
            has = _attributes(ours)
            yield from (f"{name}.{one}" for one in set(_members(theirs)) if one not in has)


def test_every_name_is_here() -> None:
    assert set(_absent()) == set(ABSENT)


_OPTIONAL = "may be left out here"
_WARNINGS = "`stack_level` is for warnings about the caller's line, which there are none of here"
DIFFERENT = {
    "client.Client.execute_workflow": _WARNINGS,
    "client.Client.start_workflow": _WARNINGS,
    "client.StartWorkflowInput.__init__": _CLOCKS,
    "client.UpdateWithStartStartWorkflowInput.__init__": _CLOCKS,
    "client.WithStartWorkflowOperation.__init__": _WARNINGS,
    "common.TypedSearchAttributes.__init__": _OPTIONAL,
    "nexus.TemporalNexusClient.start_workflow_update": _OPTIONAL,
    "worker.workflow_sandbox.SandboxRestrictions.__init__": _OPTIONAL,
    "workflow.LoggerAdapter.log": "passes `stacklevel` on with all else",
}

MADE_BY_THE_SDK = re.compile(
    r"(client\.(\w+(AsyncIterator|Handle|Description)|NexusOperationExecution\w*|WorkflowExecution)"
    r"|(client|plugin|service)\.ServiceClient|nexus\.WorkflowRunOperationContext|runtime\.Buffered\w+"
    r"|testing\.WorkflowEnvironment|worker\.(Slot\w+Context|\w*SlotInfo|WorkerTuner)"
    r"|workflow\.(\w+Handle|EventGroup|UpdateMethodMultiParam|NondeterminismError)"
    r"|common\.SearchAttribute(Key|Update)|worker\.\w+\.RestrictedWorkflowAccessError)\.__init__"
)
"""Of these, users never make an object themselves: it says what it knows of its maker."""


def _parameters(of: Callable[..., Any]) -> list[tuple[str, Any, bool]]:
    """Name, kind and whether it may be left out; those by name only are sorted."""
    found: list[tuple[str, Any, bool]] = []
    for one in inspect.signature(of).parameters.values():
        if one.kind is one.VAR_KEYWORD and str(one.annotation).startswith("Unpack["):
            of_keys = of.__globals__[one.annotation.removeprefix("Unpack[").removesuffix("]")]
            for key, hint in typing.get_type_hints(of_keys, include_extras=True).items():
                is_required = key in of_keys.__required_keys__ and of_keys.__total__
                is_required |= typing.get_origin(hint) is typing.Required
                found.append((key, one.KEYWORD_ONLY, not is_required))
        elif one.name not in {"self", "cls"}:
            found.append((one.name, one.kind, one.default is not one.empty))
    return sorted(found, key=lambda one: (one[1], one[0] if one[1] == 3 else ""))


def _calls(name: str, theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    if not isinstance(theirs, type):
        if inspect.isroutine(theirs):
            yield name, theirs, ours
        return
    if issubclass(theirs, enum.Enum) or _is_service(theirs) or typing.is_typeddict(theirs):
        return
    makes = "__init__" in vars(theirs) and not MADE_BY_THE_SDK.fullmatch(f"{name}.__init__")
    for one in {*_members(theirs), *(["__init__"] if makes else [])}:
        their_call, our_call = (getattr(of, one, None) for of in (theirs, ours))
        is_inherited = isinstance(
            our_call, types.WrapperDescriptorType
        )  # it takes whatever it gets
        if inspect.isroutine(their_call) and our_call is not None and not is_inherited:
            yield f"{name}.{one}", their_call, our_call


def _different() -> Iterator[str]:
    for name, theirs, ours in _pairs():
        if ours is None:
            continue
        for call, their_call, our_call in _calls(name, theirs, ours):
            wanted = _parameters(their_call), inspect.iscoroutinefunction(their_call)
            if not callable(our_call) or wanted != (
                _parameters(our_call),
                inspect.iscoroutinefunction(our_call),
            ):
                yield call


def test_every_call_takes_the_same() -> None:
    assert set(_different()) == set(DIFFERENT)
