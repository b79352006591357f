"""Continue-as-new: what ends this run and begins the next one with a fresh history."""

from __future__ import annotations

from typing import NoReturn

from temporalio.api.command.v1 import Command, ContinueAsNewWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Header, Payloads, WorkflowType
from temporalio.api.common.v1 import SearchAttributes as SearchAttributesMessage
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure._replay.activities import COMPATIBLE, duration_of
from perdure._replay.context import WorkflowContext
from perdure._replay.errors import ContinueAsNewError
from perdure._replay.event_groups import markers
from perdure._replay.interceptors import ContinueAsNewInput
from perdure._replay.search_attributes import encoded


def end_run(asked: ContinueAsNewInput) -> NoReturn:
    """Ends the run and continues as asked, by an exception that the code has to let through."""
    raise ContinueAsNewRequest(asked)


class ContinueAsNewRequest(ContinueAsNewError):
    """Carries what `workflow.continue_as_new` was called with out of the workflow's code."""

    def __init__(self, asked: ContinueAsNewInput) -> None:
        super().__init__("Continue as new")
        self._asked = asked
        self._markers = markers(asked.event_groups)

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
            WorkflowType(name=self._asked.workflow or context.workflow_type)
        )
        own_queue = context.options.task_queue
        task_queue = self._asked.task_queue or own_queue
        attributes.task_queue.CopyFrom(TaskQueue(name=task_queue))
        if self._asked.args:
            payloads = context.payload_converter.to_payloads(self._asked.args)
            attributes.input.CopyFrom(Payloads(payloads=payloads))
        if self._asked.headers:
            attributes.header.CopyFrom(Header(fields=self._asked.headers))
        attributes.inherit_build_id = self._asked.versioning_intent == COMPATIBLE or (
            self._asked.versioning_intent is None and task_queue == own_queue
        )
        if self._asked.initial_versioning_behavior:
            attributes.initial_versioning_behavior = self._asked.initial_versioning_behavior

    def _set_timeouts(self, attributes: ContinueAsNewWorkflowExecutionCommandAttributes) -> None:
        for field, delta in (
            (attributes.workflow_run_timeout, self._asked.run_timeout),
            (attributes.workflow_task_timeout, self._asked.task_timeout),
            (attributes.backoff_start_interval, self._asked.backoff_start_interval),
        ):
            duration = duration_of(delta)
            if duration is not None:
                field.CopyFrom(duration)

    def _set_carried_over(
        self, context: WorkflowContext, attributes: ContinueAsNewWorkflowExecutionCommandAttributes
    ) -> None:
        started = context.started.workflow_execution_started_event_attributes
        if self._asked.memo:
            to_payload = context.payload_converter.to_payload
            for key, value in self._asked.memo.items():
                attributes.memo.fields[key].CopyFrom(to_payload(value))
        elif started.memo.fields:
            attributes.memo.CopyFrom(started.memo)
        if self._asked.retry_policy is not None:
            self._asked.retry_policy.apply_to_proto(attributes.retry_policy)
        elif started.HasField("retry_policy"):
            attributes.retry_policy.CopyFrom(started.retry_policy)
        fields = dict(started.search_attributes.indexed_fields)
        fields.update(context.upserted_search_attributes)
        if self._asked.search_attributes:
            fields = encoded(self._asked.search_attributes)
        if fields:
            attributes.search_attributes.CopyFrom(SearchAttributesMessage(indexed_fields=fields))
