"""The guard: what workflow code may not call, and the error that says what to call instead.

Workflow code has to come out the same on replay, so it may not look at clocks, draw random numbers,
or reach outside. Two nets catch it, both only when the running loop of the thread is a workflow's
(one C call) and the workflow is guarded:

- *entry points* that leave no trace (`time.time`, `random.random`, `os.urandom`...) are replaced in
  their module by a function that looks first; only while workflow code runs, so that nobody else
  pays for it. What a module took by `from time import time`, and what cannot be replaced
  (`datetime.now`), is looked for when the class is decorated (`workflow/_static_check.py`).
- *audit events*, which the interpreter raises for files, sockets, processes and threads.

`unrestricted()` opens the guard for a block of one task: what other tasks do while that one waits
stays guarded, and so does what the block has started, once it is left.

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
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, cast

from perdure._replay.call_site import call_site
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
    (time, "process_time"): _CLOCK,
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
    (secrets, "randbelow"): _RANDOM,
    (secrets, "randbits"): _RANDOM,
    (secrets, "choice"): f"{_RANDOM}.choice()",
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
            "lognormvariate",
            "triangular",
            "betavariate",
            "seed",
        )
    },
}

_INSTEAD = {
    f"{module.__name__}.{name}": instead for (module, name), instead in ENTRY_POINTS.items()
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
    "ftplib.connect": _ACTIVITY,
    "socket.gethostbyaddr": _ACTIVITY,
    "socket.sendmsg": _ACTIVITY,
    "os.kill": _ACTIVITY,
    "os.forkpty": _ACTIVITY,
    "os.listdir": _ACTIVITY,
    "os.scandir": _ACTIVITY,
    "os.chmod": _ACTIVITY,
    "os.chown": _ACTIVITY,
    "os.link": _ACTIVITY,
    "os.symlink": _ACTIVITY,
    "os.truncate": _ACTIVITY,
    "os.utime": _ACTIVITY,
    "shutil.move": _ACTIVITY,
    "shutil.copytree": _ACTIVITY,
    "builtins.input": "a signal or an update",
    "builtins.breakpoint": "Worker(debug_mode=True)",
}

_READS = frozenset({"open", "os.listdir", "os.scandir"})
"""What those who read the program itself may do."""

# Standard modules that only pass on what their caller asked for.
_PASS_ON = frozenset(
    {"concurrent", "random", "sched", "secrets", "tempfile", "threading", "timeit", "uuid"}
)

_RANDOM_MODULES = frozenset({"random", "secrets", "uuid"})
"""Of these, the function that was called is named, not the one that it comes down to."""

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

# What a debugger does at its prompt, and whatever is typed there.
_DEBUGGERS = ("pdb", "bdb", "cmd")

# Deeper stacks than this are searched no further for one of the readers.
READER_DEPTH_MAX = 40

_Namespace = dict[str, Any]

_lock = threading.Lock()
_inside = 0
_namespaces: list[_Namespace] = []
_guards: list[_Namespace] = []
_originals: list[_Namespace] = []
"""What is in each namespace when workflow code runs, and otherwise."""


def _replaced() -> dict[str, tuple[_Namespace, tuple[str, ...]]]:
    """What is replaced, by what it is called: as little as possible, for it is done each time.

    All of `random` comes down to two methods of the one object behind it, and all of `secrets`, the
    `SystemRandom` and `uuid4` to `urandom`.
    """
    thread_starts = ("_start_new_thread", "_start_joinable_thread")
    return {
        "time": (vars(time), tuple(name for module, name in ENTRY_POINTS if module is time)),
        "os": (vars(os), ("urandom",)),
        "threading": (
            vars(threading),
            tuple(name for name in thread_starts if hasattr(threading, name)),
        ),
        "uuid": (vars(uuid), ("uuid1",)),
        "random": (vars(random), ("random", "getrandbits", "seed", "_urandom")),
        "random ": (vars(_shared_random()), ("random", "getrandbits")),
    }


def _shared_random() -> random.Random:
    """The object behind the functions of `random`."""
    shared: Any = random.uniform
    return cast(random.Random, shared.__self__)


def enter(loop: WorkflowLoop) -> bool:
    """Workflow code is about to run on a loop; whether that has to be left again: not when it is
    not guarded, nor when it was entered already."""
    global _inside
    if not loop.guarded or loop.is_entered:
        return False
    loop.is_entered = True
    with _lock:
        _inside += 1
        if _inside == 1:
            if not _namespaces:
                _prepare()
            _update(_guards)
    return True


def leave(loop: WorkflowLoop) -> None:
    """Workflow code has run."""
    global _inside
    loop.is_entered = False
    with _lock:
        _inside -= 1
        if _inside == 0:
            _update(_originals)


def _update(contents: list[_Namespace]) -> None:
    any(map(dict.update, _namespaces, contents))  # a loop in C: this is done for each activation


class _Opening:
    """A block outside the guard, as long as it lasts."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = True


