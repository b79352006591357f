"""The one workflow and the one activity that carry out all programs, on a stock worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
from nexusrpc import HandlerError
from temporalio import activity, workflow
from temporalio.common import (
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, FailureError
from temporalio.exceptions import is_cancelled_exception as is_cancellation
from temporalio.workflow import (
    ActivityCancellationType,
    ChildWorkflowCancellationType,
    ContinueAsNewVersioningBehavior,
    HandlerUnfinishedPolicy,
    NexusOperationCancellationType,
    ParentClosePolicy,
)

from tests.differential import program as steps
from tests.differential.board import Board, Waiting, board_of
from tests.differential.desk import Desk, Order, dead_endpoint_of, endpoint_of, operation_of
from tests.differential.versions import override_of_child

HELD_SECONDS_MAX = 60.0
LONG = timedelta(seconds=100)
BEAT_SECONDS = 0.05
UPDATE_SECONDS = 0.2


def error_text(error: BaseException | None) -> str:
    """An error with its causes, without any id."""
    if error is None:
        return ""
    words = [type(error).__name__]
    if isinstance(error, FailureError):
        words.append(error.message)
    if isinstance(error, ApplicationError):
        words.append(f"{error.type} {error.non_retryable} {list(error.details)}")
    if isinstance(error, ActivityError | ChildWorkflowError):
        words.append(str(error.retry_state))
    if isinstance(error, HandlerError):
        words.append(f"{error} {error.type} {error.retryable}")
    cause = error_text(error.__cause__)
    return ": ".join(words) + (f" <- {cause}" if cause else "")


@workflow.defn(name="Program", sandboxed=False)
class Interpreter:
    """Carries out a plan, and returns what it noted."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._words: list[str] = []
        self._gone: set[str] = set()
        self._tasks: dict[str, asyncio.Task[str]] = {}
        self._plan = steps.Plan()
        self._is_racing = False
        self._updates = 0

    @workflow.run
    async def run(self, plan: Any) -> list[str]:
        """The notes."""
        self._plan = msgspec.convert(plan, steps.Plan)
        if self._has_caller() and not self._plan.begins_at_once:
            await self._noting("begin", self._gate("begin"), raises=False)
        await self._all(self._plan.steps)
        await self._end()
        return self._notes

    @workflow.signal
    def go(self, name: str) -> None:
        """Lets it through a gate."""
        self._gone.add(name)

    @workflow.signal
    def word(self, word: str) -> None:
        """Takes note."""
        self._words.append(word)

    @workflow.query
    def notes(self) -> list[str]:
        """What it has noted so far; only where nothing is concurrent."""
        return [*self._notes, f"heard {len(self._words)}"]

    @workflow.query
    def constant(self) -> str:
        """Always the same."""
        return "constant"

    @workflow.query
    def broken(self) -> str:
        """Always fails."""
        raise ApplicationError("cannot say", "a detail", type="Unspeakable")

    @workflow.update(unfinished_policy=HandlerUnfinishedPolicy.ABANDON)
    async def change(self, kind: str, name: str) -> str:
        """Does what `kind` says before it answers."""
        if kind == "fail":
            raise ApplicationError("will not change", "a detail", type="Stubborn")
        if kind == "timer":
            await workflow.sleep(UPDATE_SECONDS, summary=f"of {name}")
        elif kind == "activity":
            await self._activity(steps.Activity(f"of {name}"))
        elif kind == "gate":
            await self._gate(name)
        elif kind == "bug":
            await self._fail_task(steps.FailTask(name))
        self._updates += 1
        return f"changed by {name}"

    @change.validator
    def _may_change(self, kind: str, name: str) -> None:
        if kind == "reject":
            raise ApplicationError("no change", "a detail", type="Rejected")

    async def _all(self, wanted: tuple[steps.Step, ...]) -> None:
        for step in wanted:
            raises = getattr(step, "raises", False)
            await self._noting(step.name, self._perform(step), raises=raises)

    async def _noting(self, name: str, doing: Awaitable[Any], *, raises: bool) -> None:
        try:
            self._notes.append(f"{name}: {await doing}")
        except (FailureError, asyncio.CancelledError) as error:
            self._notes.append(f"{name}: {error_text(error)}")
            was_asked = workflow.cancellation_reason() is not None
            if is_cancellation(error) and was_asked and self._has_caller():
                # Its caller still has to hear that it was asked, before it hears the rest.
                await self._gate(f"cancelled at {name}")
            if is_cancellation(error) and was_asked and not self._plan.goes_on_when_cancelled:
                raise
            if raises:
                raise

    def _has_caller(self) -> bool:
        return workflow.info().parent is not None or self._plan.is_served

    async def _perform(self, step: steps.Step) -> Any:
        performers: dict[type, Callable[[Any], Awaitable[Any]]] = {
            steps.Activity: self._activity,
            steps.Timer: self._timer,
            steps.Child: self._child,
            steps.Operation: self._operation,
            steps.SignalExternal: self._signal,
            steps.CancelExternal: self._cancel_external,
            steps.Patch: self._patch,
            steps.Memo: self._memo,
            steps.Attribute: self._attribute,
            steps.FailTask: self._fail_task,
            steps.Gate: lambda gate: self._gate(gate.name, gate.actions),
            steps.Where: self._where,
            steps.Hold: self._hold,
            steps.Spawn: self._spawn,
            steps.Cancel: self._cancel,
            steps.Join: self._join,
            steps.Race: self._race,
        }
        return await performers[type(step)](step)

    # What waits for the driver

    def _board(self) -> Board:
        return board_of(workflow.info().workflow_id)

    def _waiting(self, kind: str, name: str, actions: tuple[steps.Action, ...]) -> Waiting:
        info = workflow.info()
        return Waiting(kind, info.workflow_id, info.run_id, name, actions)

    async def _gate(self, name: str, actions: tuple[steps.Action, ...] = ()) -> str:
        if self._is_racing:
            return "not in a race"
        self._board().tell(self._waiting("gate", name, actions))
        await workflow.wait_condition(lambda: name in self._gone)
        return f"passed, having heard {len(self._words)}"

    async def _where(self, step: steps.Where) -> str:
        info = workflow.info()
        version = info.get_current_deployment_version()
        build = "none" if version is None else version.build_id or "none"
        return f"on {build}, another: {info.is_target_worker_deployment_version_changed()}"

    async def _hold(self, step: steps.Hold) -> str:
        board, waiting = self._board(), self._waiting("task", step.name, step.actions)
        if not workflow.unsafe.is_replaying() and not board.is_known(waiting):
            released = threading.Event()
            waiting.release = lambda how: released.set()
            board.tell(waiting)
            released.wait(HELD_SECONDS_MAX)
        return f"held, having heard {len(self._words)}"

    # Steps

    async def _activity(self, step: steps.Activity) -> Any:
        if step.is_local:
            return await workflow.execute_local_activity(
                "act",
                msgspec.to_builtins(step),
                activity_id=step.name,
                start_to_close_timeout=_span(step.start_to_close_ms) or LONG,
                retry_policy=_retry(step.retry),
            )
        return await workflow.execute_activity(
            "act",
            msgspec.to_builtins(step),
            activity_id=step.name,
            task_queue=_queue(step.queue),
            start_to_close_timeout=_span(step.start_to_close_ms)
            or (None if step.schedule_to_close_ms else LONG),
            schedule_to_close_timeout=_span(step.schedule_to_close_ms),
            schedule_to_start_timeout=_span(step.schedule_to_start_ms),
            heartbeat_timeout=_span(step.heartbeat_ms),
            retry_policy=_retry(step.retry),
            cancellation_type=ActivityCancellationType[step.cancellation],
        )

    async def _timer(self, step: steps.Timer) -> str:
        await workflow.sleep(step.ms / 1000, summary=step.name)
        return "fired"

    async def _child(self, step: steps.Child) -> Any:
        options = step.options or steps.Options()
        return await workflow.execute_child_workflow(
            step.plan.behavior or "Program",
            msgspec.to_builtins(step.plan),
            id=_id_of(step.workflow_id or step.name),
            task_queue=_queue(options.queue),
            cancellation_type=ChildWorkflowCancellationType[step.cancellation],
            parent_close_policy=ParentClosePolicy[step.close_policy],
            run_timeout=_span(options.run_timeout_ms),
            execution_timeout=_span(options.execution_timeout_ms),
            task_timeout=_span(options.task_timeout_ms),
            id_reuse_policy=WorkflowIDReusePolicy[step.reuse],
            retry_policy=_retry(options.retry),
            cron_schedule=options.cron,
            memo={"memo": options.memo} if options.memo else None,
            static_summary=options.summary or None,
            priority=Priority(priority_key=options.priority or None),
            versioning_override=override_of_child(_nonce(), options.override),
        )

    async def _operation(self, step: steps.Operation) -> Any:
        info = workflow.info()
        nonce = _nonce()
        client = workflow.create_nexus_client(
            service=Desk, endpoint=dead_endpoint_of(nonce) if step.is_dead else endpoint_of(nonce)
        )
        return await client.execute_operation(
            operation_of(step),
            Order(info.workflow_id, info.run_id, msgspec.to_builtins(step)),
            schedule_to_close_timeout=_span(step.schedule_to_close_ms),
            schedule_to_start_timeout=_span(step.schedule_to_start_ms),
            start_to_close_timeout=_span(step.start_to_close_ms),
            cancellation_type=NexusOperationCancellationType[step.cancellation],
            summary=step.name,
        )

    async def _signal(self, step: steps.SignalExternal) -> str:
        handle = workflow.get_external_workflow_handle(_id_of(step.target))
        await self._gate(f"before {step.name}")
        await handle.signal("word", step.name)
        return await self._gate(f"after {step.name}")

    async def _cancel_external(self, step: steps.CancelExternal) -> str:
        await self._gate(f"before {step.name}")
        await workflow.get_external_workflow_handle(_id_of(step.target)).cancel()
        return await self._gate(f"after {step.name}")

    async def _patch(self, step: steps.Patch) -> str:
        if step.is_deprecated:
            workflow.deprecate_patch(step.name)
            return "deprecated"
        return f"patched {workflow.patched(step.name)}"

    async def _memo(self, step: steps.Memo) -> str:
        workflow.upsert_memo({step.name: step.word})
        return "upserted"

    async def _attribute(self, step: steps.Attribute) -> str:
        key = SearchAttributeKey.for_keyword("BatcherUser")
        update = key.value_unset() if step.word is None else key.value_set(step.word)
        workflow.upsert_search_attributes([update])
        return "upserted"

    async def _fail_task(self, step: steps.FailTask) -> str:
        failed = self._board().failed_tasks
        key = f"{workflow.info().run_id} {step.name}"
        if key not in failed and not workflow.unsafe.is_replaying():
            failed.add(key)
            raise RuntimeError("a bug")
        return "no bug"

    async def _spawn(self, step: steps.Spawn) -> str:
        self._tasks[step.name] = asyncio.create_task(self._said(step.step))
        return await self._gate(step.name)

    async def _said(self, step: steps.Step) -> str:
        try:
            return str(await self._perform(step))
        except (FailureError, asyncio.CancelledError) as error:
            return error_text(error)

    async def _cancel(self, step: steps.Cancel) -> str:
        task = self._tasks.get(step.target)
        if task is None:
            return "nothing to cancel"
        task.cancel()
        return await self._gate(step.name)

    async def _join(self, step: steps.Join) -> str:
        task = self._tasks.get(step.target)
        return "nothing to wait for" if task is None else await task

    async def _race(self, step: steps.Race) -> str:
        info, board = workflow.info(), self._board()
        board.begin_race(info.run_id, step.name, info.get_current_history_length(), step.actions)
        words = len(self._words) + sum(action.kind == "signal" for action in step.actions)
        updates = self._updates + sum(action.kind == "update" for action in step.actions)
        branches = [asyncio.create_task(self._all(branch)) for branch in step.branches]
        notes, self._notes = self._notes, []
        self._is_racing = True
        await asyncio.gather(*branches)
        await workflow.wait_condition(
            lambda: len(self._words) >= words and self._updates >= updates
        )
        self._is_racing = False
        self._notes = notes + sorted(self._notes)
        # The clients hear of it, too, before anything else happens.
        await self._gate(f"over {step.name}")
        board.end_race(info.run_id, step.name, info.get_current_history_length())
        return f"over, having heard {len(self._words)}"

    # Endings

    async def _end(self) -> None:
        match self._plan.ending:
            case "fail":
                raise ApplicationError("in the end", self._notes, type="Naughty")
            case "fatal":
                raise ApplicationError("for good", type="Fatal", non_retryable=True)
            case "listed":
                raise ApplicationError("of a listed type", type="Listed")
            case "chain":
                raise ApplicationError("outer", type="Outer") from _deep_error()
            case "once":
                if workflow.info().attempt == 1:
                    raise ApplicationError("the first attempt", type="Once")
            case "timeout":
                await workflow.wait_condition(lambda: False)
            case "continue":
                options = self._plan.then_options or steps.Options()
                workflow.continue_as_new(
                    msgspec.to_builtins(self._plan.then),
                    run_timeout=_span(options.run_timeout_ms),
                    task_timeout=_span(options.task_timeout_ms),
                    retry_policy=_retry(options.retry),
                    memo={"memo": options.memo} if options.memo else None,
                    initial_versioning_behavior=(
                        ContinueAsNewVersioningBehavior[options.initial]
                        if options.initial
                        else None
                    ),
                )


