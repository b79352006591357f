"""Hello in every home: our own SDK embedded, over a session, over unary calls; and DBOS.

A home is a few processes, of which the first carries out the load. CPU is that of all of them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.audit import audit
from bench.child import Child, Message, running
from bench.measure import FAILURES, Progress
from bench.plan import PhasePlan, phases_of
from bench.processes import cpu_seconds, reference_cpu_ms
from bench.results import HelloPhaseResult, HelloResult, LoadResult
from bench.servers import PEERS, database_path, serving

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = next(peer for peer in PEERS if peer.whose == "ours" and peer.on_disk)
START_TIMEOUT_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Processes:
    """The running processes of a home; `load` is told what to do."""

    load: Child
    by_name: Mapping[str, int]
    """Process ids; those of the load among them."""


@dataclass(frozen=True)
class Home:
    """One way to run a hello."""

    title: str
    open: Callable[[Path], Iterator[Processes]]
    """For `contextmanager`: its processes, with all files in a directory."""
    first: Callable[[Path], float] | None
    """Seconds from the start of the first process to the first result."""
    is_ours: bool
    missing: Callable[[], str]
    """How to get it; "" when it is there."""


def measure_hellos(
    home: Home, workflows: int, starts: int, directory: Path, progress: Progress
) -> HelloResult:
    """Everything about one home; a failure ends its part, named in the result, and no other's."""
    result = HelloResult(home=home.title, is_ours=home.is_ours, missing=home.missing())
    if result.missing:
        return result
    try:
        _measure_starts(home, starts, directory, progress, result)
        place = _subdirectory(directory, "load")
        expected = _measure_phases(home, workflows, place, progress, result)
        if home.is_ours:
            advance = progress.step(f"{home.title}: audit")
            with serving(OURS, place) as server:
                result.audit = asyncio.run(audit(server.address, expected, None, advance))
    except FAILURES as failure:
        result.error = f"{type(failure).__name__}: {failure}"
    return result


def _measure_starts(
    home: Home, starts: int, directory: Path, progress: Progress, result: HelloResult
) -> None:
    if home.first is None:
        return
    advance = progress.step(f"{home.title}: first result")
    for number in range(starts):
        place = _subdirectory(directory, f"first-{number}")
        result.first_result_ms.append(home.first(place) * 1_000)
        advance(number + 1, starts)


def _measure_phases(
    home: Home, workflows: int, place: Path, progress: Progress, result: HelloResult
) -> dict[str, int]:
    """Run all phases; the workflows that there are afterwards, with their activities."""
    expected: dict[str, int] = {}
    with contextmanager(home.open)(place) as processes:
        for number, phase in enumerate(phases_of(workflows)):
            prefix = f"hello-{number}"
            title = f"{home.title}: hello x {phase.workflows} at {phase.concurrency}"
            measured = _measure_phase(processes, phase, prefix, progress.step(title))
            if not phase.is_warm_up:
                result.phases.append(measured)
            expected |= {f"{prefix}-{index}": 1 for index in range(phase.workflows)}
    return expected


def _measure_phase(
    processes: Processes, phase: PhasePlan, prefix: str, advance: Callable[[int, int], None]
) -> HelloPhaseResult:
    reference = reference_cpu_ms()
    before = {name: cpu_seconds(pid) for name, pid in processes.by_name.items()}
    command: Message = {
        "workload": "hello",
        "workflows": phase.workflows,
        "concurrency": phase.concurrency,
        "prefix": prefix,
    }
    processes.load.send(command)
    message = processes.load.receive()
    while "result" not in message:
        advance(int(message["ended"]), phase.workflows)
        message = processes.load.receive()
    after = {name: cpu_seconds(pid) for name, pid in processes.by_name.items()}
    advance(phase.workflows, phase.workflows)
    load = LoadResult(**message["result"])
    return HelloPhaseResult(
        concurrency=phase.concurrency,
        load=load,
        per_second=(load.workflows - load.failures) / load.seconds,
        cpu_ms={name: (after[name] - before[name]) * 1_000 / phase.workflows for name in after},
        reference_cpu_ms=reference,
    )


