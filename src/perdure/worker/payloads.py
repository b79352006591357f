"""What the payloads of one run's tasks go through: the codec in its context, and the storage.

Each payload has the context of what it is for: the input and the result of a child are the child's,
those of an activity the activity's, a signal is its target's, and everything else the run's own. So
whoever wrote a payload and whoever reads it agree, though they know the run from different sides.
What is stored is stored for whoever will read it, activities apart, which belong to their run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import Message
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message as ProtocolMessage

from perdure._replay import system_operations
from perdure._replay.system_payloads import SYSTEM_ENDPOINT
from perdure.converter import (
    ActivitySerializationContext,
    DataConverter,
    NexusSerializationContext,
    PayloadCodec,
    SerializationContext,
    StorageDriverWorkflowInfo,
    WorkflowSerializationContext,
)
from perdure.converter.holders import holders
from perdure.converter.payload_path import PayloadPath
from perdure.worker.codec import Transform, transform_bodies, transform_holder
from perdure.worker.local_payloads import LocalPayloads

_LOCAL_ACTIVITY: Final = "core_local_activity"

_OWN_COMMANDS: Final = frozenset(
    {
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
        EventType.EVENT_TYPE_TIMER_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)
"""Their values are the code's own: nothing reads them when it is replayed."""


class RunPayloads:
    """The payloads of one run."""

    def __init__(
        self,
        converter: DataConverter,
        *,
        namespace: str,
        workflow_id: str,
        run_id: str,
        workflow_type: str,
        task_queue: str,
        concurrency: int,
        headers: bool = False,
    ) -> None:
        """`headers`: whether those are the codec's too."""
        self._converter = converter
        self._headers = headers
        self._namespace = namespace
        self._workflow_type = workflow_type
        self._task_queue = task_queue
        self._concurrency = concurrency if converter.external_storage is not None else 1
        self._context = WorkflowSerializationContext(namespace=namespace, workflow_id=workflow_id)
        self._target = StorageDriverWorkflowInfo(
            namespace=namespace, id=workflow_id, run_id=run_id, type=workflow_type
        )
        self._result_target = self._target
        self._scheduled: dict[int, SerializationContext] = {}
        """By the ids of their events: the contexts of activities and operations. Empty when nobody
        wants to know."""
        self._of_server: set[int] = set()
        """Events that schedule operations of the server itself."""
        path = self._path()
        assert path is not None, "there is neither codec nor storage"
        self.own: PayloadCodec = path
        """For what is nobody else's."""
        self.of_locals: LocalPayloads | None = None
        """None: there is no codec."""
        if converter.payload_codec is not None:
            self.of_locals = LocalPayloads(converter, self._local_activity)

    async def decode(
        self,
        events: Sequence[HistoryEvent],
        queries: Iterable[Message],
        messages: Iterable[ProtocolMessage],
    ) -> None:
        """Decodes what a task brings, in place."""
        work: list[tuple[Message, Transform]] = []
        for event in events:
            self._note(event)
            if event.event_type not in _OWN_COMMANDS and not self._is_of_server(event):
                found = list(holders(event, headers=self._headers))
                if found:
                    transform = self._path_of(self._context_of_event(event)).decode
                    work.extend((holder, transform) for holder in found)
        for query in queries:
            work.extend(
                (holder, self.own.decode) for holder in holders(query, headers=self._headers)
            )
        await self._do(work)
        await transform_bodies(messages, self.own.decode, headers=self._headers)

    async def encode(
        self,
        commands: Iterable[Command],
        results: Iterable[Message],
        messages: Iterable[ProtocolMessage],
    ) -> None:
        """Encodes what answers a task, in place."""
        work: list[tuple[Message, Transform]] = []
        to_server: list[tuple[Payload, Message]] = []
        for command in commands:
            sent = system_operations.message_in(command)
            if sent is not None:
                attributes, request = sent
                to_server.append((attributes.input, request))
                transform = self._path_of(self._of(request.workflow_id)).encode
                work.extend(
                    (holder, transform) for holder in holders(request, headers=self._headers)
                )
                continue
            found = list(holders(command, headers=self._headers))
            if found:
                transform = self._path_of_command(command).encode
                work.extend((holder, transform) for holder in found)
        for result in results:
            work.extend((holder, self.own.encode) for holder in holders(result))
        await self._do(work)
        for payload, message in to_server:
            system_operations.put_message(payload, message)
        await transform_bodies(messages, self.own.encode)

    async def encode_failure(self, failure: Failure) -> None:
        """Encodes the failure of a task, in place."""
        await self.own.encode_failure(failure)

    async def _do(self, work: Sequence[tuple[Message, Transform]]) -> None:
        if self._concurrency == 1 or len(work) <= 1:
            for holder, transform in work:
                await transform_holder(holder, transform)
            return
        places = asyncio.Semaphore(self._concurrency)

        async def do(holder: Message, transform: Transform) -> None:
            async with places:
                await transform_holder(holder, transform)

        try:
            async with asyncio.TaskGroup() as group:
                for holder, transform in work:
                    group.create_task(do(holder, transform))
        except BaseExceptionGroup as failed:
            # The first is why the others, if any, were cancelled.
            raise failed.exceptions[0] from None

    # Whose payloads they are

    def _path(
        self,
        context: SerializationContext | None = None,
        target: StorageDriverWorkflowInfo | None = None,
    ) -> PayloadCodec | None:
        converter = self._converter
        if not converter.is_context_free:
            converter = converter.with_context(context or self._context)
        return converter.storing_for(target or self._target).path

    def _path_of(
        self,
        context: SerializationContext | None,
        target: StorageDriverWorkflowInfo | None = None,
    ) -> PayloadCodec:
        if context is None and target is None:
            return self.own
        return self._path(context, target) or self.own

    def _is_of_server(self, event: HistoryEvent) -> bool:
        """Whether an event brings a message of the server itself."""
        if event.event_type != EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
            return False
        completed = event.nexus_operation_completed_event_attributes
        return completed.scheduled_event_id in self._of_server

    def _note(self, event: HistoryEvent) -> None:
        if event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED:
            endpoint = event.nexus_operation_scheduled_event_attributes.endpoint
            if endpoint == SYSTEM_ENDPOINT:
                self._of_server.add(event.event_id)
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            started = event.workflow_execution_started_event_attributes
            parent = started.parent_workflow_execution
            if parent.workflow_id and not started.continued_execution_run_id:
                self._result_target = StorageDriverWorkflowInfo(
                    namespace=started.parent_workflow_namespace,
                    id=parent.workflow_id,
                    run_id=parent.run_id,
                )
        elif self._converter.is_context_free:
            return
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            self._scheduled[event.event_id] = self._activity(
                scheduled.activity_id, scheduled.activity_type.name, scheduled.task_queue.name
            )
        elif event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED:
            operation = event.nexus_operation_scheduled_event_attributes
            self._scheduled[event.event_id] = NexusSerializationContext(
                endpoint=operation.endpoint,
                service=operation.service,
                operation=operation.operation,
            )

    def _activity(
        self, activity_id: str, activity_type: str, task_queue: str, *, is_local: bool = False
    ) -> ActivitySerializationContext:
        return ActivitySerializationContext(
            namespace=self._namespace,
            activity_id=activity_id,
            activity_type=activity_type,
            activity_task_queue=task_queue,
            workflow_id=self._context.workflow_id,
            workflow_type=self._workflow_type,
            is_local=is_local,
        )

    def _of(self, workflow_id: str) -> WorkflowSerializationContext:
        return WorkflowSerializationContext(namespace=self._namespace, workflow_id=workflow_id)

    def _context_of_event(self, event: HistoryEvent) -> SerializationContext | None:
        """None: the run's own."""
        if self._converter.is_context_free:
            return None
        which = event.WhichOneof("attributes") or ""
        attributes: Any = getattr(event, which)
        if which in _OUTCOMES:
            return self._scheduled.get(attributes.scheduled_event_id)
        if which in _OF_OTHERS:
            return self._of(attributes.workflow_execution.workflow_id)
        if which == "marker_recorded_event_attributes":
            return self._context_of_marker(attributes.marker_name, attributes.details)
        return None

    def _context_of_marker(
        self, name: str, details: Mapping[str, Any]
    ) -> SerializationContext | None:
        if name != _LOCAL_ACTIVITY or "data" not in details:
            return None
        data = json.loads(details["data"].payloads[0].data)
        return self._local_activity(data["activity_id"], data["activity_type"])

    def _local_activity(self, activity_id: str, activity_type: str) -> ActivitySerializationContext:
        return self._activity(activity_id, activity_type, self._task_queue, is_local=True)

    def _path_of_command(self, command: Command) -> PayloadCodec:
        read = _COMMANDS.get(command.command_type)
        if read is None:
            return self.own
        return read(self, command)

    def _path_of_activity(self, command: Command) -> PayloadCodec:
        scheduled = command.schedule_activity_task_command_attributes
        if self._converter.is_context_free:
            return self.own
        return self._path_of(
            self._activity(
                scheduled.activity_id, scheduled.activity_type.name, scheduled.task_queue.name
            )
        )

    def _path_of_child(self, command: Command) -> PayloadCodec:
        child = command.start_child_workflow_execution_command_attributes
        target = StorageDriverWorkflowInfo(
            namespace=self._namespace, id=child.workflow_id, type=child.workflow_type.name
        )
        return self._path_of(self._of(child.workflow_id), target)

    def _path_of_signal(self, command: Command) -> PayloadCodec:
        signalled = command.signal_external_workflow_execution_command_attributes.execution
        target = StorageDriverWorkflowInfo(namespace=self._namespace, id=signalled.workflow_id)
        return self._path_of(self._of(signalled.workflow_id), target)

    def _path_of_operation(self, command: Command) -> PayloadCodec:
        operation = command.schedule_nexus_operation_command_attributes
        return self._path_of(
            NexusSerializationContext(
                endpoint=operation.endpoint,
                service=operation.service,
                operation=operation.operation,
            )
        )

    def _path_of_marker(self, command: Command) -> PayloadCodec:
        marker = command.record_marker_command_attributes
        if self.of_locals is not None and self.of_locals.put_result(command):
            return PayloadPath(None, self._converter.external_storage, self._target)
        if self._converter.is_context_free:
            return self.own
        return self._path_of(self._context_of_marker(marker.marker_name, marker.details))

    def _path_of_result(self, command: Command) -> PayloadCodec:
        return self._path_of(None, self._result_target)