_OPENING: ContextVar[_Opening | None] = ContextVar("perdure_guard_opening", default=None)


def is_guarding(loop: WorkflowLoop) -> bool:
    """Whether the code that runs now on a loop is guarded."""
    if not loop.guarded:
        return False
    opening = _OPENING.get()
    return opening is None or not opening.is_open


@contextmanager
def unrestricted() -> Generator[None]:
    """The code inside is not guarded."""
    outer = _OPENING.get()
    opening = _Opening()
    _OPENING.set(opening)
    try:
        yield
    finally:
        opening.is_open = False
        # A coroutine that is closed from outside is in another context: there is nothing to undo.
        if _OPENING.get() is opening:
            _OPENING.set(outer)


def _prepare() -> None:
    """Once per process. An audit hook cannot be taken out again, but it costs next to nothing."""
    for module_name, (namespace, names) in _replaced().items():
        originals: _Namespace = {}
        for name in names:
            # Of an object, it is what its class has.
            originals[name] = namespace.get(name) or getattr(_shared_random(), name)
        guarded = {
            name: _guarded(original, module_name.strip(), name)
            for name, original in originals.items()
        }
        _namespaces.append(namespace)
        _guards.append(guarded)
        _originals.append(originals)
    sys.addaudithook(_on_audit_event)


def _guarded(original: Callable[..., Any], module_name: str, name: str) -> Callable[..., Any]:
    """The original behind a look at who calls."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        loop = running_loop()
        if loop is not None and is_guarding(loop) and not _called_by_library(sys._getframe(1)):
            _refuse(loop, *_called(module_name, name, sys._getframe(1)))
        return original(*args, **kwargs)

    guarded.__name__ = guarded.__qualname__ = name
    guarded.__doc__ = original.__doc__
    guarded.__module__ = module_name
    guarded.__wrapped__ = original  # type: ignore[attr-defined]
    return guarded


def _called(module_name: str, name: str, frame: FrameType | None) -> tuple[str, str]:
    """What workflow code called to come here, and what to use instead."""
    while frame is not None and _package(frame) in _RANDOM_MODULES:
        module_name, name = frame.f_globals["__name__"], frame.f_code.co_name
        frame = frame.f_back
    called = f"{module_name}.{name}"
    return f"{called}()", _INSTEAD.get(called, _RANDOM)


def _on_audit_event(event: str, args: tuple[Any, ...]) -> None:
    instead = AUDIT_EVENTS.get(event)
    if instead is None:
        return
    loop = running_loop()
    if loop is None or not is_guarding(loop):
        return
    if event in _READS and _is_done_for(_READERS, sys._getframe(1)):
        return
    if loop.debugging and (
        event == "builtins.breakpoint" or _is_done_for(_DEBUGGERS, sys._getframe(1))
    ):
        return
    _refuse(loop, f"{event} {args[:1]}" if event == "open" else event, instead)


def _refuse(loop: WorkflowLoop, call: str, instead: str) -> None:
    if loop.context.evicting:
        raise NondeterministicCallError(f"the run is being evicted: {call} was refused")
    site = call_site(_is_library)
    where = "" if site is None else f" ({site})"
    raise NondeterministicCallError(
        f"workflow code called {call}, which would come out differently on replay{where}. "
        f"Use {instead} instead; or wrap the call in workflow.unsafe.sandbox_unrestricted(), or "
        "declare the workflow with @workflow.defn(sandboxed=False), if it is safe.",
        qualified_name=call.removesuffix("()"),
    )


def _called_by_library(frame: FrameType) -> bool:
    """Whether the standard library itself, or this SDK, is the caller."""
    current: FrameType | None = frame
    while current is not None:
        package = _package(current)
        if package in _PASS_ON:
            current = current.f_back
            continue
        return package in sys.stdlib_module_names or package == "perdure"
    return False


def _is_library(frame: FrameType) -> bool:
    return _package(frame) in sys.stdlib_module_names


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_done_for(modules: tuple[str, ...], frame: FrameType) -> bool:
    current: FrameType | None = frame
    for _ in range(READER_DEPTH_MAX):
        if current is None:
            return False
        if str(current.f_globals.get("__name__", "")).startswith(modules):
            return True
        current = current.f_back
    return False