def _subdirectory(directory: Path, name: str) -> Path:
    place = directory / name
    place.mkdir(parents=True)
    return place


# ---- the homes


def _embedded(place: Path) -> Iterator[Processes]:
    database = str(database_path(place))
    with running("bench.own", "embedded", database, directory=place) as child:
        child.receive()
        yield Processes(child, {"program": child.pid})


def _served(*options: str) -> Callable[[Path], Iterator[Processes]]:
    def open_home(place: Path) -> Iterator[Processes]:
        with ExitStack() as stack:
            server = stack.enter_context(serving(OURS, place))
            worker, client = (
                stack.enter_context(
                    running("bench.own", role, server.address, *options, directory=place)
                )
                for role in ("worker", "client")
            )
            worker.receive()
            client.receive()
            pids = {"server": server.pid, "worker": worker.pid, "client": client.pid}
            yield Processes(client, pids)

    return open_home


def _dbos(place: Path) -> Iterator[Processes]:
    arguments = ("load", str(place / "dbos.sqlite"))
    with running("bench.dbos_peer", *arguments, directory=place, python=peer_python()) as child:
        child.receive()
        yield Processes(child, {"program": child.pid})


def _first_embedded(place: Path) -> float:
    return _seconds_to_result(
        [sys.executable, "-m", "bench.own", "first-embedded", str(database_path(place))], place
    )


def _first_served(place: Path) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    server = [sys.executable, "-c", "from perdure.cli.main import main; main()", "dev"]
    server += ["--port", str(port), "--db", str(database_path(place))]
    own = [sys.executable, "-m", "bench.own", "first-server", f"127.0.0.1:{port}"]
    return _seconds_to_result(own, place, beside=server)


def _first_dbos(place: Path) -> float:
    database = str(place / "dbos.sqlite")
    return _seconds_to_result([peer_python(), "-m", "bench.dbos_peer", "first", database], place)


def _seconds_to_result(command: list[str], place: Path, beside: list[str] | None = None) -> float:
    """Seconds from the start of the processes until the first of them prints its result."""
    with (place / "first.stderr").open("a") as errors, ExitStack() as stack:
        began = time.perf_counter()
        if beside is not None:
            server = subprocess.Popen(
                beside, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
            stack.callback(_end, server)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdout.close()
        process.wait(START_TIMEOUT_SECONDS)
    if line != "result\n":
        tail = (place / "first.stderr").read_text(errors="replace")[-1_000:]
        raise OSError(f"{command!r} had no result: {tail}")
    return seconds


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(START_TIMEOUT_SECONDS)


def peer_python() -> str:
    """The interpreter of the environment that the other peers are installed in."""
    given = os.environ.get("BENCH_PEERS_PYTHON")
    return given or str(ROOT / ".venv-bench" / "bin" / "python")


def _is_there() -> str:
    return ""


def _dbos_missing() -> str:
    command = [peer_python(), "-c", "import dbos"]
    try:
        found = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        found = False
    how = "`pip install -r bench/peers.txt` into .venv-bench, as `make bench` does"
    return "" if found else how


EMBEDDED: Final = "ours, embedded, file"
SESSION: Final = "ours, server, session"
UNARY: Final = "ours, server, unary"
DBOS_SQLITE: Final = "DBOS, SQLite"

HOMES: Final = (
    Home(EMBEDDED, _embedded, _first_embedded, True, _is_there),
    Home(SESSION, _served(), _first_served, True, _is_there),
    Home(UNARY, _served("--unary"), None, True, _is_there),
    Home(DBOS_SQLITE, _dbos, _first_dbos, False, _dbos_missing),
)
