"""What is asked of any execution without a workflow, and what is answered."""

from __future__ import annotations

from typing import Generic

import msgspec

from perdure.server.machines.standalone.state import RunT, StandaloneRun


class Describe(msgspec.Struct):
    """Tell how it stands."""

    run_id: str


class RequestCancel(msgspec.Struct):
    """It should cancel."""

    run_id: str
    identity: str
    request_id: str
    reason: str


class Terminate(msgspec.Struct):
    """End it, whatever it is doing."""

    run_id: str
    identity: str
    request_id: str
    reason: str


class Delete(msgspec.Struct):
    """Forget a run, which ends first if it is open. `other`: it is not the current one."""

    run_id: str
    other: StandaloneRun | None = None


class Started(msgspec.Struct):
    """`is_new` is False when an existing run was returned instead."""

    run_id: str
    is_new: bool


class Described(msgspec.Struct, Generic[RunT]):
    """A run as it stands: a copy."""

    run: RunT
