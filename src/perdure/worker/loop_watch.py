"""Looks from a thread of its own whether the event loop goes on while activities run.

An async activity that blocks keeps the loop to itself, and with it all other activities of the
worker. The watch names the line at which it blocks, and sends the heartbeats that activities in
threads and processes have reported meanwhile, over a connection of its own: they are alive, and so
they must not be timed out.

A busy machine makes loops late too, so what counts is how often the watch has looked in vain.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from perdure.worker.activity_attempt import ActivityAttempt
from perdure.worker.deadlock import without_own_frames

_log = logging.getLogger("perdure.worker")

LOOK_SECONDS: Final = 0.25
LOOKS_IN_VAIN: Final = 4
"""A loop that has not answered for so many looks is blocked."""
SEND_SECONDS_MAX: Final = 5.0

_LOOPS: Final = frozenset(
    module.__file__ for module in (asyncio.events, asyncio.base_events, asyncio.runners)
)

Send = Callable[[ActivityAttempt], Coroutine[Any, Any, None]]


class LoopWatch:
    """Watches the loop on which it was made, as long as there are attempts."""

    def __init__(
        self,
        attempts: Mapping[asyncio.Task[None], ActivityAttempt],
        *,
        send: Send | None,
        close: Callable[[], Coroutine[Any, Any, None]],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`send` sends the newest heartbeat of an attempt from another loop; None where the service
        lives on this one, and waits as its workers do. `close` gives up that loop's connection."""
        self._attempts = attempts
        self._send = send
        self._close = close
        self._look_seconds = look_seconds
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="perdure loop watch", daemon=True)
        self._asked = 0
        self._answered = 0
        self._runner: asyncio.Runner | None = None
        self._thread.start()

    def stop(self) -> None:
        """Looks no more. Waits for a heartbeat that is on its way, not for its answer."""
        self._stopped.set()

    def _run(self) -> None:
        in_vain = 0
        try:
            # A loop that was closed never answers, and nobody may have stopped the watch.
            while not self._stopped.wait(self._look_seconds) and not self._loop.is_closed():
                if self._answered != self._asked:
                    in_vain += 1
                    if in_vain >= LOOKS_IN_VAIN:
                        self._help(first_time=in_vain == LOOKS_IN_VAIN)
                elif self._attempts:
                    in_vain = 0
                    self._asked += 1
                    self._loop.call_soon_threadsafe(self._answer, self._asked)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
        finally:
            self._end()

    def _answer(self, asked: int) -> None:
        self._answered = asked

    def _help(self, *, first_time: bool) -> None:
        attempts = dict(self._attempts)  # the loop, which changes it, stands still
        if first_time:
            self._tell(attempts)
        if self._send is None:
            return
        for attempt in attempts.values():
            if attempt.take_late_heartbeat(time.monotonic()):
                self._send_one(attempt, self._send)

    def _tell(self, attempts: Mapping[asyncio.Task[None], ActivityAttempt]) -> None:
        frame = sys._current_frames().get(self._thread_id)
        stack = _since_the_loop(traceback.extract_stack(frame))
        if not stack:
            return
        task = asyncio.current_task(self._loop)
        attempt = None if task is None else attempts.get(task)
        who = "Something" if attempt is None else f"Activity {attempt.task.activity_type.name}"
        _log.warning(
            "%s has blocked the event loop of its worker for %g seconds: use await, or a function"
            " that is not async, which runs in a thread. It is here:\n%s",
            who,
            LOOKS_IN_VAIN * self._look_seconds,
            "".join(traceback.format_list(stack)).rstrip(),
        )

    def _send_one(self, attempt: ActivityAttempt, send: Send) -> None:
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            self._runner.run(_within(SEND_SECONDS_MAX, send(attempt)))
        except Exception as error:  # a named boundary: the network, and the user's codec
            _log.warning("Heartbeat not sent while the event loop is blocked: %s", error)

    def _end(self) -> None:
        if self._runner is None:
            return
        try:
            self._runner.run(self._close())
        finally:
            self._runner.close()


def _since_the_loop(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """What the loop has called, without what is the SDK's and asyncio's."""
    calls = [index for index, frame in enumerate(frames) if frame.filename in _LOOPS]
    return without_own_frames(frames[max(calls, default=0) :])


async def _within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(seconds):
        await work
