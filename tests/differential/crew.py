"""The workers of a program about deployments: of each version that it names, and of none."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Mapping

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from tests.differential.interpreter import HELD_SECONDS_MAX, Interpreter, act
from tests.differential.versions import deployment_of
from tests.interop.stage import WORKER_IDENTITY

UNVERSIONED = ""
CLOSE_SECONDS_MAX = 20.0
_PINNED, _UPGRADED = VersioningBehavior.PINNED, VersioningBehavior.AUTO_UPGRADE
BEHAVIORS: Mapping[str, tuple[VersioningBehavior, VersioningBehavior]] = {
    "Pinned": (_PINNED, _PINNED),
    "Upgraded": (_UPGRADED, _UPGRADED),
    "Changing": (_PINNED, _UPGRADED),
}
"""By type of workflow: how it behaves on builds with an even number, and on the others."""


def _definition(name: str, behavior: VersioningBehavior) -> type:
    """The interpreter once more, under another name. The SDK wants one class per definition, with
    its own methods."""
    left_out = {"__dict__", "__weakref__", "__temporal_workflow_definition"}
    body = {key: value for key, value in vars(Interpreter).items() if key not in left_out}
    copy = type(Interpreter.__name__, (), body)
    return workflow.defn(name=name, sandboxed=False, versioning_behavior=behavior)(copy)


def _definitions(build: str) -> list[type]:
    if not build:
        return [_definition(name, VersioningBehavior.UNSPECIFIED) for name in BEHAVIORS]
    is_odd = int(build) % 2
    return [_definition(name, choices[is_odd]) for name, choices in BEHAVIORS.items()]


class Crew:
    """Workers on one queue."""

    def __init__(self, client: Client, queue: str, nonce: str) -> None:
        self._client = client
        self._queue = queue
        self._nonce = nonce
        self._workers: dict[str, tuple[Worker, asyncio.Task[None]]] = {}
        self._threads = concurrent.futures.ThreadPoolExecutor(50)

    def begin(self, build: str) -> None:
        """A worker of a version, or of none; there is one at most."""
        if build in self._workers:
            return
        config = None
        if build:
            version = WorkerDeploymentVersion(deployment_of(self._nonce), build)
            config = WorkerDeploymentConfig(version, use_worker_versioning=True)
        worker = Worker(
            self._client,
            task_queue=self._queue,
            workflows=_definitions(build),
            activities=[act],
            workflow_runner=UnsandboxedWorkflowRunner(),
            identity=WORKER_IDENTITY,
            workflow_task_executor=self._threads,
            max_concurrent_workflow_task_polls=2,
            max_concurrent_activity_task_polls=1,
            deployment_config=config,
        )
        # A held workflow task is not a deadlock; the SDK has no option to say so.
        vars(worker)["_workflow_worker"]._deadlock_timeout_seconds = HELD_SECONDS_MAX
        self._workers[build] = (worker, asyncio.create_task(worker.run()))

    async def end(self) -> None:
        """All of them; what one still holds may never end."""
        ends = [
            each
            for worker, running in self._workers.values()
            for each in (asyncio.create_task(worker.shutdown()), running)
        ]
        if ends:
            await asyncio.wait(ends, timeout=CLOSE_SECONDS_MAX)
        self._threads.shutdown(wait=False)
