"""Rules of large payloads that are kept outside the service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import pytest
import temporalio.converter
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.sdk.v1.external_storage_pb2 import ExternalStorageReference

import perdure
from perdure.client import Client, WorkflowFailureError
from perdure.common import RawValue
from perdure.converter import (
    DataConverter,
    ExternalStorage,
    JSONProtoPayloadConverter,
    PayloadCodec,
    StorageDriver,
    StorageDriverActivityInfo,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
    StorageDriverWorkflowInfo,
)
from perdure.exceptions import ApplicationError
from perdure.worker import Replayer, Worker
from perdure.workflow import NondeterminismError
from tests.sdk.storing import LARGE, THRESHOLD, Inner, Memory, Outer, double, storing

NOT_CONFIGURED = (
    "[TMPRL1105] Detected externally stored payload(s) but external storage is not configured."
)


class Base64(PayloadCodec):
    """Encodes whole payloads, whatever they are."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """In base 64."""
        return [
            Payload(
                metadata={"encoding": b"base64"},
                data=base64.b64encode(payload.SerializeToString()),
            )
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What it was. Fails for what it has not encoded."""
        assert all(payload.metadata["encoding"] == b"base64" for payload in payloads)
        return [Payload.FromString(base64.b64decode(payload.data)) for payload in payloads]


# What is stored, and what travels instead


async def test_only_what_reaches_the_threshold_is_stored() -> None:
    driver = Memory()
    size = DataConverter.default.payload_converter.to_payload(LARGE).ByteSize()
    for threshold, kept in ((size + 1, 0), (size, 1)):
        converter = storing(driver, threshold)
        [payload] = await converter.encode([LARGE])
        assert len(driver.kept) == kept
        assert await converter.decode([payload], [str]) == [LARGE]


async def test_a_reference_names_driver_claim_and_size() -> None:
    [payload] = await storing(Memory()).encode([LARGE])
    reference = JSONProtoPayloadConverter().from_payload(payload, ExternalStorageReference)
    assert reference == ExternalStorageReference(driver_name="memory", claim_data={"key": "0"})
    stored = DataConverter.default.payload_converter.to_payload(LARGE)
    assert [one.size_bytes for one in payload.external_payloads] == [stored.ByteSize()]


async def test_payloads_are_encoded_before_they_are_stored_and_references_are_not() -> None:
    driver = Memory()
    storage = ExternalStorage([driver], payload_size_threshold=THRESHOLD)
    converter = DataConverter(payload_codec=Base64(), external_storage=storage)
    encoded = await converter.encode(["small", LARGE])
    encodings = [payload.metadata["encoding"] for payload in encoded]
    assert encodings == [b"base64", b"json/protobuf"]
    assert Payload.FromString(driver.kept["0"]).metadata["encoding"] == b"base64"
    assert await converter.decode(encoded) == ["small", LARGE]


async def test_references_that_another_sdk_has_encoded_are_read_by_their_mark() -> None:
    driver = Memory()
    storage = ExternalStorage([driver], payload_size_threshold=THRESHOLD)
    converter = DataConverter(payload_codec=Base64(), external_storage=storage)
    [reference] = await converter.encode([LARGE])
    [marked] = await Base64().encode([reference])
    marked.metadata["__temporal_external_storage_reference"] = b"true"
    assert await converter.decode([marked]) == [LARGE]
    without_codec = DataConverter(external_storage=storage)
    with pytest.raises(RuntimeError, match="TMPRL1106"):
        await without_codec.decode([marked])


async def test_references_of_older_versions_are_read() -> None:
    driver = Memory()
    converter = storing(driver)
    await converter.encode([LARGE])
    payload = Payload(
        metadata={"encoding": b"json/external-storage-reference"},
        data=b'{"driver_name":"memory","driver_claim":{"claim_data":{"key":"0"}}}',
    )
    assert await converter.decode([payload]) == [LARGE]


