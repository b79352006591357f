"""Calls those who want to hear how a run has ended, or an update.

That an attempt is under way is durable before it is made, and what became of it is an input of its
workflow. When that is lost with the process, the next engine has it made again as soon as it opens;
when it is lost with a commit, the run's wake-up does.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from temporalio.api.history.v1 import HistoryEvent

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.engine.completions import (
    CompletionRequest,
    completion_request,
    ending_event_id,
)
from perdure.server.engine.pipeline import Pipeline, Place
from perdure.server.engine.posting import PostFailed, PostResponse
from perdure.server.machines.errors import InvariantViolation, Rejected
from perdure.server.machines.nexus.failures import (
    ERROR_STATUSES,
    HANDLER_TYPE,
    is_retryable,
)
from perdure.server.machines.ports import SECOND_NS, Limits
from perdure.server.machines.workflow.effects import InvokeCallback
from perdure.server.machines.workflow.inputs import CallbackAttempted, Done, NotCurrent, WakeUp
from perdure.server.machines.workflow.state import Run
from perdure.server.store.ports import CorruptBlob, RunNumber

logger = logging.getLogger(__name__)

Post = Callable[[CompletionRequest, float], Awaitable[PostResponse]]
"""Sends a request and returns its response, in so many seconds. Raises PostFailed."""
ReadEvent = Callable[[NamespaceRef, str, str, int], Awaitable[bytes]]
"""Reads an event of a run."""

CALLS_AT_ONCE = 64
ATTEMPTS_MAX = 3
"""How often it is looked for a run that is the current one now and then is not."""

HANDLER_ERRORS = {status: (kind, is_retryable(kind, 0)) for kind, status in ERROR_STATUSES.items()}
"""What a status of HTTP means to Nexus, and whether another attempt may help."""


async def no_post(request: CompletionRequest, timeout_seconds: float) -> PostResponse:
    """An engine without a network calls nobody."""
    raise PostFailed("there is no network")


class Callbacks:
    """The callbacks of one shard."""

    def __init__(
        self,
        pipeline: Pipeline,
        post: Post,
        read_event: ReadEvent,
        limits: Limits,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._pipeline = pipeline
        self._post = post
        self._read_event = read_event
        self._limits = limits
        self._spawn = spawn
        self._room = asyncio.Semaphore(CALLS_AT_ONCE)
        self._under_way: set[tuple[str, str]] = set()

    def invoke(self, namespace: NamespaceRef, workflow_id: str, effect: InvokeCallback) -> None:
        """Make an attempt, unless it is being made."""
        name = (effect.run_id, effect.key)
        if name not in self._under_way:
            self._under_way.add(name)
            self._spawn(self._invoke(namespace, workflow_id, effect))

    async def wake_other(self, namespace: NamespaceRef, workflow_id: str, wake_up: WakeUp) -> None:
        """A wake-up came for a run that is not the current one. Raises Rejected,
        EngineUnavailable."""
        await self._decide_on_other(namespace, workflow_id, wake_up)

    async def _invoke(
        self, namespace: NamespaceRef, workflow_id: str, effect: InvokeCallback
    ) -> None:
        attempted = CallbackAttempted(effect.run_id, effect.key, effect.attempt)
        try:
            async with self._room:
                run = await self._run(namespace, workflow_id, effect.run_id)
                callback = run.callbacks.get(effect.key) if run is not None else None
                if run is None or callback is None:
                    return  # It was deleted meanwhile.
                ending = await self._read_event(
                    namespace, workflow_id, effect.run_id, ending_event_id(callback, run)
                )
                request = completion_request(
                    callback, namespace.name, workflow_id, run, HistoryEvent.FromString(ending)
                )
                timeout_seconds = self._limits.callback_timeout_ns / SECOND_NS
                try:
                    response = await self._post(request, timeout_seconds)
                    attempted.problem, attempted.is_retryable = problem_of(response)
                except PostFailed as error:
                    attempted.problem, attempted.is_retryable = str(error), True
            reply = await self._pipeline.submit(namespace, workflow_id, attempted)
            if isinstance(reply, NotCurrent):
                await self._decide_on_other(namespace, workflow_id, attempted)
        except (Rejected, EngineUnavailable, EngineStopped) as error:
            logger.warning("a callback of %r has to be called again: %s", workflow_id, error)
        except (InvariantViolation, CorruptBlob):
            logger.exception("a callback of %r cannot be called", workflow_id)
        finally:
            self._under_way.discard((effect.run_id, effect.key))

    async def _decide_on_other(
        self, namespace: NamespaceRef, workflow_id: str, message: WakeUp | CallbackAttempted
    ) -> None:
        for _ in range(ATTEMPTS_MAX):
            execution = await self._pipeline.settled(namespace, workflow_id)
            seen = execution.others_changed
            found = await self._other(namespace, workflow_id, message.run_id)
            if found is None:
                return
            if execution.is_dropped or execution.others_changed != seen:
                continue
            number, message.other = found
            current = execution.workflow.run
            if current is not None and current.recorded.run_id == message.run_id:
                message.other = None
            places = {message.run_id: Place(number)} if message.other is not None else {}
            reply, write = self._pipeline.decide(execution, namespace, message, places)
            if write is not None:
                await self._pipeline.when_durable(write, reply)
            if isinstance(reply, Done):
                return

    async def _run(self, namespace: NamespaceRef, workflow_id: str, run_id: str) -> Run | None:
        execution = await self._pipeline.execution(namespace, workflow_id)
        current = execution.workflow.run
        if current is not None and current.recorded.run_id == run_id:
            return current
        found = await self._pipeline.load_other_run(namespace, workflow_id, run_id)
        return None if found is None else found[1]

    async def _other(
        self, namespace: NamespaceRef, workflow_id: str, run_id: str
    ) -> tuple[RunNumber, Run] | None:
        found = await self._pipeline.load_other_run(namespace, workflow_id, run_id)
        if found is None or found[1].is_open:
            return None
        return found


def problem_of(response: PostResponse) -> tuple[str, bool]:
    """What a response says against it ("" for nothing), and whether another attempt may help."""
    status = response.status
    if 200 <= status < 300:
        return "", False
    known = HANDLER_ERRORS.get(status)
    if known is not None:
        kind, may_help = known
        told = _message_in(response.body, of_type=HANDLER_TYPE)
        return f"handler error ({kind})" + (f": {told}" if told else ""), may_help
    reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    told = _message_in(response.body)
    return f'unexpected response status: "{status} {reason}"' + (f": {told}" if told else ""), True


def _message_in(body: bytes, of_type: str = "") -> str:
    """What a failure of Nexus says, if it is of that type."""
    try:
        failure = json.loads(body)
    except (ValueError, RecursionError):  # Brackets alone can fill a response.
        return ""
    if not isinstance(failure, dict):
        return ""
    metadata = failure.get("metadata")
    if of_type and (not isinstance(metadata, dict) or metadata.get("type") != of_type):
        return ""
    message = failure.get("message")
    return message if isinstance(message, str) else ""