def _deep_error() -> ApplicationError:
    inner = ApplicationError("inner", {"a": [1, 2]}, type="Inner", non_retryable=True)
    middle = ApplicationError("middle", type="Middle")
    middle.__cause__ = inner
    return middle


def _nonce() -> str:
    return workflow.info().workflow_id.rpartition("-")[2]


def _id_of(name: str) -> str:
    return f"{name}-{_nonce()}"


def _queue(queue: str) -> str | None:
    """A queue that has no worker, or the workflow's own."""
    own = workflow.info().task_queue
    return f"{queue}-{own}" if queue else None


def _span(milliseconds: int) -> timedelta | None:
    return timedelta(milliseconds=milliseconds) if milliseconds else None


def _retry(retry: steps.Retry | None) -> RetryPolicy | None:
    if retry is None:
        return None
    return RetryPolicy(
        initial_interval=timedelta(milliseconds=retry.initial_ms),
        backoff_coefficient=retry.coefficient,
        maximum_interval=_span(retry.interval_max_ms),
        maximum_attempts=retry.attempts_max,
        non_retryable_error_types=retry.non_retryable or None,
    )


@activity.defn
async def act(plan: Any) -> str:
    """Behaves as the plan says for this attempt."""
    step = msgspec.convert(plan, steps.Activity)
    attempt = activity.info().attempt
    behaviour = step.attempts[min(attempt, len(step.attempts)) - 1]
    kind, _, detail = behaviour.partition(":")
    return await BEHAVIOURS[kind](step, detail)


