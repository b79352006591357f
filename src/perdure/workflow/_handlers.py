"""Handlers: what the outside can say to a running workflow, and ask of it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from perdure._definitions import (
    QUERY_ATTRIBUTE,
    SIGNAL_ATTRIBUTE,
    UPDATE_ATTRIBUTE,
    QueryDefinition,
    SignalDefinition,
    UpdateDefinition,
    takes_raw_values,
    types_of,
)
from perdure._replay.context import current
from perdure.types import CallableSyncOrAsyncReturnNoneType

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class HandlerUnfinishedPolicy(IntEnum):
    """What to do about a handler that is still running when the workflow ends."""

    WARN_AND_ABANDON = 1
    ABANDON = 2


@overload
def signal(
    fn: CallableSyncOrAsyncReturnNoneType,
) -> CallableSyncOrAsyncReturnNoneType: ...


@overload
def signal(
    *,
    name: str | None = ...,
    dynamic: bool | None = ...,
    unfinished_policy: HandlerUnfinishedPolicy = ...,
    description: str | None = ...,
) -> Callable[[CallableSyncOrAsyncReturnNoneType], CallableSyncOrAsyncReturnNoneType]: ...


def signal(
    fn: Any = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:
    """Makes a method the handler of a signal, named as the method unless a name is given.

    A dynamic handler takes what no other handles; its parameters are the name of the signal and a
    `Sequence[RawValue]`.
    """

    def decorate(handler: Any) -> Any:
        arg_types = _check("signal", handler, dynamic)
        definition = SignalDefinition(
            name=None if dynamic else name or handler.__name__,
            fn=handler,
            arg_types=arg_types,
            unfinished_policy=unfinished_policy,
            description=description,
        )
        setattr(handler, SIGNAL_ATTRIBUTE, definition)
        return handler

    return _decorated(fn, decorate, name, dynamic)


@overload
def query(fn: _Handler) -> _Handler: ...


@overload
def query(
    *, name: str | None = ..., dynamic: bool | None = ..., description: str | None = ...
) -> Callable[[_Handler], _Handler]: ...


def query(
    fn: Any = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    description: str | None = None,
) -> Any:
    """Makes a method the handler of a query, which looks at the workflow and changes nothing."""

    def decorate(handler: Any) -> Any:
        arg_types = _check("query", handler, dynamic)
        definition = QueryDefinition(
            name=None if dynamic else name or handler.__name__,
            fn=handler,
            arg_types=arg_types,
            ret_type=types_of(handler)[1],
            description=description,
        )
        setattr(handler, QUERY_ATTRIBUTE, definition)
        return handler

    return _decorated(fn, decorate, name, dynamic)


class UpdateMethodMultiParam(Generic[_Parameters, _Result]):
    """A method decorated by `update`; its `validator` may refuse the update."""

    def __init__(self, definition: UpdateDefinition) -> None:
        setattr(self, UPDATE_ATTRIBUTE, definition)
        self.__name__ = definition.fn.__name__
        self.__qualname__ = definition.fn.__qualname__
        self.__doc__ = definition.fn.__doc__

    @property
    def definition(self) -> UpdateDefinition:
        """What was declared."""
        found: UpdateDefinition = getattr(self, UPDATE_ATTRIBUTE)
        return found

    def __call__(self, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        """Calls the handler as a plain method."""
        result: _Result = self.definition.fn(*args, **kwargs)
        return result

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Any: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Binds as a method does."""
        return self if instance is None else self.definition.fn.__get__(instance, owner)

    def validator(self, vfunc: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
        """Makes a method the validator: it takes what the handler takes and raises to refuse."""
        if inspect.iscoroutinefunction(vfunc):
            raise ValueError("the validator of an update cannot be async")
        definition = self.definition
        setattr(
            self,
            UPDATE_ATTRIBUTE,
            UpdateDefinition(**{**vars(definition), "validator": vfunc}),
        )
        return vfunc


class _UpdateDecorator(Protocol):
    """What `update` is with options."""

    @overload
    def __call__(
        self, fn: Callable[_Parameters, Awaitable[_Result]], /
    ) -> UpdateMethodMultiParam[_Parameters, _Result]: ...

    @overload
    def __call__(
        self, fn: Callable[_Parameters, _Result], /
    ) -> UpdateMethodMultiParam[_Parameters, _Result]: ...

    def __call__(self, fn: Any, /) -> Any: ...


@overload
def update(
    fn: Callable[_Parameters, Awaitable[_Result]],
) -> UpdateMethodMultiParam[_Parameters, _Result]: ...


@overload
def update(fn: Callable[_Parameters, _Result]) -> UpdateMethodMultiParam[_Parameters, _Result]: ...


@overload
def update(
    *,
    name: str | None = ...,
    dynamic: bool | None = ...,
    unfinished_policy: HandlerUnfinishedPolicy = ...,
    description: str | None = ...,
) -> _UpdateDecorator: ...


def update(
    fn: Any = None,
    *,
    name: str | None = None,
    dynamic: bool | None = False,
    unfinished_policy: HandlerUnfinishedPolicy = HandlerUnfinishedPolicy.WARN_AND_ABANDON,
    description: str | None = None,
) -> Any:
    """Makes a method the handler of an update, which changes the workflow and answers."""

    def decorate(handler: Any) -> Any:
        arg_types = _check("update", handler, dynamic)
        return UpdateMethodMultiParam(
            UpdateDefinition(
                name=None if dynamic else name or handler.__name__,
                fn=handler,
                arg_types=arg_types,
                ret_type=types_of(handler)[1],
                unfinished_policy=unfinished_policy,
                description=description,
            )
        )

    return _decorated(fn, decorate, name, dynamic)


def _decorated(
    fn: Any, decorate: Callable[[Any], Any], name: str | None, dynamic: bool | None
) -> Any:
    if name is not None and dynamic:
        raise RuntimeError("a dynamic handler has no name")
    return decorate if fn is None else decorate(fn)


def _check(kind: str, handler: Callable[..., Any], dynamic: bool | None) -> list[Any] | None:
    """The hints of a handler's parameters. Raises when it cannot be called with positional ones."""
    parameters = list(inspect.signature(handler).parameters.values())
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    if any(one.kind == keyword_only and one.default is one.empty for one in parameters):
        raise ValueError(f"the {kind} handler {handler.__qualname__} can only have positional args")
    arg_types = types_of(handler)[0]
    if not dynamic:
        return arg_types
    takes_rest = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_POSITIONAL
    if takes_rest and len(parameters) in (2, 3):  # without `self`, for one that is set later
        if kind == "update":
            raise RuntimeError(
                "Dynamic updates do not support a vararg third param, use Sequence[RawValue]"
            )
        plural = {"signal": "signals", "query": "queries"}[kind]
        warnings.warn(
            f"Dynamic {plural} with vararg third param is deprecated, use Sequence[RawValue]",
            DeprecationWarning,
            stacklevel=4,
        )
        return None
    if not arg_types or arg_types[:-1] != [str] or not takes_raw_values(arg_types[-1]):
        raise RuntimeError(
            f"The dynamic {kind} handler {handler.__qualname__} must have 3 arguments: "
            "self, str, and Sequence[RawValue]"
        )
    return arg_types


def all_handlers_finished() -> bool:
    """Whether no handler of a signal or an update is running."""
    return current().handlers.all_finished


def get_signal_handler(name: str) -> Callable[..., Any] | None:
    """The handler of a signal, bound to the workflow; None when there is none."""
    handlers = current().handlers
    return handlers.bound(handlers.signals.get(name))


def set_signal_handler(name: str, handler: Callable[..., Awaitable[None] | None] | None) -> None:
    """Replaces the handler of a signal, and gives it the signals that waited for one."""
    _set_signal_handler(name, handler)


def get_dynamic_signal_handler() -> Callable[..., Any] | None:
    """The handler of signals that have none of their own."""
    handlers = current().handlers
    return handlers.bound(handlers.signals.get(None))


def set_dynamic_signal_handler(
    handler: Callable[..., Awaitable[None] | None] | None,
) -> None:
    """Replaces the handler of signals that have none of their own."""
    _set_signal_handler(None, handler)


def _set_signal_handler(name: str | None, handler: Callable[..., Any] | None) -> None:
    context = current()
    context.check_not_read_only("set a signal handler")
    definition = None
    if handler is not None:
        arg_types = _check("signal", handler, name is None)
        definition = SignalDefinition(name=name, fn=handler, is_method=False, arg_types=arg_types)
    context.handlers.set_signal_handler(name, definition)


def get_query_handler(name: str) -> Callable[..., Any] | None:
    """The handler of a query, bound to the workflow; None when there is none."""
    handlers = current().handlers
    return handlers.bound(handlers.queries.get(name))


def set_query_handler(name: str, handler: Callable[..., Any] | None) -> None:
    """Replaces the handler of a query."""
    _set_query_handler(name, handler)


def get_dynamic_query_handler() -> Callable[..., Any] | None:
    """The handler of queries that have none of their own."""
    handlers = current().handlers
    return handlers.bound(handlers.queries.get(None))


def set_dynamic_query_handler(handler: Callable[..., Any] | None) -> None:
    """Replaces the handler of queries that have none of their own."""
    _set_query_handler(None, handler)


def _set_query_handler(name: str | None, handler: Callable[..., Any] | None) -> None:
    context = current()
    context.check_not_read_only("set a query handler")
    if handler is None:
        context.handlers.queries.pop(name, None)
        return
    arg_types = _check("query", handler, name is None)
    context.handlers.queries[name] = QueryDefinition(
        name=name,
        fn=handler,
        is_method=False,
        arg_types=arg_types,
        ret_type=types_of(handler)[1],
    )


def get_update_handler(name: str) -> Callable[..., Any] | None:
    """The handler of an update, bound to the workflow; None when there is none."""
    handlers = current().handlers
    return handlers.bound(handlers.updates.get(name))


def set_update_handler(
    name: str,
    handler: Callable[..., Any] | None,
    *,
    validator: Callable[..., None] | None = None,
) -> None:
    """Replaces the handler of an update."""
    _set_update_handler(name, handler, validator)


def get_dynamic_update_handler() -> Callable[..., Any] | None:
    """The handler of updates that have none of their own."""
    handlers = current().handlers
    return handlers.bound(handlers.updates.get(None))


def set_dynamic_update_handler(
    handler: Callable[..., Any] | None, *, validator: Callable[..., None] | None = None
) -> None:
    """Replaces the handler of updates that have none of their own."""
    _set_update_handler(None, handler, validator)


def _set_update_handler(
    name: str | None,
    handler: Callable[..., Any] | None,
    validator: Callable[..., None] | None,
) -> None:
    context = current()
    context.check_not_read_only("set an update handler")
    if handler is None:
        context.handlers.updates.pop(name, None)
        return
    arg_types = _check("update", handler, name is None)
    context.handlers.updates[name] = UpdateDefinition(
        name=name,
        fn=handler,
        is_method=False,
        arg_types=arg_types,
        ret_type=types_of(handler)[1],
        validator=validator,
    )
