"""What is on the server, for a shell that completes names.

Nothing here may print or fail: without an answer there is nothing to suggest. Only names that no
shell gives a meaning to are suggested, since shells put them into a command as they are.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import typer

from perdure.cli.connection import arguments_of
from perdure.cli.parameters import DEFAULT_ADDRESS, DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from perdure.client import Client

NAMES_MAX: Final = 50
PATIENCE: Final = timedelta(seconds=1)
"""Somebody waits at a prompt."""
HARMLESS: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)

Names = Callable[["Client", str], Awaitable[list[str]]]


def workflow_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of workflows that begin so."""
    return _suggested(context, incomplete, _workflow_ids)


def schedule_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of schedules that begin so."""
    return _suggested(context, incomplete, _schedule_ids)


def namespaces(context: typer.Context, incomplete: str) -> list[str]:
    """Namespaces that begin so."""
    return _suggested(context, incomplete, _namespaces)


BY_PARAMETER: Final = {
    "workflow_id": workflow_ids,
    "workflow_id_option": workflow_ids,
    "schedule_id": schedule_ids,
    "namespace": namespaces,
}
"""What completes which parameter of a command that connects."""


def _suggested(context: typer.Context, incomplete: str, names: Names) -> list[str]:
    from perdure.client import RPCError
    from perdure.envconfig import ConfigError

    try:
        found = asyncio.run(_asked(context, incomplete, names))
    except (ConfigError, RPCError, RuntimeError, OSError, ValueError):
        return []
    unique = dict.fromkeys(name for name in found if name.startswith(incomplete))
    return [name for name in unique if HARMLESS.fullmatch(name)]


async def _asked(context: typer.Context, incomplete: str, names: Names) -> list[str]:
    from perdure.client import Client

    arguments, _ = arguments_of(context.params)
    client = await Client.connect(
        arguments.pop("target_host", DEFAULT_ADDRESS),
        namespace=arguments.pop("namespace", "") or DEFAULT_NAMESPACE,
        connect_timeout=PATIENCE,
        **arguments,
    )
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await names(client, incomplete)
    except TimeoutError:
        return []
    finally:
        await client.service_client.close()


async def _workflow_ids(client: Client, incomplete: str) -> list[str]:
    quoted = incomplete.replace("\\", "\\\\").replace("'", "\\'")
    query = f"WorkflowId STARTS_WITH '{quoted}'" if incomplete else None
    return [run.id async for run in client.list_workflows(query, limit=NAMES_MAX)]


async def _schedule_ids(client: Client, incomplete: str) -> list[str]:
    schedules = await client.list_schedules(page_size=NAMES_MAX)
    await schedules.fetch_next_page()
    return [schedule.id for schedule in schedules.current_page or []]


async def _namespaces(client: Client, incomplete: str) -> list[str]:
    from temporalio.api.workflowservice.v1 import ListNamespacesRequest, ListNamespacesResponse

    from perdure.cli.asking import asked

    request = ListNamespacesRequest(page_size=NAMES_MAX)
    answer = await asked(client, request, ListNamespacesResponse)
    return [found.namespace_info.name for found in answer.namespaces]