_OUTCOMES: Final = frozenset(
    {
        "activity_task_completed_event_attributes",
        "activity_task_failed_event_attributes",
        "activity_task_timed_out_event_attributes",
        "activity_task_canceled_event_attributes",
        "nexus_operation_completed_event_attributes",
        "nexus_operation_failed_event_attributes",
        "nexus_operation_timed_out_event_attributes",
        "nexus_operation_canceled_event_attributes",
    }
)
"""What ends an activity or an operation."""

_OF_OTHERS: Final = frozenset(
    {
        "child_workflow_execution_completed_event_attributes",
        "child_workflow_execution_failed_event_attributes",
        "child_workflow_execution_canceled_event_attributes",
        "child_workflow_execution_timed_out_event_attributes",
        "child_workflow_execution_terminated_event_attributes",
        "signal_external_workflow_execution_failed_event_attributes",
    }
)
"""What is told of another workflow, which it names."""

_COMMANDS: Final[Mapping[int, Callable[[RunPayloads, Command], PayloadCodec]]] = {
    CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK: RunPayloads._path_of_activity,
    CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION: RunPayloads._path_of_child,
    CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION: RunPayloads._path_of_signal,
    CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION: RunPayloads._path_of_operation,
    CommandType.COMMAND_TYPE_RECORD_MARKER: RunPayloads._path_of_marker,
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: RunPayloads._path_of_result,
}
