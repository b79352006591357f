"""`perdure worker`: a worker for the workflows and activities of your modules."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target, call
from perdure.cli.exits import MISUSED, fail
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    NamespaceOption,
    duration_option,
)

if TYPE_CHECKING:
    from perdure.cli.registrations import Registrations
    from perdure.client import Client

_log = logging.getLogger("perdure.worker")


def worker(
    modules: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE[:ATTR]...",
            help="What to serve: modules, or single things in them (greetings:GreetingWorkflow).",
            show_default=False,
        ),
    ],
    *,
    task_queue: Annotated[
        str, typer.Option("--task-queue", "-t", help="The queue to take tasks from.")
    ],
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    max_concurrent_activities: Annotated[
        int, typer.Option(min=1, help="How many activities run at a time.")
    ] = 100,
    graceful_shutdown_timeout: Annotated[
        timedelta, duration_option("How long activities may go on after a stop, before a cancel.")
    ] = timedelta(seconds=10),
) -> None:
    """Run workflows and activities of Python modules, found from the current directory.

    A module gives all its @workflow.defn classes and @activity.defn functions; an attribute may
    also be a list of them, or an object whose methods are activities. Stops on SIGINT and SIGTERM,
    when the activities under way have ended.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # As `python -m` does, whichever way this command was found.
    sys.path.insert(0, os.getcwd())
    from perdure.cli.registrations import NothingToRegister, registrations_of

    try:
        found = registrations_of(modules)
    except NothingToRegister as error:
        fail(str(error), MISUSED)

    async def serve(client: Client) -> None:
        await _serve(
            client,
            found,
            task_queue=task_queue,
            max_concurrent_activities=max_concurrent_activities,
            graceful_shutdown_timeout=graceful_shutdown_timeout,
        )

    call(Target(address, namespace), serve)


async def _serve(
    client: Client,
    found: Registrations,
    *,
    task_queue: str,
    max_concurrent_activities: int,
    graceful_shutdown_timeout: timedelta,
) -> None:
    from perdure.worker import Worker

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        running = Worker(
            client,
            task_queue=task_queue,
            workflows=found.workflows,
            activities=found.activities,
            max_concurrent_activities=max_concurrent_activities,
            graceful_shutdown_timeout=graceful_shutdown_timeout,
        )
    except (ValueError, TypeError) as error:  # two of one name, for example
        fail(str(error), MISUSED)
    async with running:
        _log.info("workflows: %s", ", ".join(found.workflow_names()) or "none")
        _log.info("activities: %s", ", ".join(found.activity_names()) or "none")
        _log.info("worker takes tasks from %r, stop it with Ctrl+C", task_queue)
        await stopping.wait()
        _log.info("worker stops, when the activities under way have ended")
    _log.info("worker stopped")
