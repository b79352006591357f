"""What happens at the limits, on servers whose limits are small."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    ModifyWorkflowPropertiesCommandAttributes,
    RecordMarkerCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import (
    Link,
    Memo,
    Payload,
    SearchAttributes,
    WorkerVersionCapabilities,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, UpdateWorkflowExecutionLifecycleStage
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.update.v1 import Input, Meta, Request, UpdateRef, WaitPolicy
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
    PollActivityTaskQueueRequest,
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowTaskQueueRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    RespondWorkflowTaskFailedRequest,
    SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
)
from temporalio.service import RPCError

from tests.interop.programs.children_by_hand import start_child
from tests.interop.programs.external import cancel as cancel_external
from tests.interop.programs.external import signal as signal_external
from tests.interop.raw import (
    IDENTITY,
    HandWorker,
    cancel_activity,
    complete_workflow,
    seconds,
    start_timer,
)
from tests.interop.stage import Stage, payloads

WAIT_SECONDS = 2
SETTINGS = (
    'callback.allowedAddresses=[{"Pattern":"127.0.0.1:*","AllowInsecure":true},{"Pattern":"*.secure.test"}]',
    "callback.maxPerExecution=3",
    "frontend.WorkflowPauseEnabled=true",
    "history.enableSignalWithStartFromWorkflow=true",
    "history.enableUpdateCallbacks=true",
    "nexusoperation.enableStandalone=true",
    "limit.blobSize.error=20000",
    "limit.blobSize.warn=10000",
    "limit.memoSize.error=10000",
    "limit.historySize.error=100000",
    "limit.historyCount.error=60",
    "limit.historySize.suggestContinueAsNew=30000",
    "limit.historyCount.suggestContinueAsNew=20",
    "limit.mutableStateSize.error=50000",
    "limit.numPendingActivities.error=3",
    "limit.numPendingChildExecutions.error=3",
    "limit.numPendingSignals.error=3",
    "limit.numPendingCancelRequests.error=3",
    "history.maximumSignalsPerExecution=50",
    "history.maximumBufferedEventsBatch=5",
    "history.maximumBufferedEventsSizeInBytes=30000",
    "limit.maxIDLength=200",
    "limit.workerBuildIdSize=20",
    "frontend.searchAttributesNumberOfKeysLimit=3",
    "frontend.searchAttributesSizeOfValueLimit=100",
    "frontend.searchAttributesTotalSizeLimit=300",
    "frontend.maxlinksPerRequest=2",
    "frontend.linkMaxSize=300",
    "frontend.visibilityMaxPageSize=3",
    "frontend.namespaceCount=200",
    f'history.workflowTaskHeartbeatTimeout="{WAIT_SECONDS}s"',
    f'matching.longPollExpirationInterval="{WAIT_SECONDS}s"',
    f'history.longPollExpirationInterval="{WAIT_SECONDS}s"',
)
LARGE = 20_100
"""More than a blob may have."""
LARGE_MEMO = 10_100
SIGNALS_MAX = 50
WAITING_MAX = 200


def _text(size: int) -> Any:
    return payloads("x" * size)


def _memo(size: int) -> Memo:
    return Memo(fields={"m": _text(size).payloads[0]})


def _attributes(*sizes: int) -> SearchAttributes:
    """Predefined search attributes of these sizes."""
    names = (
        "BatcherUser",
        "TemporalScheduledById",
        "BatcherNamespace",
        "TemporalNamespaceDivision",
    )
    return SearchAttributes(
        indexed_fields={
            name: Payload(
                metadata={"encoding": b"json/plain", "type": b"Keyword"},
                data=b'"' + b"x" * (size - 2) + b'"',
            )
            for name, size in zip(names, sizes, strict=False)
        }
    )


def _link(size: int) -> Link:
    return Link(batch_job=Link.BatchJob(job_id="x" * size))


async def limited_starts(stage: Stage) -> None:
    """Starts, signals and polls that are too large."""
    worker = HandWorker(stage)
    fields: dict[str, dict[str, Any]] = {
        "large input": {"input": _text(LARGE)},
        "large memo": {"memo": _memo(LARGE_MEMO)},
        "input with a warning": {"input": _text(15_000)},
        "many attributes": {"search_attributes": _attributes(10, 10, 10, 10)},
        "large attribute": {"search_attributes": _attributes(101)},
        "large attributes": {"search_attributes": _attributes(90, 90, 90)},
        "many links": {"links": [_link(1)] * 3},
        "large link": {"links": [_link(400)]},
        "long id": {"workflow_id": "x" * 201},
        "long type": {"workflow_type": WorkflowType(name="x" * 201)},
        "long request id": {"request_id": "x" * 201},
    }
    start = stage.service.start_workflow_execution
    for label, changed in fields.items():
        request = worker.start_request(label.replace(" ", "-"), **changed)
        await stage.outcome(label, start(request))
    running = await worker.start("signalled")
    signals: dict[str, dict[str, Any]] = {
        "signal with a large input": {"input": _text(LARGE)},
        "signal with a long name": {"signal_name": "x" * 201},
        "signal with a long identity": {"identity": "x" * 201},
    }
    for label, changed in signals.items():
        await stage.outcome(label, _signal(stage, running, "s", **changed))
    await stage.outcome(
        "terminated with large details",
        stage.service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(
                namespace=stage.namespace,
                workflow_execution=running,
                details=_text(LARGE),
                reason="r" * 2000,
            )
        ),
    )
    await stage.history("signalled", running)
    build = WorkerVersionCapabilities(build_id="b" * 21, use_versioning=True)
    await stage.outcome(
        "poll with a long build id",
        stage.service.poll_workflow_task_queue(
            PollWorkflowTaskQueueRequest(
                namespace=stage.namespace,
                task_queue=stage.task_queue(),
                worker_version_capabilities=build,
            ),
            timeout=timedelta(seconds=10),
        ),
    )


def _signal(
    stage: Stage, execution: WorkflowExecution, name: str, **fields: Any
) -> Awaitable[Message]:
    request: dict[str, Any] = {
        "namespace": stage.namespace,
        "workflow_execution": execution,
        "signal_name": name,
        "identity": "signaller",
        **fields,
    }
    return stage.service.signal_workflow_execution(SignalWorkflowExecutionRequest(**request))


def _command(kind: str, attributes: Any) -> Command:
    command = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))
    getattr(command, f"{kind.lower()}_command_attributes").CopyFrom(attributes)
    return command


def _marker(size: int, name: str = "marker") -> Command:
    return _command(
        "RECORD_MARKER",
        RecordMarkerCommandAttributes(marker_name=name, details={"d": _text(size)}),
    )


def _upsert(attributes: SearchAttributes) -> Command:
    return _command(
        "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
        UpsertWorkflowSearchAttributesCommandAttributes(search_attributes=attributes),
    )


def _modify(memo: Memo) -> Command:
    return _command(
        "MODIFY_WORKFLOW_PROPERTIES", ModifyWorkflowPropertiesCommandAttributes(upserted_memo=memo)
    )


def _large_commands(stage: Stage, worker: HandWorker) -> dict[str, list[Command]]:
    queue = stage.queue()
    child = stage.workflow_id("child")
    again = ContinueAsNewWorkflowExecutionCommandAttributes(
        workflow_type=WorkflowType(name="ByHand"), task_queue=stage.task_queue()
    )

    def continued(**fields: Any) -> Command:
        attributes = ContinueAsNewWorkflowExecutionCommandAttributes(**fields)
        attributes.MergeFrom(again)
        return _command("CONTINUE_AS_NEW_WORKFLOW_EXECUTION", attributes)

    failure = Failure(message="x" * LARGE, application_failure_info=ApplicationFailureInfo())
    return {
        "activity input": [start_timer("t", 60), worker.schedule_activity("a", input=_text(LARGE))],
        "result": [complete_workflow("x" * LARGE)],
        "failure": [
            _command(
                "FAIL_WORKFLOW_EXECUTION", FailWorkflowExecutionCommandAttributes(failure=failure)
            )
        ],
        "marker": [_marker(LARGE)],
        "continued input": [continued(input=_text(LARGE))],
        "continued memo": [continued(memo=_memo(LARGE_MEMO))],
        "continued attributes": [continued(search_attributes=_attributes(101))],
        "child input": [start_child(child, queue, input=_text(LARGE))],
        "child memo": [start_child(child, queue, memo=_memo(LARGE_MEMO))],
        "child attributes": [start_child(child, queue, search_attributes=_attributes(101))],
        "signal input": [signal_external(child, input=_text(LARGE))],
        "memo": [_modify(_memo(LARGE_MEMO))],
        "memo in parts": [
            _modify(_memo(9_000)),
            _modify(Memo(fields={"n": _text(2_000).payloads[0]})),
        ],
        "large attribute": [_upsert(_attributes(101))],
        "many attributes": [_upsert(_attributes(10, 10, 10, 10))],
        "large attributes": [_upsert(_attributes(90, 90, 90))],
        "attributes in parts": [_upsert(_attributes(90, 90)), _upsert(_attributes(90, 90, 90))],
        "too many activities": [worker.schedule_activity(f"a{n}") for n in range(4)],
        "too many children": [start_child(f"{child}{n}", queue) for n in range(4)],
        "too many signals": [signal_external(f"{child}-none-{n}") for n in range(4)],
        "too many cancels": [cancel_external(f"{child}-none-{n}") for n in range(4)],
        "long activity id": [worker.schedule_activity("x" * 201)],
        "long timer id": [start_timer("x" * 201, 60)],
        "long marker name": [_marker(1, "x" * 201)],
        "long child id": [start_child("x" * 201, queue)],
        "long target id": [signal_external("x" * 201)],
    }


async def limited_commands(stage: Stage) -> None:
    """Commands that are too large, too many or too long."""
    worker = HandWorker(stage)
    for label, commands in _large_commands(stage, worker).items():
        execution = await worker.start(label.replace(" ", "-"))
        await stage.outcome(label, worker.complete(await worker.poll(), *commands))
        await stage.history(f"{label}: history", execution)
        description = await stage.description(execution)
        stage.observe(f"{label}: status", description.workflow_execution_info.status)
        if description.HasField("pending_workflow_task"):
            await worker.complete(await worker.poll(), complete_workflow())


async def limited_activities(stage: Stage) -> None:
    """What activities report, too large."""
    worker = HandWorker(stage)
    execution = await worker.start()
    commands = [worker.schedule_activity(name) for name in ("a", "b", "c")]
    await worker.complete(await worker.poll(), *commands)
    service, large = stage.service, _text(LARGE)
    common: dict[str, Any] = {"namespace": stage.namespace, "identity": IDENTITY}
    tasks = {task.activity_id: task for task in [await worker.poll_activity() for _ in range(3)]}
    token = tasks["a"].task_token
    await stage.outcome(
        "heartbeat",
        service.record_activity_task_heartbeat(
            RecordActivityTaskHeartbeatRequest(task_token=token, details=large, **common)
        ),
    )
    await stage.outcome(
        "result",
        service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                task_token=tasks["b"].task_token, result=large, **common
            )
        ),
    )
    failure = Failure(message="x" * LARGE, application_failure_info=ApplicationFailureInfo())
    await stage.outcome(
        "failure",
        service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(
                task_token=tasks["c"].task_token,
                failure=failure,
                last_heartbeat_details=large,
                **common,
            )
        ),
    )
    task = await worker.poll()
    await worker.complete(task, worker.schedule_activity("d"))
    cancelled = await worker.poll_activity()
    await worker.signal(execution, "go")
    events = await stage.fetch(execution)
    scheduled_event_id = max(
        event.event_id
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    )
    await worker.complete(await worker.poll(), cancel_activity(scheduled_event_id))
    await stage.outcome(
        "cancel details",
        service.respond_activity_task_canceled(
            RespondActivityTaskCanceledRequest(
                task_token=cancelled.task_token, details=large, **common
            )
        ),
    )
    await stage.history("history", execution)
    task = await worker.poll()
    await stage.outcome(
        "task failure",
        service.respond_workflow_task_failed(
            RespondWorkflowTaskFailedRequest(task_token=task.task_token, failure=failure, **common)
        ),
    )
    await stage.history("history after the failed task", execution)


async def limited_history(stage: Stage) -> None:
    """Histories that come to their end: by signals and by commands, in events and in bytes."""
    worker = HandWorker(stage)
    many = await worker.start("many")
    for number in range(SIGNALS_MAX + 5):
        await stage.outcome(f"signal {number}", _signal(stage, many, f"s{number}"))
    task = await worker.poll()
    stage.observe("is advised", _advice(task))
    await stage.outcome("commands", worker.complete(task, *[_marker(1)] * 20))
    await stage.history("many: history", many)
    one_by_one = await worker.start("one by one")
    for number in range(20):
        task = await worker.poll()
        stage.observe(f"advice {number}", _advice(task))
        answer = await stage.outcome(
            f"completion {number}",
            worker.complete(task, *[_marker(1)] * 4, force_create_new_workflow_task=True),
        )
        if answer is None or not (await stage.description(one_by_one)).HasField(
            "pending_workflow_task"
        ):
            break
    await stage.history("one by one: history", one_by_one)
    large = await worker.start("large")
    for number in range(10):
        await stage.outcome(
            f"large signal {number}", _signal(stage, large, f"s{number}", input=_text(15_000))
        )
    await stage.history("large: history", large)


def _advice(task: Any) -> Any:
    started = task.history.events[-1].workflow_task_started_event_attributes
    return [
        started.suggest_continue_as_new,
        sorted(started.suggest_continue_as_new_reasons),
    ]


async def limited_buffer(stage: Stage) -> None:
    """More events than may be buffered, and more bytes."""
    worker = HandWorker(stage)
    for label, size, count in (("events", 1, 7), ("bytes", 12_000, 4)):
        execution = await worker.start(label)
        task = await worker.poll()
        for number in range(count):
            await stage.outcome(
                f"{label}, signal {number}",
                _signal(stage, execution, f"s{number}", input=_text(size)),
            )
        await stage.outcome(f"{label}, completion", worker.complete(task))
        await stage.history(f"{label}: history", execution)
        await worker.finish()


async def limited_state(stage: Stage) -> None:
    """A workflow whose state has outgrown its limit."""
    worker = HandWorker(stage)
    execution = await worker.start()
    commands = [worker.schedule_activity(name) for name in ("a", "b", "c")]
    await worker.complete(await worker.poll(), *commands)
    for number in range(3):
        task = await worker.poll_activity()
        await stage.outcome(
            f"heartbeat {number}",
            stage.service.record_activity_task_heartbeat(
                RecordActivityTaskHeartbeatRequest(
                    namespace=stage.namespace,
                    task_token=task.task_token,
                    details=_text(19_000),
                    identity=IDENTITY,
                )
            ),
        )
    await stage.history("history", execution)


async def limited_waits(stage: Stage) -> None:
    """Polls and history reads that wait in vain, and pages."""
    worker = HandWorker(stage)
    await stage.outcome(
        "workflow poll",
        _timed(
            stage,
            "workflow poll",
            stage.service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(
                    namespace=stage.namespace, task_queue=stage.task_queue(), identity=IDENTITY
                ),
                timeout=timedelta(seconds=20),
            ),
        ),
    )
    await stage.outcome(
        "activity poll",
        _timed(
            stage,
            "activity poll",
            stage.service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(
                    namespace=stage.namespace, task_queue=stage.task_queue(), identity=IDENTITY
                ),
                timeout=timedelta(seconds=20),
            ),
        ),
    )
    execution = await worker.start()
    for number in range(12):
        await worker.signal(execution, f"s{number}")
    request = GetWorkflowExecutionHistoryRequest(
        namespace=stage.namespace, execution=execution, wait_new_event=True
    )
    for page in range(3):
        response = await _timed(
            stage, f"page {page}", stage.service.get_workflow_execution_history(request)
        )
        stage.message(f"history page {page}", response)
        request.next_page_token = response.next_page_token
    for number in range(4):
        await worker.start(f"more {number}")
    listed = await stage.service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=stage.namespace, page_size=100)
    )
    stage.observe("runs on a page", len(listed.executions))


async def limited_heartbeats(stage: Stage) -> None:
    """Workflow tasks that only ask for another one, for longer than they may."""
    worker = HandWorker(stage)
    execution = await worker.start(workflow_task_timeout=seconds(30))
    again: dict[str, Any] = {
        "force_create_new_workflow_task": True,
        "return_new_workflow_task": True,
    }
    task = (await worker.complete(await worker.poll(), **again)).workflow_task
    await asyncio.sleep(WAIT_SECONDS + 0.5)
    # The real server would start the next task for a worker that it refuses.
    late = {"force_create_new_workflow_task": True}
    await stage.outcome("heartbeat that comes too late", worker.complete(task, **late))
    await stage.outcome("once more", worker.complete(task, **late))
    task = (await worker.complete(await worker.poll(), **again)).workflow_task
    await asyncio.sleep(WAIT_SECONDS + 0.5)
    marked = worker.complete(task, _marker(1), **again)
    stage.observe("with a command", (await marked).HasField("workflow_task"))
    await stage.history("history", execution)


async def limited_requests(stage: Stage) -> None:
    """More requests that wait than a namespace may have of one method, and another that may."""
    worker = HandWorker(stage)
    execution = await worker.start()
    meta = Meta(update_id="u", identity=IDENTITY)
    reference = UpdateRef(workflow_execution=execution, update_id="u")
    accepted = WaitPolicy(
        lifecycle_stage=UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
    )
    poll = PollWorkflowExecutionUpdateRequest(
        namespace=stage.namespace, update_ref=reference, wait_policy=accepted
    )
    update = UpdateWorkflowExecutionRequest(
        namespace=stage.namespace,
        workflow_execution=execution,
        request=Request(meta=meta, input=Input(name="n")),
        wait_policy=accepted,
    )
    service = stage.service
    await service.update_workflow_execution(update, timeout=timedelta(seconds=20))
    refusals: list[RPCError] = []
    answered = 0
    while not refusals:  # A client that is busy sends them too slowly, and tries again.
        polls = [
            service.poll_workflow_execution_update(poll, timeout=timedelta(seconds=20))
            for _ in range(2 * WAITING_MAX)
        ]
        answers = await asyncio.gather(*polls, return_exceptions=True)
        refusals = [one for one in answers if isinstance(one, RPCError)]
        answered = len(answers) - len(refusals)
    stage.observe("as many as may wait are answered", answered >= WAITING_MAX)
    await stage.outcome("refusal", _raised(refusals[0]))
    stage.observe("all are refused alike", len({one.message for one in refusals}))
    await stage.outcome("afterwards", service.poll_workflow_execution_update(poll))
    await worker.finish()


async def _raised(refusal: RPCError) -> Message:
    raise refusal


async def _timed(stage: Stage, label: str, call: Awaitable[Any]) -> Any:
    """Keep whether it took as long as a wait in vain: servers that are busy are late."""
    began = time.monotonic()
    answer = await call
    waited = time.monotonic() - began
    stage.observe(f"{label} waits in vain", WAIT_SECONDS * 0.8 < waited < WAIT_SECONDS * 5)
    return answer
