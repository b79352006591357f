"""What the decorators attach, and how the rest of the SDK finds it again.

A decorator of `perdure.workflow` or `perdure.activity` validates what it decorates and attaches one
of the definitions below under one of the attribute names below; client, worker and replay core only
read them. No registry exists: a definition travels with the class or function itself.

| decorator | attribute | value | on |
|---|---|---|---|
| `@workflow.run` | `__perdure_run__` | True | the run method |
| `@workflow.defn` | `__perdure_workflow__` | WorkflowDefinition | the class, and its run method |
| `@workflow.signal` | `__perdure_signal__` | SignalDefinition | the method |
| `@workflow.query` | `__perdure_query__` | QueryDefinition | the method |
| `@workflow.update` | `__perdure_update__` | UpdateDefinition | the method |
| `@activity.defn` | `__perdure_activity__` | ActivityDefinition | the function |

A name of None marks what is dynamic: it serves every name that no other definition serves.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from perdure.common.raw_value import RawValue

WORKFLOW_ATTRIBUTE = "__perdure_workflow__"
RUN_ATTRIBUTE = "__perdure_run__"
INIT_ATTRIBUTE = "__perdure_init__"
SIGNAL_ATTRIBUTE = "__perdure_signal__"
QUERY_ATTRIBUTE = "__perdure_query__"
UPDATE_ATTRIBUTE = "__perdure_update__"
ACTIVITY_ATTRIBUTE = "__perdure_activity__"

# A type hint is not always a `type` (unions, generics), so hints are Any.
ArgumentTypes = list[Any] | None
"""One hint per positional parameter; None when any of them is unknown."""


class HintsWithRest(list[Any]):
    """Hints of positional parameters, the last being that of each value of `*args`."""

    __slots__ = ()


@dataclass(frozen=True)
class SignalDefinition:
    """A signal handler of a workflow. `fn` takes the workflow instance first when `is_method`."""

    name: str | None
    fn: Callable[..., Any]
    is_method: bool = True
    arg_types: ArgumentTypes = None
    unfinished_policy: int = 1
    """A `workflow.HandlerUnfinishedPolicy`; 1 is WARN_AND_ABANDON."""
    description: str | None = None


@dataclass(frozen=True)
class QueryDefinition:
    """A query handler of a workflow."""

    name: str | None
    fn: Callable[..., Any]
    is_method: bool = True
    arg_types: ArgumentTypes = None
    ret_type: Any = None
    description: str | None = None


@dataclass(frozen=True)
class UpdateDefinition:
    """An update handler of a workflow, with the validator that may refuse the update."""

    name: str | None
    fn: Callable[..., Any]
    is_method: bool = True
    arg_types: ArgumentTypes = None
    ret_type: Any = None
    unfinished_policy: int = 1
    validator: Callable[..., None] | None = None
    description: str | None = None


@dataclass(frozen=True)
class WorkflowDefinition:
    """A workflow class: its type name, what runs it, and its handlers by name."""

    name: str | None
    cls: type
    run_fn: Callable[..., Any]
    signals: Mapping[str | None, SignalDefinition] = field(default_factory=dict)
    queries: Mapping[str | None, QueryDefinition] = field(default_factory=dict)
    updates: Mapping[str | None, UpdateDefinition] = field(default_factory=dict)
    sandboxed: bool = True
    failure_exception_types: Sequence[type[BaseException]] = ()
    arg_types: ArgumentTypes = None
    ret_type: Any = None
    has_init: bool = False
    """`__init__` takes the arguments of the run method (`@workflow.init`)."""
    versioning_behavior: int = 0
    """A `common.VersioningBehavior`."""
    dynamic_config_fn: Callable[..., Any] | None = None


@dataclass(frozen=True)
class ActivityDefinition:
    """An activity. `fn` is what to call with the arguments (bound, if it is a method)."""

    name: str | None
    fn: Callable[..., Any]
    is_async: bool
    arg_types: ArgumentTypes = None
    ret_type: Any = None
    no_thread_cancel_exception: bool = False


_Definition = TypeVar("_Definition")


def workflow_definition_of(reference: object) -> WorkflowDefinition:
    """The definition of a workflow class or of its run method. Raises ValueError when it has none.

    A subclass does not inherit the definition of its base: it must be decorated itself.
    """
    found = _attached(reference, WORKFLOW_ATTRIBUTE, WorkflowDefinition)
    if found is not None and (not isinstance(reference, type) or found.cls is reference):
        return found
    if isinstance(reference, type):
        raise ValueError(
            f"Workflow {_short_name_of(reference)} missing attributes, was it decorated with "
            "@workflow.defn?"
        )
    raise ValueError(
        f"{_name_of(reference)} is not the run method of a workflow: decorate it with "
        "@workflow.run and its class with @workflow.defn"
    )


def signal_definition_of(reference: object) -> SignalDefinition:
    """The definition of a signal method. Raises ValueError when it has none."""
    return _required(reference, SIGNAL_ATTRIBUTE, SignalDefinition, "signal", "@workflow.signal")


def query_definition_of(reference: object) -> QueryDefinition:
    """The definition of a query method. Raises ValueError when it has none."""
    return _required(reference, QUERY_ATTRIBUTE, QueryDefinition, "query", "@workflow.query")


def update_definition_of(reference: object) -> UpdateDefinition:
    """The definition of an update method. Raises ValueError when it has none."""
    return _required(reference, UPDATE_ATTRIBUTE, UpdateDefinition, "update", "@workflow.update")


def activity_definition_of(reference: object) -> ActivityDefinition:
    """The definition of an activity, with `fn` replaced by the very thing asked about.

    What was decorated is a plain function; what is asked about may be its bound method. Raises
    TypeError when there is none.
    """
    found = _attached(reference, ACTIVITY_ATTRIBUTE, ActivityDefinition)
    if found is None or not callable(reference):
        raise TypeError(
            f"Activity {_short_name_of(reference)} missing attributes, was it decorated with "
            "@activity.defn?"
        )
    return dataclasses.replace(found, fn=reference)


def workflow_name_and_result_type(reference: object) -> tuple[str, Any]:
    """What starts the workflow that a name, a run method or a class refers to.

    The result type is None when only a name is known. Raises ValueError for a dynamic workflow,
    which has no name of its own.
    """
    if isinstance(reference, str):
        return reference, None
    definition = workflow_definition_of(reference)
    if definition.name is None:
        raise ValueError("a dynamic workflow has no name: start it by the name to run as")
    return definition.name, definition.ret_type


def activity_name_and_result_type(reference: object) -> tuple[str, Any]:
    """What schedules the activity that a name or a function refers to."""
    if isinstance(reference, str):
        return reference, None
    definition = activity_definition_of(reference)
    if definition.name is None:
        raise ValueError("a dynamic activity has no name: call it by the name to run as")
    return definition.name, definition.ret_type


def signal_name(reference: object) -> str:
    """The name under which a signal is sent. Raises ValueError for a dynamic handler."""
    if isinstance(reference, str):
        return reference
    name = signal_definition_of(reference).name
    if name is None:
        raise ValueError("a dynamic signal handler has no name: send the signal by its name")
    return name


def query_name_and_result_type(reference: object) -> tuple[str, Any]:
    """The name of a query and what its answer is read as. Raises ValueError for a dynamic one."""
    if isinstance(reference, str):
        return reference, None
    definition = query_definition_of(reference)
    if definition.name is None:
        raise ValueError("a dynamic query handler has no name: ask by the name of the query")
    return definition.name, definition.ret_type


def update_name_and_result_type(reference: object) -> tuple[str, Any]:
    """The name of an update and what its result is read as. Raises ValueError for a dynamic one."""
    if isinstance(reference, str):
        return reference, None
    definition = update_definition_of(reference)
    if definition.name is None:
        raise ValueError("a dynamic update handler has no name: send the update by its name")
    return definition.name, definition.ret_type


def types_of(fn: Callable[..., Any]) -> tuple[ArgumentTypes, Any]:
    """The hints of the positional parameters, without `self`, and of the result.

    The parameters' hints are None as a whole when one is missing, since all are what a converter
    is told. Parameters by keyword only are none that a value could be for. The result's hint is
    None when there is none; for a function annotated `-> None` it is `NoneType`.
    """
    function = _function_behind(fn)
    hints = typing.get_type_hints(function)
    result = hints.get("return")
    arguments: list[Any] = []
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if index == 0 and parameter.name == "self":
            continue
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
            break
        if parameter.name not in hints:
            return None, result
        arguments.append(hints[parameter.name])
        if parameter.kind is parameter.VAR_POSITIONAL:
            arguments = HintsWithRest(arguments)
    return arguments, result


def is_dynamic(hints: ArgumentTypes) -> bool:
    """Whether all values are taken as they came, in one parameter."""
    if hints is None or isinstance(hints, HintsWithRest) or len(hints) != 1:
        return False
    return takes_raw_values(hints[0])


def takes_raw_values(hint: Any) -> bool:
    """Whether a hint is `Sequence[RawValue]`, of `collections.abc` or of `typing`."""
    return typing.get_origin(hint) is Sequence and typing.get_args(hint) == (RawValue,)


def bound_hints(hints: ArgumentTypes, count: int) -> ArgumentTypes:
    """The hints of so many values: the first ones, for what is left out is optional.

    None when there are more values than parameters.
    """
    if hints is None:
        return None
    if isinstance(hints, HintsWithRest):
        hints = hints[:-1] + hints[-1:] * (count - len(hints) + 1)
    return hints[:count] if count <= len(hints) else None


def _function_behind(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`__call__` of an instance of the user's; anything else is itself."""
    if inspect.isroutine(fn) or isinstance(fn, type):
        return fn
    return type(fn).__call__


def _required(
    reference: object, attribute: str, kind: type[_Definition], noun: str, decorator: str
) -> _Definition:
    found = _attached(reference, attribute, kind)
    if found is None:
        raise ValueError(f"{_name_of(reference)} is not a {noun}: decorate it with {decorator}")
    return found


def _attached(reference: object, attribute: str, kind: type[_Definition]) -> _Definition | None:
    found = getattr(reference, attribute, None)
    return found if isinstance(found, kind) else None


def _short_name_of(reference: object) -> str:
    return str(getattr(reference, "__name__", "<unknown>"))


def _name_of(reference: object) -> str:
    return str(getattr(reference, "__qualname__", None) or repr(reference))
