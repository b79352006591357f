"""What `workflow.*` calls reach: the run whose code is running.

It holds what the code can see and change, and turns what the code asks for into commands of the
machine. `handlers.py` drives the code itself, `activities.py`, `externals.py` and `children.py`
are the operations that the code can await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from temporalio.api.command.v1 import (
    Command,
    ModifyWorkflowPropertiesCommandAttributes,
)
from temporalio.api.common.v1 import Memo, Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import UserMetadata

from perdure._definitions import WorkflowDefinition, bound_hints
from perdure._metrics.meter import Instrument, Sink, SinkMeter
from perdure._replay.api import PatchActivationInput, RunnerOptions, WorkflowActivation
from perdure._replay.commands.simple import SimpleMachine
from perdure._replay.errors import EvictedError, NotInWorkflowError, ReadOnlyContextError
from perdure._replay.event_groups import markers
from perdure._replay.flags import JOBS_IN_ONE_BATCH
from perdure._replay.info import Info, info_of_run
from perdure._replay.loop import TIMER_LABELS, TimerLabels, WorkflowLoop, running_loop
from perdure._replay.machine import Machine
from perdure._replay.randomness import seed_of_run
from perdure.common import MetricAttributes, MetricMeter
from perdure.converter import (
    FailureConverter,
    PayloadConverter,
    WorkflowSerializationContext,
)
from perdure.converter.context import SerializationContext, in_context
from perdure.converter.external_storage import StorageNotConfiguredError
from perdure.exceptions import FailureError

if TYPE_CHECKING:
    from perdure._replay.event_groups import EventGroup
    from perdure._replay.handlers import Handlers
    from perdure._replay.interceptors import (
        WorkflowInboundInterceptor,
        WorkflowOutboundInterceptor,
    )

_Result = TypeVar("_Result")


def current() -> WorkflowContext:
    """The run whose code is running in this thread. Raises NotInWorkflowError when none is."""
    loop = running_loop()
    if loop is None:
        raise NotInWorkflowError("not in a workflow: only the code of a workflow can call this")
    return loop.context


class WorkflowContext:
    """One run, as its code sees it."""

    def __init__(
        self, options: RunnerOptions, definition: WorkflowDefinition, task: WorkflowActivation
    ) -> None:
        self.options = options
        self.definition = definition
        self.machine: Machine
        self.handlers: Handlers
        self.loop = WorkflowLoop(self)  # type: ignore[abstract]
        self.loop.guarded = options.guard and definition.sandboxed
        self.loop.debugging = options.debugging
        self.instance: Any = None
        self.inbound: WorkflowInboundInterceptor | None = None
        self.outbound: WorkflowOutboundInterceptor | None = None
        self.read_only: str | None = None
        self.evicting = False
        self.in_query = False
        self.activation_error: BaseException | None = None
        self.cancel_reason: str | None = None
        self.single_batch = False
        self.build_id = ""
        self.deployment_name = ""
        self.details = ""
        self.failure_exception_types = definition.failure_exception_types
        self.upserted_search_attributes: dict[str, Payload] = {}
        self.conditions: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.patches_notified: set[str] = set()
        self.seed_callbacks: list[Callable[[int], None]] = []
        self.payload_converter: PayloadConverter = options.payload_converter
        self.failure_converter: FailureConverter = options.failure_converter
        if not options.is_context_free:
            serialization = WorkflowSerializationContext(options.namespace, task.workflow_id)
            self.payload_converter = in_context(self.payload_converter, serialization)
            self.failure_converter = in_context(self.failure_converter, serialization)
        self._task = task
        self._started: HistoryEvent
        self._first_task_time_ns = 0
        self._info: Info | None = None
        self._memo: dict[str, Any] | None = None
        self._sequences: dict[str, int] = {}
        self._seed: int | None = None
        self._random: Random | None = None
        self._metric_meter: MetricMeter | None = None
        self._patches: dict[str, bool] = {}

    # The run

    def begin(self, started: HistoryEvent) -> None:
        """The first event is known."""
        self._started = started
        attributes = started.workflow_execution_started_event_attributes
        self.loop.begin(attributes.original_execution_run_id)

    @property
    def started(self) -> HistoryEvent:
        """The run's first event."""
        return self._started

    def note_activation(self) -> None:
        """The code is about to run."""
        machine = self.machine
        if self._first_task_time_ns == 0:
            self._first_task_time_ns = machine.time_ns
        if machine.replaying:
            self.build_id, self.deployment_name = machine.build_id, machine.deployment_name
        else:
            self.build_id = self.options.build_id
            self.deployment_name = self.options.deployment_name
        self.single_batch = JOBS_IN_ONE_BATCH in machine.flags.lang

    @property
    def workflow_id(self) -> str:
        """The id of the workflow."""
        return self._task.workflow_id

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._task.run_id

    @property
    def workflow_type(self) -> str:
        """The type of the workflow."""
        return self._task.workflow_type

    def configure(self, failure_exception_types: Sequence[type[BaseException]] | None) -> None:
        """A dynamic workflow has said which exceptions fail it."""
        if failure_exception_types is not None:
            self.failure_exception_types = failure_exception_types

    @property
    def info(self) -> Info:
        """Made when somebody first asks."""
        if self._info is None:
            self._info = info_of_run(
                self.options, self._task, self._started, self._first_task_time_ns
            )
        return self._info

    def release(self) -> None:
        """The run has been evicted. What refers to this context lets go of it by itself; what it
        refers to in turn would be a cycle, which only the garbage collector takes apart."""
        self.instance = self.inbound = self.outbound = None
        del self.loop, self.machine, self.handlers

    # What code may do now

    def check_not_read_only(self, action: str) -> None:
        """Raises when the code that is running may only look, or the run is being evicted."""
        if self.evicting:
            raise EvictedError(f"the run is being evicted: cannot {action}")
        if self.read_only is not None:
            raise ReadOnlyContextError(
                f"While in read-only function, action attempted: {action} (in {self.read_only})"
            )

    @contextmanager
    def as_read_only(self, what: str, *, in_query: bool) -> Generator[None]:
        """Code that runs inside may only look."""
        before = self.read_only, self.in_query
        self.read_only, self.in_query = what, in_query
        try:
            yield
        finally:
            self.read_only, self.in_query = before

    async def hold_evicted(self) -> None:
        """Never returns once the run is being evicted: code that goes on whatever is raised would
        otherwise never let go of the thread."""
        if self.evicting:
            await self.loop.create_future()

    def is_failure_exception(self, error: BaseException) -> bool:
        """Whether the exception fails the workflow rather than its task."""
        return isinstance(
            error,
            (
                FailureError,
                asyncio.TimeoutError,
                *self.failure_exception_types,
                *self.options.failure_exception_types,
            ),
        )

    # Commands

    def next_sequence(self, kind: str) -> int:
        """1, 2, 3, ...: what ids are made of."""
        number = self._sequences.get(kind, 0) + 1
        self._sequences[kind] = number
        return number

    def mark(self, command: Command, groups: Sequence[EventGroup] | None = None) -> None:
        """Notes on a command the event groups that are active where it was asked for."""
        found = markers(groups)
        if found:
            command.event_group_markers.extend(found)

    def keep_task(self, task: asyncio.Task[Any]) -> None:
        """Holds a task until it is done: asyncio itself would let it be collected."""
        self.check_not_read_only("create task")
        self.tasks[task] = None
        task.add_done_callback(self._drop_task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _drop_task(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)

    # Values

    def converter_for(self, context: SerializationContext | None) -> PayloadConverter:
        """The payload converter for values of something else than the workflow itself."""
        if context is None or self.options.is_context_free:
            return self.payload_converter
        converter: PayloadConverter = in_context(self.options.payload_converter, context)
        return converter

    def decode(
        self,
        payloads: Sequence[Payload],
        hints: list[Any] | None,
        converter: PayloadConverter | None = None,
    ) -> list[Any]:
        """The values of payloads. What cannot be decoded fails the task, not the workflow."""
        if not payloads:
            return []
        if hints is not None and len(hints) != len(payloads):
            hints = bound_hints(hints, len(payloads))
        try:
            return (converter or self.payload_converter).from_payloads(payloads, hints)
        except (FailureError, StorageNotConfiguredError):
            raise
        except Exception as error:
            if self.is_failure_exception(error):
                raise
            raise RuntimeError("Failed decoding arguments") from error

    def error_of(
        self, failure: Failure, context: SerializationContext | None = None
    ) -> BaseException:
        """The exception that a failure stands for: of what the context says, or of the workflow."""
        if context is None or self.options.is_context_free:
            return self.failure_converter.from_failure(failure, self.payload_converter)
        converter: FailureConverter = in_context(self.options.failure_converter, context)
        return converter.from_failure(failure, self.converter_for(context))

    def failure_of(self, error: BaseException) -> Failure:
        """The failure that stands for an exception."""
        failure = Failure()
        self.failure_converter.to_failure(error, self.payload_converter, failure)
        return failure

    def summary(self, text: str | None) -> UserMetadata | None:
        """What labels a command."""
        if not text:
            return None
        return UserMetadata(summary=self.payload_converter.to_payload(text))

    # Metrics

    @property
    def metric_meter(self) -> MetricMeter:
        """Made when somebody first asks."""
        if self._metric_meter is None:
            sink = self.options.metric_sink
            self._metric_meter = SinkMeter(
                None if sink is None else _LiveSink(sink, self),
                {
                    **self.options.metric_attributes,
                    "namespace": self.options.namespace,
                    "task_queue": self.options.task_queue,
                    "workflow_type": self.workflow_type,
                },
            )
        return self._metric_meter

    # Randomness

    @property
    def seed(self) -> int:
        """What the random numbers of the run come from."""
        if self._seed is None:
            attributes = self._started.workflow_execution_started_event_attributes
            self._seed = seed_of_run(attributes.original_execution_run_id)
        return self._seed

    @property
    def random(self) -> Random:
        """The run's own random numbers."""
        self.check_not_read_only("random")
        if self._random is None:
            self._random = Random(self.seed)
        return self._random

    def reseed(self, seed: int) -> None:
        """Draws other numbers from here on."""
        self._seed = seed
        if self._random is not None:
            self._random.seed(seed)
        for callback in self.seed_callbacks:
            callback(seed)

    # Waiting

    async def sleep(
        self, seconds: float, *, summary: str | None, groups: Sequence[EventGroup] | None
    ) -> None:
        """Waits for a timer of its own."""
        await self.hold_evicted()
        future: asyncio.Future[None] = self.loop.create_future()
        labels = TimerLabels(self.summary(summary), groups)
        handle = self.loop.start_timer(seconds, labels, _set_done, future)
        future.add_done_callback(lambda done: handle.cancel() if done.cancelled() else None)
        await future

    async def wait_condition(
        self,
        condition: Callable[[], bool],
        *,
        timeout: float | None,
        timeout_summary: str | None,
        groups: Sequence[EventGroup] | None,
    ) -> None:
        """Waits until the condition holds; it is looked at whenever the code has come to rest."""
        await self.hold_evicted()
        self.check_not_read_only("wait condition")
        cancelled_before = self.cancel_reason is not None
        future: asyncio.Future[None] = self.loop.create_future()
        self.conditions.append((condition, future))
        token = TIMER_LABELS.set(TimerLabels(self.summary(timeout_summary), groups))
        try:
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            if self._cancelled_since(cancelled_before):
                raise asyncio.CancelledError from None
            raise
        finally:
            _reset(token)
        if self._cancelled_since(cancelled_before):
            raise asyncio.CancelledError

    def _cancelled_since(self, cancelled_before: bool) -> bool:
        """Some versions of `wait_for` swallow a cancellation that came in the same turn."""
        return self.single_batch and not cancelled_before and self.cancel_reason is not None

    async def await_operation(
        self,
        future: asyncio.Future[_Result],
        cancel: Callable[[asyncio.CancelledError], None],
        *,
        completed_flag: int | None = None,
        leave_when_cancelled: bool = False,
    ) -> _Result:
        """Waits for what only an event can resolve; being cancelled asks for its cancellation.

        `completed_flag` guards, for runs older than the flag, that a cancellation which arrives
        together with the result wins over it.
        """
        flags = self.machine.flags
        while True:
            try:
                await _until_done(self.loop, future)
                return future.result()
            except asyncio.CancelledError as error:
                if future.done():
                    if self.single_batch:
                        raise
                    if completed_flag is not None and (
                        not self.machine.replaying or completed_flag in flags.lang
                    ):
                        flags.use_lang(completed_flag)
                        raise
                cancel(error)
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                if leave_when_cancelled and (self.cancel_reason is not None or self.evicting):
                    raise

    # Patches, memo, flags

    def patch(
        self, patch_id: str, *, deprecated: bool, groups: Sequence[EventGroup] | None
    ) -> bool:
        """Whether the run is on the newer branch; always the same answer."""
        self.check_not_read_only("patch")
        known = self._patches.get(patch_id)
        if known is not None:
            return known
        use = patch_id in self.patches_notified or not self.machine.replaying
        callback = self.options.patch_activation_callback
        is_new = use and not deprecated and patch_id not in self.patches_notified
        if is_new and callback is not None:
            with self.as_read_only("a patch activation callback", in_query=False):
                use = callback(PatchActivationInput(workflow_info=self.info, patch_id=patch_id))
                if not isinstance(use, bool):
                    raise TypeError("Patch activation callback must return true or false")
        self._patches[patch_id] = use
        if use:
            self.machine.patch(patch_id, deprecated=deprecated, groups=markers(groups))
        return use

    @property
    def memo(self) -> Mapping[str, Any]:
        """The memo, decoded without hints."""
        if self._memo is None:
            self._memo = {
                key: self.payload_converter.from_payload(payload)
                for key, payload in self.info.raw_memo.items()
            }
        return self._memo

    def upsert_memo(self, updates: Mapping[str, Any], groups: Sequence[EventGroup] | None) -> None:
        """Changes the memo; None removes a field."""
        self.check_not_read_only("add command")
        to_payload = self.payload_converter.to_payload
        changed = {key: to_payload(value) for key, value in updates.items() if value is not None}
        removed = [key for key, value in updates.items() if value is None]
        if not changed and not removed:
            return
        nothing = to_payload(None)
        fields = {**changed, **dict.fromkeys(removed, nothing)}
        command = Command(
            command_type=CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
            modify_workflow_properties_command_attributes=(
                ModifyWorkflowPropertiesCommandAttributes(upserted_memo=Memo(fields=fields))
            ),
        )
        self.mark(command, groups)
        SimpleMachine(self.machine, command)
        raw: dict[str, Payload] = self.info.raw_memo  # type: ignore[assignment]
        raw.update(changed)
        for key in removed:
            raw.pop(key, None)
        self._memo = None


class _LiveSink:
    """Takes what is recorded while the run is not replayed."""

    def __init__(self, sink: Sink, context: WorkflowContext) -> None:
        self._sink = sink
        self._context = context

    def record(self, instrument: Instrument, value: float, attributes: MetricAttributes) -> None:
        if not self._context.evicting and not self._context.machine.replaying:
            self._sink.record(instrument, value, attributes)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _reset(token: Any) -> None:
    """Takes the labels off again, unless the coroutine is being closed from somewhere else."""
    with suppress(ValueError):
        TIMER_LABELS.reset(token)


async def _until_done(loop: WorkflowLoop, future: asyncio.Future[Any]) -> None:
    """Waits for the future, and leaves it alone when the wait is cancelled.

    It takes exactly the turns of the loop that `asyncio.wait([future])` takes, which is what makes
    the order of commands that of the official SDK.
    """
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: asyncio.Future[Any]) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(wake)
    try:
        await waiter
    finally:
        future.remove_done_callback(wake)
