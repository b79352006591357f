"""The pytest plugin: an environment, a client and workers as fixtures. See docs/testing.md.

pytest loads this module in every run where the package is installed, so it imports nothing of the
SDK: that waits until a test asks for one of the fixtures.
"""

from __future__ import annotations

import types
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from perdure.client import Client
    from perdure.testing import ActivityEnvironment, WorkflowEnvironment
    from perdure.worker import Worker

_TIMES = ("skipping", "wall")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How the environment of tests keeps time."""
    parser.addini(
        "perdure_time",
        "time in perdure_environment: 'skipping' (the default) or 'wall'",
        default="skipping",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Offers the fixtures in the way of the plugin that runs async tests."""
    define: Callable[..., Any] = pytest.fixture
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio

        define = pytest_asyncio.fixture
    fixtures = types.ModuleType("perdure_fixtures")
    for name, function in (
        ("perdure_environment", _environment),
        ("perdure_client", _client),
        ("perdure_worker", _worker),
    ):
        setattr(fixtures, name, define(name=name)(function))
    config.pluginmanager.register(fixtures, "perdure_fixtures")


async def _environment(request: pytest.FixtureRequest) -> AsyncIterator[WorkflowEnvironment]:
    """An engine in memory, in this process, for one test; its time skips, or is the wall's."""
    from perdure.testing import WorkflowEnvironment

    time = request.config.getini("perdure_time")
    if time not in _TIMES:
        raise pytest.UsageError(f"perdure_time is one of {', '.join(_TIMES)}, not {time!r}")
    skips = time == "skipping"
    start = WorkflowEnvironment.start_time_skipping if skips else WorkflowEnvironment.start_local
    async with await start() as environment:
        yield environment


async def _client(perdure_environment: WorkflowEnvironment) -> Client:
    """A client of the environment."""
    return perdure_environment.client


async def _worker(
    perdure_client: Client, perdure_task_queue: str
) -> AsyncIterator[Callable[..., Awaitable[Worker]]]:
    """`await perdure_worker(workflows=[...], activities=[...])` runs a worker on the task queue
    until the test ends. It takes what `Worker` takes."""
    from perdure.worker import Worker

    async with AsyncExitStack() as running:

        async def run(**options: Any) -> Worker:
            options.setdefault("task_queue", perdure_task_queue)
            return await running.enter_async_context(Worker(perdure_client, **options))

        yield run


@pytest.fixture
def perdure_task_queue() -> str:
    """A task queue that is this test's alone."""
    return f"tests-{uuid.uuid4()}"


@pytest.fixture
def perdure_activity_environment() -> ActivityEnvironment:
    """What an activity finds around it when it is called without a worker."""
    from perdure.testing import ActivityEnvironment

    return ActivityEnvironment()
