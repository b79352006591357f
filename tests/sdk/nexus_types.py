"""What a type checker sees of Nexus calls. `make types` reads this file; nothing runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import nexusrpc
import nexusrpc.handler

from perdure import nexus, workflow
from perdure.client import Client
from perdure.client import NexusOperationHandle as ClientHandle


class Service:
    """Operations of all kinds."""

    declared: nexusrpc.Operation[int, str]

    @nexusrpc.handler.sync_operation
    async def sync(self, ctx: nexusrpc.handler.StartOperationContext, value: int) -> str:
        """Async."""
        return str(value)

    @nexusrpc.handler.sync_operation
    def threaded(self, ctx: nexusrpc.handler.StartOperationContext, value: int) -> str:
        """Not async."""
        return str(value)

    @nexus.workflow_run_operation
    async def flow(
        self, ctx: nexus.WorkflowRunOperationContext, value: int
    ) -> nexus.WorkflowHandle[str]:
        """A workflow."""
        return assert_type(
            await ctx.start_workflow(Flow.run, value, id="id"), nexus.WorkflowHandle[str]
        )

    @nexus.temporal_operation
    async def temporal(
        self,
        ctx: nexus.TemporalStartOperationContext,
        client: nexus.TemporalNexusClient,
        value: int,
    ) -> nexus.TemporalOperationResult[str]:
        """Whatever the client starts."""
        return await client.start_workflow(Flow.run, value, id="id")

    @nexusrpc.handler.operation_handler
    def handler(self) -> nexusrpc.handler.OperationHandler[int, str]:
        """By hand."""
        raise KeyError


@workflow.defn
class Flow:
    """What operations start."""

    @workflow.run
    async def run(self, value: int) -> str:
        """A word."""
        return str(value)


if TYPE_CHECKING:

    async def in_a_workflow() -> None:
        """Each way to name an operation has its types."""
        client = workflow.create_nexus_client(service=Service, endpoint="e")
        assert_type(client, workflow.NexusClient[Service])
        handle = await client.start_operation(Service.declared, 1)
        same: workflow.NexusOperationHandle[str] = handle
        assert_type(await same, str)
        assert_type(await client.execute_operation(Service.declared, 1), str)
        assert_type(await client.execute_operation(Service.sync, 1), str)
        assert_type(await client.execute_operation(Service.threaded, 1), str)
        assert_type(await client.execute_operation(Service.flow, 1), str)
        assert_type(await client.execute_operation(Service.temporal, 1), str)
        assert_type(await client.execute_operation(Service.handler, 1), str)
        assert_type(await client.execute_operation("named", 1, output_type=str), str)
        await client.execute_operation(Service.declared, "wrong")  # type: ignore[misc]

    async def of_a_client(client: Client) -> None:
        """The same without a workflow."""
        calls = client.create_nexus_client(Service, "e")
        started = await calls.start_operation(Service.declared, 1, id="id")
        assert_type(started, ClientHandle[str])
        assert_type(await started.result(), str)
        assert_type(await calls.execute_operation(Service.sync, 1, id="id"), str)
        assert_type(await calls.execute_operation(Service.flow, 1, id="id"), str)
        assert_type(await calls.execute_operation(Service.temporal, 1, id="id"), str)
        found = client.get_nexus_operation_handle("id", operation=Service.declared)
        assert_type(found, ClientHandle[str])
