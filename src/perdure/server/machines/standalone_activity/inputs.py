"""What is asked of a standalone activity, besides what workers say of any activity
(`machines.workflow.inputs`), and what is answered."""

from __future__ import annotations

import msgspec
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest

from perdure.server.machines.standalone.inputs import (
    Delete,
    Describe,
    Described,
    RequestCancel,
    Started,
    Terminate,
)
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.workflow.inputs import (
    ActivityTaskUndelivered,
    CancelActivity,
    CompleteActivity,
    Done,
    FailActivity,
    Heartbeat,
    HeartbeatActivity,
    LoseActivityTask,
    StartActivityTask,
    StartedActivityTask,
    WakeUp,
)


class StartActivity(msgspec.Struct):
    """Begin a run, with all defaults applied."""

    request: StartActivityExecutionRequest


class Pause(msgspec.Struct):
    """Do not start it, or not again."""

    run_id: str
    identity: str
    request_id: str
    reason: str


class Unpause(msgspec.Struct):
    """Go on, so much later."""

    run_id: str
    delay_ns: int
    request_id: str = ""


class Reset(msgspec.Struct):
    """Begin again with the first attempt, so much later."""

    run_id: str
    delay_ns: int
    resets_heartbeat: bool
    keeps_paused: bool
    restores_options: bool
    request_id: str = ""


class SetOptions(msgspec.Struct):
    """Go on with other options; None: those that it was started with."""

    run_id: str
    options: ActivityOptions | None
    paths: tuple[str, ...] = ()


Input = (
    StartActivity
    | Describe
    | RequestCancel
    | Terminate
    | Delete
    | Pause
    | Unpause
    | Reset
    | SetOptions
    | StartActivityTask
    | ActivityTaskUndelivered
    | LoseActivityTask
    | CompleteActivity
    | FailActivity
    | CancelActivity
    | HeartbeatActivity
    | WakeUp
)


class OptionsSet(msgspec.Struct):
    """The options that hold now: a serialised ActivityOptions."""

    options: bytes


Reply = Done | Heartbeat | StartedActivityTask | Started | Described[ActivityRun] | OptionsSet
