"""Every short sequence of a few inputs, from a workflow just started: none breaks a law."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow import inputs
from tests.machines import requests, updating
from tests.machines.stages import complete, message, query_id, task_token
from tests.machines.world import World

Step = Callable[[World], object]


def _advance(world: World) -> None:
    world.now_ns += 11 * SECOND_NS
    world.wake_if_due()


def _send(kind: type) -> Step:
    return lambda world: world.decide(message(world, kind))


def _heartbeat_task(world: World) -> None:
    request = requests.completion("", ["force", "new_task"], {})
    world.decide(inputs.CompleteWorkflowTask(task_token(world), request))


TASKS: dict[str, Step] = {
    "poll": _send(inputs.StartWorkflowTask),
    "undelivered": _send(inputs.WorkflowTaskUndelivered),
    "sticky_unavailable": _send(inputs.StickyWorkerUnavailable),
    "reset_sticky": _send(inputs.ResetSticky),
    "complete": lambda world: complete(world, "timer t 5s; activity a", sticky="mine:5s"),
    "done": lambda world: complete(world, "done bye"),
    "continue": lambda world: complete(world, "continue again"),
    "heartbeat": _heartbeat_task,
    "fail": _send(inputs.FailWorkflowTask),
    "signal": _send(inputs.SignalWorkflow),
    "cancel": _send(inputs.CancelWorkflow),
    "terminate": _send(inputs.TerminateWorkflow),
    "start": _send(inputs.StartWorkflow),
    "advance": _advance,
}


def _answer(world: World) -> None:
    options = {"answer": f"{query_id(world)}:yes"}
    request = requests.completion("timer t 5s", [], options)
    world.decide(inputs.CompleteWorkflowTask(task_token(world), request))


QUERIES: dict[str, Step] = {
    "query": _send(inputs.QueryWorkflow),
    "forget": _send(inputs.ForgetQuery),
    "poll": _send(inputs.StartWorkflowTask),
    "undelivered": _send(inputs.WorkflowTaskUndelivered),
    "complete": lambda world: complete(world, "timer t 5s", sticky="mine:5s"),
    "answer": _answer,
    "done": lambda world: complete(world, "done bye"),
    "continue": lambda world: complete(world, "continue again"),
    "fail": _send(inputs.FailWorkflowTask),
    "signal": _send(inputs.SignalWorkflow),
    "terminate": _send(inputs.TerminateWorkflow),
    "advance": _advance,
}


def _say(text: str, commands: str = "", words: tuple[str, ...] = ()) -> Step:
    """Complete a task with messages."""

    def step(world: World) -> None:
        request = requests.completion(commands, list(words), {"say": text} if text else {})
        world.decide(inputs.CompleteWorkflowTask(task_token(world), request))

    return step


UPDATES: dict[str, Step] = {
    "update": _send(inputs.UpdateWorkflow),
    "update_with_start": _send(inputs.UpdateWithStart),
    "other": lambda world: world.decide(updating.update("v")),
    "poll": _send(inputs.StartWorkflowTask),
    "undelivered": _send(inputs.WorkflowTaskUndelivered),
    "sticky_unavailable": _send(inputs.StickyWorkerUnavailable),
    "accept": _say("accept:u"),
    "respond": _say("respond:u"),
    "reject": _say("reject:u"),
    "reject_in_hand": _say("reject:u", words=("new_task",)),
    "ignore": lambda world: complete(world, "", sticky="mine:5s"),
    "beat": _say("", words=("force",)),
    "done": lambda world: complete(world, "done bye"),
    "continue": lambda world: complete(world, "continue again"),
    "fail": _send(inputs.FailWorkflowTask),
    "signal": _send(inputs.SignalWorkflow),
    "terminate": _send(inputs.TerminateWorkflow),
    "advance": _advance,
}
ACTIVITIES: dict[str, Step] = {
    "poll": _send(inputs.StartWorkflowTask),
    "complete": lambda world: complete(world, "activity a heartbeat=5s; activity b"),
    "cancel_it": lambda world: complete(world, "cancel_activity 5"),
    "signal": _send(inputs.SignalWorkflow),
    "poll_activity": _send(inputs.StartActivityTask),
    "undelivered": _send(inputs.ActivityTaskUndelivered),
    "completes": _send(inputs.CompleteActivity),
    "fails": _send(inputs.FailActivity),
    "cancels": _send(inputs.CancelActivity),
    "advance": _advance,
}


def _walk(world: World, steps: dict[str, Step], depth: int, path: tuple[str, ...]) -> int:
    """Take each step from here, and each of the steps after it; how many were taken."""
    if not depth:
        return 0
    taken = 0
    for name, step in steps.items():
        there = world.clone()
        try:
            step(there)
        except Rejected:
            taken += 1
            continue  # Nothing has changed: what could follow is tried from here anyway.
        except Exception as error:
            error.add_note(" -> ".join((*path, name)))
            raise
        taken += 1 + _walk(there, steps, depth - 1, (*path, name))
    return taken


def _started(options: dict[str, str]) -> World:
    world = World()
    world.decide(inputs.StartWorkflow(requests.start(options)))
    return world


@pytest.mark.parametrize(
    "options",
    [{}, {"delay": "5s"}, {"run_timeout": "30s", "retry": "1s,2,100s,2"}],
    ids=["plain", "delayed", "retried"],
)
def test_no_four_steps_of_a_workflow_break_a_law(options: dict[str, str]) -> None:
    assert _walk(_started(options), TASKS, 4, ()) > 1000


def test_no_four_steps_of_a_workflow_with_queries_break_a_law() -> None:
    assert _walk(_started({}), QUERIES, 4, ()) > 1000


@pytest.mark.parametrize("options", [{}, {"delay": "5s"}], ids=["plain", "delayed"])
def test_no_four_steps_of_a_workflow_with_updates_break_a_law(options: dict[str, str]) -> None:
    world = _started(options)
    if not options:
        world.decide(message(world, inputs.StartWorkflowTask))
        complete(world, "", sticky="mine:5s")
    assert _walk(world, UPDATES, 4, ()) > 1000


def test_no_five_steps_of_a_running_activity_break_a_law() -> None:
    world = _started({})
    world.decide(message(world, inputs.StartWorkflowTask))
    complete(world, "activity a heartbeat=5s; timer t 12s")
    assert _walk(world, ACTIVITIES, 5, ()) > 5000
