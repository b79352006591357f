"""Completion callbacks: what is posted when a run is over, and what is shown of it."""

from __future__ import annotations

import re
from typing import Any

from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Payload,
    Payloads,
    RetryPolicy,
    WorkflowExecution,
)
from temporalio.api.enums.v1 import CallbackState, CommandType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflow.v1 import OnConflictOptions
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.listener import Listener, listening
from tests.interop.programs.identifiers import CONFLICTS
from tests.interop.programs.resets import reset
from tests.interop.programs.update_with_start_by_hand import continue_as_new
from tests.interop.raw import HandWorker, complete_workflow, seconds
from tests.interop.stage import Stage, payloads

TIME = re.compile(r"(Time: ).*")
FINAL = (CallbackState.CALLBACK_STATE_SUCCEEDED, CallbackState.CALLBACK_STATE_FAILED)
ATTACH = OnConflictOptions(attach_request_id=True, attach_completion_callbacks=True)


def callback(url: str, **header: str) -> Callback:
    """A callback by HTTP."""
    return Callback(nexus=Callback.Nexus(url=url, header=header))


def completes(*results: Payload) -> Command:
    """The command that ends a workflow with these, if any."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(
            result=Payloads(payloads=results) if results else None
        ),
    )


def fails(failure: Failure) -> Command:
    """The command that fails a workflow."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=failure
        ),
    )


def _payload(data: bytes, **metadata: bytes) -> Payload:
    return Payload(data=data, metadata=metadata)


_FAILURE = Failure(
    message="<boom> & é",
    stack_trace="trace",
    application_failure_info=ApplicationFailureInfo(type="T", details=payloads("detail")),
    cause=Failure(message="inner"),
)
_CANCELS = Command(
    command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
    cancel_workflow_execution_command_attributes=CancelWorkflowExecutionCommandAttributes(
        details=payloads("why")
    ),
)
ENDS: dict[str, Command] = {
    "json": complete_workflow({"a": 1}),
    "nothing": completes(),
    "two": completes(_payload(b"one", encoding=b"binary/plain"), _payload(b"two")),
    "bytes": completes(_payload(b"\x00", encoding=b"binary/plain")),
    "null": completes(_payload(b"", encoding=b"binary/null")),
    "json protobuf": completes(_payload(b"{}", encoding=b"json/protobuf", messageType=b"a.B")),
    "protobuf": completes(_payload(b"x", encoding=b"binary/protobuf", messageType=b"a.B")),
    "own encoding": completes(_payload(b"x", encoding=b"own")),
    "no encoding": completes(_payload(b"x")),
    "fails": fails(_FAILURE),
    "cancels": _CANCELS,
}


async def callbacks_called(stage: Stage) -> None:
    """Every end of a run, as it is posted."""
    async with listening() as listener:
        stage.hide(str(listener.port))
        for index, (name, command) in enumerate(ENDS.items()):
            worker = HandWorker(stage, name)
            called = callback(f"{listener.base}/200/{index}", custom="x", Other="Y")
            execution = await worker.start(name, completion_callbacks=[called])
            await worker.complete(await worker.poll(), command)
            await listener.hears(index + 1)
            await _ended(stage, execution)
            observe_post(stage, name, listener)
        worker = HandWorker(stage, "terminated")
        called = callback(f"{listener.base}/200/terminated")
        execution = await worker.start("terminated", completion_callbacks=[called])
        await stage.history("terminated, history", execution)
        await stage.describe("terminated, before", execution)
        await stage.service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(
                namespace=stage.namespace, workflow_execution=execution, reason="because"
            )
        )
        await _ended(stage, execution)
        observe_post(stage, "terminated", listener)
        await stage.describe("terminated, after", execution)
        called = callback(f"{listener.base}/200/late")
        execution = await worker.start(
            "late", completion_callbacks=[called], workflow_run_timeout=seconds(1)
        )
        await _ended(stage, execution)
        observe_post(stage, "timed out", listener)


