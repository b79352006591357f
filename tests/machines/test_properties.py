"""Whatever happens to a workflow, in whatever order: every law holds, and nothing is lost."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.decide import Decision
from perdure.server.machines.workflow.state import AttemptState, Phase
from tests.machines import requests, updating
from tests.machines.stages import activity_token, message, query_id, run_id, task_token
from tests.machines.world import World, check_folds, type_name

IS_LONG = bool(os.environ.get("PERDURE_LONG_TESTS"))
LIMITS = type(DEFAULT_LIMITS)(buffered_events_max=4, signals_max=12, pending_activities_max=4)

START_OPTIONS: tuple[dict[str, str], ...] = (
    {"delay": "3s"},
    {"run_timeout": "20s"},
    {"execution_timeout": "30s", "run_timeout": "8s"},
    {"retry": "1s,2,100s,3", "run_timeout": "15s"},
    {"cron": "* * * * *"},
    {"cron": "@every 5s", "retry": "1s,1,2s,2"},
    {"memo": "k:1", "attributes": "BatcherUser:1"},
    {},
)
COMMANDS = (
    "activity a heartbeat=3s retry=1s,2,5s,2",
    "activity a start_to_close=0s schedule_to_close=6s",
    "activity b eager",
    "activity c schedule_to_start=2s",
    "timer t 2s",
    "timer u 0s",
    "timer v 4s",
    "timer w 12s",
    "cancel_timer t",
    "cancel_timer v",
    "cancel_activity 5",
    "cancel_activity 6",
    "marker m details=d",
    "attributes BatcherUser:null,BuildIds:2",
    "memo k:null,l:2",
)
CLOSING = ("done bye", "fail broken", "cancelled", "continue again", "continue later backoff=4s")
STICKY: tuple[dict[str, str], ...] = (
    {},
    {"sticky": "mine:4s"},
    {"sticky": "mine:4s", "build": "one"},
    {"build": "two"},
)
MOMENTS = (0, 0.5, 1, 2, 4, 11, 61)


class Workflows(RuleBasedStateMachine):
    """One workflow id, with a client, workers and a clock that do as they please."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(limits=LIMITS)
        self.tokens: list[inputs.TaskToken] = []
        self.activity_tokens: list[inputs.TaskToken] = []
        self.signals: dict[str, set[str]] = {}
        """Request ids that were acknowledged, per run."""

    # ---- clients

    @initialize(options=st.sampled_from(START_OPTIONS), is_eager=st.booleans())
    def begin(self, options: dict[str, str], is_eager: bool) -> None:
        self._send(inputs.StartWorkflow(requests.start(options, is_eager=is_eager)))

    @rule(
        options=st.sampled_from(START_OPTIONS),
        request=st.sampled_from(["s1", "s2", "s3"]),
        is_eager=st.booleans(),
        conflict=st.sampled_from([*["fail"] * 8, "use_existing", "terminate_existing"]),
        reuse=st.sampled_from(["allow_duplicate", "allow_duplicate_failed_only"]),
    )
    def start(
        self, options: dict[str, str], request: str, is_eager: bool, conflict: str, reuse: str
    ) -> None:
        choices = {**options, "request": request, "conflict": conflict, "reuse": reuse}
        self._send(inputs.StartWorkflow(requests.start(choices, is_eager=is_eager)))

    @precondition(lambda self: self.world.workflow.run is not None)
    @rule(request=st.sampled_from(["", "r1", "r2", "r3", "r4"]), is_for_run=st.booleans())
    def signal(self, request: str, is_for_run: bool) -> None:
        run = run_id(self.world)
        decision = self._send(
            inputs.SignalWorkflow(
                run if is_for_run else "", requests.signal("go", {"request": request})
            )
        )
        if decision is not None and request:
            self.signals.setdefault(run, set()).add(request)

    @rule(
        kind=st.sampled_from(
            [*[inputs.CancelWorkflow] * 3, *[inputs.ResetSticky] * 3, inputs.TerminateWorkflow]
        )
    )
    def meddle(self, kind: type) -> None:
        self._send(message(self.world, kind))

    @rule(kind=st.sampled_from([*[inputs.QueryWorkflow] * 3, inputs.ForgetQuery]))
    def ask(self, kind: type) -> None:
        before = self.world.types()
        self._send(message(self.world, kind))
        assert self.world.types() == before, "Q1: a query is in the history"

    @rule(update_id=st.sampled_from(["u1", "u2", "u3"]), is_poll=st.booleans())
    def update(self, update_id: str, is_poll: bool) -> None:
        before = self.world.types() if self.world.workflow.run is not None else []
        kind = inputs.PollUpdate("", update_id) if is_poll else updating.update(update_id)
        if self._send(kind) is not None:
            assert self.world.types() == before, "U2: an admitted update is in the history"

    # ---- workers

    @rule(
        said=st.lists(
            st.tuples(
                st.sampled_from(["accept", "reject", "respond"]),
                st.sampled_from(["u1", "u2", "u3"]),
            ),
            min_size=1,
            max_size=4,
            unique=True,
        ),
        closing=st.sampled_from((*[""] * 8, *CLOSING)),
        words=st.sampled_from([[], ["new_task"], ["force"], ["forgets"]]),
    )
    def answer_updates(self, said: list[tuple[str, str]], closing: str, words: list[str]) -> None:
        self.poll()
        request = requests.completion(
            closing, words, {"say": ",".join(f"{verb}:{update_id}" for verb, update_id in said)}
        )
        self._send(inputs.CompleteWorkflowTask(task_token(self.world), request))

    @rule()
    def take_task(self) -> None:
        self.poll()

    def poll(self) -> None:
        """A worker takes the workflow task that is on offer, if one is."""
        offer = self.world.offer() if self.world.workflow.run is not None else None
        if offer is not None:
            decision = self._send(message(self.world, inputs.StartWorkflowTask))
            assert decision is not None, "what is on offer can be started"

    @rule(back=st.integers(1, 3))
    def poll_with_a_stale_offer(self, back: int) -> None:
        sent = message(self.world, inputs.StartWorkflowTask)
        assert isinstance(sent, inputs.StartWorkflowTask)
        sent.stamp -= back
        assert self._send(sent) is None, "a stale offer started a task"

    @rule(
        commands=st.lists(st.sampled_from(COMMANDS), max_size=3, unique=True),
        closing=st.sampled_from((*[""] * 20, *CLOSING)),
        options=st.sampled_from(STICKY),
        words=st.sampled_from([[], ["force"], ["force", "new_task"], ["new_task"]]),
        polls=st.booleans(),
        answers=st.booleans(),
    )
    def complete(
        self,
        commands: list[str],
        closing: str,
        options: dict[str, str],
        words: list[str],
        polls: bool,
        answers: bool,
    ) -> None:
        if polls:
            self.poll()
        if answers:
            options = {**options, "answer": f"{query_id(self.world)}:yes"}
        text = "; ".join([*commands, closing])
        self._send(
            inputs.CompleteWorkflowTask(
                task_token(self.world), requests.completion(text, words, options)
            )
        )

    @rule(data=st.data())
    def complete_with_an_old_token(self, data: st.DataObject) -> None:
        if not self.tokens:
            return
        token = data.draw(st.sampled_from(self.tokens))
        if token == self._current_token():
            return
        request = requests.completion("done stale", [], {})
        assert self._send(inputs.CompleteWorkflowTask(token, request)) is None, "A3"

    @rule()
    def fail_task(self) -> None:
        self._send(message(self.world, inputs.FailWorkflowTask))

    @rule(kind=st.sampled_from([inputs.WorkflowTaskUndelivered, inputs.StickyWorkerUnavailable]))
    def lose_task(self, kind: type) -> None:
        self._send(message(self.world, kind))

    @rule()
    def poll_activity(self) -> None:
        self._send(message(self.world, inputs.StartActivityTask))

    @precondition(lambda self: self.world.workflow.run is not None and self.world.run.activities)
    @rule(
        kind=st.sampled_from(
            [
                inputs.CompleteActivity,
                inputs.FailActivity,
                inputs.CancelActivity,
                inputs.HeartbeatActivity,
            ]
        ),
        data=st.data(),
        is_by_id=st.booleans(),
    )
    def answer_activity(self, kind: type, data: st.DataObject, is_by_id: bool) -> None:
        world = self.world
        event_id = data.draw(st.sampled_from(sorted(world.run.activities)))
        sent = message(world, kind)
        sent.token = activity_token(world, event_id)  # type: ignore[union-attr]
        if is_by_id:
            name = world.run.activities[event_id].activity.activity_id
            sent.token = inputs.TaskToken("namespace-id", "w", "", 0, 0, 0, activity_id=name)  # type: ignore[union-attr]
        self._send(sent)

    @rule(data=st.data())
    def complete_activity_with_an_old_token(self, data: st.DataObject) -> None:
        if not self.activity_tokens:
            return
        token = data.draw(st.sampled_from(self.activity_tokens))
        run = self.world.workflow.run
        if run is not None and run.recorded.run_id == token.run_id:
            pending = run.activities.get(token.scheduled_event_id)
            newest = pending.attempt if pending is not None else None
            if newest and (newest.attempt, newest.stamp) == (token.attempt, token.stamp):
                return
        sent = inputs.CompleteActivity(token, requests.payloads("stale"), "worker")
        assert self._send(sent) is None, "A3"

    @precondition(lambda self: self.world.workflow.run is not None and self.world.run.activities)
    @rule(data=st.data())
    def lose_activity(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.world.run.activities)))
        attempt = self.world.run.activities[event_id].attempt
        before = attempt.attempt
        self._send(inputs.ActivityTaskUndelivered(run_id(self.world), event_id, attempt.stamp))
        pending = self.world.run.activities.get(event_id)
        if pending is not None and pending.attempt.state == AttemptState.SCHEDULED:
            assert pending.attempt.attempt == before, "A5: an undelivered attempt was counted"

    # ---- time

    @rule(
        seconds=st.sampled_from(MOMENTS),
        who_looks=st.sampled_from(["whoever is due", "whoever is due", "somebody", "nobody"]),
    )
    def pass_time(self, seconds: float, who_looks: str) -> None:
        self.world.now_ns += round(seconds * SECOND_NS)
        if who_looks == "whoever is due":
            self._settle()
        elif who_looks == "somebody":
            self.world.decide(message(self.world, inputs.WakeUp))

    def _settle(self) -> None:
        for _ in range(20):
            if self.world.wake_if_due() is None:
                return
        raise AssertionError("waking up never ends")

    # ---- inside

    def _send(self, sent: inputs.Input) -> Decision | None:
        if isinstance(sent, inputs.WakeUp) and self.world.workflow.phase is Phase.ABSENT:
            return None
        try:
            decision = self.world.decide(sent)
        except Rejected:
            return None
        match decision.reply:
            case inputs.StartedWorkflowTask(token=token):
                self.tokens.append(token)
            case inputs.WorkflowStarted(eager_task=task) if task is not None:
                self.tokens.append(task.token)
            case inputs.WorkflowTaskCompleted(workflow_task=task, activity_tasks=activities):
                self.tokens.extend([task.token] if task is not None else [])
                self.activity_tokens.extend(activity.token for activity in activities)
            case inputs.StartedActivityTask(token=token):
                self.activity_tokens.append(token)
            case _:
                pass
        return decision

    def _current_token(self) -> inputs.TaskToken | None:
        run = self.world.workflow.run
        task = run.workflow_task if run is not None else None
        if run is None or task is None or not task.started_event_id:
            return None
        return next(
            (
                token
                for token in reversed(self.tokens)
                if (token.run_id, token.stamp) == (run.recorded.run_id, run.task_stamp)
            ),
            None,
        )

    def teardown(self) -> None:
        """All histories of the chain, once more; and every acknowledged signal is in one."""
        for name, stored in self.world.runs.items():
            run = stored.decode()
            check_folds(run, stored)
            recorded = [
                event.workflow_execution_signaled_event_attributes.request_id
                for event in self.world.events(name)
                if type_name(event) == "WORKFLOW_EXECUTION_SIGNALED"
            ]
            known = {request for request in recorded if request}
            waiting = {r.request_id for r in run.requests.values() if not r.event_id}
            assert len(known) == len([request for request in recorded if request]), "S1: twice"
            assert self.signals.get(name, set()) == known | waiting, "S1: lost"
            assert run.is_open or not waiting, "S1: a closed run still holds a signal back"


Workflows.TestCase.settings = settings(
    max_examples=1500 if IS_LONG else 150,
    stateful_step_count=50 if IS_LONG else 40,
    deadline=None,
    derandomize=not IS_LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestWorkflows = Workflows.TestCase
