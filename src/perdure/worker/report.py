"""What a worker tells the service of itself: what it is, and how busy it is."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import (
    EnvironmentInfo,
    PluginInfo,
    StorageDriverInfo,
    WorkerHeartbeat,
    WorkerHostInfo,
    WorkerPollerInfo,
    WorkerSlotsInfo,
)

from perdure.service import RPCError, RPCStatusCode
from perdure.worker.host import HostLoad
from perdure.worker.polling import PollCount
from perdure.worker.port import TaskSource
from perdure.worker.slots import TaskSlots

_log = logging.getLogger("perdure.worker")

FIRST_SECONDS: Final = 0.5
"""Who lives shorter than this tells nothing: a test, or a program that runs one workflow."""
_SDK_NAME: Final = "temporal-python"
"""What runs is Python, whichever package it came in."""
_ARCHITECTURES: Final = {
    "x86_64": EnvironmentInfo.ARCHITECTURE_AMD64,
    "amd64": EnvironmentInfo.ARCHITECTURE_AMD64,
    "aarch64": EnvironmentInfo.ARCHITECTURE_ARM64,
    "arm64": EnvironmentInfo.ARCHITECTURE_ARM64,
}


class RunsKept(Protocol):
    """The runs that a worker keeps."""

    hits: int
    misses: int

    def __len__(self) -> int: ...


class Work(NamedTuple):
    """One kind of tasks: places for them, and the polls that bring them."""

    slots: TaskSlots
    is_taken: bool
    """Whether the worker takes tasks of this kind at all."""


class Whoami(NamedTuple):
    """What does not change while a worker lives."""

    instance_key: str
    identity: str
    task_queue: str
    build_id: str
    deployment_name: str
    sdk_version: str
    grouping_key: str
    """The same for all workers of one runtime."""
    plugins: Sequence[str]
    storage_drivers: Sequence[str]
    """Their types."""
    tells_environment: bool


class WorkerReport:
    """Makes heartbeats."""

    def __init__(
        self,
        who: Whoami,
        *,
        source: TaskSource,
        workflow: Work,
        activity: Work,
        local_activity: Work,
        nexus: Work,
        runs: RunsKept | None,
    ) -> None:
        self._who = who
        self._source = source
        self._kinds = {
            "workflow_task_slots_info": workflow,
            "activity_task_slots_info": activity,
            "local_activity_slots_info": local_activity,
            "nexus_task_slots_info": nexus,
        }
        self._runs = runs
        self._before: dict[str, tuple[int, int]] = {}
        self._load: HostLoad | None = None
        self._start_ns = time.time_ns()
        self._last_ns = 0

    def next(self, status: WorkerStatus.ValueType) -> WorkerHeartbeat:
        """What there is to tell now, and what has changed since the last time."""
        who = self._who
        now_ns = time.time_ns()
        told = WorkerHeartbeat(
            worker_instance_key=who.instance_key,
            worker_identity=who.identity,
            host_info=self._host(),
            task_queue=who.task_queue,
            deployment_version=WorkerDeploymentVersion(
                deployment_name=who.deployment_name, build_id=who.build_id
            ),
            sdk_name=_SDK_NAME,
            sdk_version=who.sdk_version,
            status=status,
            plugins=[PluginInfo(name=name) for name in who.plugins],
            drivers=[StorageDriverInfo(type=kind) for kind in who.storage_drivers],
        )
        told.start_time.FromNanoseconds(self._start_ns)
        told.heartbeat_time.FromNanoseconds(now_ns)
        if self._last_ns:
            told.elapsed_since_last_heartbeat.FromNanoseconds(now_ns - self._last_ns)
        elif who.tells_environment:
            told.environment.CopyFrom(_environment())
        self._last_ns = now_ns
        for name, work in self._kinds.items():
            getattr(told, name).CopyFrom(self._slots(name, work))
        polls = self._source.polls
        told.workflow_poller_info.CopyFrom(_poller(polls.workflow))
        told.workflow_sticky_poller_info.CopyFrom(_poller(polls.sticky))
        told.activity_poller_info.CopyFrom(_poller(polls.activity))
        told.nexus_poller_info.CopyFrom(_poller(polls.nexus))
        if self._runs is not None:
            told.total_sticky_cache_hit = self._runs.hits
            told.total_sticky_cache_miss = self._runs.misses
            told.current_sticky_cache_size = len(self._runs)
        return told

    @property
    def has_told(self) -> bool:
        """Whether the service knows of the worker."""
        return self._last_ns > 0

    async def tell(self, interval: timedelta) -> None:
        """Tells the service every so often. Ends when it will not hear it."""
        await asyncio.sleep(min(FIRST_SECONDS, interval.total_seconds()))
        while True:
            try:
                told = self.next(WorkerStatus.WORKER_STATUS_RUNNING)
                await self._source.record_worker_heartbeat(told)
            except RPCError as error:
                if error.status is RPCStatusCode.UNIMPLEMENTED:
                    return
                _log.debug("Worker heartbeat not sent: %s: %s", error.status.name, error.message)
            await asyncio.sleep(interval.total_seconds())

    def _host(self) -> WorkerHostInfo:
        if self._load is None:
            self._load = HostLoad()
        cpu, memory = self._load.usage()
        return WorkerHostInfo(
            host_name=socket.gethostname(),
            process_id=str(os.getpid()),
            worker_grouping_key=self._who.grouping_key,
            current_host_cpu_usage=cpu,
            current_host_mem_usage=memory,
        )

    def _slots(self, name: str, work: Work) -> WorkerSlotsInfo:
        slots = work.slots
        processed, failed = slots.processed, slots.failed
        processed_before, failed_before = self._before.get(name, (0, 0))
        self._before[name] = processed, failed
        return WorkerSlotsInfo(
            current_available_slots=slots.available if work.is_taken else 0,
            current_used_slots=slots.used,
            slot_supplier_kind=slots.kind,
            total_processed_tasks=processed,
            total_failed_tasks=failed,
            last_interval_processed_tasks=processed - processed_before,
            last_interval_failure_tasks=failed - failed_before,
        )


def _poller(polls: PollCount) -> WorkerPollerInfo:
    told = WorkerPollerInfo(current_pollers=polls.current, is_autoscaling=polls.is_autoscaling)
    if polls.last_task_ns:
        told.last_successful_poll_time.FromNanoseconds(polls.last_task_ns)
    return told


def _environment() -> EnvironmentInfo:
    """The interpreter and the machine."""
    told = EnvironmentInfo()
    told.runtimes.add(
        type=EnvironmentInfo.Runtime.RUNTIME_TYPE_CPYTHON, version=platform.python_version()
    )
    architecture = _ARCHITECTURES.get(
        platform.machine().lower(), EnvironmentInfo.ARCHITECTURE_UNSPECIFIED
    )
    match platform.system():
        case "Linux":
            told.platform.linux.architecture = architecture
            told.platform.linux.version = platform.release()
        case "Darwin":
            told.platform.macos.architecture = architecture
            told.platform.macos.version = platform.mac_ver()[0]
        case "Windows":
            told.platform.windows.architecture = architecture
            told.platform.windows.version = platform.version()
    return told
