"""Continue-as-new: what ends this run and begins the next one with a fresh history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from temporalio.api.command.v1 import Command, ContinueAsNewWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Payloads, WorkflowType
from temporalio.api.common.v1 import SearchAttributes as SearchAttributesMessage
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure._replay.activities import COMPATIBLE, duration_of
from perdure._replay.context import WorkflowContext
from perdure._replay.errors import ContinueAsNewError
from perdure._replay.event_groups import EventGroup, markers
from perdure._replay.search_attributes import encoded
from perdure.common import RetryPolicy, SearchAttributes, TypedSearchAttributes


class ContinueAsNewRequest(ContinueAsNewError):
    """Carries what `workflow.continue_as_new` was called with out of the workflow's code."""

    def __init__(
        self,
        *,
        workflow: str | None,
        args: Sequence[Any],
        task_queue: str | None,
        run_timeout: timedelta | None,
        task_timeout: timedelta | None,
        backoff_start_interval: timedelta | None,
        retry_policy: RetryPolicy | None,
        memo: Mapping[str, Any] | None,
        search_attributes: SearchAttributes | TypedSearchAttributes | None,
        versioning_intent: int | None,
        initial_versioning_behavior: int | None,
        event_groups: Sequence[EventGroup] | None,
    ) -> None:
        super().__init__("Continue as new")
        self._workflow = workflow
        self._args = args
        self._task_queue = task_queue
        self._run_timeout = run_timeout
        self._task_timeout = task_timeout
        self._backoff = backoff_start_interval
        self._retry_policy = retry_policy
        self._memo = memo
        self._search_attributes = search_attributes
        self._versioning_intent = versioning_intent
        self._initial_versioning_behavior = initial_versioning_behavior
        self._markers = markers(event_groups)

    def command(self, context: WorkflowContext) -> Command:
        """The command; what was not given is as in this run."""
        attributes = ContinueAsNewWorkflowExecutionCommandAttributes()
        self._set_target(context, attributes)
        self._set_timeouts(attributes)
        self._set_carried_over(context, attributes)
        command = Command(
            command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
            continue_as_new_workflow_execution_command_attributes=attributes,
        )
        command.event_group_markers.extend(self._markers)
        return command

    def _set_target(
        self, context: WorkflowContext, attributes: ContinueAsNewWorkflowExecutionCommandAttributes
    ) -> None:
        attributes.workflow_type.CopyFrom(
            WorkflowType(name=self._workflow or context.workflow_type)
        )
        own_queue = context.options.task_queue
        task_queue = self._task_queue or own_queue
        attributes.task_queue.CopyFrom(TaskQueue(name=task_queue))
        if self._args:
            payloads = context.payload_converter.to_payloads(self._args)
            attributes.input.CopyFrom(Payloads(payloads=payloads))
        attributes.inherit_build_id = self._versioning_intent == COMPATIBLE or (
            self._versioning_intent is None and task_queue == own_queue
        )
        if self._initial_versioning_behavior:
            attributes.initial_versioning_behavior = self._initial_versioning_behavior  # type: ignore[assignment]

    def _set_timeouts(self, attributes: ContinueAsNewWorkflowExecutionCommandAttributes) -> None:
        for field, delta in (
            (attributes.workflow_run_timeout, self._run_timeout),
            (attributes.workflow_task_timeout, self._task_timeout),
            (attributes.backoff_start_interval, self._backoff),
        ):
            duration = duration_of(delta)
            if duration is not None:
                field.CopyFrom(duration)

    def _set_carried_over(
        self, context: WorkflowContext, attributes: ContinueAsNewWorkflowExecutionCommandAttributes
    ) -> None:
        started = context.started.workflow_execution_started_event_attributes
        if self._memo:
            to_payload = context.payload_converter.to_payload
            for key, value in self._memo.items():
                attributes.memo.fields[key].CopyFrom(to_payload(value))
        elif started.memo.fields:
            attributes.memo.CopyFrom(started.memo)
        if self._retry_policy is not None:
            self._retry_policy.apply_to_proto(attributes.retry_policy)
        elif started.HasField("retry_policy"):
            attributes.retry_policy.CopyFrom(started.retry_policy)
        fields = dict(started.search_attributes.indexed_fields)
        fields.update(context.upserted_search_attributes)
        if self._search_attributes:
            fields = encoded(self._search_attributes)
        if fields:
            attributes.search_attributes.CopyFrom(SearchAttributesMessage(indexed_fields=fields))
