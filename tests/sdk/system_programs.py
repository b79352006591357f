"""Workflows that signal others with start, by the server's own Nexus endpoint: written for the
official SDK, and loaded for ours with other imports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import temporalio.api.common.v1 as common_messages
from temporalio import workflow
from temporalio.common import (
    Priority,
    RetryPolicy,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.converter import PayloadCodec
from temporalio.exceptions import NexusOperationError

ENCODING = b"binary/hidden"


class Hiding(PayloadCodec):
    """Hides payloads; of those that it decodes, it decodes what it has hidden."""

    async def encode(self, payloads: Sequence[Any]) -> list[Any]:
        return [
            common_messages.Payload(
                metadata={"encoding": ENCODING}, data=payload.SerializeToString()
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Any]) -> list[Any]:
        return [
            common_messages.Payload.FromString(payload.data)
            if payload.metadata.get("encoding") == ENCODING
            else payload
            for payload in payloads
        ]


@workflow.defn
class Target:
    """Ends when it is signalled."""

    def __init__(self) -> None:
        self._heard: list[str] = []

    @workflow.run
    async def run(self, first: str, second: int = 0) -> str:
        await workflow.wait_condition(lambda: bool(self._heard))
        return f"{first} {second} {self._heard}"

    @workflow.signal
    def change(self, text: str = "nothing") -> None:
        self._heard.append(text)


@workflow.defn
class Caller:
    """Signals with start in one way or the other."""

    @workflow.run
    async def run(self, how: str, target: str, task_queue: str) -> list[Any]:
        common: dict[str, Any] = {"id": target, "task_queue": task_queue}
        try:
            if how == "plain":
                handle: Any = await workflow.signal_with_start_workflow(
                    Target.run, "a", signal=Target.change, signal_args="b", **common
                )
            elif how == "several":
                handle = await workflow.signal_with_start_workflow(
                    "Target", args=["a"], signal="change", **common
                )
            else:
                handle = await self._with_all(common)
        except NexusOperationError as error:
            return [type(error.cause).__name__, str(error.cause).partition(" WorkflowId")[0]]
        return [handle.id == target, bool(handle.run_id)]

    async def _with_all(self, common: dict[str, Any]) -> Any:
        attribute = SearchAttributePair(SearchAttributeKey.for_keyword("BatcherUser"), "x")
        return await workflow.signal_with_start_workflow(
            "Target",
            args=["a", 2],
            signal="change",
            signal_args=["b"],
            execution_timeout=timedelta(seconds=100),
            run_timeout=timedelta(seconds=90),
            task_timeout=timedelta(seconds=9),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            retry_policy=RetryPolicy(maximum_attempts=2),
            memo={"m": 1},
            search_attributes=TypedSearchAttributes([attribute]),
            priority=Priority(priority_key=2),
            start_delay=timedelta(milliseconds=1),
            static_summary="summary",
            static_details="details",
            **common,
        )
