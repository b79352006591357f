"""Runs activity functions in other processes.

The function and its arguments are pickled, and so is what the functions of `perdure.activity` need
there: the info, events for cancellation and shutdown, and a queue for heartbeats.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from perdure.activity import Info, _Context, _current_context, _Flag
from perdure.converter import PayloadConverter
from perdure.worker.shared_state import SharedHeartbeatSender


@dataclass(frozen=True)
class ProcessCall:
    """One attempt, as it is sent to the other process."""

    info: Info
    heartbeats: SharedHeartbeatSender
    cancelled: threading.Event
    worker_shutdown: threading.Event
    payload_converter_class: type[PayloadConverter]
    fn: Callable[..., Any]
    args: Sequence[Any]

    def __call__(self) -> Any:
        """Runs the function, in the other process."""

        def heartbeat(details: Sequence[Any]) -> None:
            self.heartbeats.send_heartbeat(self.info.task_token, *details)

        context = _Context(
            info=lambda: self.info,
            heartbeat=heartbeat,
            cancelled=_Flag(self.cancelled, awaitable=False),
            worker_shutdown=_Flag(self.worker_shutdown, awaitable=False),
            payload_converter=self.payload_converter_class,
        )
        token = _current_context.set(context)
        try:
            return self.fn(*self.args)
        finally:
            _current_context.reset(token)