async def test_a_failure_keeps_its_large_details_outside() -> None:
    from temporalio.api.failure.v1 import Failure

    driver = Memory()
    converter = storing(driver)
    failure = Failure()
    await converter.encode_failure(ApplicationError("no", LARGE), failure)
    assert len(driver.kept) == 1
    assert failure.ByteSize() < THRESHOLD
    error = await converter.decode_failure(failure)
    assert isinstance(error, ApplicationError)
    assert error.details == (LARGE,)


@pytest.mark.interop
async def test_the_official_sdk_reads_our_references_and_we_read_theirs() -> None:
    driver = Memory()
    theirs = temporalio.converter.DataConverter(
        external_storage=temporalio.converter.ExternalStorage(
            drivers=[_Theirs(driver)], payload_size_threshold=THRESHOLD
        )
    )
    ours = storing(driver)
    our_payloads, their_payloads = await ours.encode([LARGE]), await theirs.encode([LARGE])
    assert len(driver.kept) == 2
    assert our_payloads[0].metadata == their_payloads[0].metadata
    assert our_payloads[0].data == their_payloads[0].data.replace(b'"1"', b'"0"')
    assert await theirs.decode(our_payloads, [str]) == [LARGE]
    assert await ours.decode(their_payloads, [str]) == [LARGE]


class _Theirs(temporalio.converter.StorageDriver):
    """The driver for the official SDK."""

    def __init__(self, driver: Memory) -> None:
        self._driver = driver

    def name(self) -> str:
        return self._driver.name()

    async def store(self, context: Any, payloads: Any) -> Any:
        claims = await self._driver.store(StorageDriverStoreContext(), payloads)
        claim = temporalio.converter.StorageDriverClaim
        return [claim(claim_data=one.claim_data) for one in claims]

    async def retrieve(self, context: Any, claims: Any) -> Any:
        return await self._driver.retrieve(StorageDriverRetrieveContext(), claims)


# Drivers


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"drivers": []}, "must contain at least one driver"),
        ({"drivers": [Memory("a"), Memory("b")]}, "driver_selector must be specified"),
        (
            {"drivers": [Memory("a"), Memory("a")], "driver_selector": lambda *_: None},
            "multiple drivers with name 'a'",
        ),
        ({"drivers": [Memory()], "payload_size_threshold": -1}, "greater than or equal to zero"),
    ],
)
def test_storage_that_makes_no_sense_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ExternalStorage(**options)


async def test_a_selector_says_who_stores_what_in_one_call_of_each() -> None:
    small, large = Memory("small"), Memory("large")

    def choose(context: Any, payload: Payload) -> StorageDriver | None:
        if b"here" in payload.data:
            return None
        return small if payload.ByteSize() < 1000 else large

    converter = DataConverter(external_storage=ExternalStorage([small, large], choose, 0))
    values = ["a", "b" * 2000, "here", "c"]
    encoded = await converter.encode(values)
    assert [len(small.kept), len(large.kept)] == [2, 1]
    assert [len(small.targets), len(large.targets)] == [1, 1]
    assert encoded[2].data == b'"here"'
    assert await converter.decode(encoded) == values


async def test_a_selector_cannot_name_a_driver_that_nobody_knows() -> None:
    storage = ExternalStorage([Memory()], lambda *_: Memory("other"), 0)
    with pytest.raises(ValueError, match="'other' returned by driver_selector is not registered"):
        await DataConverter(external_storage=storage).encode([1])


class Broken(Memory):
    """Breaks its contract, or fails."""

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """No claims."""
        return []

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """No payloads."""
        return []


