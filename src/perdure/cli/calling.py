"""From a command to the server and back, with what goes wrong as one line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from perdure.cli.exits import fail
from perdure.cli.pointing import pointed

if TYPE_CHECKING:
    from perdure.cli.codec_server import CodecServer
    from perdure.client import Client, RPCError

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
"""A server that is up answers within milliseconds; nobody wants to wait for one that is not."""

SCHEDULER: Final = "temporal-sys-scheduler:"
"""What servers put before the id of a schedule."""

CONNECTING: Final[ContextVar[Mapping[str, Any]]] = ContextVar(
    "CONNECTING", default=MappingProxyType({})
)
"""Further arguments of `Client.connect`, of the command that runs."""

CODEC: Final[ContextVar[CodecServer | None]] = ContextVar("CODEC", default=None)
"""Who encodes and decodes the payloads of the command that runs."""

QUERY: Final[ContextVar[str]] = ContextVar("QUERY", default="")
"""The query of the command that runs, if it has one."""

LISTING: Final[ContextVar[str]] = ContextVar("LISTING", default="perdure workflow list")
"""Which command shows what one of could not be found."""

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Target:
    """Which server, and which namespace of it."""

    address: str
    namespace: str


def call(target: Target, action: Callable[[Client], Awaitable[_Result]]) -> _Result:
    """Connect, do it, and end the command with one clear line when it is refused."""
    return asyncio.run(_call(target, action))


async def _call(target: Target, action: Callable[[Client], Awaitable[_Result]]) -> _Result:
    from perdure.client import RPCError
    from perdure.exceptions import WorkflowAlreadyStartedError

    client = await connected(target)
    try:
        return await action(client)
    except WorkflowAlreadyStartedError as error:
        fail(
            f"workflow {error.workflow_id!r} has been started already (run {error.run_id}): choose "
            "another --workflow-id, or say with --id-reuse-policy or --id-conflict-policy what to "
            "do about it"
        )
    except RPCError as error:
        fail(_explained(error, target))
    finally:
        await client.service_client.close()


async def connected(target: Target) -> Client:
    """A client whose server has answered. Ends the command when none does."""
    from perdure.client import Client, RPCError

    try:
        client = await Client.connect(
            target.address,
            namespace=target.namespace,
            connect_timeout=CONNECT_TIMEOUT,
            **CONNECTING.get(),
        )
    except RuntimeError as error:
        cause = error.__cause__
        if not isinstance(cause, RPCError):
            raise
        fail(_explained(cause, target))
    codec = CODEC.get()
    if codec is not None:
        from perdure.cli.codec_server import CodedTransport

        service = client.service_client
        service.transport = CodedTransport(service.transport, codec, target.namespace)
    return client


def _explained(error: RPCError, target: Target) -> str:
    """What was wrong, and what to do."""
    from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure

    from perdure.client import RPCStatusCode

    if error.status in (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED):
        return (
            f"no server answers at {target.address}: start one with `perdure dev`, or say with "
            "--address or PERDURE_ADDRESS where it is"
        )
    if error.status is RPCStatusCode.NOT_FOUND:
        details = error.grpc_status.details
        if any(one.Is(NamespaceNotFoundFailure.DESCRIPTOR) for one in details):
            return (
                f"there is no namespace {target.namespace!r} at {target.address}: choose one with "
                "--namespace, or start the server with it (`perdure dev --namespace ...`)"
            )
        _, is_schedule, schedule_id = error.message.partition(SCHEDULER)
        if is_schedule:
            return (
                f"there is no schedule {schedule_id!r} in namespace {target.namespace!r} "
                "(`perdure schedule list` shows what there is)"
            )
        if "workflow execution already completed" in error.message:
            return f"{error.message} (`perdure workflow show` tells how)"
        return f"{error.message} (`{LISTING.get()}` shows what there is)"
    return f"{pointed(error.message, QUERY.get())} ({error.status.name})"
