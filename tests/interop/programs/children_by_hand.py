"""Child workflows driven task by task: parent close policies, races, and refusals."""

from __future__ import annotations

from typing import Any

from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import (
    Header,
    Memo,
    Priority,
    RetryPolicy,
    SearchAttributes,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, EventType, ParentClosePolicy
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.programs.external import cancel, has_taken
from tests.interop.raw import HandWorker, complete_workflow, seconds
from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads

CHILD_STARTED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
CHILD_CANCELED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED
CHILD_COMPLETED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED
START_FAILED = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED
CANCEL_REQUESTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
LONG = "x" * 1001
POLICIES = {
    "terminate": ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE,
    "abandon": ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON,
    "cancel": ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
}


def _command(kind: str, attributes: Any = None) -> Command:
    command = Command(command_type=CommandType.Value(f"COMMAND_TYPE_{kind}"))
    if attributes is not None:
        getattr(command, f"{kind.lower()}_command_attributes").CopyFrom(attributes)
    return command


def start_child(workflow_id: str, queue: str, **fields: Any) -> Command:
    """A command for a child of the type ``ByHand``."""
    return _command(
        "START_CHILD_WORKFLOW_EXECUTION",
        StartChildWorkflowExecutionCommandAttributes(
            **{
                "workflow_id": workflow_id,
                "workflow_type": WorkflowType(name="ByHand"),
                "task_queue": TaskQueue(name=queue),
                **fields,
            }
        ),
    )


class Home:
    """A parent and its children, each with a queue of its own."""

    def __init__(self, stage: Stage, label: str) -> None:
        self.stage = stage
        self.label = label
        self.parents = HandWorker(stage, f"parents {label}")
        self.children = HandWorker(stage, f"children {label}")

    def child_id(self, name: str = "") -> str:
        """The id of a child."""
        return self.stage.workflow_id(f"child {self.label} {name}")

    def start_child(self, name: str = "", **fields: Any) -> Command:
        """The command that starts it."""
        queue = self.stage.queue(f"children {self.label}")
        return start_child(self.child_id(name), queue, **fields)

    async def start(self, *commands: Command, **fields: Any) -> WorkflowExecution:
        """A parent whose first task brings these commands."""
        parent = await self.parents.start(f"parent {self.label}", **fields)
        await self.parents.complete(await self.parents.poll(), *commands)
        return parent


async def _with_children(
    stage: Stage, label: str, names: list[str], **fields: Any
) -> tuple[Home, WorkflowExecution]:
    """A parent with one running child of each policy; all of them wait."""
    home = Home(stage, label)
    parent = await home.parents.start(f"parent {label}", **fields)
    for number, name in enumerate(names):
        command = home.start_child(
            name, parent_close_policy=POLICIES[name.split()[0]], control=f"control {number}"
        )
        await home.parents.complete(await home.parents.poll(), command)
        await home.children.complete(await home.children.poll())
        await stage.event(parent, CHILD_STARTED, number + 1)
    return home, parent


async def _observe_children(home: Home, names: list[str]) -> None:
    for name in names:
        child = WorkflowExecution(workflow_id=home.child_id(name))
        if name.startswith("terminate"):
            await home.stage.closed(child)
        elif name.startswith("cancel"):
            await home.stage.event(child, CANCEL_REQUESTED)
        await home.stage.history(f"{home.label}: {name}", child)


async def parent_close_policies(stage: Stage) -> None:
    """What becomes of the children when their parent ends, in each way that it can."""
    names = list(POLICIES)
    failure = Failure(message="failed", source="interop")
    commands = {
        "completed": complete_workflow("done"),
        "failed": _command(
            "FAIL_WORKFLOW_EXECUTION", FailWorkflowExecutionCommandAttributes(failure=failure)
        ),
        "continued": _command(
            "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
            ContinueAsNewWorkflowExecutionCommandAttributes(
                workflow_type=WorkflowType(name="ByHand")
            ),
        ),
    }
    for label, command in commands.items():
        home, parent = await _with_children(stage, label, names)
        await home.parents.complete(await home.parents.poll(), command)
        await _observe_children(home, names)
        await stage.history(f"{label}: parent", parent)
    home, parent = await _with_children(stage, "terminated", names)
    await stage.service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(
            namespace=stage.namespace,
            workflow_execution=parent,
            reason="enough",
            identity=CLIENT_IDENTITY,
        )
    )
    await _observe_children(home, names)
    await stage.history("terminated: parent", parent)
    home, parent = await _with_children(stage, "timed out", names, workflow_run_timeout=seconds(3))
    await stage.closed(parent)
    await _observe_children(home, names)
    await stage.history("timed out: parent", parent)