async def test_a_driver_that_returns_too_little_is_found_out() -> None:
    with pytest.raises(ValueError, match="Driver 'memory' returned 0 claims, expected 1"):
        await storing(Broken()).encode([LARGE])
    encoded = await storing(Memory()).encode([LARGE])
    with pytest.raises(ValueError, match="Driver 'memory' returned 0 payloads, expected 1"):
        await storing(Broken()).decode(encoded)
    with pytest.raises(ValueError, match="No driver found with name 'memory'"):
        await storing(Memory("other")).decode(encoded)


async def test_when_one_driver_fails_the_others_are_cancelled() -> None:
    class Slow(Memory):
        cancelled = False

        async def store(self, context: Any, payloads: Any) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise

    class Failing(Memory):
        async def store(self, context: Any, payloads: Any) -> Any:
            raise OSError("disk full")

    slow, failing = Slow("slow"), Failing("failing")
    drivers = iter([slow, failing])
    storage = ExternalStorage([slow, failing], lambda *_: next(drivers), 0)
    with pytest.raises(OSError, match="disk full"):
        await DataConverter(external_storage=storage).encode([1, 2])
    assert slow.cancelled


# Without a storage


@pytest.mark.parametrize(
    "converter", [DataConverter.default, DataConverter(payload_codec=Base64())]
)
async def test_a_reference_without_a_storage_is_an_error_that_says_so(
    converter: DataConverter,
) -> None:
    encoded = await storing(Memory()).encode([LARGE])
    with pytest.raises(RuntimeError) as raised:
        await converter.decode(encoded, [str])
    assert str(raised.value) == NOT_CONFIGURED


# In workers


async def test_all_that_is_large_goes_to_the_storage_and_comes_back(
    client: Client, queue: str
) -> None:
    driver = Memory()
    config = client.config()
    config["data_converter"] = storing(driver)
    client = Client(**config)
    async with Worker(client, task_queue=queue, workflows=[Outer, Inner], activities=[double]):
        handle = await client.start_workflow(Outer.run, LARGE, id=queue, task_queue=queue)
        assert await handle.query(Outer.repeat, LARGE) == LARGE
        await handle.signal(Outer.say, LARGE)
        assert await handle.execute_update(Outer.add, LARGE) == LARGE
        assert await handle.result() == LARGE * 7
    history = await handle.fetch_history()
    sizes = [payloads.ByteSize() for event in history.events for payloads in _payloads_of(event)]
    assert len(sizes) >= 9
    assert max(sizes) < THRESHOLD
    replayer = Replayer(workflows=[Outer], data_converter=storing(driver))
    assert (await replayer.replay_workflow(history)).replay_failure is None


def _payloads_of(message: Any) -> list[Any]:
    if isinstance(message, Payloads):
        return [message]
    found = []
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = [one for one in value.values() if hasattr(one, "ListFields")]
        else:
            values = list(value) if field.is_repeated else [value]
        found += [below for one in values for below in _payloads_of(one)]
    return found


async def test_payloads_are_stored_for_whoever_reads_them(queue: str) -> None:
    driver = Memory()
    kinds = [Outer, Inner]
    async with (
        perdure.embedded(data_converter=storing(driver, 0)) as client,
        Worker(client, task_queue=queue, workflows=kinds, activities=[double]),
    ):
        handle = await client.start_workflow(Outer.run, "a", id=queue, task_queue=queue)
        run_id = handle.result_run_id
        await handle.signal(Outer.say, "b")
        await handle.execute_update(Outer.add, "c")
        await handle.result()
        await client.execute_activity(
            double,
            "alone",
            id="alone",
            task_queue=queue,
            start_to_close_timeout=_seconds(10),
        )

    def of(name: str | None, run: str | None, kind: str | None) -> StorageDriverWorkflowInfo:
        return StorageDriverWorkflowInfo(namespace="default", id=name, run_id=run, type=kind)

    workflows = [one for one in driver.targets if isinstance(one, StorageDriverWorkflowInfo)]
    assert workflows[0] == of(queue, None, "Outer")  # the client starts it
    assert of(queue, None, None) in workflows  # the client signals it
    assert of(f"{queue}-inner", None, "Inner") in workflows  # it starts a child
    assert of(queue, run_id, None) in workflows  # the child's result is its parent's
    assert workflows[-1] == of(queue, run_id, "Outer")  # its result
    activities = [one for one in driver.targets if isinstance(one, StorageDriverActivityInfo)]
    assert [one.id for one in activities] == ["alone", "alone"]
    assert activities[0].run_id is None
    assert activities[1].run_id


