"""Pausing workflows: off on a stock server, which answers all the same."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    QueryWorkflowRequest,
    RespondActivityTaskCompletedRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseWorkflowExecutionRequest,
)

from tests.interop.raw import HandWorker, start_timer
from tests.interop.stage import Stage

LONG = "x" * 1001
NEVER = "11111111-2222-3333-4444-555555555555"


async def pause_is_off(stage: Stage) -> None:
    """Nothing can be paused, so nothing can be unpaused."""
    worker = HandWorker(stage)
    execution = await worker.start()
    fields = {
        "namespace": stage.namespace,
        "workflow_id": execution.workflow_id,
        "run_id": execution.run_id,
        "identity": "somebody",
        "reason": "because",
        "request_id": "request",
    }
    await stage.outcome(
        "pause", stage.service.pause_workflow_execution(PauseWorkflowExecutionRequest(**fields))
    )
    faults: dict[str, dict[str, Any]] = {
        "unpause": {},
        "no namespace": {"namespace": ""},
        "no id": {"workflow_id": ""},
        "unknown id": {"workflow_id": stage.workflow_id("unknown"), "run_id": ""},
        "unknown run": {"run_id": NEVER},
        "bad run id": {"run_id": "run"},
        "no request id": {"request_id": ""},
        "long request id": {"request_id": LONG},
        "long reason": {"reason": LONG},
        "long identity": {"identity": LONG},
        "long reason, no id": {"reason": LONG, "workflow_id": ""},
        "long identity and reason": {"reason": LONG, "identity": LONG},
        "long reason and request id": {"reason": LONG, "request_id": LONG},
    }
    for label, changed in faults.items():
        request = UnpauseWorkflowExecutionRequest(**{**fields, **changed})
        await stage.outcome(label, stage.service.unpause_workflow_execution(request))
    await stage.service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(namespace=stage.namespace, workflow_execution=execution)
    )
    request = UnpauseWorkflowExecutionRequest(**fields)
    await stage.outcome("closed", stage.service.unpause_workflow_execution(request))


class _Switch:
    """Pauses and unpauses one workflow, with a request id of its own each time."""

    def __init__(self, stage: Stage, execution: WorkflowExecution) -> None:
        self._stage = stage
        self._execution = execution

    def pause(self, request_id: str) -> Awaitable[Message]:
        """The call."""
        return self._stage.service.pause_workflow_execution(
            PauseWorkflowExecutionRequest(reason="lunch", **self._fields(request_id))
        )

    def unpause(self, request_id: str) -> Awaitable[Message]:
        """The call."""
        return self._stage.service.unpause_workflow_execution(
            UnpauseWorkflowExecutionRequest(reason="back", **self._fields(request_id))
        )

    def _fields(self, request_id: str) -> dict[str, Any]:
        return {
            "namespace": self._stage.namespace,
            "workflow_id": self._execution.workflow_id,
            "run_id": self._execution.run_id,
            "identity": "somebody",
            "request_id": f"{request_id} {self._stage.nonce}",
        }


async def pause_held(stage: Stage) -> None:
    """A paused run hears and gets no task; what waited goes on afterwards."""
    worker = HandWorker(stage)
    execution = await worker.start()
    switch = _Switch(stage, execution)
    await stage.outcome("paused", switch.pause("one"))
    await stage.outcome("paused again", switch.pause("one"))
    await stage.outcome("paused by another", switch.pause("two"))
    await worker.signal(execution, "go")
    await stage.history("paused, history", execution)
    await stage.describe("paused, description", execution)
    query = QueryWorkflowRequest(
        namespace=stage.namespace, execution=execution, query=WorkflowQuery(query_type="q")
    )
    await stage.outcome("query", stage.service.query_workflow(query))
    await stage.outcome("unpaused", switch.unpause("three"))
    await stage.describe("unpaused, description", execution)
    await worker.complete(await worker.poll(), start_timer("t", 0.1), worker.schedule_activity("a"))
    await stage.event(execution, EventType.EVENT_TYPE_TIMER_FIRED)
    await switch.pause("four")
    await stage.describe("with an activity, description", execution)
    await switch.unpause("five")
    activity = await worker.poll_activity()
    await switch.pause("six")
    await stage.service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(
            namespace=stage.namespace, task_token=activity.task_token, identity="worker"
        )
    )
    await stage.history("completed while it was paused", execution)
    await switch.unpause("seven")
    await worker.finish()
    await stage.history("history", execution)


async def pause_buffered(stage: Stage) -> None:
    """While a worker holds a task, a pause holds at once and is recorded later."""
    worker = HandWorker(stage)
    execution = await worker.start()
    switch = _Switch(stage, execution)
    task = await worker.poll()
    await switch.pause("one")
    await stage.outcome("another", switch.pause("two"))
    await stage.describe("description", execution)
    await stage.history("while the task runs", execution)
    await worker.complete(
        task, start_timer("t", 3600), worker.schedule_activity("a"), return_new_workflow_task=True
    )
    await stage.history("after the task", execution)
    await switch.unpause("three")
    task = await worker.poll()
    await switch.pause("four")
    await switch.unpause("five")
    await worker.complete(task)
    await stage.history("both", execution)
    await switch.pause("six")
    await stage.service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(namespace=stage.namespace, workflow_execution=execution)
    )
    await stage.history("terminated", execution)
    await stage.outcome("too late", switch.pause("seven"))


async def refused_pauses(stage: Stage) -> None:
    """Requests that cannot be honoured."""
    worker = HandWorker(stage)
    execution = await worker.start()
    fields: dict[str, Any] = {
        "namespace": stage.namespace,
        "workflow_id": execution.workflow_id,
        "identity": "somebody",
        "request_id": "request",
    }
    faults: dict[str, dict[str, Any]] = {
        "no namespace": {"namespace": ""},
        "no id": {"workflow_id": ""},
        "unknown id": {"workflow_id": stage.workflow_id("unknown")},
        "unknown run": {"run_id": NEVER},
        "bad run id": {"run_id": "run"},
        "long request id": {"request_id": LONG},
        "long reason": {"reason": LONG},
        "long identity": {"identity": LONG},
        "no request id": {"request_id": ""},
    }
    for label, changed in faults.items():
        request = PauseWorkflowExecutionRequest(**{**fields, **changed})
        await stage.outcome(label, stage.service.pause_workflow_execution(request))
    await stage.history("history", execution)