async def cancelled_child_and_close(stage: Stage) -> None:
    """A client asks children to cancel, each of another policy, and then their parent ends."""
    names = list(POLICIES)
    home, _ = await _with_children(stage, "cancelled", names)
    for name in names:
        child = WorkflowExecution(workflow_id=home.child_id(name))
        await stage.service.request_cancel_workflow_execution(
            RequestCancelWorkflowExecutionRequest(
                namespace=stage.namespace,
                workflow_execution=child,
                identity=CLIENT_IDENTITY,
                request_id=f"cancel {name} {stage.nonce}",
            )
        )
        # The task that it brings is out of the way: the next event is the policy's.
        await home.children.complete(await home.children.poll())
    await home.parents.complete(await home.parents.poll(), complete_workflow("done"))
    terminated = WorkflowExecution(workflow_id=home.child_id("terminate"))
    await stage.closed(terminated)
    for name in names:
        child = WorkflowExecution(workflow_id=home.child_id(name))
        await stage.history(f"{name}: child", child)


async def many_children(stage: Stage) -> None:
    """Twelve children: the real server leaves their closing to a workflow of its own."""
    names = [f"{policy} {number}" for number in range(4) for policy in POLICIES]
    home, _ = await _with_children(stage, "many", names)
    await home.parents.complete(await home.parents.poll(), complete_workflow())
    await _observe_children(home, names)


async def child_and_close(stage: Stage) -> None:
    """A parent that closes with the very task that starts a child: there is no child."""
    for name, policy in POLICIES.items():
        home = Home(stage, name)
        parent = await home.start(home.start_child(parent_close_policy=policy), complete_workflow())
        await stage.history(name, parent)
        other = Home(stage, f"{name}, other")
        parent = await other.start(other.start_child(parent_close_policy=policy))
        await stage.event(parent, CHILD_STARTED)
        missing = WorkflowExecution(workflow_id=home.child_id())
        await stage.outcome(f"{name}: child", stage.description(missing))


async def child_events_buffered(stage: Stage) -> None:
    """The child starts, and ends, while its parent has a workflow task."""
    home = Home(stage, "buffered")
    parent = await home.parents.start("parent")
    held = await home.parents.complete(
        await home.parents.poll(),
        home.start_child(header=Header(fields={"key": payloads("value").payloads[0]})),
        force_create_new_workflow_task=True,
        return_new_workflow_task=True,
    )
    child_task = await home.children.poll()
    await stage.described(parent, has_taken(4))
    await home.children.complete(child_task, complete_workflow("result"))
    await stage.described(parent, has_taken(5))
    await stage.describe("parent while buffered", parent)
    await home.parents.complete(held.workflow_task)
    stage.task("parent's task", await home.parents.poll())
    await stage.history("parent", parent)


async def child_failure_buffered(stage: Stage) -> None:
    """That a child could not start is buffered, too."""
    home = Home(stage, "buffered")
    await home.children.start("taker", workflow_id=home.child_id())
    parent = await home.parents.start("parent")
    held = await home.parents.complete(
        await home.parents.poll(),
        home.start_child(control="controlled"),
        force_create_new_workflow_task=True,
        return_new_workflow_task=True,
    )
    await stage.described(parent, has_taken(4))
    await home.parents.complete(held.workflow_task)
    stage.task("parent's task", await home.parents.poll())
    await stage.history("parent", parent)


async def unhandled_child(stage: Stage) -> None:
    """The parent wants to close over a buffered event of its child."""
    home = Home(stage, "unhandled")
    parent = await home.parents.start("parent")
    held = await home.parents.complete(
        await home.parents.poll(),
        home.start_child(),
        force_create_new_workflow_task=True,
        return_new_workflow_task=True,
    )
    await home.children.poll()
    await stage.described(parent, has_taken(4))
    await stage.outcome(
        "answer", home.parents.complete(held.workflow_task, complete_workflow("too early"))
    )
    await stage.history("parent", parent)


