"""Drives the workflow's code: applies jobs, runs the loop, and turns its end into a command."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import sys
import warnings
from asyncio import events
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    FailWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionSignaledEventAttributes
from temporalio.api.query.v1 import WorkflowQuery

from perdure._definitions import (
    QueryDefinition,
    SignalDefinition,
    UpdateDefinition,
)
from perdure._replay import guard
from perdure._replay.builtin_queries import BUILTIN_QUERIES
from perdure._replay.call_site import stop_at, without_sdk_frames
from perdure._replay.closing import Generators, close
from perdure._replay.context import WorkflowContext
from perdure._replay.continue_as_new import ContinueAsNewRequest
from perdure._replay.errors import ContinueAsNewError
from perdure._replay.event_groups import enter_signal
from perdure._replay.intercepted import make_interceptors
from perdure._replay.interceptors import (
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
)
from perdure._replay.machine import Jobs
from perdure._replay.updates import RunningHandler, start_update, unfinished_warnings
from perdure.common import RawValue
from perdure.exceptions import CancelledError, is_cancelled_exception

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

_log = logging.getLogger("perdure.workflow")

_COMPLETE = CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION


class Handlers:
    """The workflow's code: its object, its run method and its handlers."""

    def __init__(self, context: WorkflowContext) -> None:
        definition = context.definition
        self.signals: dict[str | None, SignalDefinition] = dict(definition.signals)
        self.queries: dict[str | None, QueryDefinition] = {**definition.queries, **BUILTIN_QUERIES}
        self.updates: dict[str | None, UpdateDefinition] = dict(definition.updates)
        self.versioning_behavior = int(definition.versioning_behavior)
        self._context = context
        self._variables = Context()
        self._generators = Generators()
        self._input: list[Any] | None = None
        self._primary: asyncio.Task[None] | None = None
        self._cancel_when_started = False
        self.running_updates: dict[str, RunningHandler] = {}
        self._running_signals: dict[int, RunningHandler] = {}
        self._signal_count = 0
        self._buffered: dict[str, list[tuple[WorkflowExecutionSignaledEventAttributes, int]]] = {}

    @property
    def all_finished(self) -> bool:
        """No handler is running."""
        return not self._running_signals and not self.running_updates

    @property
    def primary(self) -> asyncio.Task[None] | None:
        """The task of the run method."""
        return self._primary

    # Activation

    def activate(self, jobs: Jobs) -> None:
        """Tells the code everything and runs it until it rests. Raises what fails the task."""
        context = self._context
        context.activation_error = None
        try:
            if self._input is None:
                self._input = self._decode_input()
                if context.options.interceptor_classes:
                    self._in_workflow(make_interceptors, context)
            self._tell(jobs)
        except Exception as error:  # a named boundary: the code's own failures end the run
            if not context.is_failure_exception(error):
                raise
            self._fail(error)
            if context.activation_error is not None:
                raise context.activation_error from error

    def _tell(self, jobs: Jobs) -> None:
        one_batch = self._context.single_batch
        self._context.patches_notified.update(jobs.patches)
        if jobs.patches and not one_batch:
            self._run(check_conditions=False)
        for signal, event_id in jobs.signals:
            self._apply_signal(signal, event_id)
        for asked in jobs.updates:
            start_update(self._context, asked)
        told = bool(jobs.signals or jobs.updates)
        if told and not one_batch:
            self._run(check_conditions=True)
        for apply, outcome in jobs.others:
            apply(outcome)
        if jobs.others or one_batch:
            self._run(check_conditions=told or bool(jobs.others))

    def _run(self, *, check_conditions: bool) -> None:
        """Runs the loop, on top of whatever loop is running in this thread."""
        self._in_workflow(self._run_ready, check_conditions)

    def _in_workflow(self, code: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
        """Runs code as the workflow's: on its loop, with its variables, and guarded."""
        loop = self._context.loop
        outer = events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        entered = guard.enter(loop)
        sys.set_asyncgen_hooks(self._generators.begin, self._generators.finalize)
        events._set_running_loop(loop)
        try:
            return self._variables.run(code, argument)
        finally:
            events._set_running_loop(outer)
            sys.set_asyncgen_hooks(*hooks)
            if entered:
                guard.leave(loop)

    def _run_ready(self, check_conditions: bool) -> None:
        context = self._context
        ready = context.loop.ready
        if context.instance is None:
            context.instance = self._instantiate()
        while ready:
            while ready:
                ready.popleft()._run()
                if context.activation_error is not None:
                    raise context.activation_error
            if check_conditions and context.conditions:
                context.conditions = [
                    waiting for waiting in context.conditions if not _met(*waiting)
                ]

    def _decode_input(self) -> list[Any]:
        context = self._context
        attributes = context.started.workflow_execution_started_event_attributes
        payloads = attributes.input.payloads
        if context.definition.name is None:
            return [context.decode(payloads, [RawValue] * len(payloads))]
        return context.decode(payloads, context.definition.arg_types)

    def _instantiate(self) -> Any:
        definition = self._context.definition
        arguments = self._input if definition.has_init and self._input is not None else []
        instance = definition.cls(*arguments)
        configure = definition.dynamic_config_fn
        if definition.name is None and configure is not None:
            with self._context.as_read_only("a dynamic config function", in_query=False):
                config = configure(instance)
            self._context.configure(config.failure_exception_types)
            self.versioning_behavior = int(config.versioning_behavior) or self.versioning_behavior
        return instance

    # The run method

    def start(self, _: HistoryEvent) -> None:
        """The run begins."""
        self._primary = self._context.loop.create_task(
            self._top_level(self._run_workflow()), name="run"
        )
        if self._cancel_when_started:
            self._cancel_when_started = False
            self._context.loop.call_soon(self._primary.cancel)

    def cancel(self, reason: str) -> None:
        """Somebody asked for the cancellation of the run."""
        self._context.cancel_reason = reason
        if self._primary is not None:
            # Not at once: the run method may not have begun, and should see it.
            self._context.loop.call_soon(self._primary.cancel)
        elif self._context.single_batch:
            self._cancel_when_started = True

    async def _run_workflow(self) -> None:
        context = self._context
        run_fn, args = context.definition.run_fn, self._input or ()
        if context.inbound is None:
            result = await run_fn(context.instance, *args)
        else:
            headers = context.started.workflow_execution_started_event_attributes.header.fields
            kind = context.definition.cls
            result = await context.inbound.execute_workflow(
                ExecuteWorkflowInput(type=kind, run_fn=run_fn, args=args, headers=headers)
            )
        payloads = context.payload_converter.to_payloads([result])
        context.check_not_read_only("complete")
        command = Command(command_type=_COMPLETE)
        command.complete_workflow_execution_command_attributes.result.payloads.extend(payloads)
        context.machine.terminate(command)

    async def _top_level(self, code: Awaitable[None]) -> None:
        """Runs the run method or a signal handler, and turns its end into a command."""
        context = self._context
        try:
            await code
        except ContinueAsNewError as request:
            if not context.evicting and isinstance(request, ContinueAsNewRequest):
                context.machine.terminate(request.command(context))
        except (Exception, asyncio.CancelledError) as error:
            if not context.evicting:
                self._end_by(error)

    def _end_by(self, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            error = CancelledError(str(error))
        else:
            without_sdk_frames(error)
        context = self._context
        if context.cancel_reason is not None and is_cancelled_exception(error):
            context.machine.terminate(
                Command(
                    command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
                    cancel_workflow_execution_command_attributes=(
                        CancelWorkflowExecutionCommandAttributes()
                    ),
                )
            )
        elif context.is_failure_exception(error):
            self._fail(error)
        else:
            context.activation_error = error

    def _fail(self, error: BaseException) -> None:
        context = self._context
        try:
            failure = context.failure_of(error)
        except Exception as inner:  # a named boundary: the user's failure converter
            context.activation_error = ValueError("Failed converting workflow exception")
            context.activation_error.__cause__ = inner
            return
        context.machine.terminate(_failure_command(failure))

    def failure_command(self, error: BaseException) -> Command:
        """Fails the workflow, whatever its code was doing."""
        return _failure_command(self._context.failure_of(error))

    # Signals

    def _apply_signal(
        self, signal: WorkflowExecutionSignaledEventAttributes, event_id: int
    ) -> None:
        definition = self.signals.get(signal.signal_name) or self.signals.get(None)
        if definition is None:
            self._buffered.setdefault(signal.signal_name, []).append((signal, event_id))
        else:
            self._handle_signal(definition, signal, event_id)

    def set_signal_handler(self, name: str | None, definition: SignalDefinition | None) -> None:
        """Replaces a handler, and gives it the signals that came before there was one."""
        if definition is None:
            self.signals.pop(name, None)
            return
        self.signals[name] = definition
        names = [name] if name is not None else list(self._buffered)
        for buffered_name in names:
            for signal, event_id in self._buffered.pop(buffered_name, ()):
                self._handle_signal(definition, signal, event_id)

    def _handle_signal(
        self,
        definition: SignalDefinition,
        signal: WorkflowExecutionSignaledEventAttributes,
        event_id: int,
    ) -> None:
        context = self._context
        name = signal.signal_name
        try:
            arguments = self.arguments(name, definition, signal.input.payloads)
        except Exception:  # a named boundary: a signal nobody can read must not stop the workflow
            _log.exception(
                "Failed deserializing signal input for %s, dropping the signal: workflow %s (%s), "
                "run %s",
                name,
                context.workflow_id,
                context.workflow_type,
                context.run_id,
            )
            return
        self._signal_count += 1
        number = self._signal_count
        self._running_signals[number] = RunningHandler(name, definition.unfinished_policy)
        task = context.loop.create_task(
            self._top_level(self._run_signal(definition, signal, arguments, event_id)),
            name=f"signal: {name}",
        )
        task.add_done_callback(lambda _: self._running_signals.pop(number, None))

    async def _run_signal(
        self,
        definition: SignalDefinition,
        signal: WorkflowExecutionSignaledEventAttributes,
        arguments: Sequence[Any],
        event_id: int,
    ) -> None:
        enter_signal(event_id)
        inbound = self._context.inbound
        if inbound is not None:
            headers = signal.header.fields
            await inbound.handle_signal(
                HandleSignalInput(signal=signal.signal_name, args=arguments, headers=headers)
            )
            return
        result = self.bound_handler(definition)(*arguments)
        if isinstance(result, Awaitable):
            await result

    # Calling handlers

    def arguments(
        self,
        name: str,
        definition: SignalDefinition | QueryDefinition | UpdateDefinition,
        payloads: Sequence[Payload],
    ) -> list[Any]:
        """What to call a handler with. Raises RuntimeError for what cannot be decoded."""
        if definition.name is None and definition.arg_types is None:
            return [name, *self._context.decode(payloads, None)]  # the deprecated way to take them
        if definition.name is None:
            return [name, self._context.decode(payloads, [RawValue] * len(payloads))]
        return self._context.decode(payloads, definition.arg_types)

    def bound_handler(
        self, definition: SignalDefinition | QueryDefinition | UpdateDefinition
    ) -> Callable[..., Any]:
        """What to call for a handler."""
        if definition.is_method:
            return partial(definition.fn, self._context.instance)
        return definition.fn

    def bound_validator(self, definition: UpdateDefinition) -> Callable[..., None] | None:
        """What to call before an update is accepted, or None."""
        if definition.validator is None or not definition.is_method:
            return definition.validator
        return partial(definition.validator, self._context.instance)

    def bound(self, definition: Any) -> Callable[..., Any] | None:
        """What to call for a handler, or None."""
        return None if definition is None else self.bound_handler(definition)

    def warn_unfinished(self) -> None:
        """Says which handlers the end of the workflow cuts off."""
        if self._running_signals or self.running_updates:
            signals, updates = self._running_signals.values(), self.running_updates.values()
            for warning in unfinished_warnings(signals, updates):
                warnings.warn(warning, stacklevel=2)

    # Queries

    def query(self, query: WorkflowQuery, query_id: str) -> Payloads:
        """The answer to a query. Raises what the handler raises."""
        return self._in_workflow(self._answer, (query, query_id))

    def _answer(self, asked: tuple[WorkflowQuery, str]) -> Payloads:
        context = self._context
        query, query_id = asked
        name = query.query_type
        definition = self.queries.get(name) or self.queries.get(None)
        if definition is None:
            known = " ".join(sorted(name for name in self.queries if name))
            raise RuntimeError(
                f"Query handler for '{name}' expected but not found, known queries: [{known}]"
            )
        with context.as_read_only("a query handler", in_query=True):
            arguments = self.arguments(name, definition, query.query_args.payloads)
            if context.inbound is None:
                result = self.bound_handler(definition)(*arguments)
            else:
                headers = query.header.fields
                result = context.inbound.handle_query(
                    HandleQueryInput(id=query_id, query=name, args=arguments, headers=headers)
                )
            if isinstance(result, Coroutine):
                result = _run_at_once(result)
            return Payloads(payloads=context.payload_converter.to_payloads([result]))

    # Eviction

    def evict(self) -> None:
        """Closes the coroutines of the run. Their `finally` blocks run, and can change nothing."""
        context = self._context
        context.evicting = True
        if context.tasks or self._generators:
            left = self._in_workflow(self._close, list(context.tasks))
            if left:
                _log.error(
                    "Timed out running eviction job for run ID %s: code that goes on whatever is "
                    "raised is left where it waits: %s",
                    context.run_id,
                    ", ".join(left),
                )
        context.tasks.clear()
        context.loop.ready.clear()
        context.conditions.clear()
        context.release()

    def _close(self, tasks: Sequence[asyncio.Task[Any]]) -> Sequence[str]:
        """Ends the tasks; the names of those that do not end."""
        left = []
        self._generators.evict()
        for task in tasks:
            coroutine: Any = task.get_coro()
            if not close(coroutine):
                # Were it ever collected, it would be closed again, and spin: it is never.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))
                left.append(task.get_name())
        self._generators.close_all()
        return left


def _failure_command(failure: Failure) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=failure
        ),
    )


def _met(condition: Callable[[], bool], future: asyncio.Future[None]) -> bool:
    if future.done():
        return True
    if condition():
        future.set_result(None)
        return True
    return False


def _run_at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of an async query handler, which may not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise RuntimeError("a query handler may not wait")


stop_at(Handlers._run_ready.__code__)
