"""What was promised to whom: the answers that left the engine, and what clients and workers did.

Checkers compare it with what is stored. An answer counts from the moment at which it leaves the
engine, whether or not it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from perdure.server.machines.deployment.names import UNVERSIONED


class Start(msgspec.Struct):
    """A request to start a workflow, by its request id."""

    workflow_id: str
    reuse_policy: int
    conflict_policy: int
    run_ids: list[str] = []
    """Each run id that it was answered with, in order."""
    is_new: bool = False


class Signal(msgspec.Struct):
    """A request to signal a workflow, by its request id."""

    workflow_id: str
    run_id: str
    """The run that it named; "" for whichever is current."""
    sender: str
    sequence: int
    tries: int = 0
    is_acknowledged: bool = False
    found_in: list[str] = []
    """Runs that had it when it was acknowledged."""


class Update(msgspec.Struct):
    """An update, by its id."""

    workflow_id: str
    name: str
    outcomes: dict[str, set[bytes]] = {}
    """What its callers were told, by the run that it was an update of."""
    accepted_by: list[str] = []
    """Runs that are said to have accepted it."""


class Query(msgspec.Struct):
    """A query that was answered: what it had to tell, and what it told."""

    run_id: str
    expected: set[str]
    """Signals and updates that were acknowledged by the run before it was asked."""
    told: set[str]


class Completion(msgspec.Struct):
    """A workflow task that a worker completed."""

    workflow_id: str
    run_id: str
    started_event_id: int
    is_acknowledged: bool = False


class Attempt(msgspec.Struct):
    """An attempt of an activity that a worker got."""

    attempt: int
    scheduled_ns: int
    started_ns: int


class Planned(msgspec.Struct):
    """A schedule that somebody keeps."""

    workflow_id: str
    interval_ns: int
    overlap: int
    is_triggered: bool = False
    is_created: bool = False
    is_deleting: bool = False
    is_deleted: bool = False


class Sent(msgspec.Struct):
    """A message that was written, and whether with a change of the run that sends it."""

    run: int
    is_with_source: bool


class Settled(msgspec.Struct):
    """A message that went: for whom and from whom it was ("": it was not there), and whose change
    it went with ("": none)."""

    sequence: int
    target: str
    source: str
    by: str


class Job(msgspec.Struct):
    """A request to start a standalone activity, by its request id."""

    activity_id: str
    attempts_max: int
    run_ids: list[str] = []
    """What it was answered with, in order."""


class Batch(msgspec.Struct):
    """A batch operation on one workflow, or ("") on all."""

    operation: str
    workflow_id: str
    is_started: bool = False
    is_stopping: bool = False
    is_stopped: bool = False
    targets: list[str] = []
    """Runs that were open before it was begun."""


class OperationStart(msgspec.Struct):
    """A request to start a Nexus operation without a workflow."""

    operation_id: str
    run_ids: list[str] = []
    """What it was answered with, in order."""


class Route(msgspec.Struct, frozen=True):
    """Where a deployment sends new work: builds, or workers of no version, or ("") nowhere."""

    current: str = UNVERSIONED
    ramping: str = ""
    percentage: float = 0.0


class Heard(msgspec.Struct, frozen=True):
    """What the address of a callback was told."""

    run_id: str
    workflow_id: str
    state: str


class Deletion(msgspec.Struct):
    """A run that went, when it had closed (0: not), and whether somebody had asked for that."""

    run_id: str
    close_ns: int
    now_ns: int
    is_asked: bool


class Ledger(msgspec.Struct):
    """Everything that was promised in one world."""

    starts: dict[str, Start] = {}
    signals: dict[str, Signal] = {}
    updates: dict[str, Update] = {}
    queries: list[Query] = []
    completions: dict[tuple[str, int], Completion] = {}
    """By run id and started event id."""
    results: dict[tuple[str, str], set[bytes]] = {}
    """Results that workers produced, by run id and activity id."""
    acknowledged_activities: set[tuple[str, str]] = set()
    """Activities (run id, activity id) whose result was accepted."""
    reads: dict[str, list[bytes]] = {}
    """Per run id, the recorded events that some reader has seen, as entries of a History."""
    closed_seen: dict[str, int] = {}
    """Per run id, the closed status that some reader has seen."""
    terminated: set[str] = set()
    """Run ids whose termination was acknowledged."""

    attempts: dict[tuple[str, int], list[Attempt]] = {}
    """By run id and scheduled event, in the order in which workers got them."""
    fatal: dict[tuple[str, int], int] = {}
    """The attempt of an activity that is acknowledged to have failed for good."""
    operated: set[str] = set()
    """Workflows whose activities an operator changed."""
    crashes: int = 0
    deleted: dict[str, bool] = {}
    """Runs that somebody wants to be deleted, and whether that is acknowledged."""
    forgotten: set[str] = set()
    """The workflows, activities and operations that they are of."""
    resets: dict[str, set[str]] = {}
    """Per request id of a reset, the run ids that it was answered with."""

    jobs: dict[str, Job] = {}
    job_attempts: dict[str, list[int]] = {}
    """By run id, the attempts that workers got, in their order."""
    controlled_jobs: set[str] = set()
    """Standalone activities that an operator changed."""
    operations: dict[str, OperationStart] = {}
    """Those without a workflow, by request id."""
    operation_results: dict[str, bytes] = {}
    """Of Nexus operations, by request id."""
    heard: dict[str, list[Heard]] = {}
    """What was told to the addresses of callbacks."""

    batches: dict[str, Batch] = {}
    paused: set[str] = set()
    """Workflows that somebody has paused, perhaps: lists do not call them running."""
    deleting: set[str] = set()
    """Workflows whose runs batch operations are to delete."""

    routes: set[Route] = msgspec.field(default_factory=lambda: {Route()})
    """How the deployment was routed in the end: one of these."""
    routes_asked: set[Route] = set()
    """How somebody wants it to be routed now."""
    releases: int = 0
    """Grows when somebody begins to change where work goes, and when that is done."""
    transitions: set[tuple[str, int]] = set()
    """Workflow tasks (run id, started event id) of runs that were on their way to another
    version: this comes before any override."""
    is_spare_there: bool | None = False
    """None: nobody knows."""

    schedules: dict[str, Planned] = {}
    is_clock_set: bool = False
    retention_ns: int = 0
    """How long closed runs are kept; 0: for ever."""
    born: dict[int, int] = {}
    """The order in which runs began: a reset has its number long before."""
    sent: dict[int, Sent] = {}
    """Messages, by sequence."""
    settled: list[Settled] = []
    deletions: list[Deletion] = []

    def acknowledged_by(self) -> dict[str, set[str]]:
        """By run, the signals and updates that are acknowledged so far."""
        found: dict[str, set[str]] = {}
        for request_id, signal in self.signals.items():
            for run_id in signal.found_in:
                found.setdefault(run_id, set()).add(request_id)
        for update_id, update in self.updates.items():
            for run_id in update.accepted_by:
                found.setdefault(run_id, set()).add(update_id)
        return found

    @contextmanager
    def releasing(self, change: Callable[[Route], Route] | None = None) -> Iterator[None]:
        """While somebody changes where work goes: how, if it is the routing that changes."""
        self.releases += 1
        if change is not None:
            self.routes_asked = set(map(change, self.routes))
        try:
            yield
            self.routes = self.routes_asked or self.routes
        finally:
            self.routes_asked = set()
            self.releases += 1

    def read(self, run_id: str, first_event_id: int, entries: list[bytes]) -> str:
        """Note recorded events that a reader has got; what they contradict, or ""."""
        known = self.reads.setdefault(run_id, [])
        for index, entry in enumerate(entries, first_event_id - 1):
            if index < len(known):
                if known[index] != entry:
                    return f"event {index + 1} of run {run_id} was read before, and was different"
            elif index == len(known):
                known.append(entry)
            else:
                break  # A reader that begins beyond what anyone has read: nothing to compare with.
        return ""
