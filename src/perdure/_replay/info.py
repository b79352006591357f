"""What `workflow.info()` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent

from perdure.common import (
    Priority,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    WorkerDeploymentVersion,
)
from perdure.converter import decode_search_attributes, decode_typed_search_attributes

if TYPE_CHECKING:
    from perdure._replay.api import RunnerOptions, WorkflowActivation
    from perdure._replay.context import WorkflowContext


_EPOCH = datetime.fromtimestamp(0, UTC)
"""Floats do not hold all microseconds."""


def _current() -> WorkflowContext:
    from perdure._replay.context import current

    return current()


@dataclass(frozen=True)
class ParentInfo:
    """The workflow that started this one."""

    namespace: str
    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class RootInfo:
    """The workflow at the top of the tree that this one is in."""

    run_id: str
    workflow_id: str


@dataclass(frozen=True)
class UpdateInfo:
    """The update that is being handled."""

    id: str
    name: str


@dataclass(frozen=True)
class Info:
    """What is known of the running workflow.

    It does not change, but for the search attributes (by `upsert_search_attributes`) and the memo
    (by `upsert_memo`), and for what the methods return, which is as of the current task.
    """

    attempt: int
    continued_run_id: str | None
    cron_schedule: str | None
    execution_timeout: timedelta | None
    first_execution_run_id: str
    headers: Mapping[str, Payload]
    namespace: str
    original_execution_run_id: str
    """Unlike `run_id`, this one survives a reset."""
    parent: ParentInfo | None
    root: RootInfo | None
    priority: Priority
    raw_memo: Mapping[str, Payload]
    retry_policy: RetryPolicy | None
    run_id: str
    run_timeout: timedelta | None
    search_attributes: SearchAttributes
    start_time: datetime
    """When the first workflow task was started."""
    task_queue: str
    task_timeout: timedelta
    typed_search_attributes: TypedSearchAttributes
    workflow_id: str
    workflow_start_time: datetime
    """When the server recorded the start."""
    workflow_type: str

    def logger_details(self) -> dict[str, Any]:
        """What every log record of the workflow carries."""
        return {
            "attempt": self.attempt,
            "namespace": self.namespace,
            "run_id": self.run_id,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_type": self.workflow_type,
        }

    def get_current_build_id(self) -> str:
        """The build that completed, or now completes, the current task."""
        return _current().build_id

    def get_current_deployment_version(self) -> WorkerDeploymentVersion | None:
        """The deployment version that completed, or now completes, the current task."""
        context = _current()
        if not context.build_id:
            return None
        return WorkerDeploymentVersion(
            deployment_name=context.deployment_name, build_id=context.build_id
        )

    def get_current_history_length(self) -> int:
        """How many events the history has up to the current task."""
        return _current().machine.last_event_id

    def get_current_history_size(self) -> int:
        """How many bytes the history has up to the current task."""
        return _current().machine.history_size_bytes

    def is_continue_as_new_suggested(self) -> bool:
        """Whether the server finds the history long enough for `continue_as_new`."""
        return _current().machine.continue_as_new_suggested

    def is_target_worker_deployment_version_changed(self) -> bool:
        """Whether the run would now be given to another deployment version."""
        return _current().machine.target_deployment_version_changed


def info_of_run(
    options: RunnerOptions, task: WorkflowActivation, started: HistoryEvent, time_ns: int
) -> Info:
    """The info of a run, from its first event and the time of its first task."""
    attributes = started.workflow_execution_started_event_attributes
    parent = root = None
    if attributes.HasField("parent_workflow_execution"):
        parent = ParentInfo(
            namespace=attributes.parent_workflow_namespace,
            run_id=attributes.parent_workflow_execution.run_id,
            workflow_id=attributes.parent_workflow_execution.workflow_id,
        )
    if attributes.HasField("root_workflow_execution"):
        root = RootInfo(
            run_id=attributes.root_workflow_execution.run_id,
            workflow_id=attributes.root_workflow_execution.workflow_id,
        )
    retry_policy = (
        RetryPolicy.from_proto(attributes.retry_policy)
        if attributes.HasField("retry_policy")
        else None
    )
    return Info(
        attempt=attributes.attempt,
        continued_run_id=attributes.continued_execution_run_id or None,
        cron_schedule=attributes.cron_schedule or None,
        execution_timeout=_limit(attributes, "workflow_execution_timeout"),
        first_execution_run_id=attributes.first_execution_run_id,
        headers=dict(attributes.header.fields),
        namespace=options.namespace,
        original_execution_run_id=attributes.original_execution_run_id or task.run_id,
        parent=parent,
        root=root,
        priority=Priority.from_proto(attributes.priority),
        raw_memo=dict(attributes.memo.fields),
        retry_policy=retry_policy,
        run_id=task.run_id,
        run_timeout=_limit(attributes, "workflow_run_timeout"),
        search_attributes=decode_search_attributes(attributes.search_attributes),
        start_time=_EPOCH + timedelta(microseconds=time_ns // 1000),
        task_queue=options.task_queue,
        task_timeout=attributes.workflow_task_timeout.ToTimedelta(),
        typed_search_attributes=decode_typed_search_attributes(attributes.search_attributes),
        workflow_id=task.workflow_id,
        workflow_start_time=started.event_time.ToDatetime(UTC),
        workflow_type=attributes.workflow_type.name,
    )


def _limit(attributes: Any, field: str) -> timedelta | None:
    duration: Duration = getattr(attributes, field)
    return duration.ToTimedelta() if attributes.HasField(field) else None
