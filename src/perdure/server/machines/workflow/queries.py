"""Queries that wait for a workflow task: attached to the next one, answered with its completion.

A query that asks while events are on their way to the workflow must not be answered before it has
seen them. So it waits: each workflow task that is started carries it, until a completion brings its
answer. When a task is completed without one and no other follows, or the run ends, the workflow has
seen all there is, and the query is `unblocked`: it may go to a worker at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from temporalio.api.query.v1 import WorkflowQueryResult

from perdure.server.machines.workflow.effects import SettleQuery
from perdure.server.machines.workflow.state import Workflow
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.volatile import Volatile

ANSWER_TOO_LARGE = "Blob data size exceeds limit."


def wait(workflow: Workflow, query_id: str, query: bytes) -> None:
    """Keep a query until a workflow task answers it."""
    if workflow.volatile is None:
        workflow.volatile = Volatile()
    workflow.volatile.queries[query_id] = query


def forget(workflow: Workflow, query_id: str) -> None:
    """Nobody waits for the answer of a query any more."""
    volatile = workflow.volatile
    if volatile is not None:
        volatile.queries.pop(query_id, None)
        if volatile.is_empty:
            workflow.volatile = None


def waiting(workflow: Workflow) -> dict[str, bytes]:
    """The queries that a workflow task which is started now must carry."""
    return dict(workflow.volatile.queries) if workflow.volatile is not None else {}


def settle(turn: Turn, results: Mapping[str, WorkflowQueryResult]) -> None:
    """A completion brought answers: those of queries that nobody waits for are passed over."""
    volatile = turn.workflow.volatile
    if volatile is None:
        return
    run_id = turn.run.recorded.run_id
    for query_id in [query_id for query_id in volatile.queries if query_id in results]:
        result = results[query_id]
        if result.answer.ByteSize() > turn.limits.blob_size_bytes_max:
            effect = SettleQuery(run_id, query_id, refusal=ANSWER_TOO_LARGE)
        else:
            effect = SettleQuery(
                run_id, query_id, result=result.SerializeToString(deterministic=True)
            )
        turn.effects.append(effect)
        forget(turn.workflow, query_id)


def unblock(turn: Turn) -> None:
    """No workflow task follows: whatever waits may be asked of a worker directly."""
    for query_id in waiting(turn.workflow):
        run_id = turn.run.recorded.run_id
        turn.effects.append(SettleQuery(run_id, query_id))
        forget(turn.workflow, query_id)
