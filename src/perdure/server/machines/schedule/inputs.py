"""What a schedule is asked to decide on, besides messages; and its replies.

`request_id` makes an input that comes twice be done once. Settings have been checked by the
frontend, and their specification is normal.
"""

from __future__ import annotations

import msgspec

from perdure.server.machines.schedule.messages import ToSchedule
from perdure.server.machines.schedule.spec import ActionTime
from perdure.server.machines.schedule.state import Backfill, Blob, Overlap, Settings, State


class Patch(msgspec.Struct, frozen=True):
    """What to do once: any of these."""

    trigger: Overlap | None = None
    trigger_ns: int | None = None
    """For which time; None: for now."""
    backfills: tuple[Backfill, ...] = ()
    pause: str | None = None
    """The notes of a schedule that is paused with this."""
    unpause: str | None = None


class CreateSchedule(msgspec.Struct, frozen=True):
    """Begin a schedule."""

    request_id: str
    settings: Settings
    blobs: dict[Blob, bytes]
    """Without what is empty."""
    patch: Patch = Patch()


class DescribeSchedule(msgspec.Struct, frozen=True):
    """Tell all of it, and its next times."""

    times_max: int = 0


class ListTimes(msgspec.Struct, frozen=True):
    """Tell when it acts, later than one time and not later than another."""

    after_ns: int
    until_ns: int
    times_max: int


class UpdateSchedule(msgspec.Struct, frozen=True):
    """Replace what a client sets; b"" takes a blob away, and what is missing stays."""

    request_id: str
    settings: Settings
    blobs: dict[Blob, bytes]
    conflict_token: bytes = b""


class PatchSchedule(msgspec.Struct, frozen=True):
    """Do something once."""

    request_id: str
    patch: Patch


class DeleteSchedule(msgspec.Struct, frozen=True):
    """Forget the schedule; what it has started goes on."""


class WakeUp(msgspec.Struct, frozen=True):
    """Its time has come."""

    run_id: str


Input = (
    CreateSchedule
    | DescribeSchedule
    | ListTimes
    | UpdateSchedule
    | PatchSchedule
    | DeleteSchedule
    | WakeUp
    | ToSchedule
)


class Done(msgspec.Struct, frozen=True):
    """It was done, or was so already."""


class Created(msgspec.Struct, frozen=True):
    """The schedule is there, with this conflict token."""

    conflict_token: int


class Described(msgspec.Struct, frozen=True):
    """A copy of all of it."""

    state: State
    blobs: dict[Blob, bytes]
    times: tuple[ActionTime, ...]


class Listed(msgspec.Struct, frozen=True):
    """When it acts."""

    times: tuple[ActionTime, ...]


Reply = Done | Created | Described | Listed
