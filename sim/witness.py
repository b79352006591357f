"""H6 and H2 as it happens: each answer, when it leaves the engine, is compared with what is stored.

The witness sees the platter, not the engine: whatever an answer says must be there already. What it
sees it writes into the ledger.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from temporalio.api.common.v1 import Payloads
from temporalio.api.update.v1 import Outcome

from perdure.server.engine.api import (
    ActivityTaskWithInput,
    HistoryPage,
    Poll,
    QueryAnswer,
    QueryTaskWithHistory,
    RunView,
    UpdateAnswer,
    WorkflowTaskWithHistory,
)
from perdure.server.engine.nexus.calls import OperationAddress
from perdure.server.engine.pipeline import run_of
from perdure.server.machines.deployment import state
from perdure.server.machines.deployment.names import UNVERSIONED
from perdure.server.machines.deployment.state import Deployment, TaskQueue
from perdure.server.machines.ports import Kind
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.wire import entries_of
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.inputs import (
    StartedActivityTask,
    StartedWorkflowTask,
    TaskToken,
    UpdateStage,
    WorkflowStarted,
)
from perdure.server.machines.workflow.nexus.state import is_pending
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.versioning import (
    PINNED,
    behavior_of,
    is_in_transition,
    version_of,
)
from perdure.server.store.codec import unseal
from perdure.server.store.ports import NamedKind, RunNumber
from sim.disk import Platter, run_now
from sim.ledger import Attempt, Batch, Heard, Ledger
from sim.workload.facts import QUEUE
from sim.workload.messages import Seen

BYTES_MAX = 1 << 40


class Sight(msgspec.Struct, frozen=True):
    """Where work goes: equal ones have nothing between them."""

    releases: int
    """Odd while somebody changes it."""
    deployment: bytes
    """The stored row; b"" for none."""


class Witness:
    """Compares answers with the store, and keeps the ledger."""

    def __init__(
        self, platter: Platter, namespace: int, ledger: Ledger, broken: Callable[[str, str], None]
    ) -> None:
        self._platter = platter
        self._namespace = namespace
        self._ledger = ledger
        self._broken = broken
        self._entries: dict[RunNumber, list[bytes]] = {}
        self._handed: set[str] = set()
        """Tasks that were given to a worker."""

    def started(self, request_id: str, workflow_id: str, reply: WorkflowStarted) -> None:
        """A start was answered."""
        start = self._ledger.starts[request_id]
        start.run_ids.append(reply.run_id)
        start.is_new = start.is_new or reply.is_new
        if not self._is_forgotten(workflow_id) and not self._stored_entries(
            workflow_id, reply.run_id
        ):
            self._broken("H6", f"start {request_id} was answered before {reply.run_id} was stored")

    def refused(self, workflow_id: str, run_id: str) -> None:
        """A start was refused because of a run."""
        if not self._is_forgotten(workflow_id) and not self._stored_entries(workflow_id, run_id):
            self._broken("H6", f"a start was refused before {run_id}, its reason, was stored")

    def signaled(self, request_id: str) -> None:
        """A signal was acknowledged."""
        signal = self._ledger.signals[request_id]
        signal.is_acknowledged = True
        if signal.run_id:
            named = self._stored_run(signal.workflow_id, signal.run_id)
            runs = [] if named is None else [named]
        else:
            runs = self._stored_runs(signal.workflow_id)
        found = [run.recorded.run_id for run in runs if request_id in run.requests]
        signal.found_in.extend(found)
        if not found and not self._is_forgotten(signal.workflow_id):
            self._broken("H6", f"signal {request_id} was acknowledged before it was stored")

    def updated(self, workflow_id: str, answer: UpdateAnswer) -> None:
        """It was said how far an update has come."""
        update = self._ledger.updates[answer.update_id]
        if answer.stage < UpdateStage.ACCEPTED:
            return
        outcome = answer.outcome or b""
        if outcome:
            update.outcomes.setdefault(answer.run_id, set()).add(outcome)
        if answer.stage == UpdateStage.COMPLETED and not outcome:
            self._broken("U1", f"update {answer.update_id} is completed without an outcome")
        if self._is_forgotten(workflow_id):
            return
        run = self._stored_run(workflow_id, answer.run_id)
        stored = None if run is None else run.updates.get(answer.update_id)
        if outcome and Outcome.FromString(outcome).HasField("failure"):
            return  # It was rejected, or its run closed first.
        update.accepted_by.append(answer.run_id)
        if stored is None or not stored.accepted_event_id:
            self._broken("H6", f"update {answer.update_id} is not stored, and said to be accepted")
        elif outcome and not stored.completed_event_id:
            self._broken("H6", f"update {answer.update_id} is not stored as completed")

    def queried(self, workflow_id: str, answer: QueryAnswer) -> None:
        """A query was answered: nothing of what the answer tells may be lost again."""
        if answer.answer is None or self._is_forgotten(workflow_id):
            return
        data = Payloads.FromString(answer.answer).payloads[0].data
        seen = msgspec.json.decode(data, type=Seen)
        run = self._stored_run(workflow_id, seen.run_id)
        known = set() if run is None else run.requests.keys()
        if not known >= set(seen.signals):
            self._broken("H6", f"a query of {seen.run_id} tells of signals that are not stored")
        updates = set() if run is None else run.updates.keys()
        if not updates >= set(seen.updates):
            self._broken("H6", f"a query of {seen.run_id} tells of updates that are not stored")

    def was_reset(self, workflow_id: str, request_id: str, run_id: str) -> None:
        """A reset was answered."""
        self._ledger.resets[request_id].add(run_id)
        if not self._is_forgotten(workflow_id) and self._stored_run(workflow_id, run_id) is None:
            self._broken("H6", f"a reset was answered before {run_id} was stored")

    def deleted(self, workflow_id: str, run_id: str) -> None:
        """A deletion was acknowledged."""
        self._ledger.deleted[run_id] = True
        stored = (
            self._stored_run(workflow_id, run_id)
            or self._stored_job(workflow_id, run_id)
            or self._stored_operation(workflow_id, run_id)
        )
        if stored is not None:
            self._broken("H6", f"{run_id} is stored, and said to be deleted")

    def operation_ended(self, address: OperationAddress) -> None:
        """A handler's word that an operation has ended was taken."""
        if Kind(address.kind) is Kind.NEXUS_OPERATION:
            self.operation_terminated(address.id, address.run_id)
            return
        for run in self._stored_runs(address.id)[:1]:
            pending = run.nexus_operations.get(address.scheduled_event_id)
            if pending is None or pending.operation.request_id != address.request_id:
                continue
            if run.is_open and is_pending(pending):
                self._broken(
                    "H6", f"operation {address.request_id} is pending, and its end was acknowledged"
                )

    def heard(self, heard: Heard) -> None:
        """Somebody was told that a run has ended."""
        if self._is_forgotten(heard.workflow_id):
            return
        run = self._stored_run(heard.workflow_id, heard.run_id)
        if run is None or run.is_open:
            self._broken("H6", f"{heard.run_id} is said to have ended before that was stored")

    def batch_started(self, job_id: str) -> None:
        """A batch operation is said to be under way."""
        self._ledger.batches[job_id].is_started = True
        if job_id not in {row.job_id for row in run_now(self._platter.batches())}:
            self._broken("H6", f"batch {job_id} was begun before it was stored")

    def batch_asked(self, batch: Batch) -> None:
        """Somebody is about to ask for a batch operation."""
        last, _, _ = run_now(self._platter.last_numbers())
        for number in range(1, last + 1):
            loaded = run_now(self._platter.load_number(number))
            if loaded is None or Kind(loaded.identity.kind) is not Kind.WORKFLOW:
                continue
            run = run_of(loaded)
            if run.is_open and batch.workflow_id in ("", loaded.identity.workflow_id):
                batch.targets.append(run.recorded.run_id)

    def batches_listed(self, job_ids: list[str]) -> None:
        """All batch operations were listed."""
        begun = {key for key, batch in self._ledger.batches.items() if batch.is_started}
        if lost := begun - set(job_ids):
            self._broken("G1", f"batches {sorted(lost)} are not listed")

    def terminated(self, workflow_id: str, run_id: str) -> None:
        """A termination was acknowledged."""
        if not run_id:
            return
        self._ledger.terminated.add(run_id)
        if self._is_forgotten(workflow_id):
            return
        run = self._stored_run(workflow_id, run_id)
        if run is None or run.is_open:
            self._broken("H6", f"{run_id} is open, but its termination was acknowledged")

    def read(self, workflow_id: str, page: HistoryPage) -> None:
        """A page of history was answered."""
        if self._is_forgotten(workflow_id):
            return
        self._recorded(workflow_id, page.run_id, page.first_event_id, page.history)
        stored = self._stored_entries(workflow_id, page.run_id)
        if page.last_event_id > len(stored):
            self._broken(
                "H6", f"{page.run_id} is said to have {page.last_event_id} events: {len(stored)}"
            )
        run = self._stored_run(workflow_id, page.run_id)
        if not page.is_open and (run is None or run.is_open):
            self._broken("H6", f"{page.run_id} is said to be closed before that was stored")

    def described(self, view: RunView) -> None:
        """A description was answered."""
        if self._is_forgotten(view.workflow_id):
            return
        recorded = view.run.recorded
        stored = self._stored_entries(view.workflow_id, recorded.run_id)
        if recorded.next_event_id - 1 > len(stored):
            self._broken(
                "H6",
                f"{recorded.run_id} was described with {recorded.next_event_id - 1} events,"
                f" of which {len(stored)} are stored",
            )

    def routing(self) -> Sight:
        """Where work goes now."""
        rows = run_now(self._platter.named(NamedKind.WORKER_DEPLOYMENT))
        return Sight(self._ledger.releases, rows[0].blob if rows else b"")

    def polled(
        self,
        poll: Poll,
        found: WorkflowTaskWithHistory | QueryTaskWithHistory | None,
        sight: Sight,
    ) -> None:
        """A poll was answered that came when work went as the sight says."""
        if isinstance(found, WorkflowTaskWithHistory) and sight == self.routing():
            self._check_version(poll, found.task.token, sight)
        if isinstance(found, QueryTaskWithHistory):
            if self._is_forgotten(found.workflow_id):
                return
            self._recorded(found.workflow_id, found.run_id, 1, found.history)
            if found.last_event_id > len(self._stored_entries(found.workflow_id, found.run_id)):
                self._broken("H6", f"a query of {found.run_id} tells of events not stored")
        else:
            self.workflow_task(found)

    def workflow_task(
        self, ready: WorkflowTaskWithHistory | None, *, is_eager: bool = False
    ) -> None:
        """A worker gets a workflow task. One that came with a start comes again when that is sent
        again."""
        if ready is None:
            return
        task, token = ready.task, ready.task.token
        if self._is_forgotten(token.workflow_id):
            return
        recorded = ready.history
        if task.unrecorded and not ready.next_event_id:
            recorded = recorded[: len(recorded) - len(task.unrecorded)]
        self._recorded(token.workflow_id, token.run_id, task.history_from, recorded)
        if not is_eager:
            self._handed_over(f"workflow task {token}")
        if task.attempt == 1 and task.unrecorded:
            return  # It is speculative: stored nowhere.
        run = self._stored_run(token.workflow_id, token.run_id)
        if run is not None and is_in_transition(run):
            self._ledger.transitions.add((token.run_id, token.started_event_id))
        if run is None or run.pending.task_stamp < token.stamp:
            self._broken("H6", f"a task of {token.run_id} was given out before it was stored")
        elif run.pending.task_stamp == token.stamp and run.is_open and not run.is_task_started:
            outstanding = run.workflow_task is not None
            if outstanding:
                self._broken("H6", f"a task of {token.run_id} was given out, but is not started")

    def _check_version(self, poll: Poll, token: TaskToken, sight: Sight) -> None:
        """A worker gets a task, while nobody has changed where work goes since it polled."""
        run = self._stored_run(token.workflow_id, token.run_id)
        if not sight.deployment or sight.releases % 2 or run is None:
            return
        build_id = "" if poll.version is None else poll.version.build_id
        version = version_of(run)
        if behavior_of(run) == PINNED:
            allowed = {"" if version is None else version.build_id}
        else:
            allowed = _builds_for_new_work(state.decode(unseal(sight.deployment)))
            if poll.sticky_for and "" in allowed:
                return  # What could go to workers of no version stays with its last worker.
        if build_id not in allowed:
            self._broken("D2", f"a task of {token.run_id} went to {build_id!r}, not to {allowed}")

    def operation_started(self, request_id: str, reply: Any) -> None:
        """A start of a Nexus operation without a workflow was answered."""
        started = self._ledger.operations[request_id]
        started.run_ids.append(reply.run_id)
        if reply.run_id not in self._ledger.deleted and not self._stored_operation(
            started.operation_id, reply.run_id
        ):
            self._broken("H6", f"start {request_id} was answered before {reply.run_id} was stored")

    def operation_terminated(self, operation_id: str, run_id: str) -> None:
        """It was acknowledged that such an operation has ended."""
        run = self._stored_operation(operation_id, run_id) if run_id else None
        if run is not None and run.is_open:
            self._broken("H6", f"{run_id} is open, but its end was acknowledged")

    def job_started(self, request_id: str, reply: Any) -> None:
        """A start of a standalone activity was answered."""
        job = self._ledger.jobs[request_id]
        job.run_ids.append(reply.run_id)
        if reply.run_id not in self._ledger.deleted and not self._stored_job(
            job.activity_id, reply.run_id
        ):
            self._broken("H6", f"start {request_id} was answered before {reply.run_id} was stored")

    def job_ended(self, activity_id: str, run_id: str) -> None:
        """The termination of a standalone activity was acknowledged."""
        run = self._stored_job(activity_id, run_id) if run_id else None
        if run is not None and run.is_open:
            self._broken("H6", f"{run_id} is open, but its termination was acknowledged")

    def _job_task(self, task: StartedActivityTask) -> None:
        token = task.token
        self._handed_over(f"activity {token}")
        self._ledger.job_attempts.setdefault(token.run_id, []).append(task.attempt)
        run = self._stored_job(token.workflow_id, token.run_id)
        if run is None:
            return
        attempt = run.head.pending.attempt
        if (attempt.attempt, attempt.stamp) < (token.attempt, token.stamp):
            self._broken("H6", f"an attempt of {token.run_id} was given out before it was stored")

    def activity_task(self, ready: ActivityTaskWithInput | None) -> None:
        """A worker gets an activity attempt."""
        if ready is not None and ready.task.token.kind:
            self._job_task(ready.task)
            return
        if ready is None or self._is_forgotten(ready.task.token.workflow_id):
            return
        self.activity_started(ready.task)
        token = ready.task.token
        self._handed_over(f"activity {token}")
        self._ledger.attempts.setdefault((token.run_id, token.scheduled_event_id), []).append(
            Attempt(
                ready.task.attempt,
                ready.task.attempt_scheduled_time_ns,
                ready.task.started_time_ns,
            )
        )
        event_id = ready.task.token.scheduled_event_id
        stored = self._stored_entries(ready.task.token.workflow_id, ready.task.token.run_id)
        if len(stored) < event_id or not stored[event_id - 1].endswith(ready.scheduled_event):
            self._broken("H2", f"activity {event_id} came with an event that is not the stored one")

    def activity_started(self, task: StartedActivityTask) -> None:
        """An attempt is said to have started."""
        token = task.token
        run = self._stored_run(token.workflow_id, token.run_id)
        pending = None if run is None else run.activities.get(token.scheduled_event_id)
        stored = self._stored_entries(token.workflow_id, token.run_id)
        if len(stored) < token.scheduled_event_id:
            self._broken("H6", f"an activity of {token.run_id} was given out before it was stored")
        elif pending is not None and (pending.attempt.attempt, pending.attempt.stamp) < (
            token.attempt,
            token.stamp,
        ):
            self._broken("H6", f"an attempt of {token.run_id} was given out before it was stored")

    def completed(self, task: StartedWorkflowTask, *, is_dropped: bool) -> None:
        """A workflow task's completion was accepted; a dropped one leaves no trace."""
        token = task.token
        workflow_id, run_id, started_event_id = (
            token.workflow_id,
            token.run_id,
            token.started_event_id,
        )
        if is_dropped or self._is_forgotten(workflow_id):
            return
        self._ledger.completions[run_id, started_event_id].is_acknowledged = True
        stored = self._stored_entries(workflow_id, run_id)
        if len(stored) <= started_event_id:
            self._broken("H6", f"task {started_event_id} of {run_id} was completed, not stored")

    def _is_forgotten(self, workflow_id: str) -> bool:
        """Whether a run of the workflow may have been deleted: then little can be said of it."""
        return workflow_id in self._ledger.forgotten

    def _handed_over(self, task: str) -> None:
        if task in self._handed:
            self._broken("M1", f"two workers have {task}")
        self._handed.add(task)

    # ---- what is stored

    def _recorded(self, workflow_id: str, run_id: str, first: int, history: bytes) -> None:
        entries = entries_of(history)
        stored = self._stored_entries(workflow_id, run_id)
        if stored[first - 1 : first - 1 + len(entries)] != entries:
            self._broken("H6", f"a reader got events of {run_id} from {first} that are not stored")
        problem = self._ledger.read(run_id, first, entries)
        if problem:
            self._broken("H2", problem)

    def _stored_runs(self, workflow_id: str) -> list[Run]:
        """Newest first."""
        last, _, _ = run_now(self._platter.last_numbers())
        found = (run_now(self._platter.load_number(number)) for number in range(last, 0, -1))
        return [
            run_of(loaded)
            for loaded in found
            if loaded is not None
            and loaded.identity.workflow_id == workflow_id
            and Kind(loaded.identity.kind) is Kind.WORKFLOW
        ]

    def _stored_run(self, workflow_id: str, run_id: str) -> Run | None:
        key = uuid.UUID(run_id).bytes
        loaded = run_now(self._platter.load_run(self._namespace, workflow_id, key))
        return None if loaded is None else run_of(loaded)

    def _stored_job(self, activity_id: str, run_id: str) -> ActivityRun | None:
        """None as well for one that may have been deleted."""
        run = self._stored_by_itself(Kind.ACTIVITY, activity_id, run_id)
        assert run is None or isinstance(run, ActivityRun), "the kind says so"
        return run

    def _stored_operation(self, operation_id: str, run_id: str) -> OperationRun | None:
        """None as well for one that may have been deleted."""
        run = self._stored_by_itself(Kind.NEXUS_OPERATION, operation_id, run_id)
        assert run is None or isinstance(run, OperationRun), "the kind says so"
        return run

    def _stored_by_itself(self, kind: Kind, subject_id: str, run_id: str) -> Any:
        last, _, _ = run_now(self._platter.last_numbers())
        for number in range(last, 0, -1):
            loaded = run_now(self._platter.load_number(number))
            if loaded is None or Kind(loaded.identity.kind) is not kind:
                continue
            run = run_of(loaded)
            if loaded.identity.workflow_id == subject_id and run.run_id == run_id:
                return run
        return None

    def _stored_entries(self, workflow_id: str, run_id: str) -> list[bytes]:
        key = uuid.UUID(run_id).bytes
        loaded = run_now(self._platter.load_run(self._namespace, workflow_id, key))
        if loaded is None:
            return []
        known = self._entries.setdefault(loaded.run, [])
        batches = run_now(
            self._platter.read_history(loaded.run, len(known) + 1, BYTES_MAX, BYTES_MAX)
        )
        for batch in batches:
            known.extend(entries_of(unseal(batch.blob)))
        return known


def _builds_for_new_work(deployment: Deployment) -> set[str]:
    """Where work goes that is not pinned; "" stands for workers of no version."""
    queue, routing = TaskQueue(QUEUE, TaskKind.WORKFLOW), deployment.routing
    served = {name for name, version in deployment.versions.items() if queue in version.queues}
    current = routing.current if routing.current in served else ""
    if not routing.percentage or routing.ramping not in (UNVERSIONED, *served):
        return {current}
    ramping = routing.ramping if routing.ramping in served else ""
    return {ramping} if routing.percentage == 100 else {current, ramping}
