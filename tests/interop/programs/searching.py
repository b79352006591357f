"""Search attributes of all types, and what queries find and how bad ones are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import Payload, SearchAttributes, WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    ListClosedWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsRequest,
    ListWorkflowExecutionsRequest,
    RegisterNamespaceRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.interop.raw import HandWorker, seconds
from tests.interop.stage import WAIT_SECONDS, Stage

TYPES = {"K": 2, "I": 3, "D": 4, "B": 5, "DT": 6, "KL": 7, "TX": 1}
RETRY_SECONDS = 0.2

GOOD: dict[str, object] = {
    "K": "k1",
    "I": 5,
    "D": 1.5,
    "B": True,
    "DT": "2020-01-01T00:00:00.5Z",
    "KL": ["a", "b"],
    "TX": "some Text here",
}
BAD: list[dict[str, object]] = [
    {"K": 5},
    {"K": ["a", "b"]},
    {"I": "x"},
    {"I": 1.5},
    {"D": "x"},
    {"B": 1},
    {"DT": "yesterday"},
    {"KL": "a"},
    {"TX": 5},
    {"Nope": "x"},
    {"WorkflowId": "x"},
    {"K": "x" * 2049},
]


def attributes(values: dict[str, object]) -> SearchAttributes:
    """Search attributes as a client without types sends them."""
    return SearchAttributes(
        indexed_fields={
            name: Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())
            for name, value in values.items()
        }
    )


def upsert(values: dict[str, object]) -> Command:
    """The command that sets them."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes=(
            UpsertWorkflowSearchAttributesCommandAttributes(search_attributes=attributes(values))
        ),
    )


async def search_attributes(stage: Stage) -> None:
    """Set at the start, by commands, on a child and on a successor."""
    await _own_namespace(stage)
    worker = HandWorker(stage)
    execution = await worker.start(search_attributes=attributes(GOOD))
    task = await worker.poll()
    await worker.complete(task, upsert({"K": "k2", "I": None, "KL": [], "D": [2]}))
    await stage.history("history", execution)
    await stage.describe("description", execution)
    for number, bad in enumerate(BAD):
        request: StartWorkflowExecutionRequest = worker.start_request(
            f"bad {number}", search_attributes=attributes(bad)
        )
        await stage.outcome(f"start {number}", stage.service.start_workflow_execution(request))
    commands = [
        upsert({"I": "x"}),
        Command(
            command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
            start_child_workflow_execution_command_attributes=(
                StartChildWorkflowExecutionCommandAttributes(
                    namespace=stage.namespace,
                    workflow_id=stage.workflow_id("child"),
                    workflow_type=WorkflowType(name="Child"),
                    task_queue=stage.task_queue("children"),
                    search_attributes=attributes({"K": 5}),
                )
            ),
        ),
        Command(
            command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
            continue_as_new_workflow_execution_command_attributes=(
                ContinueAsNewWorkflowExecutionCommandAttributes(
                    workflow_type=WorkflowType(name="ByHand"),
                    task_queue=stage.task_queue(),
                    search_attributes=attributes({"B": "x"}),
                )
            ),
        ),
    ]
    for number, command in enumerate(commands):
        own = HandWorker(stage, queue=f"queue {number}")
        execution = await own.start(f"refused {number}")
        await stage.outcome(f"command {number}", own.complete(await own.poll(), command))
        await stage.history(f"history {number}", execution)


async def added_attributes(stage: Stage) -> None:
    """What can be added to a namespace and taken from it."""
    await _own_namespace(stage)
    operator = stage.client.operator_service

    async def add(label: str, **types: Any) -> None:
        request = AddSearchAttributesRequest(namespace=stage.namespace, search_attributes=types)
        await stage.outcome(label, operator.add_search_attributes(request))

    await add("nothing")
    await add("again", K=2)
    await add("again as another type", K=3, I=3)
    await add("a system attribute", WorkflowId=2)
    await add("a predefined attribute", BuildIds=7)
    await add("a reserved name", TemporalFoo=2)
    await add("no type", X=0)
    await add("an unknown type", X=99)
    for label, names in (
        ("removed nothing", []),
        ("removed unknown", ["nope"]),
        ("removed system", ["WorkflowId"]),
        ("removed", ["K", "B"]),
    ):
        request = RemoveSearchAttributesRequest(namespace=stage.namespace, search_attributes=names)
        await stage.outcome(label, operator.remove_search_attributes(request))
    wanted = {name: kind for name, kind in TYPES.items() if name not in ("K", "B")}
    stage.observe("left", await _listed_attributes(stage, wanted))


