"""Worker deployments: what changes of one lead to, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from temporalio.api.common.v1 import Payload

from perdure.server.machines.deployment import decide, state
from perdure.server.machines.deployment.inputs import Change, DeploymentLimits, Registration
from perdure.server.machines.deployment.names import UNVERSIONED, VersionName, parse
from perdure.server.machines.deployment.state import (
    Deployment,
    Drainage,
    Status,
    TaskQueue,
)
from perdure.server.machines.errors import (
    AlreadyExists,
    DeploymentLimitReached,
    FailedPrecondition,
    InvalidArgument,
    InvariantViolation,
    NotFound,
    Rejected,
)
from perdure.server.machines.queue.routing import Directive, encode, routing_of, version_of

LIMITS = DeploymentLimits(deployments_max=2, versions_max=3, queues_max=2)
QUEUE = TaskQueue("queue", 1)
ACTIVITIES = TaskQueue("queue", 2)
ME = Change(identity="me")


def deployment(*builds: str, name: str = "d") -> Deployment:
    """One whose versions have the usual queue, made in this order."""
    made = decide.new_deployment(name, 1, request_id="r", identity="")
    for number, build in enumerate(builds):
        poll(made, build, now_ns=10 + number)
    return made


def poll(
    made: Deployment,
    build: str,
    queue: TaskQueue = QUEUE,
    now_ns: int = 10,
    deletable: frozenset[str] = frozenset(),
) -> None:
    registration = Registration(build_id=build, queue=queue, deletable=deletable)
    decide.register(made, registration, now_ns, LIMITS)


def current(made: Deployment, build: str, now_ns: int, change: Change = ME) -> str:
    return decide.set_current(made, build, change, now_ns, LIMITS).build_id


def ramping(
    made: Deployment, build: str, percentage: float, now_ns: int, change: Change = ME
) -> str:
    return decide.set_ramping(made, build, percentage, change, now_ns, LIMITS).build_id


def test_versions_and_their_queues_appear_with_their_workers() -> None:
    made = deployment("1")
    poll(made, "1", ACTIVITIES)
    poll(made, "1")
    version = made.versions["1"]
    assert version.queues == (QUEUE, ACTIVITIES)
    assert (version.status, version.create_time_ns) == (Status.INACTIVE, 10)


def test_a_version_becomes_current_and_the_one_before_drains() -> None:
    made = deployment("1", "2")
    assert current(made, "1", 20) == UNVERSIONED
    assert current(made, "2", 30) == "1"
    first, second = made.versions["1"], made.versions["2"]
    assert (first.status, first.drainage) == (Status.DRAINING, Drainage.DRAINING)
    assert (first.first_activation_ns, first.last_current_ns, first.last_deactivation_ns) == (
        20,
        20,
        30,
    )
    assert first.current_since_ns == 0
    assert (second.status, second.current_since_ns) == (Status.CURRENT, 30)
    assert (made.routing.current, made.routing.revision) == ("2", 2)
    current(made, "1", 40)
    assert (first.status, first.drainage) == (Status.CURRENT, Drainage.NONE)
    assert (first.first_activation_ns, first.last_deactivation_ns) == (20, 0)


def test_the_ramping_version_that_becomes_current_ramps_no_more() -> None:
    made = deployment("1", "2")
    current(made, "1", 20)
    assert ramping(made, "2", 25, 30) == ""
    version = made.versions["2"]
    assert (version.status, version.ramp_percentage, version.ramping_since_ns) == (
        Status.RAMPING,
        25,
        30,
    )
    ramping(made, "2", 50, 40)
    assert version.ramping_since_ns == 30, "it has ramped since then, at another percentage"
    current(made, "2", 50)
    assert (made.routing.ramping, made.routing.percentage) == ("", 0)
    assert (version.status, version.ramping_since_ns) == (Status.CURRENT, 0)


def test_a_ramp_ends_and_its_version_drains() -> None:
    made = deployment("1", "2")
    current(made, "1", 20)
    ramping(made, "2", 5, 30)
    assert ramping(made, "", 0, 40) == "2"
    assert made.versions["2"].status == Status.DRAINING
    assert made.versions["1"].status == Status.CURRENT
    ramping(made, UNVERSIONED, 5, 50)
    assert made.routing.ramping == UNVERSIONED
    current(made, UNVERSIONED, 60)
    assert made.routing.ramping == "", "all of the work goes there now"


def test_what_changes_nothing_changes_no_token_unless_by_another_identity() -> None:
    made = deployment("1")
    current(made, "1", 20)
    token = decide.token_of(made)
    again = decide.set_current(made, "1", ME, 30, LIMITS)
    assert (again.build_id, again.token) == ("1", token)
    other = decide.set_current(made, "1", Change(identity="other"), 40, LIMITS)
    assert other.token != token
    assert made.routing.revision == 1
    assert made.last_modifier == "other"


def _managed() -> Deployment:
    made = deployment("1", "2")
    decide.set_manager(made, "boss", identity="boss", token=b"", now_ns=5)
    return made


def _with_ramp() -> Deployment:
    made = deployment("1", "2")
    current(made, "1", 20)
    ramping(made, "2", 5, 30)
    return made


REFUSALS: dict[str, tuple[Callable[[], object], type[Rejected], str]] = {
    "a stale token": (
        lambda: current(deployment("1"), "1", 20, Change(identity="me", token=b"x")),
        FailedPrecondition,
        "conflict token mismatch",
    ),
    "an unknown version": (
        lambda: current(deployment("1"), "9", 20),
        NotFound,
        "build ID '9' not found in Worker Deployment 'd'",
    ),
    "an unknown ramping version": (
        lambda: ramping(deployment("1"), "9", 1, 20),
        NotFound,
        "build ID '9' not found in Worker Deployment 'd'",
    ),
    "no ramp, of the current version": (
        lambda: ramping(_with_ramp(), "1", 0, 40),
        FailedPrecondition,
        "requested ramping version d.1 is already current",
    ),
    "a ramp to the current version": (
        lambda: ramping(_with_ramp(), "1", 1, 40),
        FailedPrecondition,
        "requested ramping version d.1 is already current",
    ),
    "somebody who is not the manager": (
        lambda: current(_managed(), "1", 20),
        FailedPrecondition,
        "ManagerIdentity 'boss' is set and does not match user identity 'me'",
    ),
    "a ramp by somebody who is not the manager": (
        lambda: ramping(_managed(), "1", 1, 20),
        FailedPrecondition,
        "ManagerIdentity 'boss'",
    ),
    "the manager by a stale token": (
        lambda: decide.set_manager(_managed(), "me", identity="me", token=b"x", now_ns=6),
        FailedPrecondition,
        "conflict token mismatch",
    ),
    "deleting the current version": (
        lambda: _delete(_with_ramp(), "1"),
        FailedPrecondition,
        "version 'd:1' cannot be deleted since it is current or ramping",
    ),
    "deleting the ramping version": (
        lambda: _delete(_with_ramp(), "2"),
        FailedPrecondition,
        "version 'd:2' cannot be deleted since it is current or ramping",
    ),
    "deleting a polled version": (
        lambda: _delete(deployment("1"), "1", has_pollers=True),
        FailedPrecondition,
        "version 'd:1' cannot be deleted since it has active pollers",
    ),
    "deleting a deployment with versions": (
        lambda: decide.check_deletion(deployment("1")),
        FailedPrecondition,
        "deployment has versions, can't be deleted",
    ),
    "metadata of nothing": (
        lambda: decide.update_metadata(deployment(), "1", {}, ["a"], identity=""),
        NotFound,
        "workflow not found for ID: temporal-sys-worker-deployment-version:d:1",
    ),
    "metadata without end": (
        lambda: decide.update_metadata(
            deployment("1"), "1", {"a": Payload(data=bytes(3 * 1024 * 1024))}, [], identity=""
        ),
        InvalidArgument,
        "the metadata of a version may have 2097152 bytes, not 3145746",
    ),
    "too many queues": (
        lambda: deployment_with_queues("a", "b", "c"),
        DeploymentLimitReached,
        "cannot add task queue c since maximum number of task queues (2) have been registered",
    ),
    "too many versions": (
        lambda: deployment("1", "2", "3", "4"),
        DeploymentLimitReached,
        "cannot add version d.4 since maximum number of versions (3) have been registered",
    ),
}


def deployment_with_queues(*names: str) -> Deployment:
    made = deployment()
    for name in names:
        poll(made, "1", TaskQueue(name, 1))
    return made


def _delete(made: Deployment, build: str, *, has_pollers: bool = False) -> None:
    decide.delete_version(
        made, build, 99, identity="me", skip_drainage=False, has_pollers=has_pollers
    )


@pytest.mark.parametrize(("attempt", "kind", "text"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_is_refused(
    attempt: Callable[[], object], kind: type[Rejected], text: str
) -> None:
    with pytest.raises(kind) as refusal:
        attempt()
    assert text in str(refusal.value)


def test_a_queue_that_a_new_version_lacks_is_missed_only_while_it_is_busy() -> None:
    busy = Change(identity="me", busy_queues=frozenset({QUEUE}))

    def made() -> Deployment:
        found = deployment("1")
        poll(found, "2", TaskQueue("other", 1))
        current(found, "1", 20)
        return found

    with pytest.raises(FailedPrecondition, match="proposed current version 'd:2' is missing"):
        current(made(), "2", 30, busy)
    with pytest.raises(FailedPrecondition, match="proposed ramping version 'd:2' is missing"):
        ramping(made(), "2", 1, 30, busy)
    assert current(made(), "2", 30) == "1"
    ignoring = msgspec.structs.replace(busy, ignores_missing_queues=True)
    assert current(made(), "2", 30, ignoring) == "1"


def test_a_draining_version_is_deleted_only_if_that_does_not_matter() -> None:
    made = deployment("1", "2")
    current(made, "1", 20)
    current(made, "2", 30)
    with pytest.raises(FailedPrecondition, match="it is draining"):
        _delete(made, "1")
    decide.delete_version(made, "1", 40, identity="me", skip_drainage=True, has_pollers=False)
    assert set(made.versions) == {"2"}
    _delete(made, "1")  # It is gone already.


def test_the_oldest_version_that_nothing_needs_makes_room() -> None:
    made = deployment("1", "2", "3")
    current(made, "1", 20)
    poll(made, "4", deletable=frozenset({"1", "2", "3"}))
    assert set(made.versions) == {"1", "3", "4"}


def test_a_version_may_be_there_before_its_workers() -> None:
    made = deployment()
    fields = {"request_id": "r", "identity": "me", "deletable": frozenset[str]()}
    decide.create_version(made, "1", 5, LIMITS, **fields)  # type: ignore[arg-type]
    assert made.versions["1"].status == Status.CREATED
    decide.create_version(made, "1", 6, LIMITS, **fields)  # type: ignore[arg-type]
    with pytest.raises(AlreadyExists):
        decide.create_version(made, "1", 6, LIMITS, **{**fields, "request_id": "other"})  # type: ignore[arg-type]
    poll(made, "1")
    assert made.versions["1"].status == Status.INACTIVE
    early = Change(identity="me", allows_no_pollers=True)
    assert current(made, "2", 20, early) == UNVERSIONED
    assert made.versions["2"].queues == ()


def test_a_drained_version_drains_again_when_a_workflow_is_pinned_to_it() -> None:
    made = deployment("1", "2")
    current(made, "1", 20)
    current(made, "2", 30)
    version = made.versions["1"]
    decide.reactivate(made, "1", 40)
    assert version.drainage_changed_ns == 30, "it drains"
    lengths = {"grace_ns": 100, "refresh_ns": 10}
    assert decide.drainage_due_ns(version, **lengths) == 130
    decide.note_drainage(made, "1", 130, is_drained=False)
    assert version.drainage == Drainage.DRAINING
    assert decide.drainage_due_ns(version, **lengths) == 140
    decide.note_drainage(made, "1", 140, is_drained=True)
    assert decide.drainage_due_ns(version, **lengths) is None
    assert (version.status, version.drainage) == (Status.DRAINED, Drainage.DRAINED)
    decide.reactivate(made, "1", 60)
    assert (version.status, version.drainage_changed_ns) == (Status.DRAINING, 60)


def test_a_deployment_is_stored_and_read_as_it_was() -> None:
    made = _with_ramp()
    assert state.decode(state.encode(made)) == made
    with pytest.raises(InvariantViolation):
        state.decode(b"\xc1")


NAMES = {
    "d.1": VersionName("d", "1"),
    "d.1.2": VersionName("d", "1.2"),
    "d:1.2": VersionName("d", "1.2"),
    "d.1:2": VersionName("d", "1:2"),
    UNVERSIONED: None,
    "d": ValueError,
    "d:1": ValueError,
    ".1": ValueError,
    "d.": ValueError,
}


@pytest.mark.parametrize(("text", "expected"), NAMES.items())
def test_a_version_is_read_from_its_old_form(text: str, expected: object) -> None:
    if expected is ValueError:
        with pytest.raises(ValueError, match="version string"):
            parse(text)
    else:
        assert parse(text) == expected


# ---- where work goes


def test_a_queue_of_no_deployment_has_no_routing() -> None:
    assert routing_of(QUEUE, []) is None
    assert routing_of(ACTIVITIES, [deployment("1")]) is None


def test_work_goes_to_the_current_version_and_a_part_to_the_ramping_one() -> None:
    made = _with_ramp()
    ramping(made, "2", 30, 40)
    routing = routing_of(QUEUE, [made])
    assert routing is not None
    ids = [f"workflow-{number}" for number in range(1000)]
    ramped = {one for one in ids if routing.target(one)[0] == VersionName("d", "2")}
    assert 200 < len(ramped) < 400
    assert {routing.target(one)[0] for one in ids if one not in ramped} == {VersionName("d", "1")}
    ramping(made, "2", 60, 50)
    wider = routing_of(QUEUE, [made])
    assert wider is not None
    assert all(wider.target(one)[0] == VersionName("d", "2") for one in ramped), "none goes back"
    targets = {wider.target(one, uses_ramping=True) for one in ids}
    assert targets == {(VersionName("d", "2"), 4)}, "also of those that are not ramped"
    ramping(made, "2", 100, 60)
    everything = routing_of(QUEUE, [made])
    assert everything is not None
    assert not everything.needs_workflow_id
    assert {everything.target(one)[0] for one in ids} == {VersionName("d", "2")}


def test_a_version_counts_for_a_queue_only_if_its_workers_poll_it() -> None:
    made = deployment("1")
    poll(made, "2", ACTIVITIES)
    current(made, "2", 20)
    routing = routing_of(QUEUE, [made])
    assert routing is not None
    assert (routing.current, routing.current_revision, routing.current_changed_ns) == (None, 0, 0)
    assert routing.versions == {VersionName("d", "1")}


def test_of_several_deployments_the_one_that_was_changed_last_has_a_queue() -> None:
    one, other = deployment("1", name="one"), deployment("1", name="other")
    current(one, "1", 30)
    current(other, "1", 20)
    routing = routing_of(QUEUE, [one, other])
    assert routing is not None
    assert routing.current == VersionName("one", "1")
    current(one, UNVERSIONED, 40)
    routing = routing_of(QUEUE, [one, other])
    assert routing is not None
    assert routing.current == VersionName("other", "1"), "any version counts more than none"


PINNED = Directive(1, VersionName("d", "9"))
UPGRADED = Directive(2, VersionName("d", "9"))


def test_a_pinned_task_goes_to_its_version_and_any_other_where_the_queue_says() -> None:
    made = deployment("1", "2")
    current(made, "1", 20)
    routing = routing_of(QUEUE, [made])
    assert routing is not None

    def found(directive: bytes, kind: int = 1) -> VersionName | None:
        return version_of(directive, routing, kind=kind, workflow_id="w")

    assert found(b"") == VersionName("d", "1")
    assert found(encode(UPGRADED)) == VersionName("d", "1")
    assert found(encode(PINNED)) == VersionName("d", "9")
    assert found(encode(PINNED), kind=2) == VersionName("d", "1"), "it is independent"
    assert found(b"normal-queue") == VersionName("d", "1"), "rows of sticky queues have a name"
    other = encode(Directive(1, VersionName("d", "2")))
    assert found(other, kind=2) == VersionName("d", "2")


def test_metadata_that_was_taken_away_is_told_apart_from_none() -> None:
    known = deployment("1")
    notes = {"a": Payload(data=b"1")}
    assert decide.update_metadata(known, "1", {}, ["a"], identity="") is None
    assert decide.update_metadata(known, "1", notes, [], identity="")
    assert decide.update_metadata(known, "1", {}, ["a"], identity="") == b""
