"""The values of local activities pass the codec, in their own context; in every home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import Payload

from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.converter import (
    ActivitySerializationContext,
    DataConverter,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from perdure.exceptions import ApplicationError
from perdure.worker import Replayer, Worker


class Keyed(PayloadCodec, WithSerializationContext):
    """Nobody can read what was written in another context; notes what it is asked for."""

    def __init__(
        self, seen: list[str], context: SerializationContext | None = None, refuses: str = ""
    ) -> None:
        self.seen = seen
        self.context = context
        self.refuses = refuses

    def with_context(self, context: SerializationContext) -> Keyed:
        """The one of the context."""
        return Keyed(self.seen, context, self.refuses)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Under the name of the context."""
        self.note("encode")
        name = str(self.context).encode()
        return [
            Payload(metadata={"key": name}, data=payload.SerializeToString())
            for payload in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What was written in this context, and in no other."""
        self.note("decode")
        name = str(self.context).encode()
        assert [payload.metadata["key"] for payload in payloads] == [name] * len(payloads)
        return [Payload.FromString(payload.data) for payload in payloads]

    def note(self, direction: str) -> None:
        """Raises ValueError when it is told to refuse."""
        match self.context:
            case ActivitySerializationContext(activity_id=name, is_local=True):
                asked = f"{direction} local {name}"
            case WorkflowSerializationContext():
                asked = f"{direction} workflow"
            case _:
                asked = f"{direction} {self.context}"
        self.seen.append(asked)
        if asked == self.refuses:
            raise ValueError("the key is gone")


@activity.defn
async def double(number: int) -> int:
    """Twice as much."""
    return 2 * number


@workflow.defn
class Doubles:
    """Has a number doubled here, once."""

    @workflow.run
    async def run(self, number: int) -> int:
        return await workflow.execute_local_activity(
            double,
            number,
            activity_id="mine",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )


def with_codec(client: Client, codec: Keyed) -> Client:
    """The client, its values written by the codec."""
    config = client.config()
    config["data_converter"] = replace(DataConverter.default, payload_codec=codec)
    return Client(**config)


async def test_a_codec_sees_arguments_and_results_as_those_of_other_activities(
    client: Client, queue: str
) -> None:
    codec = Keyed([])
    client = with_codec(client, codec)
    async with Worker(client, task_queue=queue, workflows=[Doubles], activities=[double]):
        handle = await client.start_workflow(Doubles.run, 4, id=queue, task_queue=queue)
        assert await handle.result() == 8
    assert codec.seen == [
        "encode workflow",
        "decode workflow",
        "encode local mine",
        "decode local mine",
        "encode local mine",
        "decode local mine",
        "encode workflow",
        "decode workflow",
    ]
    del codec.seen[:]
    replayer = Replayer(
        workflows=[Doubles], namespace=client.namespace, data_converter=client.data_converter
    )
    await replayer.replay_workflow(await handle.fetch_history())
    assert "decode local mine" in codec.seen


@pytest.mark.parametrize("refused", ["encode local mine", "decode local mine"])
async def test_what_the_codec_refuses_fails_the_attempt(
    client: Client, queue: str, refused: str
) -> None:
    client = with_codec(client, Keyed([], refuses=refused))
    async with Worker(client, task_queue=queue, workflows=[Doubles], activities=[double]):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(Doubles.run, 4, id=queue, task_queue=queue)
    cause = failed.value.cause
    while cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message) == ("ValueError", "the key is gone")
