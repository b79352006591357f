"""The guard: what workflow code may not call, and the error that says what to call instead.

Workflow code has to come out the same on replay, so it may not look at clocks, draw random numbers,
or reach outside. Two nets catch it, both only when the running loop of the thread is a workflow's
(one C call) and the workflow is guarded:

- *entry points* that leave no trace (`time.time`, `random.random`, `os.urandom`...) are replaced in
  their module by a function that looks first; only while workflow code runs, so that nobody else
  pays for it. What a module took by `from time import time`, and what cannot be replaced
  (`datetime.now`), is looked for when the class is decorated (`workflow/_static_check.py`).
- *audit events*, which the interpreter raises for files, sockets, processes and threads.

The standard library itself must go on working inside workflow code: logging stamps its records,
modules are imported, tracebacks read their source. So an entry point called by the standard library
is let through, but for the few modules that only pass it on (`uuid`, `secrets`, `tempfile`...), and
a file may be opened by whoever imports or reads source. The official SDK catches the same calls by
importing workflow modules anew in a sandbox.
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import threading
import time
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any

from perdure._replay.errors import NondeterministicCallError
from perdure._replay.loop import WorkflowLoop, running_loop

_CLOCK = "workflow.time(), workflow.time_ns() or workflow.now()"
_RANDOM = "workflow.random()"
_SLEEP = "workflow.sleep() or asyncio.sleep()"
_ACTIVITY = "an activity"
_TASK = "asyncio.create_task(), or an activity"

# What to call instead, by the module and the name of an entry point.
ENTRY_POINTS: dict[tuple[Any, str], str] = {
    (time, "time"): _CLOCK,
    (time, "time_ns"): _CLOCK,
    (time, "monotonic"): _CLOCK,
    (time, "monotonic_ns"): _CLOCK,
    (time, "perf_counter"): _CLOCK,
    (time, "perf_counter_ns"): _CLOCK,
    (time, "sleep"): _SLEEP,
    (os, "urandom"): _RANDOM,
    # What `Thread.start` calls; renamed in Python 3.13.
    **{
        (threading, name): _TASK
        for name in ("_start_new_thread", "_start_joinable_thread")
        if hasattr(threading, name)
    },
    (uuid, "uuid1"): "workflow.uuid7()",
    (uuid, "uuid4"): "workflow.uuid4()",
    (secrets, "token_bytes"): _RANDOM,
    (secrets, "token_hex"): _RANDOM,
    (secrets, "token_urlsafe"): _RANDOM,
    **{
        (random, name): f"{_RANDOM}.{name}()"
        for name in (
            "random",
            "uniform",
            "randint",
            "randrange",
            "getrandbits",
            "randbytes",
            "choice",
            "choices",
            "shuffle",
            "sample",
            "gauss",
            "normalvariate",
            "expovariate",
            "seed",
        )
    },
}

# What to use instead, by audit event; https://docs.python.org/3/library/audit_events.html
AUDIT_EVENTS: dict[str, str] = {
    "open": _ACTIVITY,
    "socket.connect": _ACTIVITY,
    "socket.bind": _ACTIVITY,
    "socket.sendto": _ACTIVITY,
    "socket.getaddrinfo": _ACTIVITY,
    "socket.gethostbyname": _ACTIVITY,
    "sqlite3.connect": _ACTIVITY,
    "subprocess.Popen": _ACTIVITY,
    "os.system": _ACTIVITY,
    "os.exec": _ACTIVITY,
    "os.fork": _ACTIVITY,
    "os.posix_spawn": _ACTIVITY,
    "os.spawn": _ACTIVITY,
    "os.remove": _ACTIVITY,
    "os.rename": _ACTIVITY,
    "os.mkdir": _ACTIVITY,
    "os.rmdir": _ACTIVITY,
    "shutil.rmtree": _ACTIVITY,
    "shutil.copyfile": _ACTIVITY,
    "urllib.Request": _ACTIVITY,
    "http.client.connect": _ACTIVITY,
    "smtplib.connect": _ACTIVITY,
}

# Standard modules that only pass on what their caller asked for.
_PASS_ON = frozenset(
    {"concurrent", "random", "sched", "secrets", "tempfile", "threading", "timeit", "uuid"}
)

# Who may open files: they read the program itself.
_READERS = (
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "zipimport",
    "linecache",
    "tokenize",
    "inspect",
    "pkgutil",
    "traceback",
    "warnings",
    "zoneinfo",
)

# Deeper stacks than this are searched no further for one of the readers.
READER_DEPTH_MAX = 40

_lock = threading.Lock()
_inside = 0
_hooked = False
_guards: dict[int, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {}


def enter() -> None:
    """Workflow code is about to run in some thread."""
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _prepare()
            for namespace, guarded, _ in _guards.values():
                namespace.update(guarded)


def leave() -> None:
    """Workflow code has run."""
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            for namespace, _, originals in _guards.values():
                namespace.update(originals)


def _prepare() -> None:
    """Once per process. An audit hook cannot be taken out again, but it costs next to nothing."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    for (module, name), instead in ENTRY_POINTS.items():
        namespace = vars(module)
        _, guarded, originals = _guards.setdefault(id(module), (namespace, {}, {}))
        originals[name] = namespace[name]
        guarded[name] = _guarded(namespace[name], f"{module.__name__}.{name}", instead)
    sys.addaudithook(_on_audit_event)


def _guarded(original: Callable[..., Any], name: str, instead: str) -> Callable[..., Any]:
    """The original behind a look at who calls."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        loop = running_loop()
        if loop is not None and loop.guarded and not _called_by_library(sys._getframe(1)):
            _refuse(loop, f"{name}()", instead)
        return original(*args, **kwargs)

    guarded.__name__ = guarded.__qualname__ = name.rpartition(".")[2]
    guarded.__doc__ = original.__doc__
    guarded.__module__ = name.rpartition(".")[0]
    guarded.__wrapped__ = original  # type: ignore[attr-defined]
    return guarded


def _on_audit_event(event: str, args: tuple[Any, ...]) -> None:
    instead = AUDIT_EVENTS.get(event)
    if instead is None:
        return
    loop = running_loop()
    if loop is None or not loop.guarded:
        return
    if event == "open" and _reads_the_program(sys._getframe(1)):
        return
    _refuse(loop, f"{event} {args[:1]}" if event == "open" else event, instead)


def _refuse(loop: WorkflowLoop, call: str, instead: str) -> None:
    if loop.context.evicting:
        raise NondeterministicCallError(f"the run is being evicted: {call} was refused")
    raise NondeterministicCallError(
        f"workflow code called {call}, which would come out differently on replay. "
        f"Use {instead} instead; or wrap the call in workflow.unsafe.sandbox_unrestricted(), or "
        "declare the workflow with @workflow.defn(sandboxed=False), if it is safe."
    )


def _called_by_library(frame: FrameType) -> bool:
    """Whether the standard library itself, or this SDK, is the caller."""
    current: FrameType | None = frame
    while current is not None:
        package = str(current.f_globals.get("__name__", "")).partition(".")[0]
        if package in _PASS_ON:
            current = current.f_back
            continue
        return package in sys.stdlib_module_names or package == "perdure"
    return False


def _reads_the_program(frame: FrameType) -> bool:
    current: FrameType | None = frame
    for _ in range(READER_DEPTH_MAX):
        if current is None:
            return False
        if str(current.f_globals.get("__name__", "")).startswith(_READERS):
            return True
        current = current.f_back
    return False
