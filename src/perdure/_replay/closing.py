"""Ends the code of a run that is evicted: coroutines, and the asynchronous generators they wait for
or have left where they yield. All of it is over before the run is forgotten: whatever is not would
be ended by the garbage collector, unguarded, in any thread, and with complaints."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator
from types import AsyncGeneratorType, CoroutineType
from typing import Any
from weakref import WeakSet

_ATTEMPTS_MAX = 20
"""What awaits in `finally` has to be closed again; what never ends is left."""


class _IgnoredExit(Exception):
    """It awaits again."""


def close(awaited: Any) -> bool:
    """Ends a coroutine with all that it waits for; whether they did end.

    The innermost first: of one that is closed by the one around it, and awaits in `finally`, only
    the garbage collector would ever see to the rest, and complain when that awaits again.
    """
    chain = _chain(awaited)
    attempts = 0
    while chain:
        try:
            _close_once(chain[-1])
        except BaseException:  # a named boundary: a `finally` block's own error
            attempts += 1
            if attempts == _ATTEMPTS_MAX:
                return False
            chain += _chain(chain.pop())
        else:
            chain.pop()
    return True


def _chain(awaited: Any) -> list[Any]:
    """A coroutine or a step of a generator, what it waits for, and so on."""
    chain = [awaited]
    while (inner := _awaited_by(chain[-1])) is not None:
        chain.append(inner)
    return chain


def _awaited_by(outer: Any) -> Any:
    if isinstance(outer, CoroutineType):
        inner: Any = outer.cr_await
    else:
        generator = _generator_of(outer)
        inner = None if generator is None else generator.ag_await
    is_code = isinstance(inner, CoroutineType) or _generator_of(inner) is not None
    return inner if is_code else None


_STEPS = frozenset({"async_generator_asend", "async_generator_athrow"})
"""What is awaited to have a generator go on. Python gives them no public name."""


def _generator_of(step: Any) -> AsyncGeneratorType[Any, Any] | None:
    if type(step).__name__ not in _STEPS:
        return None
    return next(
        (one for one in gc.get_referents(step) if isinstance(one, AsyncGeneratorType)), None
    )


def _close_once(awaited: Any) -> None:
    """Raises when it awaits again, and what its code raises."""
    if isinstance(awaited, CoroutineType):
        awaited.close()
        return
    # Before Python 3.13, closing a step leaves its generator where it is.
    try:
        awaited.throw(GeneratorExit())
    except (GeneratorExit, StopIteration, StopAsyncIteration):
        return
    raise _IgnoredExit


class Generators:
    """The asynchronous generators of a run that have begun. Its methods are what Python calls when
    one begins and when nobody refers to it any more.

    One that is left behind by a run that goes on is ended up to where it awaits, and waits there
    for the run to be evicted: where no loop wants to know, as with the official SDK, its code gets
    no further, and histories tell what it has done. Standard loops would have it go on in a task.
    """

    def __init__(self) -> None:
        self._begun: WeakSet[AsyncGenerator[Any, Any]] | None = None
        self._left: list[Any] = []
        self._evicting = False

    def __bool__(self) -> bool:
        """Whether any is left."""
        return bool(self._begun or self._left)

    def begin(self, generator: AsyncGenerator[Any, Any]) -> None:
        """It is asked for its first value."""
        if self._begun is None:
            self._begun = WeakSet()
        self._begun.add(generator)

    def finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Nobody can ask it for more. Raises RuntimeError when it awaits, which Python tells."""
        if self._evicting:
            _end(generator)
            return
        step = generator.aclose()
        try:
            step.send(None)
        except (StopIteration, StopAsyncIteration):
            return
        self._left.append(step)
        raise RuntimeError("async generator ignored GeneratorExit")

    def evict(self) -> None:
        """From now on, whatever is left behind ends."""
        self._evicting = True

    def close_all(self) -> None:
        """Ends those that are left where they yield."""
        for step in self._left:
            close(step)
        for generator in list(self._begun or ()):
            _end(generator)
        self._left.clear()


def _end(generator: AsyncGenerator[Any, Any]) -> None:
    """Ends a generator that is left where it yields."""
    step = generator.aclose()
    try:
        step.send(None)
    except BaseException:  # a named boundary: a `finally` block's own error, or the end
        return
    close(step)
