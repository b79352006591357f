"""What all tests of a process share, and each has to leave as it found it."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

State = Mapping[str, Any]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGALRM)


def process_state() -> State:
    """The state as it is now, by what to call each part of it."""
    return {part: read() for part, (read, _) in _PARTS.items()}


def restore(state: State) -> list[str]:
    """Puts everything back; what had been left otherwise, each in a line."""
    left = []
    for part, (read, write) in _PARTS.items():
        if (now := read()) != state[part]:
            write(state[part])
            left.append(_difference(part, state[part], now))
    return left


def _difference(part: str, was: Any, now: Any) -> str:
    if not isinstance(was, dict):
        return f"{part}: {was} became {now}"
    names = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    return f"{part}: " + ", ".join(
        f"{name}: {was.get(name)} became {now.get(name)}" for name in names
    )


_UNTOUCHED = (logging.NOTSET, True, False, ())


def _loggers() -> dict[str, Any]:
    """Level, propagation, switch and handlers of each logger that somebody has set up."""
    named = {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    found = {
        name: (
            logger.level,
            logger.propagate,
            logger.disabled,
            tuple((handler, handler.level, handler.formatter) for handler in logger.handlers),
        )
        for name, logger in {"root": logging.root, **named}.items()
    }
    return {name: state for name, state in found.items() if state != _UNTOUCHED}


def _set_loggers(was: dict[str, Any]) -> None:
    for name in {*was, *_loggers()}:
        logger = logging.root if name == "root" else logging.getLogger(name)
        level, logger.propagate, logger.disabled, handlers = was.get(name, _UNTOUCHED)
        logger.setLevel(level)
        logger.handlers[:] = [handler for handler, _, _ in handlers]
        for handler, handler_level, formatter in handlers:
            handler.setLevel(handler_level)
            handler.setFormatter(formatter)


def _environment() -> dict[str, str]:
    # Pytest tells by it which test is running.
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _set_environment(was: dict[str, str]) -> None:
    for name in {*was, *_environment()}:
        if name in was:
            os.environ[name] = was[name]
        else:
            del os.environ[name]


def _signal_handlers() -> dict[str, Any]:
    return {one.name: signal.getsignal(one) for one in _SIGNALS}


def _set_signal_handlers(was: dict[str, Any]) -> None:
    for name, handler in was.items():
        signal.signal(signal.Signals[name], handler)


def _hooks() -> dict[str, Any]:
    return {
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
    }


def _set_hooks(was: dict[str, Any]) -> None:
    sys.excepthook = was["sys.excepthook"]
    sys.unraisablehook = was["sys.unraisablehook"]
    threading.excepthook = was["threading.excepthook"]


def _set_collecting(was: bool) -> None:
    (gc.enable if was else gc.disable)()


_PARTS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "loggers": (_loggers, _set_loggers),
    "logging.disable": (lambda: logging.root.manager.disable, logging.disable),
    "environment": (_environment, _set_environment),
    "working directory": (os.getcwd, os.chdir),
    "sys.path": (lambda: list(sys.path), lambda was: sys.path.__setitem__(slice(None), was)),
    "signal handlers": (_signal_handlers, _set_signal_handlers),
    "hooks": (_hooks, _set_hooks),
    "garbage collection": (gc.isenabled, _set_collecting),
    "thresholds of the garbage collection": (
        gc.get_threshold,
        lambda was: gc.set_threshold(*was),
    ),
    "switch interval": (sys.getswitchinterval, sys.setswitchinterval),
}
