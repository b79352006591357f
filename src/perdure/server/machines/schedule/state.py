"""What is kept of a schedule. It has no history: all of it is one head, written with each commit,
and a few blobs, written when they change.

Structs are arrays of MessagePack, so a format grows by fields at the end, with defaults. Protobuf
parts are kept serialised.
"""

from __future__ import annotations

import enum

import msgspec
from temporalio.api.schedule.v1 import ScheduleSpec

from perdure.server.machines.schedule.spec import Times, times_of

RECENT_ACTIONS_MAX = 10
REQUEST_IDS_MAX = 20
"""Of the newest updates and patches: what comes again under one of these was done."""


class Overlap(enum.IntEnum):
    """Temporal's ScheduleOverlapPolicy; 0 means what the schedule says."""

    UNSPECIFIED = 0
    SKIP = 1
    BUFFER_ONE = 2
    BUFFER_ALL = 3
    CANCEL_OTHER = 4
    TERMINATE_OTHER = 5
    ALLOW_ALL = 6


class Start(msgspec.Struct, array_like=True, frozen=True):
    """An action to be taken: it waits for its turn, or (`is_sent`) for the workflow to begin."""

    number: int
    """Which one of the schedule: it makes the request id of the workflow's start."""
    nominal_ns: int
    due_ns: int
    overlap: Overlap
    is_manual: bool
    is_sent: bool = False


class Backfill(msgspec.Struct, array_like=True, frozen=True):
    """Times of the past that are still to be acted for: later than `after_ns`."""

    after_ns: int
    until_ns: int
    overlap: Overlap


class Started(msgspec.Struct, array_like=True, frozen=True):
    """A workflow that the schedule has started and that goes on, and is in the way of others."""

    number: int
    workflow_id: str
    run_id: str
    """The first of its chain."""
    is_cancel_sent: bool = False
    is_terminate_sent: bool = False


class Action(msgspec.Struct, array_like=True, frozen=True):
    """An action that was taken, and what has become of it."""

    number: int
    due_ns: int
    actual_ns: int
    workflow_id: str
    run_id: str
    status: int


class Counts(msgspec.Struct, array_like=True, frozen=True):
    """What has happened so far, in numbers."""

    actions: int = 0
    missed_catchup_window: int = 0
    overlap_skipped: int = 0
    buffer_dropped: int = 0


class Settings(msgspec.Struct, array_like=True, frozen=True):
    """What a client sets, and the schedule itself may change: the parts of a Schedule."""

    spec: bytes
    """A normal ScheduleSpec."""
    policies: bytes
    """SchedulePolicies, with defaults."""
    overlap: Overlap
    catchup_window_ns: int
    pauses_on_failure: bool
    keeps_workflow_id: bool
    workflow_type: str = ""
    """What its action starts; "" when it has none."""
    notes: str = ""
    is_paused: bool = False
    is_limited: bool = False
    remaining: int = 0


class State(msgspec.Struct, array_like=True):
    """Everything of a schedule."""

    run_id: str
    settings: Settings
    created_ns: int
    create_request_id: str
    conflict_token: int = 1
    updated_ns: int = 0
    processed_ns: int = 0
    """Every time up to here was looked at: the last one that has come, or when none could."""
    wake_at_ns: int = 0
    next_number: int = 1
    counts: Counts = Counts()
    buffer: tuple[Start, ...] = ()
    backfills: tuple[Backfill, ...] = ()
    started: tuple[Started, ...] = ()
    actions: tuple[Action, ...] = ()
    """The newest last."""
    request_ids: tuple[str, ...] = ()
    idle_since_ns: int = 0
    """Since when there is nothing to do any more; 0: there is."""
    is_deleted: bool = False


class Blob(enum.StrEnum):
    """What of a schedule may be large, and is kept apart, serialised."""

    ACTION = "action"
    """A ScheduleAction; there is none when it has none."""
    MEMO = "memo"
    SEARCH_ATTRIBUTES = "search_attributes"
    RESULT = "result"
    """Payloads of the last workflow that completed."""
    FAILURE = "failure"
    """The Failure of the last one, if it failed."""


BLOB_RECORD = 1
"""The kind of the records that blobs are stored as; their keys are the names."""


class Run(msgspec.Struct):
    """A schedule in memory: its state, and what is made of it."""

    state: State
    blobs: dict[Blob, bytes] = {}
    times: Times | None = None
    """Of its specification; derived, never stored."""

    @property
    def run_id(self) -> str:
        """A UUID that no schedule of the same id had before."""
        return self.state.run_id

    @property
    def is_open(self) -> bool:
        """Whether it is not deleted."""
        return not self.state.is_deleted

    @property
    def wake_at_ns(self) -> int:
        """When it must be looked at again; 0: never."""
        return self.state.wake_at_ns

    @property
    def last_event_id(self) -> int:
        """It has no history."""
        return 0


class Schedule(msgspec.Struct):
    """The unit of decision: what one schedule id names."""

    namespace: str
    namespace_id: str
    schedule_id: str
    run: Run | None = None

    @property
    def must_stay(self) -> bool:
        """Nothing of it is volatile."""
        return False

    @property
    def times(self) -> Times:
        """When the schedule acts."""
        assert self.run is not None, "there is a schedule"
        if self.run.times is None:
            spec = ScheduleSpec.FromString(self.run.state.settings.spec)
            self.run.times = times_of(spec, self.namespace_id, self.schedule_id)
        return self.run.times
