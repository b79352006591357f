"""D1: a worker deployment is routed as its releaser was told, and in no other way; its versions say
of themselves what the routing says of them; none is said to be drained while a run that had been
pinned to it before is open, and none drains for ever."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.deployment.names import UNVERSIONED
from perdure.server.machines.deployment.state import Deployment, Drainage, Status
from perdure.server.machines.ports import SECOND_NS
from sim.audit import Audit
from sim.checkers.d2_versions import pins
from sim.ledger import Route
from sim.workload.facts import DEPLOYMENT
from sim.workload.releases import SPARE

SLACK_NS = 2 * SECOND_NS
"""Between the look at the runs of a version and what is written of it."""


def check(audit: Audit) -> Iterator[str]:
    """Every deployment that is not as it was left."""
    deployment = audit.deployments.get(DEPLOYMENT)
    allowed = audit.ledger.routes | audit.ledger.routes_asked
    if deployment is None:
        if Route() not in allowed:
            yield f"the deployment is lost: it was routed as one of {allowed}"
        return
    routing = deployment.routing
    route = Route(routing.current, routing.ramping, routing.percentage)
    if route not in allowed:
        yield f"work is routed as {route}, and should be as one of {allowed}"
    is_there, spare = SPARE in deployment.versions, audit.ledger.is_spare_there
    if spare is not None and is_there != spare:
        yield f"version {SPARE} is {'' if is_there else 'not '}there"
    yield from _check_versions(audit, deployment)
    yield from _check_drainage(audit, deployment)


def _check_versions(audit: Audit, deployment: Deployment) -> Iterator[str]:
    routing = deployment.routing
    for build_id in (routing.current, routing.ramping):
        if build_id not in ("", UNVERSIONED, *deployment.versions):
            yield f"work goes to {build_id}, which is not there"
    for build_id, version in deployment.versions.items():
        is_current = version.status == Status.CURRENT
        is_ramping = version.status == Status.RAMPING
        if (is_current, is_ramping) != (build_id == routing.current, build_id == routing.ramping):
            yield f"version {build_id} has status {version.status}, the routing is {routing}"
        is_draining = version.status in (Status.DRAINING, Status.DRAINED)
        if is_draining != (version.drainage != Drainage.NONE):
            yield f"version {build_id} has status {version.status} and drains {version.drainage}"
        if audit.is_final and version.drainage == Drainage.DRAINING:
            yield f"version {build_id} drains for ever"


def _check_drainage(audit: Audit, deployment: Deployment) -> Iterator[str]:
    if audit.ledger.is_clock_set:
        return
    for build_id, version in deployment.versions.items():
        if version.drainage != Drainage.DRAINED:
            continue
        for stored in audit.runs:
            pinned = pins(stored)
            is_before = pinned.since_ns < version.drainage_changed_ns - SLACK_NS
            if stored.run.is_open and pinned.build_id == build_id and is_before:
                yield f"version {build_id} is drained, and {stored.run_id} is pinned to it"