async def _ok(step: steps.Activity, detail: str) -> str:
    info = activity.info()
    return f"attempt {info.attempt}, before it {list(info.heartbeat_details)}"


async def _raise(step: steps.Activity, detail: str) -> str:
    raise ERRORS[detail]() if detail != "chain" else _chained()


def _chained() -> Exception:
    error = ApplicationError("outer", type="Outer", non_retryable=True)
    error.__cause__ = _deep_error()
    return error


ERRORS: dict[str, Callable[[], Exception]] = {
    "plain": lambda: ApplicationError("naughty", "detail", 7, type="Naughty"),
    "fatal": lambda: ApplicationError("fatal", type="Fatal", non_retryable=True),
    "listed": lambda: ApplicationError("listed", type="Listed"),
    "bug": lambda: KeyError("a bug"),
    "later": lambda: ApplicationError("later", next_retry_delay=timedelta(milliseconds=60)),
}


async def _hang(step: steps.Activity, detail: str) -> str:
    if detail:
        activity.heartbeat(detail)
    await asyncio.sleep(HELD_SECONDS_MAX)
    return "hung"


async def _beat(step: steps.Activity, detail: str) -> str:
    """Heartbeats, and fails."""
    activity.heartbeat(detail, activity.info().attempt)
    raise ApplicationError("after a heartbeat", type="Naughty")