def _seconds(count: int) -> Any:
    from datetime import timedelta

    return timedelta(seconds=count)


async def test_one_task_makes_no_more_calls_at_once_than_the_worker_allows(queue: str) -> None:
    class Counting(Memory):
        at_once = at_once_max = 0

        async def retrieve(
            self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
        ) -> list[Payload]:
            self.at_once += 1
            self.at_once_max = max(self.at_once_max, self.at_once)
            for _ in range(5):
                await asyncio.sleep(0)
            self.at_once -= 1
            return await super().retrieve(context, claims)

    driver = Counting()
    async with perdure.embedded(data_converter=storing(driver)) as client:
        handle = await client.start_workflow(Outer.run, LARGE, id=queue, task_queue=queue)
        for _ in range(6):
            await handle.signal(Outer.say, LARGE)
        async with Worker(
            client,
            task_queue=queue,
            workflows=[Outer],
            max_workflow_task_external_storage_concurrency=2,
            sticky_queue_schedule_to_start_timeout=_seconds(10),
        ):
            while driver.retrieved < 7:  # noqa: ASYNC110 -- until the driver was asked for all
                await asyncio.sleep(0.001)
    assert driver.at_once_max == 2


async def test_what_is_gone_for_good_fails_the_workflow_and_its_replay(queue: str) -> None:
    driver = Memory()
    async with perdure.embedded(data_converter=storing(driver)) as client:
        async with Worker(client, task_queue=queue, workflows=[Inner]):
            handle = await client.start_workflow(Inner.run, LARGE, id=queue, task_queue=queue)
            assert await handle.result() == LARGE
        history = await handle.fetch_history()
        empty = storing(Memory())
        lost = Client(client.service_client, data_converter=empty)
        async with Worker(lost, task_queue=f"{queue}-lost", workflows=[Inner]):
            with pytest.raises(WorkflowFailureError) as failed:
                await client.execute_workflow(
                    Inner.run, LARGE, id=f"{queue}-lost", task_queue=f"{queue}-lost"
                )
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "Gone"
    result = await Replayer(workflows=[Inner], data_converter=empty).replay_workflow(
        history, raise_on_replay_failure=False
    )
    assert isinstance(result.replay_failure, NondeterminismError)


async def test_a_worker_without_a_storage_fails_the_task_until_there_is_one(queue: str) -> None:
    driver = Memory()
    async with perdure.embedded(data_converter=storing(driver)) as client:
        without = Client(client.service_client)
        handle = await client.start_workflow(Inner.run, LARGE, id=queue, task_queue=queue)
        async with Worker(without, task_queue=queue, workflows=[Inner]):
            failed: list[Any] = []
            while not failed:
                events = (await handle.fetch_history()).events
                names = [event.WhichOneof("attributes") for event in events]
                failed = [
                    event.workflow_task_failed_event_attributes
                    for event, name in zip(events, names, strict=True)
                    if name == "workflow_task_failed_event_attributes"
                ]
        assert failed[0].failure.message == NOT_CONFIGURED
        async with Worker(client, task_queue=queue, workflows=[Inner]):
            assert await handle.result() == LARGE


async def test_a_raw_value_is_the_payload_and_not_the_reference(queue: str) -> None:
    converter = storing(Memory())
    [payload] = await converter.encode([LARGE])
    [raw] = await converter.decode([payload], [RawValue])
    assert raw.payload.data == f'"{LARGE}"'.encode()
