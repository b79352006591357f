"""Stages in which a program has to do with other workflows, and with those who look for it."""

from __future__ import annotations

import msgspec
from temporalio.api.command.v1 import (
    Command,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import (
    Payload,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.server.machines.wire import duration
from sim.workload.facts import MILLISECOND_NS, QUEUE, STEP, Facts, Stage, encode
from sim.workload.timers import cancel_timer, run_timer

CHILD_TASK_TIMEOUT_MS = 2_000
PATIENCE_MS = 40_000


def upsert(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    """Set a search attribute to the name of the stage."""
    if name not in found.upserts:
        payload = Payload(
            metadata={"encoding": b"json/plain", "type": b"Keyword"},
            data=msgspec.json.encode(name),
        )
        attributes = SearchAttributes(indexed_fields={STEP: payload})
        wanted.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
                upsert_workflow_search_attributes_command_attributes=(
                    UpsertWorkflowSearchAttributesCommandAttributes(search_attributes=attributes)
                ),
            )
        )
    return True


def child(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    """Start a child, and wait for its start or its end; or, in a race, cancel it after a while.

    Patience ends, since nobody may be left to tell: a run that is made by resetting one that was
    over waits for children which have ended long ago.
    """
    workflow_id, patience = f"{found.workflow_id}/{name}", f"{name}/patience"
    initiated = found.children.get(workflow_id)
    if initiated is None:
        wanted.append(_start(workflow_id, stage))
    is_over = initiated in found.children_over
    is_started = initiated in found.children_started
    is_done = is_over or (stage.wait == "start" and is_started)
    if run_timer(patience, PATIENCE_MS, found, wanted):
        return True
    if stage.wait == "race":
        is_timer_over = run_timer(name, stage.timer_ms, found, wanted)
        if is_over and not is_timer_over:
            cancel_timer(name, found, wanted)
        if is_timer_over and is_started and not is_over and name not in found.externals:
            wanted.append(_cancel(name, workflow_id, child_only=True))
    if is_done:
        cancel_timer(patience, found, wanted)
    return is_done


def external(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    """Signal another workflow, or ask it to cancel, and wait for what becomes of that."""
    initiated = found.externals.get(name)
    if initiated is None:
        if stage.is_cancel:
            wanted.append(_cancel(name, stage.target, child_only=False))
        else:
            wanted.append(_signal(name, stage.target))
    return initiated in found.externals_over


def _start(workflow_id: str, stage: Stage) -> Command:
    assert stage.child is not None, "a child stage has a program for it"
    attributes = StartChildWorkflowExecutionCommandAttributes(
        workflow_id=workflow_id,
        workflow_type=WorkflowType(name="program"),
        task_queue=TaskQueue(name=QUEUE),
        input=encode(stage.child),
        parent_close_policy=stage.close_policy,  # type: ignore[arg-type]
        workflow_task_timeout=duration(CHILD_TASK_TIMEOUT_MS * MILLISECOND_NS),
    )
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        start_child_workflow_execution_command_attributes=attributes,
    )


def _signal(name: str, target: str) -> Command:
    attributes = SignalExternalWorkflowExecutionCommandAttributes(
        execution=WorkflowExecution(workflow_id=target), signal_name="signal", control=name
    )
    return Command(
        command_type=CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
        signal_external_workflow_execution_command_attributes=attributes,
    )


def _cancel(name: str, target: str, *, child_only: bool) -> Command:
    attributes = RequestCancelExternalWorkflowExecutionCommandAttributes(
        workflow_id=target, control=name, child_workflow_only=child_only
    )
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
        request_cancel_external_workflow_execution_command_attributes=attributes,
    )