QUERIES = (
    *("K = 'k1'", "K != 'k1'", "K > 'k1' OR K IS NULL", "K IN ('k1', 'k3')", "K NOT IN ('k1')"),
    *("K BETWEEN 'k1' AND 'k2'", "K STARTS_WITH 'k'", "NOT K STARTS_WITH 'k'", "I = 5.0", "I < 7"),
    *("D > 1 AND D <= 2.5", "B = true", "NOT (B = true)", "DT > '2020-06-01T00:00:00Z'"),
    *("DT < '9999-12-31T00:00:00Z'", "DT < '0001-01-01T00:00:00Z'"),
    *("StartTime < '9999-12-31T00:00:00Z'", "CloseTime > '0001-01-01T00:00:00Z'"),
    *("KL = 'b'", "KL != 'a'", "KL IS NULL", "KL IN ('a', 'c')", "TX = 'text'", "TX != 'text'"),
    *("ExecutionStatus = 'Running' AND NOT I = 5", "ExecutionStatus = 2", "CloseTime IS NULL"),
    *("WorkflowType = 'ByHand' AND HistoryLength > 1", "ParentWorkflowId IS NOT NULL"),
    *("Foo = 1", "K = 5", "K = k1", "K LIKE 'k'", "KL > 'a'", "TX IN ('a')", "DT = 'x'", "K = "),
    *("(K = 'k1'", "K", "ExecutionStatus = 'Bogus'", "K = 'k1' LIMIT 1", "K NOT NULL"),
)  # fmt: skip
COUNTS = (
    *("", "K = 'k1'", "GROUP BY ExecutionStatus", "GROUP BY Foo"),
    "GROUP BY ExecutionStatus, WorkflowType",
)


async def visibility_queries(stage: Stage) -> None:
    """What they find among three runs, one of which is closed, and how bad ones are refused."""
    await _own_namespace(stage)
    worker = HandWorker(stage)
    second = GOOD | {"K": "k2", "I": 7, "D": 2.5, "B": False, "KL": ["b", "c"]}
    second |= {"DT": "2021-01-01T00:00:00Z", "TX": "more"}
    names = {}
    for name, values in (("one", GOOD), ("two", second), ("three", {})):
        execution = await worker.start(name, search_attributes=attributes(values))
        names[execution.run_id] = name
        if name == "one":
            await worker.finish()
    service = stage.service

    def listed(query: str) -> Callable[[], Awaitable[Message]]:
        request = ListWorkflowExecutionsRequest(namespace=stage.namespace, query=query)
        return lambda: service.list_workflow_executions(request)

    def counted(query: str) -> Callable[[], Awaitable[Message]]:
        request = CountWorkflowExecutionsRequest(namespace=stage.namespace, query=query)
        return lambda: service.count_workflow_executions(request)

    async with asyncio.timeout(WAIT_SECONDS):
        # The real server's list follows what happened after a moment.
        while True:
            if await _found(stage, listed("CloseTime IS NULL"), names) == ["three", "two"]:
                break
            await asyncio.sleep(RETRY_SECONDS)
    for query in QUERIES:
        stage.observe(f"list {query}", await _found(stage, listed(query), names))
    for query in COUNTS:
        stage.observe(f"count {query}", await _found(stage, counted(query), names))
    opened = ListOpenWorkflowExecutionsRequest(namespace=stage.namespace)
    found = await _found(stage, lambda: service.list_open_workflow_executions(opened), names)
    stage.observe("open", found)
    closed = ListClosedWorkflowExecutionsRequest(namespace=stage.namespace)
    found = await _found(stage, lambda: service.list_closed_workflow_executions(closed), names)
    stage.observe("closed", found)


async def _found(
    stage: Stage, call: Callable[[], Awaitable[Message]], names: dict[str, str]
) -> object:
    """The names of the runs of a list, what a count says, or the refusal."""
    while True:
        try:
            response = await call()
        except RPCError as refusal:
            if refusal.status is RPCStatusCode.RESOURCE_EXHAUSTED:
                await asyncio.sleep(RETRY_SECONDS)  # Ten such calls a second are allowed.
                continue
            return f"{refusal.status.name}: {refusal.message}"
        if hasattr(response, "executions"):
            return [names[info.execution.run_id] for info in response.executions]
        groups = {
            group.group_values[0].data.decode(): group.count
            for group in response.groups  # type: ignore[attr-defined]
        }
        return response.count, groups  # type: ignore[attr-defined]


async def _own_namespace(stage: Stage) -> None:
    """A namespace of the stage's own, with an attribute of each type that can be used."""
    stage.namespace = f"searching-{stage.nonce}"
    await stage.service.register_namespace(
        RegisterNamespaceRequest(
            namespace=stage.namespace, workflow_execution_retention_period=seconds(86400)
        )
    )
    request = AddSearchAttributesRequest(
        namespace=stage.namespace,
        search_attributes=TYPES,  # type: ignore[arg-type]
    )
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await stage.client.operator_service.add_search_attributes(request)
                break
            except RPCError as refusal:
                if refusal.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(RETRY_SECONDS)
    await _listed_attributes(stage, TYPES)
    await _usable(stage)


async def _listed_attributes(stage: Stage, wanted: dict[str, int]) -> dict[str, int]:
    """The custom search attributes, once they are these: the real server learns of them late."""
    request = ListSearchAttributesRequest(namespace=stage.namespace)
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            listed = await stage.client.operator_service.list_search_attributes(request)
            if dict(listed.custom_attributes) == wanted:
                return dict(sorted(wanted.items()))
            await asyncio.sleep(RETRY_SECONDS)


async def _usable(stage: Stage) -> None:
    """A start must know them too."""
    worker = HandWorker(stage, queue="probe")
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            request = ListWorkflowExecutionsRequest(namespace=stage.namespace, query="TX = 'x'")
            try:
                await stage.service.list_workflow_executions(request)
                wrong = worker.start_request("probe", search_attributes=attributes({"TX": 5}))
                await stage.service.start_workflow_execution(wrong)
            except RPCError as refusal:
                if "of type Text" in refusal.message:
                    return
            await asyncio.sleep(RETRY_SECONDS)