async def grandchildren(stage: Stage) -> None:
    """A child of a child knows its root; a child that is cancelled by its parent."""
    home = Home(stage, "home")
    parent = await home.start(home.start_child())
    child = WorkflowExecution(workflow_id=home.child_id())
    inner = Home(stage, "inner")
    await home.children.complete(await home.children.poll(), inner.start_child())
    await stage.event(child, CHILD_STARTED)
    await inner.children.complete(await inner.children.poll())
    grandchild = WorkflowExecution(workflow_id=inner.child_id())
    await stage.history("grandchild", grandchild)
    await stage.describe("grandchild, described", grandchild)
    await home.children.complete(
        await home.children.poll(), cancel(inner.child_id(), child_workflow_only=True)
    )
    await stage.event(grandchild, CANCEL_REQUESTED)
    canceled = _command("CANCEL_WORKFLOW_EXECUTION")
    canceled.cancel_workflow_execution_command_attributes.details.CopyFrom(payloads("why"))
    await inner.children.complete(await inner.children.poll(), canceled)
    await stage.event(child, CHILD_CANCELED)
    await stage.history("child", child)
    await stage.history("grandchild, canceled", grandchild)
    await stage.history("parent", parent)


async def child_defaults(stage: Stage) -> None:
    """Timeouts, policies and priorities that the server completes."""
    home = Home(stage, "defaults")
    keyword = payloads("me").payloads[0]
    keyword.metadata["type"] = b"Keyword"
    fields: dict[str, dict[str, Any]] = {
        "nothing": {"task_queue": None},
        "timeouts": {
            "workflow_execution_timeout": seconds(100),
            "workflow_run_timeout": seconds(200),
            "workflow_task_timeout": seconds(500),
        },
        "long task": {"workflow_task_timeout": seconds(500)},
        "short": {"workflow_execution_timeout": seconds(50)},
        "shorter": {"workflow_run_timeout": seconds(5)},
        "policy": {"retry_policy": RetryPolicy(maximum_attempts=2)},
        "priority": {"priority": Priority(fairness_key="tenant")},
        "cron": {"cron_schedule": "0 0 1 1 *"},
        "everything": {
            "input": payloads("in"),
            "control": "controlled",
            "memo": Memo(fields={"m": payloads(1).payloads[0]}),
            "search_attributes": SearchAttributes(indexed_fields={"BatcherUser": keyword}),
            "header": Header(fields={"h": payloads("v").payloads[0]}),
            "namespace": stage.namespace,
        },
    }
    parent = await home.start(
        *(home.start_child(name, **some) for name, some in fields.items()),
        priority=Priority(priority_key=4, fairness_weight=2),
    )
    await stage.event(parent, CHILD_STARTED, len(fields))
    events = await stage.fetch(parent)
    initiated = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    for event in events:
        if event.event_type == initiated:
            stage.message(
                f"initiated {event.event_id}",
                event.start_child_workflow_execution_initiated_event_attributes,
            )
    for name in fields:
        child = WorkflowExecution(workflow_id=home.child_id(name))
        await stage.event(child, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
        started = (await stage.fetch(child))[0]
        if name == "cron":
            # How long it is until the New Year.
            attributes = started.workflow_execution_started_event_attributes
            assert attributes.first_workflow_task_backoff.seconds > 0
            attributes.ClearField("first_workflow_task_backoff")
        stage.message(f"{name}: started", started)


async def bad_children(stage: Stage) -> None:
    """Commands that are refused."""
    fields: dict[str, dict[str, Any]] = {
        "no workflow id": {"workflow_id": ""},
        "no type": {"workflow_type": None},
        "long workflow id": {"workflow_id": LONG},
        "long type": {"workflow_type": WorkflowType(name=LONG)},
        "another namespace": {"namespace": "temporal-system"},
        "negative execution timeout": {"workflow_execution_timeout": seconds(-1)},
        "negative run timeout": {"workflow_run_timeout": seconds(-1)},
        "negative task timeout": {"workflow_task_timeout": seconds(-1)},
        "bad retry policy": {"retry_policy": RetryPolicy(backoff_coefficient=0.5)},
        "bad cron": {"cron_schedule": "every day"},
        "unknown search attribute": {
            "search_attributes": SearchAttributes(
                indexed_fields={"Unknown": payloads("x").payloads[0]}
            )
        },
        "bad priority": {"priority": Priority(priority_key=-1)},
        "long queue": {"task_queue": TaskQueue(name=LONG)},
        "reserved queue": {"task_queue": TaskQueue(name="/_sys/somewhere")},
        "build id elsewhere": {
            "inherit_build_id": True,
            "task_queue": TaskQueue(name="elsewhere"),
        },
    }
    commands = {
        label: [
            start_child(
                **{"workflow_id": stage.workflow_id("child"), "queue": stage.queue(), **some}
            )
        ]
        for label, some in fields.items()
    }
    child_id = stage.workflow_id("cancelled at once")
    commands["started and cancelled"] = [
        start_child(child_id, stage.queue()),
        cancel(child_id),
    ]
    for label, refused in commands.items():
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        await stage.outcome(f"{label}, answer", worker.complete(await worker.poll(), *refused))
        await stage.history(label, execution)
