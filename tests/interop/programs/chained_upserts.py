"""What the next run of a chain keeps of the memo and the search attributes that a run upserted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    ModifyWorkflowPropertiesCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import Memo, Payload, RetryPolicy, SearchAttributes
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure

from tests.interop.raw import HandWorker, seconds
from tests.interop.stage import Stage, next_run_id, payloads

_UPSERTS = (
    Command(
        command_type=CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES,
        modify_workflow_properties_command_attributes=ModifyWorkflowPropertiesCommandAttributes(
            upserted_memo=Memo(
                fields={
                    "start": Payload(metadata={"encoding": b"binary/null"}),
                    "run": payloads("upserted").payloads[0],
                }
            )
        ),
    ),
    Command(
        command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes=(
            UpsertWorkflowSearchAttributesCommandAttributes(
                search_attributes=SearchAttributes(
                    indexed_fields={"BatcherUser": payloads("upserted").payloads[0]}
                )
            )
        ),
    ),
)
_FAIL = Command(
    command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
    fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
        failure=Failure(message="once more")
    ),
)
_CONTINUE = Command(
    command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
    continue_as_new_workflow_execution_command_attributes=(
        ContinueAsNewWorkflowExecutionCommandAttributes(backoff_start_interval=seconds(1))
    ),
)


async def upserts_then_next_run(stage: Stage) -> None:
    """A run upserts both and ends: retried, continued by a bare command, or by its cron."""
    memo = Memo(fields={"start": payloads("given").payloads[0]})
    retry = RetryPolicy(initial_interval=seconds(1), maximum_attempts=2)
    cases: dict[str, tuple[Command, dict[str, Any]]] = {
        "retry": (_FAIL, {"memo": memo, "retry_policy": retry}),
        "cron": (_FAIL, {"memo": memo, "cron_schedule": "@every 1s"}),
        "continue": (_CONTINUE, {"memo": memo, "workflow_execution_timeout": seconds(60)}),
        "nothing to keep": (_FAIL, {"retry_policy": retry}),
        "nothing to keep, continued": (_CONTINUE, {}),
    }
    workers = {name: HandWorker(stage, name) for name in cases}
    executions = {
        name: await workers[name].start(name, **fields) for name, (_, fields) in cases.items()
    }
    for name, (end, _) in cases.items():
        await workers[name].complete(await workers[name].poll(), *_UPSERTS, end)
    for name, execution in executions.items():
        await stage.history(f"{name}: first run", execution)
        await stage.describe(f"{name}: first run, description", execution)
        execution.run_id = next_run_id((await stage.fetch(execution))[-1])
        await workers[name].finish()
        await stage.history(f"{name}: next run", execution)
        await stage.describe(f"{name}: next run, description", execution)
        if next_run_id((await stage.fetch(execution))[-1]):
            await stage.client.get_workflow_handle(execution.workflow_id).terminate()


@workflow.defn
class Marked:
    """Upserts a memo and marks a patch, and continues as new."""

    @workflow.run
    async def run(self, left: int) -> int:
        """Nothing is left."""
        workflow.upsert_memo({f"run {left}": "upserted", "start": None})
        workflow.patched(f"patch {left}")
        await workflow.sleep(1.1)
        if left:
            workflow.continue_as_new(left - 1)
        return left


async def upserts_continued_by_sdk(stage: Stage) -> None:
    """The SDK sends along what is in force, and no timeouts of its own."""
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "with timeouts": {
            "execution_timeout": timedelta(seconds=90),
            "run_timeout": timedelta(seconds=60),
        },
    }
    async with stage.worker([Marked]):
        handles = {
            name: await stage.start(
                Marked.run, 1, name=name, memo={"start": "given", "kept": "given"}, **timeouts
            )
            for name, timeouts in cases.items()
        }
        for name, handle in handles.items():
            await stage.chain(name, handle)
            await stage.describe(f"{name}: first run", handle)
            await stage.describe(f"{name}: next run", stage.client.get_workflow_handle(handle.id))
