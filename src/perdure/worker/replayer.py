"""Replays histories with the code as it is now: does it still do what they say?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypedDict, cast

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.api import (
    HistoryGap,
    RunnerOptions,
    TaskFailure,
    WorkflowActivation,
)
from perdure._replay.errors import NondeterminismError
from perdure._replay.runner import UnknownWorkflowError, WorkflowRunner
from perdure.client import WorkflowHistory
from perdure.common import HeaderCodecBehavior
from perdure.converter import DataConverter
from perdure.exceptions import ApplicationError
from perdure.runtime import Runtime
from perdure.worker.deadlock import DeadlockError, DeadlockWatch
from perdure.worker.interceptor import Interceptor, workflow_interceptors
from perdure.worker.loops import run_code
from perdure.worker.payloads import RunPayloads
from perdure.worker.plugin import Plugin
from perdure.worker.runners import (
    SandboxedWorkflowRunner,
    UnsandboxedWorkflowRunner,
    check_runner,
)
from perdure.worker.runners import WorkflowRunner as WayToRun
from perdure.worker.workflow_definitions import WorkflowDefinitions

REPLAY_SECONDS_MAX: Final = 30.0
"""So long may the replay of a history take, which is that of all its tasks at once: far longer than
any does whose code lets go of the thread."""

_STARTED = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


@dataclass(frozen=True)
class WorkflowReplayResult:
    """What came of one history; no failure: the code does what it says."""

    history: WorkflowHistory
    replay_failure: Exception | None


@dataclass(frozen=True)
class WorkflowReplayResults:
    """The failures of several histories, by run id."""

    replay_failures: Mapping[str, Exception]


class ReplayerConfig(TypedDict, total=False):
    """What `Replayer(**config)` takes."""

    workflows: Sequence[type]
    workflow_task_executor: ThreadPoolExecutor | None
    workflow_runner: WayToRun
    unsandboxed_workflow_runner: WayToRun
    namespace: str
    data_converter: DataConverter
    interceptors: Sequence[Interceptor]
    plugins: Sequence[Plugin]
    build_id: str | None
    identity: str | None
    workflow_failure_exception_types: Sequence[type[BaseException]]
    debug_mode: bool
    runtime: Runtime | None
    disable_safe_workflow_eviction: bool
    header_codec_behavior: HeaderCodecBehavior


class Replayer:
    """Replays histories of some workflows. Nothing is sent anywhere."""

    def __init__(
        self,
        *,
        workflows: Sequence[type],
        workflow_task_executor: ThreadPoolExecutor | None = None,
        workflow_runner: WayToRun = SandboxedWorkflowRunner(),  # noqa: B008 -- frozen
        unsandboxed_workflow_runner: WayToRun = UnsandboxedWorkflowRunner(),  # noqa: B008
        namespace: str = "ReplayNamespace",
        data_converter: DataConverter = DataConverter.default,
        interceptors: Sequence[Interceptor] = (),
        plugins: Sequence[Plugin] = (),
        build_id: str | None = None,
        identity: str | None = None,
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        debug_mode: bool = False,
        runtime: Runtime | None = None,
        disable_safe_workflow_eviction: bool = False,
        header_codec_behavior: HeaderCodecBehavior = HeaderCodecBehavior.NO_CODEC,
    ) -> None:
        """Takes what the worker that ran the workflows was given.

        - `debug_mode` lets workflow code block, as a debugger does.
        - `workflow_task_executor`, `unsandboxed_workflow_runner`, `identity`, `runtime`,
          `disable_safe_workflow_eviction` and `header_codec_behavior` are accepted and not used:
          code runs on the event loop, and nothing is sent anywhere.
        """
        given = dict(locals())  # the parameters, before there is anything else
        self._initial_config = cast(
            ReplayerConfig, {name: given[name] for name in ReplayerConfig.__annotations__}
        )
        config = self._initial_config.copy()
        for plugin in plugins:
            config = plugin.configure_replayer(config)
        self._config = config
        self._plugins = plugins
        self._data_converter = config["data_converter"]
        self._options = _options_of(config)

    def config(self, *, active_config: bool = False) -> ReplayerConfig:
        """What makes another replayer like this one: `Replayer(**replayer.config())`.

        With `active_config`, what the plugins have made of it.
        """
        return (self._config if active_config else self._initial_config).copy()

    async def replay_workflow(
        self, history: WorkflowHistory, *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResult:
        """Replays one history. Raises NondeterminismError when the code does something else."""
        async with self.workflow_replay_iterator(_only(history)) as results:
            result = await anext(results)
        if result.replay_failure is not None and raise_on_replay_failure:
            raise result.replay_failure
        return result

    async def replay_workflows(
        self, histories: AsyncIterator[WorkflowHistory], *, raise_on_replay_failure: bool = True
    ) -> WorkflowReplayResults:
        """Replays several histories, such as `client.list_workflows(...).map_histories()`."""
        failures: dict[str, Exception] = {}
        async with self.workflow_replay_iterator(histories) as results:
            async for result in results:
                if result.replay_failure is None:
                    continue
                if raise_on_replay_failure:
                    raise result.replay_failure
                failures[result.history.run_id] = result.replay_failure
        return WorkflowReplayResults(failures)

    @asynccontextmanager
    async def workflow_replay_iterator(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncIterator[AsyncIterator[WorkflowReplayResult]]:
        """The results one by one, for `async with` and then `async for`."""
        replay: Callable[
            [Replayer, AsyncIterator[WorkflowHistory]],
            AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
        ] = Replayer._replayed
        for plugin in reversed(self._plugins):
            replay = partial(plugin.run_replayer, next=replay)
        async with replay(self, histories) as results:
            yield results

    @asynccontextmanager
    async def _replayed(
        self, histories: AsyncIterator[WorkflowHistory]
    ) -> AsyncIterator[AsyncIterator[WorkflowReplayResult]]:
        watch = None if self._config["debug_mode"] else DeadlockWatch(REPLAY_SECONDS_MAX)
        if watch is not None:
            watch.start()
        try:
            async with aclosing(self._results(histories, watch)) as results:
                yield results
        finally:
            if watch is not None:
                watch.stop()

    async def _results(
        self, histories: AsyncIterator[WorkflowHistory], watch: DeadlockWatch | None
    ) -> AsyncGenerator[WorkflowReplayResult]:
        async for history in histories:
            yield WorkflowReplayResult(history, await self._replay(history, watch))

    async def _replay(
        self, history: WorkflowHistory, watch: DeadlockWatch | None
    ) -> Exception | None:
        try:
            events = await self._decoded(history)
        except ApplicationError as error:
            return self._undecodable(history, error)
        except Exception as error:  # a named boundary: the user's codecs and drivers
            return _code_failed(str(error), error)
        task = _task_of(history, events)
        try:
            runner = WorkflowRunner(self._options, task)
        except UnknownWorkflowError as error:
            return _failed(error.message, error)
        try:
            outcome = run_code(partial(runner.activate, task), watch)
        except HistoryGap as error:
            return _failed(f"the history lacks events: {error}", error)
        except DeadlockError as error:
            return _code_failed(str(error), error)
        except SystemExit as error:
            return _code_failed(f"it raised {error!r}, which would end the worker", error)
        finally:
            runner.evict()
        if runner.mismatch is not None:
            return runner.mismatch
        if not isinstance(outcome, TaskFailure):
            return None
        return _code_failed(outcome.failure.message, outcome.exception)

    async def _decoded(self, history: WorkflowHistory) -> Sequence[HistoryEvent]:
        if self._data_converter.path is None:
            return history.events
        copies = [HistoryEvent.FromString(event.SerializeToString()) for event in history.events]
        started = copies[0].workflow_execution_started_event_attributes
        payloads = RunPayloads(
            self._data_converter,
            namespace=self._options.namespace,
            workflow_id=history.workflow_id,
            run_id=history.run_id,
            workflow_type=started.workflow_type.name,
            task_queue=started.task_queue.name,
            concurrency=1,
        )
        await payloads.decode(copies, [], [])
        return copies

    def _undecodable(self, history: WorkflowHistory, error: ApplicationError) -> Exception | None:
        """A worker would fail the workflow where a value can never be read. Does the history?"""
        if not error.non_retryable:
            return _code_failed(str(error), error)
        last = history.events[-1].event_type
        if last == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            return None
        mismatch = NondeterminismError(
            f"A payload of the history cannot be read, so that the workflow would fail: {error}"
        )
        mismatch.__cause__ = error
        return mismatch


def _code_failed(message: str, exception: BaseException | None) -> RuntimeError:
    return _failed(f"The workflow's code failed: {message}", exception)


def _options_of(config: ReplayerConfig) -> RunnerOptions:
    """Raises ValueError when there is nothing to replay with."""
    if not config["workflows"]:
        raise ValueError("At least one workflow must be specified")
    definitions = WorkflowDefinitions(config["workflows"])
    check_runner(config["workflow_runner"])
    for definition in definitions.all():
        config["workflow_runner"].prepare_workflow(definition)
    data_converter = config["data_converter"]
    interceptor_classes, extern_functions = workflow_interceptors(config["interceptors"])
    return RunnerOptions(
        definitions=definitions.find,
        registered=definitions.names,
        payload_converter=data_converter.payload_converter,
        failure_converter=data_converter.failure_converter,
        namespace=config["namespace"],
        task_queue=f"replay-{config['build_id']}",
        failure_exception_types=config["workflow_failure_exception_types"],
        build_id=config["build_id"] or "",
        interceptor_classes=interceptor_classes,
        extern_functions=extern_functions,
        guard=config["workflow_runner"].guarded,
    )


def _failed(message: str, cause: BaseException | None) -> RuntimeError:
    failed = RuntimeError(message)
    failed.__cause__ = cause
    return failed


async def _only(history: WorkflowHistory) -> AsyncIterator[WorkflowHistory]:
    yield history


def _task_of(history: WorkflowHistory, events: Sequence[HistoryEvent]) -> WorkflowActivation:
    """A task that makes a runner go through all that workers have done."""
    run_id = history.run_id  # raises when the first event is no start
    started = [event.event_id for event in events if event.event_type == _STARTED]
    completed = [
        event.workflow_task_completed_event_attributes.started_event_id
        for event in events
        if event.event_type == _COMPLETED
    ]
    return WorkflowActivation(
        run_id=run_id,
        workflow_id=history.workflow_id,
        workflow_type=events[0].workflow_execution_started_event_attributes.workflow_type.name,
        events=events,
        previous_started_event_id=max(completed, default=0),
        started_event_id=max(started, default=0),
    )
