"""Nexus services, their handlers and their callers, written for the official SDK.

`test_nexus.py` loads this file for ours too, and has each SDK's callers call each one's handlers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import nexusrpc
import nexusrpc.handler
from temporalio import nexus, workflow
from temporalio.client import Client, NexusOperationFailureError
from temporalio.common import NexusOperationIDConflictPolicy, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, NexusOperationAlreadyStartedError
from temporalio.service import RPCError

LIMIT = timedelta(seconds=10)
SHORT = timedelta(milliseconds=600)
PATIENCE = timedelta(seconds=5)
CANCELLATION = workflow.NexusOperationCancellationType


@dataclass
class Order:
    """An input with a type of its own."""

    item: str
    count: int


@nexusrpc.service
class Shop:
    """What both sides know."""

    price: nexusrpc.Operation[Order, int]
    check: nexusrpc.Operation[str, str]
    ship: nexusrpc.Operation[Order, str]
    deliver: nexusrpc.Operation[str, str] = nexusrpc.Operation(name="deliver-it")
    about: nexusrpc.Operation[None, dict[str, Any]]
    slow: nexusrpc.Operation[str, str]
    in_thread: nexusrpc.Operation[str, str]
    fetch: nexusrpc.Operation[str, str]
    stubborn: nexusrpc.Operation[str, str]


@workflow.defn
class Shipping:
    """What an order becomes."""

    def __init__(self) -> None:
        self.stopped = False

    @workflow.run
    async def run(self, order: Order) -> str:
        """The parcel."""
        if order.item == "bomb":
            raise ApplicationError("not shipped", order.item, type="Refused", non_retryable=True)
        if order.item == "ice":
            await workflow.wait_condition(lambda: self.stopped)
        return f"{order.count} x {order.item}"


@nexusrpc.handler.service_handler(service=Shop)
class ShopHandler:
    """Handles all of them."""

    @nexusrpc.handler.sync_operation
    async def price(self, ctx: nexusrpc.handler.StartOperationContext, value: Order) -> int:
        """Answers at once."""
        return value.count * len(value.item)

    @nexusrpc.handler.sync_operation
    async def check(self, ctx: nexusrpc.handler.StartOperationContext, value: str) -> str:
        """Fails in all ways."""
        match value:
            case "failed":
                raise nexusrpc.OperationError("no", state=nexusrpc.OperationErrorState.FAILED)
            case "canceled":
                raise nexusrpc.OperationError("off", state=nexusrpc.OperationErrorState.CANCELED)
            case "cause":
                try:
                    raise ApplicationError("deep", {"a": 1}, type="Deep")
                except ApplicationError as error:
                    raise nexusrpc.OperationError(
                        "no", state=nexusrpc.OperationErrorState.FAILED
                    ) from error
            case "bad":
                raise nexusrpc.HandlerError("bad", type=nexusrpc.HandlerErrorType.BAD_REQUEST)
            case "application":
                raise ApplicationError("app", "detail", type="X", non_retryable=True)
        return value

    @nexus.workflow_run_operation
    async def ship(
        self, ctx: nexus.WorkflowRunOperationContext, value: Order
    ) -> nexus.WorkflowHandle[str]:
        """Is a workflow."""
        return await ctx.start_workflow(Shipping.run, value, id=f"shipping-{ctx.request_id}")

    @nexus.temporal_operation(name="deliver-it")
    async def deliver(
        self,
        ctx: nexus.TemporalStartOperationContext,
        client: nexus.TemporalNexusClient,
        value: str,
    ) -> nexus.TemporalOperationResult[str]:
        """Is a workflow too, or is over at once."""
        if value == "nothing":
            return nexus.TemporalOperationResult.sync("nothing")
        return await client.start_workflow(
            Shipping.run, Order(value, 1), id=f"delivery-{ctx.request_id}"
        )

    @nexusrpc.handler.sync_operation
    async def about(
        self, ctx: nexusrpc.handler.StartOperationContext, value: None
    ) -> dict[str, Any]:
        """What a handler can ask."""
        nexus.logger.info("asked")
        return {
            "in operation": nexus.in_operation(),
            "endpoint": nexus.info().endpoint.split("-")[0],
            "namespace": nexus.info().namespace,
            "queue": nexus.info().task_queue.split("-")[0],
            "client": nexus.client().namespace,
            "meter": nexus.metric_meter() is not None,
            "shutdown": nexus.is_worker_shutdown(),
            "header": ctx.headers.get("colour"),
            "deadline": ctx.request_deadline is not None,
            "cancelled": ctx.task_cancellation.is_cancelled(),
            "links": [link.type for link in ctx.inbound_links],
            "callback": bool(ctx.callback_url),
        }

    @nexusrpc.handler.sync_operation
    async def slow(self, ctx: nexusrpc.handler.StartOperationContext, value: str) -> str:
        """Takes longer than anybody waits."""
        await asyncio.sleep(30)
        return value

    @nexusrpc.handler.sync_operation
    def in_thread(self, ctx: nexusrpc.handler.StartOperationContext, value: str) -> str:
        """Is not async."""
        return f"{value} in {nexus.info().namespace}"

    @nexus.temporal_operation
    async def fetch(
        self,
        ctx: nexus.TemporalStartOperationContext,
        client: nexus.TemporalNexusClient,
        value: str,
    ) -> nexus.TemporalOperationResult[str]:
        """Uses a workflow that runs already."""
        return await client.start_workflow(
            Shipping.run,
            Order(value, 2),
            id=f"fetched-{value}-{nexus.info().task_queue}",
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    @nexusrpc.handler.operation_handler
    def stubborn(self) -> nexusrpc.handler.OperationHandler[str, str]:
        """Cannot be cancelled."""
        return Stubborn()


class Stubborn(nexusrpc.handler.OperationHandler[str, str]):
    """Has a token, and refuses to stop."""

    async def start(
        self, ctx: nexusrpc.handler.StartOperationContext, value: str
    ) -> nexusrpc.handler.StartOperationResultAsync:
        """Goes on for ever."""
        return nexusrpc.handler.StartOperationResultAsync(value)

    async def cancel(self, ctx: nexusrpc.handler.CancelOperationContext, token: str) -> None:
        """Refuses."""
        raise nexusrpc.HandlerError(
            f"{token} goes on", type=nexusrpc.HandlerErrorType.NOT_IMPLEMENTED
        )


def described(error: BaseException | None) -> list[str]:
    """An error and its causes."""
    found = []
    while error is not None:
        text = getattr(error, "message", str(error))
        details = getattr(error, "details", ())
        kind = getattr(error, "type", None)
        found.append(f"{type(error).__name__}({kind}): {text} {list(details)}")
        error = error.__cause__
    return found


@workflow.defn
class Calls:
    """Calls one operation and tells what came of it."""

    @workflow.run
    async def run(self, endpoint: str, what: str) -> list[Any]:
        """What was seen."""
        self.seen: list[Any] = []
        self.endpoint = endpoint
        self.shop = workflow.create_nexus_client(service=Shop, endpoint=endpoint)
        name, _, how = what.partition(" ")
        try:
            await getattr(self, name)(how)
        except Exception as error:
            self.seen.append(described(error))
        return self.seen

    async def answers(self, _: str) -> None:
        """By all ways to name an operation."""
        order = Order("tea", 3)
        self.seen.append(await self.shop.execute_operation(Shop.price, order))
        by_name = await self.shop.start_operation("price", order, output_type=int, summary="sum")
        self.seen += [by_name.operation_token, await by_name]
        own = workflow.create_nexus_client(service=ShopHandler, endpoint=self.endpoint)
        self.seen.append(await own.execute_operation(ShopHandler.price, order))
        self.seen.append(await own.execute_operation(ShopHandler.in_thread, "sync"))
        named = workflow.create_nexus_client(service="Shop", endpoint=self.endpoint)
        self.seen.append(await named.execute_operation("check", "ok"))

    async def asks(self, _: str) -> None:
        """What the handler knows."""
        headers = {"colour": "green"}
        self.seen.append(await self.shop.execute_operation(Shop.about, None, headers=headers))

    async def fails(self, how: str) -> None:
        """At once."""
        self.seen.append(await self.shop.execute_operation(Shop.check, how))

    async def ships(self, item: str) -> None:
        """By a workflow."""
        handle = await self.shop.start_operation(Shop.ship, Order(item, 2))
        self.seen.append(handle.operation_token is not None)
        self.seen.append(await handle)

    async def delivers(self, item: str) -> None:
        """By a workflow, or at once."""
        handle = await self.shop.start_operation(Shop.deliver, item)
        self.seen.append(handle.operation_token is not None)
        self.seen.append(await handle)

    async def fetches(self, item: str) -> None:
        """Twice the same workflow."""
        both = [
            await self.shop.start_operation(
                Shop.fetch, item, cancellation_type=CANCELLATION.WAIT_REQUESTED
            )
            for _ in range(2)
        ]
        self.seen.append(both[0].operation_token == both[1].operation_token)
        both[0].cancel()
        for one in both:
            try:
                self.seen.append(await one)
            except Exception as error:
                self.seen.append(described(error))

    async def times_out(self, which: str) -> None:
        """By one of the limits."""
        limits: dict[str, Any] = {which: SHORT}
        operation: Any = Shop.ship if which == "start_to_close_timeout" else Shop.slow
        value: Any = Order("ice", 1) if which == "start_to_close_timeout" else "slow"
        self.seen.append(await self.shop.execute_operation(operation, value, **limits))

    async def cancels(self, how: str) -> None:
        """At different moments, with each type."""
        kind, _, when = how.partition(" ")
        if when == "refused":
            handle = await self.shop.start_operation(
                Shop.stubborn,
                "mule",
                cancellation_type=CANCELLATION.__members__[kind],
                schedule_to_close_timeout=PATIENCE,
            )
            handle.cancel()
            self.seen.append(await handle)
            return
        if when == "started":
            handle = await self.shop.start_operation(
                Shop.ship, Order("ice", 1), cancellation_type=CANCELLATION.__members__[kind]
            )
            handle.cancel()
            self.seen.append(await handle)
            return
        starting = asyncio.create_task(
            self.shop.start_operation(
                Shop.slow,
                "slow",
                cancellation_type=CANCELLATION.__members__[kind],
                schedule_to_close_timeout=PATIENCE,
            )
        )
        await asyncio.sleep(0 if when == "before" else 0.1)
        starting.cancel()
        self.seen.append(await (await starting))


CALLS = [
    "answers",
    "asks",
    *(f"fails {how}" for how in ("failed", "canceled", "cause", "bad", "application")),
    *(f"ships {item}" for item in ("books", "bomb")),
    *(f"delivers {item}" for item in ("books", "bomb", "nothing")),
    "fetches ice",
    *(
        f"times_out {which}_timeout"
        for which in ("schedule_to_close", "schedule_to_start", "start_to_close")
    ),
    *(
        f"cancels {kind.name} {when}"
        for kind in CANCELLATION
        for when in ("before", "scheduled", "started", "refused")
    ),
]


async def without_workflow(client: Client, endpoint: str, prefix: str) -> list[Any]:
    """What a client sees of operations that it starts itself."""
    shop = client.create_nexus_client(service=Shop, endpoint=endpoint)
    seen: list[Any] = []
    order = Order("tea", 3)
    price = await shop.start_operation(Shop.price, order, id=f"{prefix}-price", summary="tea")
    seen += [
        price.operation_id == f"{prefix}-price",
        price.run_id is not None,
        await price.result(),
    ]
    seen += [await price.result(), price.service]
    own = client.create_nexus_client(service=ShopHandler, endpoint=endpoint)
    seen.append(await own.execute_operation(ShopHandler.in_thread, "sync", id=f"{prefix}-thread"))
    named: Any = client.create_nexus_client("Shop", endpoint)
    seen.append(await named.execute_operation("check", "ok", id=f"{prefix}-named"))
    for how in ("failed", "canceled", "application"):
        try:
            await shop.execute_operation(Shop.check, how, id=f"{prefix}-{how}")
        except NexusOperationFailureError as error:
            seen.append(described(error))
    ship = await shop.start_operation(
        Shop.ship,
        Order("ice", 1),
        id=f"{prefix}-ship",
        headers={"colour": "green"},
        schedule_to_close_timeout=LIMIT,
    )
    try:
        await shop.start_operation(Shop.ship, Order("ice", 1), id=f"{prefix}-ship")
    except NexusOperationAlreadyStartedError as error:
        seen.append(
            [error.message, error.operation_id == ship.operation_id, error.run_id == ship.run_id]
        )
    same = await shop.start_operation(
        Shop.ship,
        Order("ice", 1),
        id=f"{prefix}-ship",
        id_conflict_policy=NexusOperationIDConflictPolicy.USE_EXISTING,
    )
    seen.append(same.run_id == ship.run_id)
    seen += await _described(client, prefix)
    await ship.cancel(reason="melted")
    for one in (ship, client.get_nexus_operation_handle(f"{prefix}-ship", result_type=str)):
        try:
            seen.append(await one.result())
        except NexusOperationFailureError as error:
            seen.append(described(error))
    slow = await shop.start_operation(Shop.slow, "slow", id=f"{prefix}-slow")
    await slow.terminate(reason="enough")
    try:
        seen.append(await slow.result())
    except NexusOperationFailureError as error:
        seen.append(described(error))
    gone = client.get_nexus_operation_handle(f"{prefix}-nothing", operation=Shop.price)
    try:
        await gone.describe()
    except RPCError as error:
        seen.append(error.status.name)
    return seen


async def _described(client: Client, prefix: str) -> list[Any]:
    """What the service tells of the shipment, once it has been started."""
    handle = client.get_nexus_operation_handle(f"{prefix}-ship")
    while True:
        told = await handle.describe()
        if told.operation_token is not None:
            break
        await asyncio.sleep(0.02)
    price = await client.get_nexus_operation_handle(f"{prefix}-price").describe()
    return [
        [told.service, told.operation, told.status.name, told.state.name, told.attempt],
        [told.schedule_to_close_timeout, told.start_to_close_timeout, told.close_time],
        [told.cancellation_info, told.last_attempt_failure, told.blocked_reason],
        [price.status.name, await price.static_summary(), await price.static_details()],
        [price.close_time is not None, price.execution_duration is not None],
    ]


async def found(client: Client, endpoint: str) -> list[Any]:
    """The operations at an endpoint, as a list and as a count."""
    query = f"Endpoint = '{endpoint}'"
    while True:
        if (await client.count_nexus_operations(query)).count >= OPERATIONS:
            break
        await asyncio.sleep(0.05)
    listed = [one async for one in client.list_nexus_operations(query, page_size=2)]
    first = [one async for one in client.list_nexus_operations(query, limit=1)]
    grouped = await client.count_nexus_operations(f"{query} GROUP BY ExecutionStatus")
    return [
        sorted((one.operation, one.status.name) for one in listed),
        len(first),
        sorted((str(group.group_values), group.count) for group in grouped.groups),
    ]


OPERATIONS = 8
"""So many does `without_workflow` start."""
