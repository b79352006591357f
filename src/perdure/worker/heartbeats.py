"""What one running activity reports: the newest details, not more often than needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.workflowservice.v1 import RecordActivityTaskHeartbeatRequest

from perdure.common.activity_cancellation import ActivityCancellationDetails
from perdure.converter import PayloadCodec
from perdure.service import RPCError, RPCStatusCode
from perdure.worker.port import TaskSource

_log = logging.getLogger("perdure.worker")

SHARE_OF_TIMEOUT = 0.8
"""A heartbeat is sent this early in the heartbeat timeout, so that it comes in time."""


def interval_of(heartbeat_timeout: timedelta, default: timedelta, longest: timedelta) -> float:
    """Seconds between two heartbeats of an activity."""
    wanted = heartbeat_timeout * SHARE_OF_TIMEOUT if heartbeat_timeout else default
    return min(wanted, longest).total_seconds()


class Heartbeats:
    """The heartbeats of one attempt. All methods are called on the event loop."""

    def __init__(
        self,
        *,
        source: TaskSource,
        task_token: bytes,
        interval_seconds: float,
        codec: PayloadCodec | None,
        asked_to_stop: Callable[[ActivityCancellationDetails], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._source = source
        self._task_token = task_token
        self._interval_seconds = interval_seconds
        self._codec = codec
        self._asked_to_stop = asked_to_stop
        self._failed = failed
        self._newest: Sequence[Payload] | None = None
        self._next_time = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    def record(self, details: Sequence[Payload]) -> None:
        """Sends the details now, or as soon as the next heartbeat is due."""
        if self._closed:
            return
        self._newest = details
        if self._timer is None and self._sending is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._next_time:
                self._send()
            else:
                self._timer = loop.call_at(self._next_time, self._send)

    async def close(self) -> Payloads | None:
        """Sends nothing more; the details that were not sent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await self._sending
        if self._newest is None:
            return None
        return Payloads(payloads=await self._encoded(self._newest))

    def _send(self) -> None:
        self._timer = None
        details, self._newest = self._newest, None
        if details is None:
            return
        loop = asyncio.get_running_loop()
        self._next_time = loop.time() + self._interval_seconds
        self._sending = loop.create_task(self._send_details(details), name="perdure heartbeat")

    async def _send_details(self, details: Sequence[Payload]) -> None:
        try:
            request = RecordActivityTaskHeartbeatRequest(task_token=self._task_token)
            if details:
                request.details.payloads.extend(await self._encoded(details))
            response = await self._source.heartbeat(request)
            if response.cancel_requested or response.activity_paused or response.activity_reset:
                self._asked_to_stop(
                    ActivityCancellationDetails(
                        cancel_requested=response.cancel_requested,
                        paused=response.activity_paused,
                        reset=response.activity_reset,
                    )
                )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                self._asked_to_stop(ActivityCancellationDetails(not_found=True))
            else:
                _log.warning("Heartbeat not sent: %s: %s", error.status.name, error.message)
        except Exception as error:  # a named boundary: the user's codec
            self._failed(error)
        finally:
            self._sending = None
        if self._newest is not None and not self._closed:
            # The interval counts from one sending to the next, however long the answer took.
            self._timer = asyncio.get_running_loop().call_at(self._next_time, self._send)

    async def _encoded(self, details: Sequence[Payload]) -> Sequence[Payload]:
        if self._codec is None or not details:
            return details
        return await self._codec.encode(details)
