"""Rules of the replayer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from temporalio.api.common.v1 import Payload

import perdure
from perdure import workflow
from perdure.client import Client, WorkflowHistory
from perdure.common import HeaderCodecBehavior
from perdure.converter import DataConverter, PayloadCodec
from perdure.worker import Replayer, Worker
from perdure.workflow import NondeterminismError
from tests.sdk import worker_programs as programs


class Backwards(PayloadCodec):
    """A codec whose payloads nobody else can read."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The serialised payload, backwards."""
        return [
            Payload(metadata={"encoding": b"backwards"}, data=payload.SerializeToString()[::-1])
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What it was."""
        for payload in payloads:
            assert payload.metadata["encoding"] == b"backwards"
        return [Payload.FromString(payload.data[::-1]) for payload in payloads]


CONVERTER = DataConverter(payload_codec=Backwards())


async def history_of(client: Client, queue: str) -> WorkflowHistory:
    """A run that has called an activity and was signalled."""
    async with Worker(
        client, task_queue=queue, workflows=[programs.Changes], activities=[programs.compose]
    ):
        handle = await client.start_workflow(programs.Changes.run, id=queue, task_queue=queue)
        await handle.signal(programs.Changes.proceed)
        assert await handle.result() == "done"
    return await handle.fetch_history()


@pytest.mark.parametrize("converter", [DataConverter.default, CONVERTER], ids=["plain", "codec"])
async def test_a_history_fits_the_code_that_made_it(queue: str, converter: DataConverter) -> None:
    async with perdure.embedded(data_converter=converter) as client:
        history = await history_of(client, queue)
    before = history.to_json()
    replayer = Replayer(workflows=[programs.Changes], data_converter=converter)
    for _ in range(2):
        result = await replayer.replay_workflow(history)
        assert result.replay_failure is None
    assert history.to_json() == before


async def test_a_history_does_not_fit_changed_code(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with perdure.embedded() as client:
        history = await history_of(client, queue)
    monkeypatch.setattr(programs.Version, "activity_first", False)
    replayer = Replayer(workflows=[programs.Changes])
    with pytest.raises(NondeterminismError, match="event 5 ActivityTaskScheduled"):
        await replayer.replay_workflow(history)

    async def histories() -> AsyncIterator[WorkflowHistory]:
        yield history

    results = await replayer.replay_workflows(histories(), raise_on_replay_failure=False)
    assert list(results.replay_failures) == [history.run_id]


async def test_a_run_that_goes_on_is_replayed_as_far_as_it_is(queue: str) -> None:
    async with perdure.embedded() as client:
        history = await history_of(client, queue)
    replayer = Replayer(workflows=[programs.Changes])
    for length in range(1, len(history.events)):
        part = WorkflowHistory(history.workflow_id, history.events[:length])
        assert (await replayer.replay_workflow(part)).replay_failure is None


async def test_an_unknown_workflow_cannot_be_replayed(queue: str) -> None:
    async with perdure.embedded() as client:
        history = await history_of(client, queue)
    with pytest.raises(RuntimeError, match="Changes is not registered"):
        await Replayer(workflows=[programs.Greeting]).replay_workflow(history)


async def test_all_values_pass_through_the_codec(queue: str) -> None:
    async with perdure.embedded(data_converter=CONVERTER) as client:
        async with Worker(
            client,
            task_queue=queue,
            workflows=[programs.Collects, programs.Calls],
            activities=[programs.compose, programs.go_on_from_heartbeat, programs.fail_with_cause],
        ):
            handle = await client.start_workflow(
                programs.Collects.run, 1, id=queue, task_queue=queue
            )
            await handle.signal(programs.Collects.add, "secret")
            assert await handle.result() == ["secret"]
            calls = await client.start_workflow(
                programs.Calls.run,
                args=["go_on_from_heartbeat", []],
                id=f"{queue} 2",
                task_queue=queue,
            )
            assert await calls.result() == ["step 0", "step 1"]
        for run in (handle, calls):
            text = (await run.fetch_history()).to_json()
            assert "json/plain" not in text


@workflow.defn(name="Changes")
class NeverLetsGo:
    """Code that has come to loop since."""

    @workflow.run
    async def run(self) -> None:
        while True:
            pass


async def test_code_that_never_lets_go_is_no_replay_without_end(
    queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with perdure.embedded() as client:
        history = await history_of(client, queue)
    monkeypatch.setattr("perdure.worker.replayer.REPLAY_SECONDS_MAX", 0.2)
    with pytest.raises(RuntimeError, match="Potential deadlock detected") as raised:
        await Replayer(workflows=[NeverLetsGo]).replay_workflow(history)
    assert "while True:" in str(raised.value)


async def test_what_the_official_replayer_takes_is_taken(queue: str) -> None:
    async with perdure.embedded() as client:
        history = await history_of(client, queue)
    replayer = Replayer(
        workflows=[programs.Changes],
        workflow_task_executor=None,
        identity="me",
        debug_mode=True,
        runtime=None,
        disable_safe_workflow_eviction=True,
        header_codec_behavior=HeaderCodecBehavior.CODEC,
    )
    assert replayer.config()["identity"] == "me"
    again = Replayer(**replayer.config())
    assert (await again.replay_workflow(history)).replay_failure is None
