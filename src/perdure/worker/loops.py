"""Event loops that replace what asyncio knows of the loop that runs, such as trio-asyncio's.

They answer with their own loop wherever their thread asks, and workflow code asks all the time:
what sleeps there has to sleep on the loop of the workflow. So such a worker has its workflow code
run in a thread beside, one piece of code at a time, for which the thread of the loop waits: nothing
happens at the same time that would not elsewhere.
"""

from __future__ import annotations

import _asyncio
from asyncio import events
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from perdure.worker.deadlock import DeadlockWatch

_Result = TypeVar("_Result")


def run_code(code: Callable[[], _Result], watch: DeadlockWatch | None) -> _Result:
    """Runs workflow code where it finds the loop of its workflow, while the watch looks."""
    if _is_loop_replaced():
        return _run_beside(code if watch is None else lambda: watch.run(code))
    return code() if watch is None else watch.run(code)


def _is_loop_replaced() -> bool:
    """Whether asyncio asks somebody else than the interpreter which loop runs in a thread."""
    return events._get_running_loop is not _asyncio._get_running_loop


def _run_beside(code: Callable[[], _Result]) -> _Result:
    """Runs code in a thread of its own, in the context of the caller, who waits for its end."""
    with ThreadPoolExecutor(1, "perdure workflow code") as thread:
        return thread.submit(copy_context().run, code).result()
