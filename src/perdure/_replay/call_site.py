"""Where in the user's code a command came from, noted cheaply for a report that may never come."""

from __future__ import annotations

import asyncio
import linecache
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep
_NOT_THE_USERS = (_OWN, _ASYNCIO)


class CallSite(NamedTuple):
    """A line of the user's code."""

    code: CodeType
    line: int

    @property
    def source(self) -> str:
        """The line itself; empty when its file cannot be read."""
        return linecache.getline(self.code.co_filename, self.line).strip()

    def __str__(self) -> str:
        place = f"{self.code.co_filename}:{self.line} in {self.code.co_qualname}"
        source = self.source
        return f"{place}: {source}" if source else place


def call_site(skip: Callable[[FrameType], bool] | None = None) -> CallSite | None:
    """The innermost line of the running stack that is neither ours nor asyncio's, nor skipped.

    None when the command came from the core itself, as the one that ends the run does.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not _STOP:
        if not frame.f_code.co_filename.startswith(_NOT_THE_USERS) and (
            skip is None or not skip(frame)
        ):
            return CallSite(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return None


_STOP: CodeType | None = None


def stop_at(code: CodeType) -> None:
    """Tells where the stack of workflow code begins; below it are the worker's own callers."""
    global _STOP
    _STOP = code


def lines_of_user(coroutine: Any) -> list[CallSite]:
    """The user's lines at which a suspended coroutine waits, the innermost last."""
    found: list[CallSite] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            break
        if not frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            found.append(CallSite(frame.f_code, frame.f_lineno))
        coroutine = coroutine.cr_await
    return found


def line_that_raised(error: BaseException) -> CallSite | None:
    """The user's innermost line in the traceback of an error."""
    found: CallSite | None = None
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not code.co_filename.startswith(_NOT_THE_USERS):
            found = CallSite(code, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def without_sdk_frames(error: BaseException) -> BaseException:
    """The error, its traceback beginning where the user's code begins, if it does at all."""
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            return error.with_traceback(traceback)
        traceback = traceback.tb_next
    return error
