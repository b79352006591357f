"""Plays: scripts of what happens to one workflow, and of what the machine makes of it.

A play is a text: one line per input, and below it, indented, everything that came of it: events,
changes of what is pending, effects and the answer. It is played in a `World`, which checks the laws
after every decision. With PERDURE_WRITE_PLAYS=1 the expected lines are written anew; they are the
specification, so read the difference before keeping it.

The inputs (`[...]` holds the commands of a completion, separated by semicolons):

    limits NAME=NUMBER...            before anything else: limits that differ from the usual
    start [eager] [KEY=VALUE...]     type queue request delay run_timeout execution_timeout ...
    poll [as=NAME]                   a worker takes the workflow task that is on offer
                                     version=D:1 target=D:2@REVISION (also for poll_activity)
    complete [...] [KEY=VALUE...]    sticky=QUEUE:5s force new_task token=NAME build=ID
                                     version=D:1 behavior=pinned|auto_upgrade
                                     answer=ID:TEXT fail_query=ID:TEXT forgets
                                     say=VERB:UPDATE,...   see `updating.BODIES`
    pause request=NAME               unpause request=NAME
    delete [run=#N]                  options priority=KEY|override=D:1
    reset EVENT [run=#N] [KEY=VALUE...]    to before this event; exclude=signal request=NAME
    fail_task cause=NAME             undelivered       sticky_unavailable      reset_sticky
    signal NAME                      cancel            terminate
    signal_with_start NAME [KEY=VALUE...]    of the start, as above
    query NAME [reject=CONDITION]    forget_query ID
    update_with_start ID [size=N] [KEY=VALUE...]    of the start, as above
    update ID [first=RUN] [size=N] [request=ID callback=URL]   poll_update ID
    poll_activity ID                 complete_activity ID RESULT
    undelivered_activity ID          lost_activity ID
    fail_activity ID MESSAGE         cancel_activity ID                        heartbeat ID DETAILS
    pause_activity ID by=NAME        unpause_activity ID [attempts] [heartbeat] [jitter=5s]
    reset_activity ID [heartbeat] [keep_paused] [options] [jitter=5s]
    update_options ID [original] [queue=NAME attempts=3 interval=5s start_to_close=5s ...]
                                     (ID: an activity id, or `type:NAME`, or `all`)
    advance 5s                       time passes; whatever falls due happens when it does
    wait 5s                          time passes, and nobody looks
    wake [run=#N]                    somebody looks, whether something is due or not
    callback KEY ATTEMPT [problem=TEXT] [retryable] [run=#N]     what became of an attempt
    nexus_answer EVENT CALL OUTCOME  what became of a call to start a Nexus operation
    nexus_cancel_answer EVENT CALL [OUTCOME]    the same of one to cancel it
    nexus_complete EVENT OUTCOME [token=NAME] [began=SECONDS_AGO] [request=ID]    how it ended
                                     OUTCOME: see `nexus.outcome_of`
    show                             where the workflow stands, and its unrecorded events
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from temporalio.api.enums.v1 import ResetReapplyExcludeType
from temporalio.api.history.v1 import History

from perdure.server.machines.errors import AlreadyStarted, Rejected, UpdateRefused
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.decide import Decision
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.workflow_task import unrecorded_events
from tests.machines import nexus, operating, rendering, requests, resetting, updating
from tests.machines.world import World

_OUTPUT = "  "


class Play:
    """The stage: a world, and what the actors hold in their hands."""

    def __init__(self) -> None:
        self.world = World()
        self.tokens: dict[str, inputs.TaskToken] = {}
        self.activity_tokens: dict[str, inputs.TaskToken] = {}
        self.tasks = 0

    def perform(self, line: str) -> list[str]:
        """Carry out one line, and say what came of it."""
        text, commands = requests.split_commands(line)
        words = shlex.split(text)
        verb = words.pop(0)
        options = dict(word.split("=", 1) for word in words if "=" in word)
        positional = [word for word in words if "=" not in word]
        scene = SCENES.get(verb)
        assert scene is not None, f"no such input: {verb}"
        try:
            lines = list(scene(self, positional, options, commands))
        except AlreadyStarted as refusal:
            names = (refusal.start_request_id, refusal.run_id, refusal.first_execution_run_id)
            lines = [f"! AlreadyStarted: {refusal}", "  request={} run={} first={}".format(*names)]
        except Rejected as refusal:
            cause = refusal.refusal if isinstance(refusal, UpdateRefused) else refusal
            whose = " of the update" if cause is not refusal else ""
            lines = [f"! {type(cause).__name__}{whose}: {cause}"]
        return [rendering.shown(line) for line in lines]

    def token(self, options: dict[str, str]) -> inputs.TaskToken:
        """The workflow task that an input is about: the newest, or the one named."""
        return self.tokens[options.get("token", f"t{self.tasks}")]

    def activity_token(self, name: str, options: dict[str, str]) -> inputs.TaskToken:
        """The token of an activity: its newest, or a name for it by id."""
        if "by_id" in options:
            return inputs.TaskToken("namespace-id", "w", "", 0, 0, 0, activity_id=name)
        return self.activity_tokens[options.get("token", name)]

    def decide(self, message: inputs.Input) -> Iterator[str]:
        """Decide, remember tokens, and describe the decision."""
        decision = self.world.decide(message)
        self._remember(decision.reply)
        yield from self.describe(decision)

    def describe(self, decision: Decision) -> Iterator[str]:
        """The lines of a decision."""
        for segment in decision.segments:
            yield from rendering.segment_lines(segment, self.world.now_ns)
        yield from map(rendering.effect_line, decision.effects)
        yield from rendering.reply_lines(decision.reply, self.world.now_ns)

    def _remember(self, reply: inputs.Reply) -> None:
        task = None
        match reply:
            case inputs.StartedWorkflowTask():
                task = reply
            case inputs.WorkflowStarted():
                task = reply.eager_task
            case inputs.WorkflowTaskCompleted():
                task = reply.workflow_task
                for activity in reply.activity_tasks:
                    self.remember_activity(activity)
            case inputs.StartedActivityTask():
                self.remember_activity(reply)
            case _:
                pass
        if task is not None:
            self.tasks += 1
            self.tokens[f"t{self.tasks}"] = task.token

    def remember_activity(self, task: inputs.StartedActivityTask) -> None:
        """Keep the token, as the newest of its activity and as "ID:ATTEMPT"."""
        activities = self.world.run.activities
        name = activities[task.token.scheduled_event_id].activity.activity_id
        self.activity_tokens[name] = self.activity_tokens[f"{name}:{task.attempt}"] = task.token


Scene = Callable[[Play, list[str], dict[str, str], str], Iterator[str]]


def _limits(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    changed = {name: int(number) for name, number in options.items()}
    play.world.limits = msgspec.structs.replace(DEFAULT_LIMITS, **changed)
    return iter(())


def _start(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    return play.decide(inputs.StartWorkflow(requests.start(options, is_eager="eager" in words)))


def _poll(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    offer = play.world.offer()
    if offer is None:
        return iter(["nothing is on offer"])
    stamp = int(options.get("stamp", offer.stamp))
    message = inputs.StartWorkflowTask(
        offer.run_id, stamp, play.world.ids.uuid(), options.get("as", "worker")
    )
    message.version, message.target = requests.versions(options)
    return play.decide(message)


def _complete(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    request = requests.completion(commands, words, options)
    message = inputs.CompleteWorkflowTask(play.token(options), request)
    message.endpoints = nexus.ENDPOINTS
    return play.decide(message)


def _fail_task(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.FailWorkflowTask(play.token(options), requests.failed_task(options)))


def _undelivered(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.token(options)
    return play.decide(inputs.WorkflowTaskUndelivered(token.run_id, token.stamp))


def _sticky_unavailable(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    run = play.world.run
    return play.decide(inputs.StickyWorkerUnavailable(run.recorded.run_id, run.task_stamp))


def _reset_sticky(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.ResetSticky(""))


def _reset(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    fields: dict[str, Any] = {"request_id": options.get("request", "reset")}
    if "exclude" in options:
        name = f"RESET_REAPPLY_EXCLUDE_TYPE_{options['exclude'].upper()}"
        fields["reset_reapply_exclude_types"] = [ResetReapplyExcludeType.Value(name)]
    base_id = requests.made_id(options.get("run", ""))
    return play.decide(resetting.reset(play.world, int(words[0]), base_id, **fields))


def _options(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    request = requests.changed_options(options)
    return play.decide(inputs.UpdateWorkflowOptions("", request))


def _pause(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    return play.decide(inputs.PauseWorkflow("", requests.pause(options)))


def _unpause(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    return play.decide(inputs.UnpauseWorkflow("", requests.unpause(options)))


def _delete(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    run_id = requests.made_id(options.get("run", ""))
    current = play.world.workflow.run
    if current is not None and run_id in ("", current.recorded.run_id):
        return play.decide(inputs.DeleteWorkflow(current.recorded.run_id))
    return play.decide(inputs.DeleteWorkflow(run_id, play.world.runs[run_id].decode()))


def _signal(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    run_id = requests.made_id(options.pop("run", ""))
    return play.decide(inputs.SignalWorkflow(run_id, requests.signal(words[0], options)))


def _signal_with_start(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    start = inputs.StartWorkflow(requests.start(options))
    return play.decide(inputs.SignalWithStart(start, requests.signal(words[0], options)))


def _update_with_start(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    update = updating.update(words[0], size=int(options.pop("size", "0")))
    start = inputs.StartWorkflow(requests.start(options))
    return play.decide(inputs.UpdateWithStart(start, update))


def _cancel(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    run_id = requests.made_id(options.pop("run", ""))
    return play.decide(inputs.CancelWorkflow(run_id, requests.cancel(options)))


def _terminate(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    run_id = requests.made_id(options.pop("run", ""))
    return play.decide(inputs.TerminateWorkflow(run_id, requests.terminate(options)))


def _query(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    run_id = requests.made_id(options.pop("run", ""))
    return play.decide(
        inputs.QueryWorkflow(run_id, requests.query(words[0]), requests.reject_condition(options))
    )


def _forget_query(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    run_id = play.world.run.recorded.run_id
    return play.decide(inputs.ForgetQuery(run_id, requests.made_id(words[0])))


def _update(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    return play.decide(
        updating.update(
            words[0],
            run_id=requests.made_id(options.get("run", "")),
            first=requests.made_id(options.get("first", "")),
            size=int(options.get("size", 0)),
            request_id=options.get("request", ""),
            callback=options.get("callback", ""),
        )
    )


def _poll_update(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.PollUpdate(requests.made_id(options.get("run", "")), words[0]))


def _poll_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    run = play.world.run
    event_id = run.activity_ids[words[0]]
    offer = play.world.stored.rows.get(event_id)
    if offer is None:
        return iter(["nothing is on offer"])
    assert offer.kind is TaskKind.ACTIVITY
    message = inputs.StartActivityTask(
        offer.run_id, event_id, offer.stamp, play.world.ids.uuid(), "worker"
    )
    message.version, message.target = requests.versions(options)
    return play.decide(message)


def _undelivered_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.activity_token(words[0], options)
    return play.decide(
        inputs.ActivityTaskUndelivered(token.run_id, token.scheduled_event_id, token.stamp)
    )


def _lost_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.activity_token(words[0], options)
    return play.decide(inputs.LoseActivityTask(token.run_id, token.scheduled_event_id, token.stamp))


def _complete_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.activity_token(words[0], options)
    return play.decide(inputs.CompleteActivity(token, requests.payloads(words[1]), "worker"))


def _fail_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.activity_token(words[0], options)
    failure = requests.failure(words[1], options)
    return play.decide(inputs.FailActivity(token, failure, "worker"))


def _cancel_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.activity_token(words[0], options)
    return play.decide(inputs.CancelActivity(token, None, "worker"))


def _heartbeat(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    token = play.activity_token(words[0], options)
    return play.decide(inputs.HeartbeatActivity(token, requests.payloads(words[1]), "worker"))


def _pause_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.PauseActivity("", operating.pause(words, options)))


def _unpause_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.UnpauseActivity("", operating.unpause(words, options), "seed"))


def _reset_activity(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.ResetActivity("", operating.reset(words, options), "seed"))


def _update_options(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    return play.decide(inputs.UpdateActivityOptions("", operating.update(words, options)))


def _advance(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    world = play.world
    until_ns = world.now_ns + requests.length_ns(words[0])
    while 0 < (wake_at_ns := world.wake_at_ns()) <= until_ns:
        world.now_ns = max(world.now_ns, wake_at_ns)
        decision = world.wake_if_due()
        assert decision is not None
        yield f"at {rendering.moment(world.now_ns)}"
        yield from (line for line in play.describe(decision) if line != "= done")
    world.now_ns = until_ns


def _wait(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    play.world.now_ns += requests.length_ns(words[0])
    return iter(())


def _wake(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    if "run" not in options:
        return play.decide(inputs.WakeUp(play.world.run.recorded.run_id))
    run_id = requests.made_id(options["run"])
    return play.decide(inputs.WakeUp(run_id, _other_run(play, run_id)))


def _callback(
    play: Play, words: list[str], options: dict[str, str], commands: str
) -> Iterator[str]:
    run_id = requests.made_id(options.get("run", "")) or play.world.run.recorded.run_id
    attempted = inputs.CallbackAttempted(
        run_id,
        words[0],
        int(words[1]),
        options.get("problem", ""),
        "retryable" in words,
        _other_run(play, run_id),
    )
    return play.decide(attempted)


def _other_run(play: Play, run_id: str) -> Run | None:
    """The run as it is stored, unless it is the current one."""
    current = play.world.workflow.run
    if current is not None and current.recorded.run_id == run_id:
        return None
    return play.world.runs[run_id].decode()


def _show(play: Play, words: list[str], options: dict[str, str], commands: str) -> Iterator[str]:
    workflow = play.world.workflow
    run = play.world.run
    pending = run.pending
    yield (
        f"{workflow.phase.value} run={run.recorded.run_id} next={run.recorded.next_event_id}"
        f" attempt={pending.attempt} buffered={len(run.buffered)} signals={run.recorded.signals}"
    )
    for event in History.FromString(unrecorded_events(run, is_for_worker=False)).events:
        yield f"unrecorded {rendering.event_line(event, play.world.now_ns)}"
    for name in ("memo", "search_attributes"):
        if name in run.blobs:
            yield requests.blob_line(name, run.blobs[name])


SCENES: dict[str, Scene] = {
    "limits": _limits,
    "start": _start,
    "poll": _poll,
    "complete": _complete,
    "fail_task": _fail_task,
    "undelivered": _undelivered,
    "sticky_unavailable": _sticky_unavailable,
    "reset_sticky": _reset_sticky,
    "reset": _reset,
    "delete": _delete,
    "pause": _pause,
    "unpause": _unpause,
    "options": _options,
    "signal": _signal,
    "signal_with_start": _signal_with_start,
    "update_with_start": _update_with_start,
    "cancel": _cancel,
    "terminate": _terminate,
    "query": _query,
    "forget_query": _forget_query,
    "update": _update,
    "poll_update": _poll_update,
    "poll_activity": _poll_activity,
    "undelivered_activity": _undelivered_activity,
    "lost_activity": _lost_activity,
    "complete_activity": _complete_activity,
    "fail_activity": _fail_activity,
    "cancel_activity": _cancel_activity,
    "heartbeat": _heartbeat,
    "pause_activity": _pause_activity,
    "unpause_activity": _unpause_activity,
    "reset_activity": _reset_activity,
    "update_options": _update_options,
    "advance": _advance,
    "wait": _wait,
    "wake": _wake,
    "callback": _callback,
    "nexus_answer": nexus.answer,
    "nexus_cancel_answer": nexus.answer_cancel,
    "nexus_complete": nexus.complete,
    "show": _show,
}


def perform(script: str) -> str:
    """The whole script again, with what really came of each line below it."""
    play = Play()
    result: list[str] = []
    for line in script.splitlines():
        if line.startswith(_OUTPUT):
            continue
        if not line.strip() and result and not result[-1]:
            continue
        result.append(line.rstrip())
        if line.strip() and not line.startswith("#"):
            result.extend(_OUTPUT + output for output in play.perform(line))
    return "\n".join(result).rstrip() + "\n"


def inputs_of(script: str) -> list[str]:
    """The lines of a script that are played."""
    return [line for line in script.splitlines() if re.match(r"[a-z]", line)]
