"""Whose the payloads of headers are: interceptors' alone, or the codec's too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload

import perdure
from perdure import activity, client, worker, workflow
from perdure.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec
from perdure.common import HeaderCodecBehavior
from perdure.converter import DataConverter, PayloadCodec
from perdure.worker import Worker

LIMIT = timedelta(seconds=20)
PLAIN = Payload(data=b"plain")
SHUT = Payload(metadata={"encoding": b"shut"}, data=PLAIN.SerializeToString())


class Shutting(PayloadCodec):
    """Wraps each payload in another."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(metadata={"encoding": b"shut"}, data=payload.SerializeToString())
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.FromString(one.data) if one.metadata.get("encoding") == b"shut" else one
            for one in payloads
        ]


@activity.defn
async def nothing() -> None:
    """Nothing."""


@workflow.defn
class Calls:
    """Calls an activity once it was signalled and updated."""

    def __init__(self) -> None:
        self.seen = 0

    @workflow.run
    async def run(self) -> None:
        """Until it has seen both."""
        await workflow.wait_condition(lambda: self.seen == 2)
        await workflow.execute_activity(nothing, start_to_close_timeout=LIMIT)

    @workflow.signal
    def signal(self) -> None:
        """One."""
        self.seen += 1

    @workflow.update
    def update(self) -> None:
        """One."""
        self.seen += 1

    @workflow.query
    def query(self) -> int:
        """How many."""
        return self.seen


class Headers(client.Interceptor, worker.Interceptor):
    """Sends a header with each call, and notes what comes of it."""

    def __init__(self, seen: dict[str, Payload]) -> None:
        self.seen = seen

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002
        return _Sending(next)

    def intercept_activity(
        self,
        next: worker.ActivityInboundInterceptor,  # noqa: A002
    ) -> worker.ActivityInboundInterceptor:
        return _InActivity(next, self.seen)

    def workflow_interceptor_class(self, input: Any) -> type[worker.WorkflowInboundInterceptor]:  # noqa: A002
        input.unsafe_extern_functions["note"] = self.seen.__setitem__
        return _InWorkflow


class _Sending(client.OutboundInterceptor):
    async def start_workflow(self, input: Any) -> Any:  # noqa: A002
        input.headers = {"x": PLAIN}
        return await super().start_workflow(input)

    async def signal_workflow(self, input: Any) -> None:  # noqa: A002
        input.headers = {"x": PLAIN}
        await super().signal_workflow(input)

    async def query_workflow(self, input: Any) -> Any:  # noqa: A002
        input.headers = {"x": PLAIN}
        return await super().query_workflow(input)

    async def start_workflow_update(self, input: Any) -> Any:  # noqa: A002
        input.headers = {"x": PLAIN}
        return await super().start_workflow_update(input)


class _InActivity(worker.ActivityInboundInterceptor):
    def __init__(self, next: Any, seen: dict[str, Payload]) -> None:  # noqa: A002
        super().__init__(next)
        self.seen = seen

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002
        self.seen["activity"] = input.headers["x"]
        return await super().execute_activity(input)


class _InWorkflow(worker.WorkflowInboundInterceptor):
    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_FromWorkflow(outbound))

    async def execute_workflow(self, input: Any) -> Any:  # noqa: A002
        workflow.extern_functions()["note"]("start", input.headers["x"])
        return await super().execute_workflow(input)

    async def handle_signal(self, input: Any) -> None:  # noqa: A002
        workflow.extern_functions()["note"]("signal", input.headers["x"])
        await super().handle_signal(input)

    async def handle_query(self, input: Any) -> Any:  # noqa: A002
        workflow.extern_functions()["note"]("query", input.headers["x"])
        return await super().handle_query(input)

    async def handle_update_handler(self, input: Any) -> Any:  # noqa: A002
        workflow.extern_functions()["note"]("update", input.headers["x"])
        return await super().handle_update_handler(input)


class _FromWorkflow(worker.WorkflowOutboundInterceptor):
    def start_activity(self, input: Any) -> Any:  # noqa: A002
        input.headers = {"x": PLAIN}
        return super().start_activity(input)


@pytest.mark.parametrize(
    ("behavior", "sent_shut", "scheduled_shut", "activity_sees"),
    [
        (HeaderCodecBehavior.NO_CODEC, False, False, PLAIN),
        (HeaderCodecBehavior.CODEC, True, True, PLAIN),
        (HeaderCodecBehavior.WORKFLOW_ONLY_CODEC, False, True, SHUT),
    ],
)
async def test_headers_are_encoded_where_the_client_says_so(
    behavior: HeaderCodecBehavior, sent_shut: bool, scheduled_shut: bool, activity_sees: Payload
) -> None:
    seen: dict[str, Payload] = {}
    async with perdure.embedded() as plain:
        config = plain.config()
        config["data_converter"] = DataConverter(payload_codec=Shutting())
        config["interceptors"] = [Headers(seen)]
        config["header_codec_behavior"] = behavior
        codec_client = Client(**config)
        async with Worker(
            codec_client, task_queue="headers", workflows=[Calls], activities=[nothing]
        ):
            handle = await codec_client.start_workflow(Calls.run, id="one", task_queue="headers")
            await handle.signal(Calls.signal)
            await handle.query(Calls.query)
            await handle.execute_update(Calls.update)
            await handle.result()
        stored: dict[str, Payload] = {}
        async for event in handle.fetch_history_events():
            which: str = event.WhichOneof("attributes") or ""
            attributes = getattr(event, which)
            if "header" in attributes.DESCRIPTOR.fields_by_name and attributes.header.fields:
                stored[which] = attributes.header.fields["x"]
    sent = SHUT if sent_shut else PLAIN
    assert stored == {
        "workflow_execution_started_event_attributes": sent,
        "workflow_execution_signaled_event_attributes": sent,
        "activity_task_scheduled_event_attributes": SHUT if scheduled_shut else PLAIN,
    }
    assert seen.pop("activity") == activity_sees
    assert seen == dict.fromkeys(("start", "signal", "query", "update"), PLAIN)


async def test_headers_of_a_schedule_are_encoded_once() -> None:
    async with perdure.embedded() as plain:
        config = plain.config()
        config["data_converter"] = DataConverter(payload_codec=Shutting())
        config["header_codec_behavior"] = HeaderCodecBehavior.CODEC
        codec_client = Client(**config)
        action = ScheduleActionStartWorkflow(
            "any", id="any", task_queue="any", headers={"x": PLAIN}
        )
        handle = await codec_client.create_schedule(
            "one", Schedule(action=action, spec=ScheduleSpec())
        )
        await handle.update(lambda told: client.ScheduleUpdate(told.description.schedule))
        described = (await handle.describe()).schedule.action
        assert isinstance(described, ScheduleActionStartWorkflow)
        assert described.headers == {"x": SHUT}
