"""Measures one peer: its start-up, each workload with audit and bytes, its parked polls.

Every workload gets a fresh server and database, so that bytes and memory belong to it alone. CPU is
read just before the client is told to begin a phase and just after it reports the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import psutil

from bench.audit import AuditFailed, audit
from bench.child import Child, ChildFailed, Message, running
from bench.plan import PhasePlan, Plan, phases_of
from bench.processes import cpu_seconds, resident_bytes, resident_max_bytes
from bench.results import (
    DiskResult,
    LoadResult,
    LongPollClientResult,
    LongPollResult,
    PeerResult,
    PhaseResult,
    WorkloadResult,
)
from bench.servers import Peer, Server, ServerFailed, database_bytes, serving
from bench.workloads import WORKLOADS

PARKED_WATCH_SECONDS: Final = 5.0

# How it shows that a server or a process around it has ended, or no longer answers.
FAILURES: Final = (ServerFailed, ChildFailed, AuditFailed, psutil.Error, OSError)


class Progress(Protocol):
    """Shows how far a step is; called with how many of how many are done."""

    def step(self, description: str) -> Callable[[int, int], None]:
        """Begin a step of its own line."""


def measure_peer(
    peer: Peer, plan: Plan, directory: Path, progress: Progress, *, with_long_polls: bool
) -> PeerResult:
    """Everything about one peer; a failure ends its part, named in the result, and no other's."""
    result = PeerResult(peer=peer.title, whose=peer.whose, on_disk=peer.on_disk)
    try:
        empty_bytes = _measure_start_up(peer, plan.start_ups, directory, progress, result)
        for workload in WORKLOADS:
            place = _subdirectory(directory, workload)
            count = plan.workflows_of(workload, on_disk=peer.on_disk)
            measured = WorkloadResult(workload, count)
            result.workloads.append(measured)
            _measure_workload(peer, measured, plan, place, progress, empty_bytes)
        if with_long_polls:
            place = _subdirectory(directory, "long-polls")
            result.long_polls = _measure_long_polls(peer, plan.long_polls, place, progress)
    except FAILURES as failure:
        result.error = f"{type(failure).__name__}: {failure}"
    return result


def _subdirectory(directory: Path, name: str) -> Path:
    place = directory / name
    place.mkdir()
    return place


def _measure_start_up(
    peer: Peer, times: int, directory: Path, progress: Progress, result: PeerResult
) -> int:
    """Start and stop the peer on fresh databases; the bytes of a database that nothing ran on."""
    advance = progress.step(f"{peer.title}: start-up")
    empty_bytes = 0
    for number in range(times):
        place = _subdirectory(directory, f"start-up-{number}")
        with serving(peer, place) as server:
            result.start_up_ms.append(server.start_up_seconds * 1_000)
            result.version = server.version
        if peer.on_disk:
            empty_bytes = database_bytes(place)
        advance(number + 1, times)
    return empty_bytes


def _measure_workload(
    peer: Peer,
    result: WorkloadResult,
    plan: Plan,
    directory: Path,
    progress: Progress,
    empty_bytes: int,
) -> None:
    """Run all phases on one server, audit what they left, stop it and weigh its database."""
    expected: dict[str, int] = {}
    with serving(peer, directory) as server:
        with (
            running("bench.worker", server.address, directory=directory) as worker,
            running("bench.load", server.address, directory=directory) as client,
        ):
            worker.receive()
            client.receive()
            for number, phase in enumerate(phases_of(result.workflows)):
                name = result.workload
                title = f"{peer.title}: {name} x {phase.workflows} at {phase.concurrency}"
                prefix = f"{name}-{number}"
                measured = _measure_phase(
                    server, worker, client, name, phase, prefix, progress.step(title)
                )
                server.check_running()
                if not phase.is_warm_up:
                    result.phases.append(measured)
                for index in range(phase.workflows):
                    expected[f"{prefix}-{index}"] = WORKLOADS[name].activities
            result.resident_max_bytes = resident_max_bytes(server.pid)
        advance = progress.step(f"{peer.title}: audit of {result.workload}")
        result.audit = asyncio.run(audit(server.address, expected, plan.audit_sample, advance))
    if peer.on_disk:
        total = database_bytes(directory)
        result.disk = DiskResult(total, empty_bytes, total / result.workflows)


def _measure_phase(
    server: Server,
    worker: Child,
    client: Child,
    workload: str,
    phase: PhasePlan,
    prefix: str,
    advance: Callable[[int, int], None],
) -> PhaseResult:
    pids = (server.pid, worker.pid, client.pid)
    before = [cpu_seconds(pid) for pid in pids]
    client.send(
        {
            "workload": workload,
            "workflows": phase.workflows,
            "concurrency": phase.concurrency,
            "prefix": prefix,
        }
    )
    message = client.receive()
    while "result" not in message:
        advance(int(message["ended"]), phase.workflows)
        message = client.receive()
    after = [cpu_seconds(pid) for pid in pids]
    advance(phase.workflows, phase.workflows)
    load = LoadResult(**message["result"])
    server_ms, worker_ms, client_ms = (
        (end - begin) * 1_000 / phase.workflows for begin, end in zip(before, after, strict=True)
    )
    return PhaseResult(
        workload=workload,
        concurrency=phase.concurrency,
        load=load,
        per_second=(load.workflows - load.failures) / load.seconds,
        server_cpu_ms=server_ms,
        worker_cpu_ms=worker_ms,
        client_cpu_ms=client_ms,
    )


def _measure_long_polls(
    peer: Peer, polls: int, directory: Path, progress: Progress
) -> LongPollResult:
    advance = progress.step(f"{peer.title}: {polls} parked polls")
    with (
        serving(peer, directory) as server,
        running("bench.long_polls", server.address, str(polls), directory=directory) as client,
    ):
        client.receive()
        advance(1, 4)
        resident_before = resident_bytes(server.pid)
        _, parking_cpu = _ask(server, client, {"do": "park"})
        advance(2, 4)
        resident_parked = resident_bytes(server.pid)
        parked_cpu_before = cpu_seconds(server.pid)
        time.sleep(PARKED_WATCH_SECONDS)
        parked_cpu = cpu_seconds(server.pid) - parked_cpu_before
        advance(3, 4)
        message, answering_cpu = _ask(server, client, {"do": "start"})
        advance(4, 4)
        return LongPollResult(
            client=LongPollClientResult(**message["result"]),
            resident_before_bytes=resident_before,
            resident_parked_bytes=resident_parked,
            resident_max_bytes=resident_max_bytes(server.pid),
            server_cpu_parking_ms=parking_cpu * 1_000,
            server_cpu_parked_ms_per_second=parked_cpu * 1_000 / PARKED_WATCH_SECONDS,
            server_cpu_answering_ms=answering_cpu * 1_000,
        )


def _ask(server: Server, client: Child, message: Message) -> tuple[Message, float]:
    """The client's answer, and the CPU seconds that the server used until it came."""
    before = cpu_seconds(server.pid)
    client.send(message)
    answer = client.receive()
    return answer, cpu_seconds(server.pid) - before