async def callbacks_tried(stage: Stage) -> None:
    """Answers that are no good, after the first attempt."""
    async with listening() as listener:
        stage.hide(str(listener.port))
        for path in ("400", "401", "404", "408", "409", "429", "500", "501", "503", "530", "bye"):
            worker = HandWorker(stage, path)
            execution = await worker.start(
                path, completion_callbacks=[callback(f"{listener.base}/{path}/")]
            )
            await worker.complete(await worker.poll(), complete_workflow("x"))
            described = await stage.described(
                execution, lambda described: described.callbacks[0].attempt > 0
            )
            info = described.callbacks[0]
            info.ClearField("next_attempt_schedule_time")  # It may be time already.
            stage.message(path, info)


async def callbacks_attached(stage: Stage) -> None:
    """Attached to a running workflow, once per request, and not too many."""
    async with listening() as listener:
        stage.hide(str(listener.port))
        worker = HandWorker(stage)
        links = [Link(batch_job=Link.BatchJob(job_id=name)) for name in ("of both", "of it")]
        first = callback(f"{listener.base}/200/first")
        first.links.extend(links[:1])
        execution = await worker.start(completion_callbacks=[first], links=links)
        await worker.complete(await worker.poll())
        for name in ("second", "second", "third", "fourth"):
            request = worker.start_request(
                request_id=f"{name} {stage.nonce}",
                completion_callbacks=[callback(f"{listener.base}/200/{name}", h=name)],
                workflow_id_conflict_policy=CONFLICTS["use existing"],
                on_conflict_options=ATTACH,
            )
            label = name if name not in stage.observations else f"{name} again"
            await stage.outcome(label, _start(stage, request))
        await stage.history("history", execution)
        await worker.signal(execution, "go")
        await worker.finish()
        await listener.hears(3)
        described = await _ended(stage, execution)
        infos = sorted(described.callbacks, key=lambda info: info.callback.nexus.url)
        for index, info in enumerate(infos):
            stage.message(f"callback {index}", info)
        paths = sorted(head[0] for head, _ in listener.posts)
        stage.observe("posts", paths)


async def callbacks_of_chains(stage: Stage) -> None:
    """Continued as new, retried, by a cron schedule, and reset."""
    async with listening() as listener:
        stage.hide(str(listener.port))
        base = f"{listener.base}/200"

        worker = HandWorker(stage, "continued")
        called = [callback(f"{base}/continued")]
        execution = await worker.start("continued", completion_callbacks=called)
        await worker.complete(await worker.poll(), continue_as_new())
        current = WorkflowExecution(workflow_id=execution.workflow_id)
        await _show(stage, "continued, second", current)
        await stage.history("continued, second history", current)
        await worker.finish()
        await _ended(stage, current)
        await _show(stage, "continued, first at the end", execution)

        worker = HandWorker(stage, "retried")
        execution = await worker.start(
            "retried",
            completion_callbacks=[callback(f"{base}/retried")],
            retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=seconds(1)),
        )
        await worker.complete(await worker.poll(), fails(Failure(message="again")))
        current = WorkflowExecution(workflow_id=execution.workflow_id)
        await worker.complete(await worker.poll(), fails(Failure(message="again")))
        await _ended(stage, current)
        await _show(stage, "retried, first", execution)

        worker = HandWorker(stage, "cron")
        execution = await worker.start(
            "cron", completion_callbacks=[callback(f"{base}/cron")], cron_schedule="@every 1s"
        )
        await worker.complete(await worker.poll(), complete_workflow("x"))
        await _ended(stage, execution)
        await _show(stage, "cron, first", execution)
        await _show(stage, "cron, second", WorkflowExecution(workflow_id=execution.workflow_id))

        worker = HandWorker(stage, "reset")
        execution = await worker.start("reset", completion_callbacks=[callback(f"{base}/reset")])
        await worker.complete(await worker.poll())
        attached = worker.start_request(
            "reset",
            request_id=f"attached {stage.nonce}",
            completion_callbacks=[callback(f"{base}/attached")],
            workflow_id_conflict_policy=CONFLICTS["use existing"],
            on_conflict_options=ATTACH,
        )
        await stage.service.start_workflow_execution(attached)
        new = await reset(stage, execution, 4)
        await stage.history("reset, new", new)
        await worker.finish()
        await _ended(stage, new)
        await _show(stage, "reset, old", execution)
        stage.observe("posts", sorted(head[0] for head, _ in listener.posts))


