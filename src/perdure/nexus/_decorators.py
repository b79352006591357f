"""What makes an operation of a method that starts a workflow, an update, or an activity.

The operation's types are those of the method: of its last parameter, and of what the handle that
it returns is a handle of.
"""

from __future__ import annotations

import functools
import inspect
import typing
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar, overload

import nexusrpc
from nexusrpc.handler import OperationHandler

from perdure.nexus._client import TemporalNexusClient, TemporalOperationResult
from perdure.nexus._contexts import TemporalStartOperationContext, WorkflowRunOperationContext
from perdure.nexus._handlers import StartingMethod, WorkflowRunOperationHandler
from perdure.nexus._token import WorkflowHandle

_Service = TypeVar("_Service")
_Input = TypeVar("_Input")
_Output = TypeVar("_Output")

_WorkflowStart: TypeAlias = Callable[
    [_Service, WorkflowRunOperationContext, _Input], Awaitable[WorkflowHandle[_Output]]
]

TemporalOperationStartHandlerFunc: TypeAlias = Callable[
    [_Service, TemporalStartOperationContext, TemporalNexusClient, _Input],
    Awaitable[TemporalOperationResult[_Output]],
]
"""A method that `temporal_operation` decorates."""

_FACTORY = "__nexus_operation_factory__"
"""Where nexusrpc looks for what makes the handler of a decorated method."""


@overload
def workflow_run_operation(
    start: _WorkflowStart[_Service, _Input, _Output],
) -> _WorkflowStart[_Service, _Input, _Output]: ...


@overload
def workflow_run_operation(
    *, name: str | None = ...
) -> Callable[
    [_WorkflowStart[_Service, _Input, _Output]], _WorkflowStart[_Service, _Input, _Output]
]: ...


def workflow_run_operation(start: Any = None, *, name: str | None = None) -> Any:
    """An operation that is a workflow, which the method starts by its context and returns.

    The operation's name is the method's, unless another is given.
    """

    def decorate(method: Any) -> Any:
        if not _is_async(method):
            raise RuntimeError(
                f"{method} is not an `async def` method. @workflow_run_operation must decorate an "
                "`async def` start method."
            )
        types = _types_of(method, (WorkflowRunOperationContext,), WorkflowHandle)

        def factory(service: Any) -> OperationHandler[Any, Any]:
            return WorkflowRunOperationHandler(functools.partial(method, service))

        return _attached(method, factory, name, types)

    return decorate if start is None else decorate(start)


@overload
def temporal_operation(
    start: TemporalOperationStartHandlerFunc[_Service, _Input, _Output],
) -> TemporalOperationStartHandlerFunc[_Service, _Input, _Output]: ...


@overload
def temporal_operation(
    *, name: str | None = ...
) -> Callable[
    [TemporalOperationStartHandlerFunc[_Service, _Input, _Output]],
    TemporalOperationStartHandlerFunc[_Service, _Input, _Output],
]: ...


def temporal_operation(start: Any = None, *, name: str | None = None) -> Any:
    """An operation that the method starts by the client that it is given.

    Raises RuntimeError unless the method is async.
    """

    def decorate(method: Any) -> Any:
        if not _is_async(method):
            raise RuntimeError(
                f"{method} is not an `async def` method. @temporal_operation must decorate an "
                "`async def` start method."
            )
        expected = (TemporalStartOperationContext, TemporalNexusClient)
        types = _types_of(method, expected, TemporalOperationResult)

        def factory(service: Any) -> OperationHandler[Any, Any]:
            return StartingMethod(functools.partial(method, service))

        return _attached(method, factory, name, types)

    return decorate if start is None else decorate(start)


def _attached(
    method: Any, factory: Callable[[Any], Any], name: str | None, types: tuple[Any, Any]
) -> Any:
    method_name = _name_of(method)
    operation: nexusrpc.Operation[Any, Any] = nexusrpc.Operation(
        name=name or method_name, input_type=types[0], output_type=types[1]
    )
    operation.method_name = method_name
    nexusrpc.set_operation(factory, operation)
    setattr(method, _FACTORY, factory)
    return method


def _name_of(method: Any) -> str:
    name: str = getattr(method, "__name__", None) or type(method).__name__
    return name


def _is_async(method: Any) -> bool:
    while isinstance(method, functools.partial):
        method = method.func
    return inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(
        getattr(method, "__call__", None)  # noqa: B004 -- an object may be called too
    )


def _types_of(method: Any, expected: tuple[type, ...], handle: type) -> tuple[Any, Any]:
    """The types of an operation's input and output; None, with a warning, for what is not told."""
    try:
        hints = typing.get_type_hints(method)
    except TypeError:
        warnings.warn(
            f"Expected decorated start method {method} to have type annotations", stacklevel=4
        )
        return None, None
    returned = hints.pop("return", None)
    return _input_type(method, hints, expected), _output_type(method, returned, handle)


def _input_type(method: Any, hints: dict[str, Any], expected: tuple[type, ...]) -> Any:
    if len(hints) != len(expected) + 1:
        warnings.warn(
            f"Expected decorated start method {method} to have exactly {len(expected) + 1} "
            f"type-annotated parameters, but it has {len(hints)}: {hints}.",
            stacklevel=5,
        )
        return None
    *contexts, input_type = hints.values()
    for number, (found, wanted) in enumerate(zip(contexts, expected, strict=True), start=1):
        if not (isinstance(found, type) and issubclass(wanted, found)):
            warnings.warn(
                f"Expected parameter {number} of {method} to be an instance of "
                f"{wanted.__name__}, but is {found}.",
                stacklevel=5,
            )
            return None
    return input_type


def _output_type(method: Any, returned: Any, handle: type) -> Any:
    origin = typing.get_origin(returned)
    if origin is None:
        return None
    if not (isinstance(origin, type) and issubclass(origin, handle)):
        warnings.warn(
            f"Expected return type of {_name_of(method)} to be a subclass of "
            f"{handle.__name__}, but is {returned}",
            stacklevel=5,
        )
        return None
    types = typing.get_args(returned)
    if len(types) != 1:
        warnings.warn(
            f"Expected return type {returned} of {_name_of(method)} to have exactly one type "
            f"parameter, but has {len(types)}: {types}.",
            stacklevel=5,
        )
        return None
    return types[0]
