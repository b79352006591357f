"""Resets and deletions: what the shell does around decisions that need more than a workflow in
memory.

A reset reads the history of the run that it begins from, folds its beginning, and copies the
batches of it, some at a time, to the number that the new run will have; then it is decided on, in
one turn and one commit with the end of what was open. Whatever happens before leaves only rows of a
run that does not exist, which are cleared when the shard is opened.

A deletion is one commit as well: from then on nothing finds the run. Its records and its history go
in pieces afterwards.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any
from weakref import WeakValueDictionary

from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.server.engine.api import EngineUnavailable, NamespaceRef
from perdure.server.engine.execution import Execution, ExecutionKey
from perdure.server.engine.pipeline import NOWHERE, Pipeline, Place
from perdure.server.engine.reader import HistoryReader
from perdure.server.machines.errors import Moved, NotFound
from perdure.server.machines.ports import Address, Ids, Kind
from perdure.server.machines.wire import entries_of, event_of
from perdure.server.machines.workflow import resetting
from perdure.server.machines.workflow.decide import not_found_text
from perdure.server.machines.workflow.inputs import Done, ResetWorkflow
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Batch
from perdure.server.store.ports import RunNumber, Store, StoreError

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 500
"""Events that are read and folded (some milliseconds) before others have their turn."""
BATCHES_AT_ONCE = 500
"""Batches of history, of which a commit copies or deletes so many."""
ATTEMPTS_MAX = 20
"""How often a reset is made anew because the workflow had moved on meanwhile."""
CHAIN_MAX = 1000
"""Runs that one continued as, whose events are done again."""


class _Base:
    """The run that a reset begins from; `run` is None when it is the current one."""

    def __init__(self, number: RunNumber, run: Run | None) -> None:
        self.number = number
        self.run = run


class Resets:
    """The resets and deletions of one shard."""

    def __init__(
        self,
        store: Store,
        shard: int,
        pipeline: Pipeline,
        reader: HistoryReader,
        ids: Ids,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store = store
        self._shard = shard
        self._pipeline = pipeline
        self._reader = reader
        self._ids = ids
        self._spawn = spawn
        self._under_way: WeakValueDictionary[ExecutionKey, asyncio.Lock] = WeakValueDictionary()
        """Each is there as long as somebody has it, or waits for it."""

    async def recover(self) -> None:
        """Clear what resets and deletions of earlier engines left."""
        for number in await self._store.leftovers():
            self._spawn(self.clear(number))

    async def clear(self, number: RunNumber) -> None:
        """Delete what is left over of a run that does not exist."""
        try:
            for _ in itertools.count():
                if not await self._store.clear_leftovers(number, BATCHES_AT_ONCE):
                    break
        except StoreError as error:
            logger.warning("what is left of run %d has to wait: %s", number, error)

    async def reset(
        self, namespace: NamespaceRef, workflow_id: str, request: ResetWorkflowExecutionRequest
    ) -> str:
        """Reset a workflow; the new run. Raises Rejected, EngineUnavailable."""
        return await self._alone(
            (namespace.number, workflow_id, Kind.WORKFLOW),
            lambda: self._reset_once(namespace, workflow_id, request),
        )

    async def delete(self, namespace: NamespaceRef, whom: Address, run_id: str) -> None:
        """Delete a run, "" for the current one. Raises Rejected, EngineUnavailable."""
        await self._alone(
            (namespace.number, whom.id, whom.kind),
            lambda: self._delete_once(namespace, whom, run_id),
        )

    async def _alone(self, key: ExecutionKey, attempt: Callable[[], Awaitable[str]]) -> str:
        """Carry out what reads other runs of a workflow and then changes them, one after another,
        and anew when the workflow has moved on meanwhile."""
        lock = self._under_way.setdefault(key, asyncio.Lock())
        async with lock:
            for _ in range(ATTEMPTS_MAX):
                try:
                    return await attempt()
                except Moved:
                    await asyncio.sleep(0)
        raise EngineUnavailable(f"workflow {key[1]!r} changes too fast")

    async def _delete_once(self, namespace: NamespaceRef, whom: Address, run_id: str) -> str:
        execution = await self._pipeline.settled(namespace, whom.id, whom.kind)
        machine, current, seen = execution.machine, execution.run, execution.others_changed
        number, other = execution.current_run, None
        places: Mapping[str, Place] = NOWHERE
        if current is None or run_id not in ("", current.run_id):
            found = None
            if run_id:
                found = await self._pipeline.load_other_run(namespace, whom.id, run_id, whom.kind)
            if found is None:
                raise NotFound(machine.no_such_run(whom.id, run_id))
            number, other = found
            places = {run_id: Place(number)}
        run = other or current
        assert run is not None, "one of the two was found"
        is_stale = execution.is_dropped or execution.others_changed != seen
        if is_stale or (other is not None and other.is_open):
            raise Moved("the workflow must be looked at again")
        message = machine.delete(run.run_id, other)
        reply, write = self._pipeline.decide(execution, namespace, message, places)
        assert write is not None, "a deletion changes its workflow"
        await self._pipeline.when_durable(write, reply)
        return run.run_id

    async def _reset_once(
        self, namespace: NamespaceRef, workflow_id: str, request: ResetWorkflowExecutionRequest
    ) -> str:
        execution = await self._pipeline.settled(namespace, workflow_id)
        current, others_changed = execution.workflow.run, execution.others_changed
        if current is None:
            raise NotFound(not_found_text(workflow_id, request.workflow_execution.run_id))
        if current.pending.reset_request_id == request.request_id:
            return current.recorded.run_id
        base = await self._base(execution, namespace, request.workflow_execution.run_id)
        cut = request.workflow_task_finish_event_id
        resetting.check_range(base.run or current, cut)
        if base.run is None and execution.committed_event_id < cut < current.recorded.next_event_id:
            raise Moved("the event at the cut is not durable yet")
        prefix, start_event = await self._fold(base, cut)
        following = await self._following(base, base.run or current, cut)
        resetting.check_cut(prefix, following, cut)
        number = self._pipeline.reserve_run()
        write = None
        try:
            place = await self._copy(base.number, number, cut)
            later, seen = await self._later(execution, namespace, base, cut)
            message = ResetWorkflow(
                request=request,
                new_run_id=self._ids.uuid(),
                base=base.run,
                prefix=prefix,
                start_event=start_event,
                later=later,
                seen_event_id=seen,
            )
            if execution.is_dropped or execution.others_changed != others_changed:
                raise Moved("the workflow must be loaded anew")
            places = {message.new_run_id: place}
            if base.run is not None:
                places[base.run.recorded.run_id] = Place(base.number)
            reply, write = self._pipeline.decide(execution, namespace, message, places)
            assert isinstance(reply, Done), "a reset is answered by its run"
            assert write is not None, "a reset changes its workflow"
            # Its caller may go away, or be told that nobody knows, while it is on its way to disk.
            write.when_durable(lambda error: self._spawn(self.clear(number)) if error else None)
            await self._pipeline.when_durable(write, reply)
            return reply.run_id
        finally:
            if write is None:
                self._spawn(self.clear(number))

    async def _base(self, execution: Execution, namespace: NamespaceRef, run_id: str) -> _Base:
        current = execution.workflow.run
        assert current is not None, "the caller has found a run"
        if run_id in ("", current.recorded.run_id):
            return _Base(execution.current_run, None)
        workflow_id = execution.key[1]
        found = await self._pipeline.load_other_run(namespace, workflow_id, run_id)
        if found is None:
            raise NotFound(not_found_text(workflow_id, run_id))
        if found[1].is_open:
            raise Moved("the run has become the current one")
        return _Base(*found)

    # ---- reading

    async def _fold(self, base: _Base, cut: int) -> tuple[resetting.Fold, bytes]:
        """The run that the events before the cut make, and the first of them."""
        fold, start_event = resetting.Fold(), b""
        async for entries in self._entries(base.number, 1, cut - 1):
            start_event = start_event or event_of(entries[0])
            fold.feed(entries)
        return fold, start_event

    async def _following(self, base: _Base, run: Run, cut: int) -> HistoryEvent | None:
        """The event at the cut, if it is recorded."""
        if cut >= run.recorded.next_event_id:
            return None
        return HistoryEvent.FromString(await self._reader.read_event(base.number, None, cut))

    async def _later(
        self, execution: Execution, namespace: NamespaceRef, base: _Base, cut: int
    ) -> tuple[list[bytes], int]:
        """What may be done again, of the base and of the runs that it continued as; and up to where
        the current run was read, 0 if it was not. Nothing is awaited after that was read."""
        later: list[bytes] = []
        run, number, first = base.run, base.number, cut
        for _ in range(CHAIN_MAX):
            if run is None:
                if base.run is None and execution.current_run != base.number:
                    raise Moved("another run has become the current one")
                found, seen = await self._later_of_current(execution, first, is_base=first == cut)
                return later + found, seen
            is_base = run is base.run
            async for entries in self._entries(number, first, run.recorded.next_event_id - 1):
                later += resetting.done_again(entries, is_base=is_base)
            successor = resetting.successor_to_follow(run)
            current = execution.workflow.run
            if not successor:
                break
            first = 1
            if current is not None and current.recorded.run_id == successor:
                run = None
                continue
            loaded = await self._pipeline.load_other_run(namespace, execution.key[1], successor)
            if loaded is None:
                break  # It was deleted.
            number, run = loaded
        return later, 0

    async def _later_of_current(
        self, execution: Execution, first: int, *, is_base: bool
    ) -> tuple[list[bytes], int]:
        current = execution.workflow.run
        assert current is not None, "a run stays until it is deleted"
        later: list[bytes] = []
        number, run_id = execution.current_run, current.recorded.run_id
        async for entries in self._entries(number, first, execution.committed_event_id):
            later += resetting.done_again(entries, is_base=is_base)
            first += len(entries)
        if execution.current_run != number or current.recorded.run_id != run_id:
            raise Moved("another run has become the current one")
        seen = current.recorded.next_event_id
        newest = execution.tail.read(first, seen - 1)
        if newest is None:
            raise Moved("much has happened meanwhile")
        later += resetting.done_again(entries_of(newest), is_base=is_base)
        return later, seen

    async def _entries(
        self, number: RunNumber, first: int, last: int
    ) -> AsyncIterator[list[bytes]]:
        """The durable events of a closed range, as entries of a History, some at a time."""
        for begin in range(first, last + 1, EVENTS_AT_ONCE):
            end = min(begin + EVENTS_AT_ONCE - 1, last)
            yield entries_of(await self._reader.read(number, None, begin, end))

    # ---- copying

    async def _copy(self, source: RunNumber, target: RunNumber, cut: int) -> Place:
        """Copy the batches before the cut; what of a batch is before it is left to the deciding
        commit."""
        copied = 0
        try:
            for _ in itertools.count():
                reached = await self._store.copy_history(
                    self._shard, source, target, copied, cut - 1, BATCHES_AT_ONCE
                )
                if reached == copied:
                    break
                copied = reached
        except StoreError as error:
            raise EngineUnavailable(str(error)) from error
        if copied == cut - 1:
            return Place(target, is_copy=True)
        entries = await self._reader.read(source, None, copied + 1, cut - 1)
        return Place(target, is_copy=True, rest=Batch(copied + 1, cut - 1, False, entries))
