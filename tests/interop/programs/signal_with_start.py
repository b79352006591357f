"""Signal-with-start: one request that starts, signals or does both, and is done once."""

from __future__ import annotations

from itertools import product
from typing import Any

from temporalio.api.common.v1 import Link, WorkflowExecution
from temporalio.api.enums.v1 import (
    EventType,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.programs.identifiers import CONFLICTS, REUSES, STATES
from tests.interop.programs.signals import Collect
from tests.interop.raw import HandWorker, complete_workflow, seconds, start_timer
from tests.interop.stage import Stage, payloads

LONG = "x" * 1001


def _request(
    stage: Stage, worker: HandWorker, name: str = "workflow", signal: str = "s", **fields: Any
) -> SignalWithStartWorkflowExecutionRequest:
    start = worker.start_request(name)
    return SignalWithStartWorkflowExecutionRequest(
        **{
            "namespace": start.namespace,
            "workflow_id": start.workflow_id,
            "workflow_type": start.workflow_type,
            "task_queue": start.task_queue,
            "identity": start.identity,
            "request_id": f"both {name} {signal} {stage.nonce}",
            "signal_name": signal,
            "signal_input": payloads(signal),
            "input": payloads("begin"),
            **fields,
        }
    )


async def _send(
    stage: Stage, request: SignalWithStartWorkflowExecutionRequest
) -> SignalWithStartWorkflowExecutionResponse:
    return await stage.service.signal_with_start_workflow_execution(request)


async def signal_with_start(stage: Stage) -> None:
    """Starts and signals, then only signals; a repeated request does nothing more."""
    worker = HandWorker(stage)
    first = _request(stage, worker, memo=None)
    first.header.fields["h"].data = b"header"
    first.memo.fields["m"].data = b"memo"
    first.user_metadata.CopyFrom(UserMetadata(summary=payloads("summary").payloads[0]))
    first.links.append(Link(batch_job=Link.BatchJob(job_id="job")))
    first.priority.priority_key = 2
    answer = await _send(stage, first)
    stage.message("started", answer)
    execution = WorkflowExecution(workflow_id=first.workflow_id, run_id=answer.run_id)
    await stage.outcome("the same again", _send(stage, first))
    await stage.outcome("signalled", _send(stage, _request(stage, worker, signal="second")))
    await stage.history("before a task", execution)
    await stage.describe("description", execution)
    task = await worker.poll()
    await stage.outcome("buffered", _send(stage, _request(stage, worker, signal="third")))
    await stage.outcome("buffered again", _send(stage, _request(stage, worker, signal="third")))
    await stage.outcome("by a signal's id", worker.signal(execution, "x", first.request_id))
    await worker.complete(task, start_timer("t", 3600))
    await worker.complete(await worker.poll(), complete_workflow("done"))
    await stage.chain("history", execution)
    await stage.outcome("after the end, again", _send(stage, first))
    fourth = _request(stage, worker, signal="fourth")
    answer = await _send(stage, fourth)
    stage.message("after the end", answer)
    await stage.outcome("after the end, twice", _send(stage, fourth))
    await worker.finish()
    await stage.chain(
        "second run", WorkflowExecution(workflow_id=first.workflow_id, run_id=answer.run_id)
    )


async def signal_with_start_policies(stage: Stage) -> None:
    """Every reuse policy with every conflict policy, on a running and on closed runs."""
    for state, reuse, conflict in product(STATES, REUSES, CONFLICTS):
        label = f"{state}, reuse {reuse}, conflict {conflict}"
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        if state == "completed":
            await worker.finish()
        elif state == "terminated":
            await stage.service.terminate_workflow_execution(
                TerminateWorkflowExecutionRequest(
                    namespace=stage.namespace, workflow_execution=execution, reason="replaced"
                )
            )
        request = _request(
            stage,
            worker,
            label,
            workflow_id_reuse_policy=REUSES[reuse],
            workflow_id_conflict_policy=CONFLICTS[conflict],
        )
        await stage.outcome(label, _send(stage, request))
        await stage.history(f"{label}, first run", execution)


async def signal_with_start_delayed(stage: Stage) -> None:
    """The signal of a delayed start is recorded, and makes no task before its time."""
    worker = HandWorker(stage)
    request = _request(stage, worker, workflow_start_delay=seconds(60))
    answer = await _send(stage, request)
    stage.message("started", answer)
    execution = WorkflowExecution(workflow_id=request.workflow_id, run_id=answer.run_id)
    await stage.outcome("while it waits", _send(stage, _request(stage, worker, signal="second")))
    await stage.history("waiting", execution)
    await worker.finish()
    await stage.chain("history", execution)
    cron = _request(stage, worker, "cron", cron_schedule="@every 1s")
    answer = await _send(stage, cron)
    execution = WorkflowExecution(workflow_id=cron.workflow_id, run_id=answer.run_id)
    await worker.complete(await worker.poll(), complete_workflow("once"))
    await stage.closed(execution)
    await stage.history("cron", execution)


async def signal_with_start_terminates(stage: Stage) -> None:
    """The run that is in the way ends; its successor has the signal."""
    worker = HandWorker(stage)
    old = await worker.start()
    task = await worker.poll()
    await worker.signal(old, "buffered")
    policy = WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
    request = _request(stage, worker, workflow_id_conflict_policy=policy)
    answer = await _send(stage, request)
    stage.message("answer", answer)
    await stage.outcome("too late", worker.complete(task, complete_workflow()))
    await stage.chain("old", old)
    await worker.finish()
    await stage.chain("new", WorkflowExecution(workflow_id=old.workflow_id, run_id=answer.run_id))


async def signal_with_start_by_client(stage: Stage) -> None:
    """The official client's `start_signal`, on a workflow of its own."""
    async with stage.worker([Collect]):
        handle = await stage.start(Collect.run, start_signal="say", start_signal_args=["one"])
        again = await stage.start(Collect.run, start_signal="say", start_signal_args=["two"])
        stage.observe("the same run", handle.first_execution_run_id == again.first_execution_run_id)
        await handle.signal(Collect.stop)
        stage.observe("result", await handle.result())
        signals = [
            event.workflow_execution_signaled_event_attributes.signal_name
            for event in await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
        ]
        stage.observe("signals", signals)


FAULTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no namespace": {"namespace": ""},
    "unknown namespace": {"namespace": "nowhere"},
    "no id": {"workflow_id": ""},
    "long id": {"workflow_id": LONG},
    "no signal": {"signal_name": ""},
    "long signal": {"signal_name": LONG},
    "no type": {"workflow_type": None},
    "long type": {"workflow_type": {"name": LONG}},
    "no queue": {"task_queue": None},
    "long queue": {"task_queue": {"name": LONG}},
    "long request id": {"request_id": LONG},
    "no request id": {"request_id": ""},
    "negative run timeout": {"workflow_run_timeout": seconds(-1)},
    "negative execution timeout": {"workflow_execution_timeout": seconds(-1)},
    "negative task timeout": {"workflow_task_timeout": seconds(-1)},
    "bad cron": {"cron_schedule": "never"},
    "cron and delay": {"cron_schedule": "@every 1s", "workflow_start_delay": seconds(1)},
    "negative delay": {"workflow_start_delay": seconds(-1)},
    "bad retry": {"retry_policy": {"backoff_coefficient": 0.5}},
    "bad attribute": {
        "search_attributes": {"indexed_fields": {"Nobody": payloads("x").payloads[0]}}
    },
    "bad priority": {"priority": {"priority_key": -1}},
    "bad link": {"links": [{}]},
    "many links": {"links": [{"batch_job": {"job_id": "j"}}] * 11},
    "large input": {"input": payloads("x" * 2_200_000)},
    "large signal": {"signal_input": payloads("x" * 2_200_000)},
    "large memo": {"memo": {"fields": {"m": payloads("x" * 2_200_000).payloads[0]}}},
    "reuse and conflict": {
        "workflow_id_reuse_policy": (
            WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
        ),
        "workflow_id_conflict_policy": (
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
        ),
    },
    "conflict fail": {
        "workflow_id_conflict_policy": (WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL)
    },
    "reject and terminate": {
        "workflow_id_reuse_policy": (
            WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
        ),
        "workflow_id_conflict_policy": (
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
        ),
    },
    "signal and type": {"signal_name": "", "workflow_type": None},
    "type and queue": {"workflow_type": None, "task_queue": None},
    "queue and request id": {"task_queue": None, "request_id": LONG},
    "queue and timeout": {"task_queue": None, "workflow_run_timeout": seconds(-1)},
    "request id and timeout": {"request_id": LONG, "workflow_run_timeout": seconds(-1)},
    "retry and timeout": {
        "retry_policy": {"backoff_coefficient": 0.5},
        "workflow_run_timeout": seconds(-1),
    },
    "retry and cron": {"retry_policy": {"backoff_coefficient": 0.5}, "cron_schedule": "never"},
    "cron and type": {"cron_schedule": "never", "workflow_type": None},
    "cron and signal": {"cron_schedule": "never", "signal_name": ""},
    "delay and cron": {"cron_schedule": "never", "workflow_start_delay": seconds(1)},
    "link and signal": {"links": [{}], "signal_name": ""},
    "priority and attribute": {
        "priority": {"priority_key": -1},
        "search_attributes": {"indexed_fields": {"Nobody": payloads("x").payloads[0]}},
    },
    "link and priority": {"links": [{}], "priority": {"priority_key": -1}},
    "long summary": {"user_metadata": {"summary": payloads("x" * 500).payloads[0]}},
    "long details": {"user_metadata": {"details": payloads("x" * 21_000).payloads[0]}},
    "unknown reuse": {"workflow_id_reuse_policy": 17},
    "unknown conflict": {"workflow_id_conflict_policy": 17},
}


async def refused_signal_with_start(stage: Stage) -> None:
    """Requests that cannot be honoured, one fault at a time."""
    worker = HandWorker(stage)
    for label, fields in FAULTS.items():
        request = _request(stage, worker, label, **fields)
        await stage.outcome(label, _send(stage, request))
    for label in ("long summary", "long details", "reuse and conflict"):
        await stage.outcome(
            f"start, {label}",
            stage.service.start_workflow_execution(
                worker.start_request(f"start {label}", **FAULTS[label])
            ),
        )
