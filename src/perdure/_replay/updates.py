"""Updates as the workflow's code sees them: looked at by a validator, then handled by a task.

All of it happens in the task of the update, even looking for its handler: an update that comes with
the first workflow task may be meant for a handler that the run method is about to set.

| when | what is raised | becomes |
|---|---|---|
| before the update is accepted | anything | a rejection |
| afterwards | a failure of Temporal's kind | the failure of the update |
| afterwards | anything else | a failure of the workflow task |
| at any time | ReadOnlyContextError | a failure of the workflow task |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from perdure._definitions import UpdateDefinition
from perdure._replay.call_site import without_sdk_frames
from perdure._replay.commands.update import UpdateMachine, UpdateRequest
from perdure._replay.errors import ContinueAsNewError, ReadOnlyContextError
from perdure._replay.event_groups import enter_update
from perdure._replay.info import UpdateInfo
from perdure._replay.interceptors import HandleUpdateInput
from perdure.exceptions import CancelledError

if TYPE_CHECKING:
    from perdure._replay.context import WorkflowContext
    from perdure._replay.handlers import Handlers

WARN_AND_ABANDON = 1
"""`workflow.HandlerUnfinishedPolicy`"""

CURRENT_UPDATE: ContextVar[UpdateInfo | None] = ContextVar("perdure_update", default=None)
"""The update that the running task handles."""


class UnfinishedUpdateHandlersWarning(RuntimeWarning):
    """The workflow ended while a handler of an update had not."""


class UnfinishedSignalHandlersWarning(RuntimeWarning):
    """The workflow ended while a handler of a signal had not."""


class RunningHandler(NamedTuple):
    """A handler that has begun and not ended."""

    name: str
    unfinished_policy: int
    update_id: str = ""


def start_update(context: WorkflowContext, asked: UpdateRequest) -> None:
    """Has a task of its own look at the update."""
    update = _Update(context, asked)
    _ = context.loop.create_task(update.run(), name=f"update: {update.name}")


class _Update:
    """One update on its way through the code."""

    def __init__(self, context: WorkflowContext, asked: UpdateRequest) -> None:
        self.name = asked.request.input.name
        self._id = asked.request.meta.update_id
        self._asked = asked
        self._context = context
        self._machine: UpdateMachine = context.machine.begin_update(asked)
        self._accepted = False

    async def run(self) -> None:
        """Validates, accepts and handles the update. Raises nothing of the code's."""
        context = self._context
        CURRENT_UPDATE.set(UpdateInfo(id=self._id, name=self.name))
        try:
            await self._handle(context.handlers)
        except ContinueAsNewError:
            if not context.evicting:
                reason = "Cannot continue as new from an update handler"
                context.activation_error = RuntimeError(reason)
        except (Exception, asyncio.CancelledError) as error:  # a named boundary: the user's handler
            if not context.evicting:
                self._end_by(error)
        finally:
            if not context.evicting:
                context.handlers.running_updates.pop(self._id, None)

    async def _handle(self, handlers: Handlers) -> None:
        definition = handlers.updates.get(self.name) or handlers.updates.get(None)
        if definition is None:
            known = " ".join(sorted(name for name in handlers.updates if name))
            raise RuntimeError(
                f"Update handler for '{self.name}' expected but not found, and there is no dynamic "
                f"handler. known updates: [{known}]"
            )
        handlers.running_updates[self._id] = RunningHandler(
            self.name, definition.unfinished_policy, self._id
        )
        arguments = self._arguments(handlers, definition)
        validator = handlers.bound_validator(definition)
        inbound = self._context.inbound
        if validator is not None and self._asked.is_new:
            with self._context.as_read_only("the validator of an update", in_query=True):
                if inbound is None:
                    validator(*arguments)
                else:
                    inbound.handle_update_validator(self._input(arguments))
            # What the validator did to the arguments would not be done on replay.
            arguments = self._arguments(handlers, definition)
        self._accepted = True
        self._machine.accept()
        enter_update(self._id)
        if inbound is None:
            result = handlers.bound_handler(definition)(*arguments)
        else:
            result = inbound.handle_update_handler(self._input(arguments))
        if isinstance(result, Awaitable):
            result = await result
        self._machine.succeed(self._context.payload_converter.to_payloads([result]))

    def _arguments(self, handlers: Handlers, definition: UpdateDefinition) -> list[Any]:
        return handlers.arguments(self.name, definition, self._asked.request.input.args.payloads)

    def _input(self, arguments: Sequence[Any]) -> HandleUpdateInput:
        headers = self._asked.request.input.header.fields
        return HandleUpdateInput(id=self._id, update=self.name, args=arguments, headers=headers)

    def _end_by(self, error: BaseException) -> None:
        context = self._context
        if isinstance(error, asyncio.CancelledError):
            error = CancelledError(f"Cancellation raised within update {error}")
        else:
            without_sdk_frames(error)
        fails_task = isinstance(error, ReadOnlyContextError)
        if fails_task or (self._accepted and not context.is_failure_exception(error)):
            context.activation_error = error
            return
        try:
            failure = context.failure_of(error)
        except Exception as inner:  # a named boundary: the user's failure converter
            context.activation_error = inner
            return
        if self._accepted:
            self._machine.fail(failure)
        else:
            self._machine.reject(failure)


_CODE = "TMPRL1102"
"""The rule's number in Temporal's documentation, for those who search for it."""


def unfinished_warnings(
    signals: Iterable[RunningHandler], updates: Iterable[RunningHandler]
) -> list[RuntimeWarning]:
    """What there is to say of the handlers that the end of a workflow cuts off."""
    found: list[RuntimeWarning] = []
    cut_off = _to_be_told(updates)
    if cut_off:
        listed = json.dumps([{"name": one.name, "id": one.update_id} for one in cut_off])
        text = _text("update", "whoever sent them gets an error instead of a result", listed)
        found.append(UnfinishedUpdateHandlersWarning(text))
    cut_off = _to_be_told(signals)
    if cut_off:
        counts: dict[str, int] = {}
        for one in cut_off:
            counts[one.name] = counts.get(one.name, 0) + 1
        listed = json.dumps([{"name": name, "count": count} for name, count in counts.items()])
        text = _text("signal", "what they began may be left half done", listed)
        found.append(UnfinishedSignalHandlersWarning(text))
    return found


def _to_be_told(running: Iterable[RunningHandler]) -> Sequence[RunningHandler]:
    return [one for one in running if one.unfinished_policy == WARN_AND_ABANDON]


def _text(kind: str, consequence: str, listed: str) -> str:
    return (
        f"[{_CODE}] Workflow finished while {kind} handlers are still running: {listed}; "
        f"{consequence}. Wait for workflow.all_handlers_finished before the end, or declare the "
        "handler with unfinished_policy=HandlerUnfinishedPolicy.ABANDON"
    )
