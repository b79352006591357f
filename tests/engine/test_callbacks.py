"""Callbacks of closed runs: called when the close is durable, again until they are heard, and by
whoever comes after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.server.engine.callbacks import problem_of
from perdure.server.engine.completions import RESPONSE_BYTES_MAX, CompletionRequest
from perdure.server.engine.posting import PostFailed, PostResponse
from perdure.server.machines.ports import SECOND_NS, Address, Kind
from perdure.server.machines.workflow.state import Callback, CallbackState
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns

OK = PostResponse(200, "OK", b"")


class Listener:
    """The other end of all callbacks."""

    def __init__(self, house: House, *answers: PostResponse | Exception) -> None:
        self.heard: list[CompletionRequest] = []
        self.answers = list(answers)
        self.is_silent = False
        self._house = house
        self._news = asyncio.Event()
        house.post = self.post

    async def post(self, request: CompletionRequest, timeout_seconds: float) -> PostResponse:
        self.heard.append(request)
        self._news.set()
        if self.is_silent:
            await asyncio.get_running_loop().create_future()
        answer = self.answers.pop(0) if self.answers else OK
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def hears(self, count: int) -> None:
        """Returns when it has been called so many times."""
        while len(self.heard) < count:
            self._news.clear()
            await self._news.wait()


async def ended(house: House, name: str = "w", run_id: str = "") -> Callback:
    """The one callback of a run, when nothing more will become of it."""
    final = (CallbackState.SUCCEEDED, CallbackState.FAILED)
    return await _until(house, name, run_id, lambda callback: callback.state in final)


async def _until(
    house: House, name: str, run_id: str, holds: Callable[[Callback], bool]
) -> Callback:
    while True:
        view = await house.engine.describe(NAMESPACE, name, run_id)
        (callback,) = view.run.callbacks.values()
        if holds(callback):
            return callback
        await asyncio.sleep(0.1)


async def close(house: House, name: str = "w", **options: str) -> str:
    """A run with a callback that is over."""
    started = await house.start(name, callbacks="http://there/path", **options)
    await house.complete(await house.take(), "done bye")
    return started.run_id


@simulated
async def test_who_wants_to_hear_how_a_run_ends_is_told(house: House) -> None:
    listener = Listener(house)
    await house.start("w", callbacks="http://there/path")
    task = await house.take()
    await turns()
    assert not listener.heard
    await house.complete(task, "done bye")
    callback = await ended(house)
    assert (callback.state, callback.attempt) == (CallbackState.SUCCEEDED, 1)
    (request,) = listener.heard
    assert request.url == "http://there/path"
    assert b"bye" in request.body
    assert ("Nexus-Operation-State", "succeeded") in request.headers


@simulated
async def test_nobody_is_told_what_is_not_durable(house: House) -> None:
    listener = Listener(house)
    await house.start("w", callbacks="http://there")
    task = await house.take()
    house.wire.hold()
    completed = asyncio.ensure_future(house.complete(task, "done bye"))
    await turns()
    assert not listener.heard
    house.wire.release()
    await completed
    await listener.hears(1)


@simulated
async def test_who_does_not_hear_is_told_again_and_later(house: House) -> None:
    listener = Listener(house, PostResponse(503, "", b""), PostFailed("no route"))
    begun_ns = house.clock.now_ns()
    await close(house)
    callback = await ended(house)
    assert (callback.state, callback.attempt) == (CallbackState.SUCCEEDED, 3)
    assert callback.completed_ns - begun_ns > 2_400_000_000  # A second, then two, less a fifth.
    assert len(listener.heard) == 3
    assert not callback.failure


@simulated
async def test_who_does_not_want_to_hear_is_left_alone(house: House) -> None:
    listener = Listener(house, PostResponse(404, "", b""))
    await close(house)
    assert (await ended(house)).state == CallbackState.FAILED
    await house.crash()
    await asyncio.sleep(100)
    assert len(listener.heard) == 1


@simulated
async def test_an_attempt_that_died_with_its_process_is_made_again(house: House) -> None:
    listener = Listener(house)
    listener.is_silent = True
    await close(house)
    await listener.hears(1)
    listener.is_silent = False
    crashed_ns = house.clock.now_ns()
    await house.crash()
    callback = await ended(house)
    assert (callback.state, callback.attempt) == (CallbackState.SUCCEEDED, 1)
    assert len(listener.heard) == 2
    assert callback.completed_ns - crashed_ns < SECOND_NS, "at once, not after its timeout"


@simulated
async def test_a_lost_attempt_for_a_run_that_another_one_followed_is_made_again_at_once(
    house: House,
) -> None:
    listener = Listener(house)
    listener.is_silent = True
    first = await close(house, request="first")
    await listener.hears(1)
    await house.start("w", request="second")
    listener.is_silent = False
    crashed_ns = house.clock.now_ns()
    await house.crash()
    callback = await ended(house, run_id=first)
    assert (callback.state, callback.attempt) == (CallbackState.SUCCEEDED, 1)
    assert callback.completed_ns - crashed_ns < SECOND_NS


@simulated
async def test_a_crash_before_the_first_attempt_loses_none(house: House) -> None:
    await house.start("w", callbacks="http://there")
    task = await house.take()
    await house.complete(task, "done bye")
    await house.crash()
    listener = Listener(house)
    await house.crash()
    await listener.hears(1)
    assert (await ended(house)).state == CallbackState.SUCCEEDED


@simulated
async def test_a_run_that_another_one_followed_is_told_of_to_the_end(house: House) -> None:
    listener = Listener(house, *[PostFailed("not now")] * 3)
    first = await close(house, request="first")
    await listener.hears(1)
    await house.start("w", request="second")
    callback = await ended(house, run_id=first)
    assert (callback.state, callback.attempt) == (CallbackState.SUCCEEDED, 4)
    assert {request.url for request in listener.heard} == {"http://there/path"}
    assert (await house.run("w")).is_open


@simulated
async def test_what_a_run_is_told_while_it_is_reset_is_not_forgotten(house: House) -> None:
    listener = Listener(house, PostFailed("not now"))
    first = await close(house, request="first")
    await listener.hears(1)
    await house.start("w", request="second")
    copy, begun, may_copy = house.wire.copy_history, asyncio.Event(), asyncio.Event()

    async def wait(*arguments: Any) -> Any:
        begun.set()
        await may_copy.wait()
        return await copy(*arguments)

    vars(house.wire)["copy_history"] = wait
    request = ResetWorkflowExecutionRequest(
        workflow_execution=WorkflowExecution(workflow_id="w", run_id=first),
        reason="again",
        workflow_task_finish_event_id=4,
        request_id="reset",
    )
    reset = spawn(house.engine.reset(NAMESPACE, "w", request))
    await begun.wait()
    await ended(house, run_id=first)
    may_copy.set()
    after = await reset
    pending = (await house.engine.describe(NAMESPACE, "w", first)).run.pending
    assert pending.reset_run_id == after
    assert pending.wake_at_ns == 0, "nothing is left to be told"


@simulated
async def test_those_of_an_earlier_run_that_are_heard_at_once_are_each_heard(house: House) -> None:
    heard: list[str] = []
    both, may_answer = asyncio.Event(), asyncio.Event()

    async def post(request: CompletionRequest, timeout_seconds: float) -> PostResponse:
        heard.append(request.url)
        if len(heard) <= 2:
            raise PostFailed("not now")
        if len(heard) == 4:
            both.set()
        await may_answer.wait()
        return OK

    house.post = post
    first = await house.start("w", callbacks="http://one,http://two", request="first")
    await house.complete(await house.take(), "done bye")
    await turns()
    await house.start("w", request="second")
    await both.wait()
    house.wire.hold()
    may_answer.set()
    await turns()
    house.wire.release()
    await asyncio.sleep(100)
    callbacks = (await house.engine.describe(NAMESPACE, "w", first.run_id)).run.callbacks.values()
    assert [callback.state for callback in callbacks] == [CallbackState.SUCCEEDED] * 2
    assert [callback.attempt for callback in callbacks] == [2, 2]
    assert sorted(heard) == ["http://one"] * 2 + ["http://two"] * 2


@simulated
async def test_a_run_that_is_deleted_meanwhile_is_not_told_of(house: House) -> None:
    listener = Listener(house, *[PostFailed("not now")] * 3)
    first = await close(house, request="first")
    await listener.hears(1)
    await house.start("w", request="second")
    await house.engine.delete(NAMESPACE, Address(Kind.WORKFLOW, "w"), first)
    await asyncio.sleep(100)
    assert len(listener.heard) == 1


def test_what_responses_mean() -> None:
    assert problem_of(OK) == ("", False)
    assert problem_of(PostResponse(400, "", b"")) == ("handler error (BAD_REQUEST)", False)
    assert problem_of(PostResponse(500, "", b"")) == ("handler error (INTERNAL)", True)
    moved = 'unexpected response status: "301 Moved Permanently"'
    assert problem_of(PostResponse(301, "", b"")) == (moved, True)
    odd = 'unexpected response status: "530 ": nope'
    assert problem_of(PostResponse(530, "", b'{"message":"nope"}')) == (odd, True)
    typed = b'{"message":"nope","metadata":{"type":"nexus.HandlerError"}}'
    assert problem_of(PostResponse(404, "", typed))[0] == "handler error (NOT_FOUND): nope"
    for untyped in (b'{"message":"nope"}', b'{"message":"nope","metadata":[]}', typed[:-2], b"[1]"):
        assert problem_of(PostResponse(404, "", untyped))[0] == "handler error (NOT_FOUND)"
    for body in (b"[1]", b"[" * RESPONSE_BYTES_MAX, b"\xff"):
        assert problem_of(PostResponse(530, "", body))[0].endswith('"530 "')
