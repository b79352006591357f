"""How a run gets from one version of a worker deployment to another.

A task that is not pinned may meet a worker of another version than its run is on: then the run is
in *transition* to that version until such a worker completes a workflow task, and meanwhile none
of its activities is on offer. A task that is stale, since its run went elsewhere after it was put
on offer, is known by its stamp.
"""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import deployment_pb2
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.workflow import activity_task, changes
from perdure.server.machines.workflow.outstanding_task import is_on_sticky_queue, offer_of
from perdure.server.machines.workflow.state import AttemptState, PendingVersioning, Run, Target
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import (
    AUTO_UPGRADE,
    NOTHING,
    NOTHING_PENDING,
    PINNED,
    UNSPECIFIED,
    behavior_of,
    has_override,
    is_in_transition,
    version_of,
)

VERSIONED = deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED
INLINE_TARGET = Target(None, -1)
"""Of a task that a worker gets with the answer to its last one: no queue was asked."""


# ---- a task meets a worker


def meet(turn: Turn, version: VersionName | None, target: Target) -> bool:
    """The outstanding workflow task is given to a worker of a version: whether the run may go
    there. `target` is where its queue sends new work."""
    run = turn.run
    if version != version_of(run):
        if behavior_of(run) == PINNED:
            return False
        begin_transition(turn, version, target.revision)
    note_target(turn, target)
    return True


def must_go_first(run: Run, version: VersionName | None, target: Target) -> bool:
    """Whether an activity that meets a worker of another version has to wait until its run is on
    that version too: it is where its workflow tasks go. Else it is independent of the run."""
    return version != version_of(run) and behavior_of(run) != PINNED and version == target.version


def begin_transition(turn: Turn, version: VersionName | None, revision: int) -> None:
    """The run goes over to a version: nothing of it is for workers of another from now on."""
    run = turn.run
    for pending in run.activities.values():
        if pending.attempt.state == AttemptState.SCHEDULED and not is_in_transition(run):
            activity_task.withdraw(turn, pending.activity.scheduled_event_id)
    before = run.pending.versioning or NOTHING_PENDING
    _change(
        turn,
        msgspec.structs.replace(
            before, is_in_transition=True, transition=version, revision=revision
        ),
    )
    if run.pending.sticky_queue:
        turn.change(changes.StickySet("", 0))


def go_first(turn: Turn, version: VersionName | None, revision: int) -> None:
    """An activity has met a worker of another version, where the run goes over to before it: a
    workflow task that waits in the queue of its old worker is on offer anew."""
    is_kept = is_on_sticky_queue(turn.run)
    begin_transition(turn, version, revision)
    if is_kept:
        _offer_task_anew(turn)


def note_target(turn: Turn, target: Target) -> None:
    """Remember whether a pinned run should know that new work goes to another version. What it was
    told, or has declined by continuing as new on its own version, is not news again."""
    run = turn.run
    behavior = behavior_of(run)
    if behavior in (UNSPECIFIED, AUTO_UPGRADE) and not has_override(run):
        return
    before = run.pending.versioning or NOTHING_PENDING
    notified, declined = before.notified, before.declined
    highest = max(0 if one is None else one.revision for one in (notified, declined))
    if has_override(run) or (version_of(run) == target.version and target.revision >= highest):
        notified = declined = None
    elif declined is not None and target.revision <= declined.revision:
        pass
    elif target.revision >= highest:
        notified, declined = target, None
    if (notified, declined) != (before.notified, before.declined):
        _change(turn, msgspec.structs.replace(before, notified=notified, declined=declined))


# ---- a worker completes a task


def check_completion(request: RespondWorkflowTaskCompletedRequest) -> None:
    """Raises InvalidArgument when a worker of no version says how its workflow behaves."""
    is_from_version = request.deployment_options.worker_versioning_mode == VERSIONED
    if request.versioning_behavior and not is_from_version and not request.HasField("deployment"):
        raise InvalidArgument(
            "versioning behavior cannot be specified without deployment options being set with"
            " versioned mode"
        )


def completed(turn: Turn, before: tuple[int, VersionName | None]) -> None:
    """A completed task was recorded: a transition to its version is over, and what waited for that,
    or goes elsewhere now, is on offer anew. `before`: behaviour and version until then."""
    run = turn.run
    pending = run.pending.versioning
    is_over = False
    if pending is not None and pending.is_in_transition:
        versioning = run.recorded.versioning or NOTHING
        if versioning.completed_by == pending.transition:
            is_over = True
            _change(turn, msgspec.structs.replace(pending, is_in_transition=False, transition=None))
    if is_over or (behavior_of(run), version_of(run)) != before:
        offer_activities_anew(turn)


def override_changed(turn: Turn, before: tuple[int, VersionName | None]) -> None:
    """An operator has said where the run goes: a transition is over, and what waits for a worker is
    on offer anew if it was for others."""
    run = turn.run
    if (behavior_of(run), version_of(run)) == before:
        return
    turn.segment.visibility_changed = True
    pending = run.pending.versioning
    if pending is not None and pending.is_in_transition:
        over = msgspec.structs.replace(pending, is_in_transition=False, transition=None)
        _change(turn, over)
    if run.pending.sticky_queue:
        turn.change(changes.StickySet("", 0))
    _offer_task_anew(turn)
    offer_activities_anew(turn)


def offer_activities_anew(turn: Turn) -> None:
    """The scheduled activities go where the run is now: tasks that wait elsewhere are stale."""
    for event_id, pending in turn.run.activities.items():
        attempt = pending.attempt
        if attempt.state != AttemptState.SCHEDULED:
            continue
        activity_task.withdraw(turn, event_id)
        anew = msgspec.structs.replace(attempt, stamp=attempt.stamp + 1)
        turn.change(changes.AttemptChanged(event_id, anew))
        activity_task.offer(turn, pending)


def _offer_task_anew(turn: Turn) -> None:
    """A workflow task that waits goes where the run is now."""
    run = turn.run
    task = run.workflow_task
    if task is not None and not task.started_event_id and run.speculative is None:
        turn.change(changes.TaskOfferedAnew())
        turn.effects.append(offer_of(run, turn.now_ns))


def _change(turn: Turn, versioning: PendingVersioning) -> None:
    turn.change(changes.VersioningChanged(versioning))
