"""Updates of the official SDK: validators, handlers that wait, and what ends them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError

from tests.interop.stage import Stage

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


@activity.defn
async def double(number: int) -> int:
    """Twice as much."""
    return 2 * number


@workflow.defn
class Account:
    """Holds an amount until it is closed."""

    def __init__(self) -> None:
        self._amount = 0
        self._is_open = True
        self._is_gate_open = False

    @workflow.run
    async def run(self) -> int:
        """The amount in the end."""
        await workflow.wait_condition(lambda: not self._is_open)
        return self._amount

    @workflow.update
    def add(self, amount: int) -> int:
        """Adds at once."""
        self._amount += amount
        return self._amount

    @add.validator
    def check_add(self, amount: int) -> None:
        """Only some amounts can be added."""
        if amount < 0:
            raise ValueError("cannot add a negative amount")

    @workflow.update
    async def add_twice(self, amount: int) -> int:
        """Adds what an activity says."""
        self._amount += await workflow.execute_activity(
            double, amount, start_to_close_timeout=timedelta(seconds=10)
        )
        return self._amount

    @workflow.update(unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def add_later(self, amount: int) -> int:
        """Adds when the gate opens."""
        await workflow.wait_condition(lambda: self._is_gate_open)
        self._amount += amount
        return self._amount

    @workflow.update
    async def fail(self) -> None:
        """Fails after a moment."""
        await asyncio.sleep(0.01)
        raise ApplicationError("not this time", type="Refused")

    @workflow.signal
    def open_gate(self) -> None:
        """Lets those go on who wait."""
        self._is_gate_open = True

    @workflow.signal
    def close(self) -> None:
        """Ends the workflow."""
        self._is_open = False


async def update_handlers(stage: Stage) -> None:
    """At once, by an activity, refused, failed, and unknown; sent twice with one id."""
    async with stage.worker([Account], [double]):
        handle = await stage.start(Account.run)
        await stage.event(handle, TASK_COMPLETED)
        stage.observe("added", await handle.execute_update(Account.add, 5, id="one"))
        stage.observe("again", await handle.execute_update(Account.add, 5, id="one"))
        stage.observe("refused", await _failure(handle, Account.add, -1, update_id="two"))
        stage.observe("twice", await handle.execute_update(Account.add_twice, 2, id="three"))
        stage.observe("failed", await _failure(handle, Account.fail, update_id="four"))
        stage.observe("unknown", await _failure(handle, "nothing", update_id="five"))
        stage.observe("refused again", await _failure(handle, Account.add, -1, update_id="two"))
        await handle.signal(Account.close)
        stage.observe("result", await handle.result())
        stage.observe("late", await _failure(handle, Account.add, 1, update_id="six"))
        stage.observe("known", await handle.get_update_handle_for(Account.add, "one").result())
        await stage.chain("history", handle)


async def update_stages(stage: Stage) -> None:
    """Accepted first, completed when a signal lets it."""
    async with stage.worker([Account], [double]):
        handle = await stage.start(Account.run)
        await stage.event(handle, TASK_COMPLETED)
        accepted = WorkflowUpdateStage.ACCEPTED
        later = await handle.start_update(Account.add_later, 3, id="later", wait_for_stage=accepted)
        stage.observe("added", await handle.execute_update(Account.add, 4, id="now"))
        await handle.signal(Account.open_gate)
        stage.observe("later", await later.result())
        await handle.signal(Account.close)
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)


async def update_unfinished(stage: Stage) -> None:
    """A workflow that ends before its handler fails the update."""
    async with stage.worker([Account], [double]):
        handle = await stage.start(Account.run)
        await stage.event(handle, TASK_COMPLETED)
        accepted = WorkflowUpdateStage.ACCEPTED
        left = await handle.start_update(Account.add_later, 3, id="left", wait_for_stage=accepted)
        await handle.signal(Account.close)
        stage.observe("result", await handle.result())
        stage.observe("left", await _outcome(left.result()))
        await stage.chain("history", handle)


async def update_replayed(stage: Stage) -> None:
    """Workers without a cache see updates in the history."""
    async with stage.worker([Account], [double], max_cached_workflows=0):
        handle = await stage.start(Account.run)
        await stage.event(handle, TASK_COMPLETED)
        for number in (1, 2):
            added = await handle.execute_update(Account.add_twice, number, id=f"add {number}")
            stage.observe(f"added {number}", added)
            refused = await _failure(handle, Account.add, -1, update_id=f"refused {number}")
            stage.observe(f"refused {number}", refused)
        await handle.signal(Account.close)
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)


async def _failure(
    handle: WorkflowHandle[Any, Any], update: Any, *args: Any, update_id: str
) -> Any:
    return await _outcome(handle.execute_update(update, args=args, id=update_id))


async def _outcome(result: Any) -> Any:
    try:
        return await result
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        return [type(cause).__name__, getattr(cause, "type", ""), str(cause)]
    except Exception as error:  # a named boundary: what the client raises is what is compared
        return [type(error).__name__, str(error)]
