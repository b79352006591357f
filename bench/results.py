"""What a measurement found, as plain data: the table and the JSON file are two views of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LoadResult:
    """What the client process saw of one phase; latency is from calling start to the result."""

    workflows: int
    failures: int
    first_failure: str
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class PhaseResult:
    """One workload at one concurrency; CPU is user and system time of the phase, per workflow."""

    workload: str
    concurrency: int
    load: LoadResult
    per_second: float
    server_cpu_ms: float
    worker_cpu_ms: float
    client_cpu_ms: float


@dataclass(frozen=True)
class AuditResult:
    """How many runs were read and what was wrong with them, by invariant, with a few examples."""

    runs: int
    events: int
    seconds: float
    violations: dict[str, int]
    examples: list[str]


@dataclass(frozen=True)
class DiskResult:
    """Database and write-ahead log after a checkpoint, and those of a server that ran nothing."""

    total_bytes: int
    empty_bytes: int
    bytes_per_workflow: float


@dataclass
class WorkloadResult:
    """All phases of one workload on a server of its own, filled in as they end."""

    workload: str
    workflows: int
    phases: list[PhaseResult] = field(default_factory=list)
    resident_max_bytes: int = 0
    audit: AuditResult | None = None
    disk: DiskResult | None = None


@dataclass(frozen=True)
class HelloPhaseResult:
    """Hellos in one home at one concurrency; CPU is user and system time per workflow, by
    process."""

    concurrency: int
    load: LoadResult
    per_second: float
    cpu_ms: dict[str, float]
    reference_cpu_ms: float
    """Of a fixed piece of work, just before: see `processes.reference_cpu_ms`."""

    @property
    def total_cpu_ms(self) -> float:
        """Of all processes."""
        return sum(self.cpu_ms.values())


@dataclass
class HelloResult:
    """Everything measured on one home; `missing` says how to get one that is not installed, `error`
    why the rest is not there."""

    home: str
    is_ours: bool
    missing: str = ""
    first_result_ms: list[float] = field(default_factory=list)
    phases: list[HelloPhaseResult] = field(default_factory=list)
    audit: AuditResult | None = None
    error: str = ""


@dataclass(frozen=True)
class LongPollClientResult:
    """What the polling client saw: how its polls ended, and how long the two bursts took."""

    polls: int
    park_seconds: float
    ended_while_parking: int
    started: int
    start_failures: int
    answered: int
    duplicates: int
    expired: int
    failed: int
    first_failure: str
    answer_seconds: float


@dataclass(frozen=True)
class LongPollResult:
    """The polling client's view, with what holding the polls cost the server."""

    client: LongPollClientResult
    resident_before_bytes: int
    resident_parked_bytes: int
    resident_max_bytes: int
    server_cpu_parking_ms: float
    server_cpu_parked_ms_per_second: float
    server_cpu_answering_ms: float


@dataclass
class PeerResult:
    """Everything measured on one peer; `error` says why the rest is missing."""

    peer: str
    whose: str
    on_disk: bool
    version: str = ""
    start_up_ms: list[float] = field(default_factory=list)
    workloads: list[WorkloadResult] = field(default_factory=list)
    long_polls: LongPollResult | None = None
    error: str = ""
