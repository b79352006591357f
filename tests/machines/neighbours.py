"""Several workflows that can reach each other: each a world of its own, with its laws checked; what
they say to each other is delivered as the outbox would."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines.effects import SendMessage
from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS, Limits
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow import inputs, messages
from perdure.server.machines.workflow.from_workflows.answers import answer_to, is_wanted
from tests.machines import requests, stages
from tests.machines.world import World, type_name


class Neighbours:
    """Worlds by workflow id, on one clock and one source of ids."""

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.worlds: dict[str, World] = {}
        self.delivered: list[SendMessage] = []

    def world(self, workflow_id: str) -> World:
        """The workflow of this id, which may be absent."""
        if workflow_id not in self.worlds:
            world = World(limits=self._limits, workflow_id=workflow_id)
            for other in self.worlds.values():
                world.ids, world.now_ns = other.ids, other.now_ns
            self.worlds[workflow_id] = world
        return self.worlds[workflow_id]

    def start(self, workflow_id: str, **options: str) -> World:
        """A workflow that a client has started."""
        world = self.world(workflow_id)
        request = requests.start(options)
        request.workflow_id = workflow_id
        world.decide(inputs.StartWorkflow(request))
        return world

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for all."""
        for world in self.worlds.values():
            world.now_ns += round(seconds * SECOND_NS)

    def complete(
        self, workflow_id: str, *commands: Command, is_polled: bool = True, more: bool = False
    ) -> inputs.Reply:
        """A worker takes the workflow's task (unless it has it) and completes it; with `more` it is
        given the next one at once."""
        world = self.world(workflow_id)
        if is_polled:
            stages.poll(world)
        request = RespondWorkflowTaskCompletedRequest(
            identity="worker",
            commands=commands,
            force_create_new_workflow_task=more,
            return_new_workflow_task=more,
        )
        token = stages.task_token(world)
        return world.decide(inputs.CompleteWorkflowTask(token, request)).reply

    # ---- messages

    def waiting(self) -> list[SendMessage]:
        """What was said and not delivered, in the order of the rows of each workflow."""
        return [message for world in self.worlds.values() for message in world.sent]

    def take(self, world: World) -> SendMessage:
        """The oldest message of a workflow leaves its outbox."""
        return world.sent.pop(0)

    def deliver(self) -> None:
        """Deliver until there is nothing left to deliver."""
        while any(world.sent for world in self.worlds.values()):
            for world in list(self.worlds.values()):
                if world.sent:
                    self.deliver_one(self.take(world))

    def deliver_one(self, message: SendMessage) -> None:
        """Deliver one message, and what it is answered with when nothing changes."""
        self.delivered.append(message)
        said = message.message
        if isinstance(said, messages.Command):
            source = self.world(said.source.workflow_id)
            if not is_wanted(source.workflow.run, said):
                return
        changed, came = self._tell(message.workflow_id, said)
        answer = None if changed else answer_to(said, came)
        if answer is not None:
            whom, reply = answer
            assert isinstance(reply, messages.Message)
            self._tell(whom.id, reply)

    def _tell(
        self, workflow_id: str, message: messages.Message
    ) -> tuple[bool, inputs.Reply | Rejected]:
        try:
            decision = self.world(workflow_id).decide(message)
        except Rejected as refusal:
            return False, refusal
        return decision.has_changes, decision.reply

    # ---- what can be asked of them

    def types(self, workflow_id: str, run_id: str = "") -> list[str]:
        """Types of the events of a workflow, but for those of its workflow tasks."""
        types = self.worlds[workflow_id].types(run_id)
        return [kind for kind in types if not kind.startswith("WORKFLOW_TASK")]

    def last(self, workflow_id: str, kind: str) -> HistoryEvent:
        """The last event of this type."""
        events = self.worlds[workflow_id].events()
        return [event for event in events if type_name(event) == kind][-1]


def start_child(workflow_id: str, **fields: object) -> Command:
    """A command that starts a child."""
    command = Command(command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION)
    attributes = command.start_child_workflow_execution_command_attributes
    attributes.workflow_id = workflow_id
    attributes.workflow_type.CopyFrom(WorkflowType(name="Child"))
    attributes.task_queue.CopyFrom(TaskQueue(name="children"))
    for name, value in fields.items():
        if name == "header":
            attributes.header.fields["h"].CopyFrom(requests.payload(str(value)))
        elif name == "retry":
            attributes.retry_policy.CopyFrom(requests.retry_policy(str(value)))
        elif name == "run_timeout_seconds":
            attributes.workflow_run_timeout.CopyFrom(duration(int(str(value)) * SECOND_NS))
        else:
            setattr(attributes, name, value)
    return command


def signal(workflow_id: str, name: str = "hear", **fields: object) -> Command:
    """A command that signals another workflow."""
    command = Command(command_type=CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION)
    attributes = command.signal_external_workflow_execution_command_attributes
    attributes.execution.workflow_id = workflow_id
    attributes.execution.run_id = str(fields.pop("run_id", ""))
    attributes.signal_name = name
    for field, value in fields.items():
        setattr(attributes, field, value)
    return command


def cancel(workflow_id: str, **fields: object) -> Command:
    """A command that asks another workflow to cancel."""
    command = Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION
    )
    attributes = command.request_cancel_external_workflow_execution_command_attributes
    attributes.workflow_id = workflow_id
    for field, value in fields.items():
        setattr(attributes, field, value)
    return command