REFUSED: dict[str, list[Callback]] = {
    "nothing": [Callback()],
    "no url": [Callback(nexus=Callback.Nexus())],
    "internal": [Callback(internal=Callback.Internal(data=b"x"))],
    "large header": [callback("http://127.0.0.1:1", a="x" * 8192)],
    "largest header": [callback("http://127.0.0.1:1", a="x" * 8191)],
    "empty link": [Callback(nexus=Callback.Nexus(url="http://127.0.0.1:1"), links=[Link()])],
    "three": [callback("http://127.0.0.1:1")] * 3,
    "four": [callback("http://127.0.0.1:1")] * 4,
    "second is wrong": [callback("http://127.0.0.1:1"), callback("x")],
    "odd header": [callback("http://127.0.0.1:1", **{"": "x", "a b": "c"})],
    "long url": [callback("http://127.0.0.1:1/" + "x" * 1000)],
    "longest url": [callback(("http://127.0.0.1:1/" + "x" * 1000)[:1000])],
}
URLS = (
    "x",
    "http://",
    "ftp://127.0.0.1/x",
    "/path",
    "http:///x",
    "http://127.0.0.1",
    "http://example.com/x",
    "http://example.com/x y",
    "HTTP://example.com/X",
    "HTTP://127.0.0.1:1/x",
    "https://127.0.0.1:1/x",
    "http://127.0.0.1:1/x y",
    "http://127.0.0.1:1/%zz",
    "http://127.0.0.1:bad/",
    "http://u:p@127.0.0.1:1/x",
    "http://u:p@example.com/x",
    "http://a.secure.test/",
    "https://a.secure.test/",
    "https://A.SECURE.TEST/",
    "https://secure.test/",
    "http://127.0.0.1:1\n/x",
)


async def refused_callbacks(stage: Stage) -> None:
    """What cannot be called, and too much of it."""
    worker = HandWorker(stage)

    async def start(callbacks: list[Callback], **fields: Any) -> StartWorkflowExecutionResponse:
        name = f"refused {len(stage.observations)}"
        request = worker.start_request(name, completion_callbacks=callbacks, **fields)
        return await _start(stage, request)

    for label, callbacks in REFUSED.items():
        await stage.outcome(label, start(callbacks))
    for url in URLS:
        await stage.outcome(f"url {url}", start([callback(url)]))
    attach = OnConflictOptions(attach_completion_callbacks=True)
    await stage.outcome("attached without a request", start([], on_conflict_options=attach))


async def _start(
    stage: Stage, request: StartWorkflowExecutionRequest
) -> StartWorkflowExecutionResponse:
    return await stage.service.start_workflow_execution(request)


async def _show(stage: Stage, label: str, execution: WorkflowExecution) -> None:
    described = await stage.description(execution)
    infos = sorted(described.callbacks, key=lambda info: info.callback.nexus.url)
    stage.observe(label, [])
    for index, info in enumerate(infos):
        stage.message(f"{label}, {index}", info)


async def _ended(stage: Stage, execution: WorkflowExecution) -> DescribeWorkflowExecutionResponse:
    return await stage.described(
        execution,
        lambda described: (
            bool(described.callbacks) and all(info.state in FINAL for info in described.callbacks)
        ),
    )


def observe_post(stage: Stage, label: str, listener: Listener) -> None:
    """Keeps the newest post, but for the times in it."""
    head, body = listener.posts[-1]
    lines = [stage.text(TIME.sub(r"\1<time>", line)) for line in head]
    stage.observe(f"{label} is posted", [*lines, "", body.decode(errors="backslashreplace")])