async def _held(step: steps.Activity, detail: str) -> str:
    """Waits for the driver."""
    board, waiting = _tell(step)
    released = asyncio.get_running_loop().create_future()

    def release(how: str) -> None:
        if not released.done():
            released.set_result(how)

    waiting.release = release
    board.tell(waiting)
    try:
        await released
    finally:
        board.drop(waiting)
    return await _raise(step, detail) if detail else "released"


async def _obeys(step: steps.Activity, detail: str) -> str:
    """Heartbeats until it is cancelled or released."""
    board, waiting = _tell(step)
    released: list[str] = []
    waiting.release = released.append
    waiting.has_beaten = True
    board.tell(waiting)
    try:
        while not released:
            activity.heartbeat("still there")
            await asyncio.sleep(BEAT_SECONDS)
    except asyncio.CancelledError:
        if detail == "refuses":
            return "would not stop"
        if detail == "fails":
            raise ApplicationError("failed when cancelled", type="Naughty") from None
        raise
    finally:
        board.drop(waiting)
    return "released"


async def _async(step: steps.Activity, detail: str) -> str:
    """Will be completed by the client."""
    board, waiting = _tell(step)
    waiting.token = activity.info().task_token
    board.tell(waiting)
    activity.raise_complete_async()


def _tell(step: steps.Activity) -> tuple[Board, Waiting]:
    info = activity.info()
    owner = info.workflow_id or info.activity_id
    run_id = info.workflow_run_id or info.activity_run_id or ""
    waiting = Waiting("activity", owner, run_id, step.name, step.actions, info.attempt)
    return board_of(owner), waiting


BEHAVIOURS: dict[str, Callable[[steps.Activity, str], Awaitable[str]]] = {
    "ok": _ok,
    "fail": _raise,
    "hang": _hang,
    "beat": _beat,
    "held": _held,
    "obeys": _obeys,
    "async": _async,
}
