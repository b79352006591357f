"""The upload: send, look whether it arrived, name it, and only then delete the temporary file."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from examples.file_upload.activities import Content, Sending, Upload, Uploader
from perdure import workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ApplicationError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

TRANSFER = timedelta(hours=12)
SILENCE_MAX = timedelta(seconds=10)
"""A worker that has not told anything for so long is gone, and another one goes on."""
AT_A_STEADY_PACE = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)
)
ATTEMPTS_MAX = 3
"""How often a content that arrives damaged is sent anew."""


@workflow.defn
class UploadFile:
    """Brings a file to storage, once."""

    @workflow.run
    async def run(self, upload: Upload) -> Content:
        """What is in storage now."""
        content = await _do(Uploader.measure, upload)
        sending = Sending(upload, content)
        try:
            await self._send(sending)
        except BaseException:
            # Also when it was cancelled: half a file is of no use to anybody.
            await _do(Uploader.discard, sending)
            raise
        await _do(Uploader.publish, sending)
        await _do(Uploader.delete_temporary, upload)
        return content

    async def _send(self, sending: Sending) -> None:
        for _ in range(ATTEMPTS_MAX):
            await _do(Uploader.send, sending)
            if await _do(Uploader.is_intact, sending):
                return
            await _do(Uploader.discard, sending)
        raise ApplicationError(f"{sending.upload.name} arrived damaged {ATTEMPTS_MAX} times")


async def _do(
    step: Callable[[Uploader, Argument], Coroutine[Any, Any, Result]], argument: Argument
) -> Result:
    result: Result = await workflow.execute_activity_method(
        step,
        argument,
        start_to_close_timeout=TRANSFER,
        heartbeat_timeout=SILENCE_MAX,
        retry_policy=AT_A_STEADY_PACE,
    )
    return result
