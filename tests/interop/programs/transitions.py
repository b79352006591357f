"""What counts as a transition of a run: updates that are sent again do not, nor do their polls."""

from __future__ import annotations

from temporalio.api.common.v1 import WorkflowExecution

from tests.interop.programs.updates_by_hand import BUG, idle
from tests.interop.raw import HandWorker
from tests.interop.stage import Stage
from tests.interop.updates_raw import (
    ACCEPTED,
    accept,
    commands_of,
    poll_update,
    reject,
    respond,
    update,
)


async def update_transitions(stage: Stage) -> None:
    """Updates one after another, each sent and polled again; one that is accepted first, one that
    is rejected, one whose task fails."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    await _count(stage, "idle", execution)
    for name in ("one", "two"):
        sent = update(stage, execution, name)
        task = await worker.poll()
        await _count(stage, f"{name} is with its worker", execution)
        said = [accept(task), respond(name)]
        await worker.complete(task, *commands_of(*said), messages=said)
        await sent
        await _count(stage, f"{name} is done", execution)
        await update(stage, execution, name)
        await poll_update(stage, execution, name)
        await _count(stage, f"{name} was sent and polled again", execution)
    sent = update(stage, execution, "later", wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await sent
    await update(stage, execution, "later", wait=ACCEPTED)
    await _count(stage, "later is accepted, and was sent again", execution)
    await worker.signal(execution, "go")
    await _count(stage, "a signal", execution)
    task = await worker.poll()
    said = [respond("later")]
    await worker.complete(task, *commands_of(*said), messages=said)
    await _count(stage, "later is done", execution)
    sent = update(stage, execution, "rejected")
    task = await worker.poll()
    await worker.complete(task, messages=[reject(task)])
    await sent
    await _count(stage, "rejected", execution)
    sent = update(stage, execution, "again")
    await worker.fail(await worker.poll(), BUG)
    task = await worker.poll()
    await _count(stage, "its task has failed, and is back", execution)
    said = [accept(task), respond("again")]
    await worker.complete(task, *commands_of(*said), messages=said)
    await sent
    await _count(stage, "again is done", execution)


async def _count(stage: Stage, label: str, execution: WorkflowExecution) -> None:
    info = (await stage.description(execution)).workflow_execution_info
    stage.observe(label, [info.state_transition_count, info.history_length])
