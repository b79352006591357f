"""What the commands of one completed workflow task share, while they are checked and while they are
applied.

All commands are checked, in order, before the first event is recorded: a refusal fails the whole
workflow task and leaves no trace of the commands before it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

import msgspec
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Memo, SearchAttributes
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import Rejection
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines import search_attributes
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.ports import Limits
from perdure.server.machines.search_attributes import CustomAttributes
from perdure.server.machines.workflow.state import Run, Workflow
from perdure.server.machines.workflow.updates import Body, Place


class CommandRefused(Exception):
    """A command is wrong: its workflow task fails for `cause`, and the run is terminated if
    `terminate`."""

    def __init__(
        self,
        cause: WorkflowTaskFailedCause.ValueType,
        message: str = "",
        *,
        terminate: bool = False,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.terminate = terminate

    @property
    def text(self) -> str:
        """What the worker and the history are told: the cause as Temporal spells it, and the
        reason."""
        name = cause_text(self.cause)
        return f"{name}: {self.message}" if self.message else name


def cause_text(cause: WorkflowTaskFailedCause.ValueType) -> str:
    """BAD_START_TIMER_ATTRIBUTES as the real server prints it: BadStartTimerAttributes."""
    name = WorkflowTaskFailedCause.Name(cause).removeprefix("WORKFLOW_TASK_FAILED_CAUSE_")
    return "".join(word.capitalize() for word in name.split("_"))


@functools.cache  # Of the few names of commands and of their fields.
def snake_case(name: str) -> str:
    """WorkflowRunTimeout as workflow_run_timeout."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def require_attributes(
    command: Command, name: str, cause: WorkflowTaskFailedCause.ValueType
) -> None:
    """Refuse a command without its attributes; `name` as in "CompleteWorkflowExecution"."""
    field = snake_case(name) + "_command_attributes"
    if command.WhichOneof("attributes") != field:
        raise CommandRefused(cause, f"{name}CommandAttributes is not set on {name}Command.")


class CheckContext(msgspec.Struct, kw_only=True):
    """The run as it will be when the commands before this one have been applied."""

    run: Run
    limits: Limits
    now_ns: int
    namespace: str
    activity_ids: set[str]
    """In use, also by activities which this completion schedules."""
    timer_ids: set[str]
    """In use: those that commands before this one cancelled are free again."""
    fired_timer_ids: set[str]
    """Timers whose TimerFired is buffered, and was not cancelled by a command before this one."""
    buffered: int
    """Buffered events that will still be there: with any, the workflow cannot close."""
    pending_activities: int
    next_event_id: int
    """The id that the event of this command will get."""
    has_closed: bool = False
    """A command before this one closes the run."""
    cancelled_activities: set[int] = set()
    """Scheduled event ids of activities that commands before this one asked to cancel."""
    pending_children: int = 0
    pending_signals: int = 0
    pending_cancels: int = 0
    initiated_children: set[str] = set()
    """Workflow ids of children that commands before this one start."""
    workflow: Workflow
    messages: Sequence[Message] = ()
    message_indexes: dict[str, int] = {}
    """Where each message is that no command has placed so far."""
    placed: dict[int, Body] = {}
    """The messages that commands have placed, by where they are, in the order of the commands."""
    rest: dict[int, Body] = {}
    """Those that happen after all commands."""
    places: dict[str, Place] = {}
    """How far the messages before this one have brought updates."""

    search_attributes: CustomAttributes = msgspec.field(default_factory=dict)
    """The custom ones of the namespace."""
    upserted_attributes: SearchAttributes | None = None
    """As commands before this one leave them; None when none has touched them."""
    memo: Memo | None = None
    """The same of the memo."""
    pending_nexus_operations: int = 0
    scheduled_operations: set[int] = set()
    """Event ids of Nexus operations that commands before this one schedule."""
    cancelled_operations: set[int] = set()
    """The same of those that they ask to cancel."""
    endpoints: Mapping[str, str] = {}
    """See `CompleteWorkflowTask`; as the next."""
    system_problems: Mapping[bytes, str] = {}

    def problem_of(self, attributes: SearchAttributes) -> str | None:
        """Why these search attributes cannot be set; when they can, each then says its type, in
        place."""
        if not attributes.indexed_fields:
            return None
        custom = self.search_attributes
        problem = search_attributes.problem_of(attributes, self.namespace, custom, self.limits)
        if problem is None:
            search_attributes.add_types(attributes, custom)
        return problem

    @property
    def only_rejects(self) -> bool:
        """Whether its messages do nothing but reject updates."""
        return all(isinstance(body, Rejection) for body in self.rest.values())


class ApplyContext(msgspec.Struct):
    """What applying a command needs, and what it leaves for the completion to do."""

    completed_event_id: int
    identity: str
    request: RespondWorkflowTaskCompletedRequest
    needs_new_task: bool = False
    """An activity that had not started was cancelled: the workflow must hear of it."""
    eager_activities: list[int] = []
    """Scheduled event ids of activities that this worker gets with the answer."""
    placed: list[tuple[str, Body]] = []
    """What the worker says of updates where its commands say so, in their order."""
    rest: list[tuple[str, Body]] = []
    """What it says of updates after all commands."""
    served: Mapping[str, frozenset[VersionName]] = {}
    """See `CompleteWorkflowTask`."""
    endpoints: Mapping[str, str] = {}
