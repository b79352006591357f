"""The values of local activities on their way through the codec, though nothing is sent.

Their arguments and results pass the codec as those of other activities do. So a codec sees each
value that it would see if the activity were not local, and what the code is given now is what it is
given on replay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
)

from perdure._replay.commands.local_activity import (
    MARKER_NAME,
    RESULT_KEY,
    number_in_marker,
)
from perdure._replay.local_activities import LocalActivityRequest
from perdure.converter import ActivitySerializationContext, DataConverter, PayloadCodec


class LocalPayloads:
    """The values of one run's local activities."""

    def __init__(
        self,
        converter: DataConverter,
        context_of: Callable[[str, str], ActivitySerializationContext],
    ) -> None:
        """`context_of`: that of an activity, by its id and its type."""
        self._converter = converter
        self._context_of = context_of
        self._encoded: dict[int, Payload] = {}
        """By the numbers of activities: results that no marker has yet."""

    async def carried(
        self,
        number: int,
        request: LocalActivityRequest,
        offer: PollActivityTaskQueueResponse,
        attempted: Callable[[], Awaitable[RespondActivityTaskCompletedRequest | Failure]],
    ) -> RespondActivityTaskCompletedRequest | Failure:
        """What came of an attempt, given its arguments as from another worker; its result as on
        replay. What the codec refuses fails the attempt."""
        codec = self._codec_for(request)
        try:
            if request.payloads:
                arguments = await codec.decode(await codec.encode(request.payloads))
                del offer.input.payloads[:]
                offer.input.payloads.extend(arguments)
        except Exception as error:  # a named boundary: the user's codec
            return self._failure_of(error)
        came = await attempted()
        if isinstance(came, Failure) or not came.result.payloads:
            return came
        try:
            [encoded] = await codec.encode(list(came.result.payloads))
            [decoded] = await codec.decode([encoded])
        except Exception as error:  # a named boundary: the user's codec
            return self._failure_of(error)
        self._encoded[number] = encoded
        came.result.payloads[0].CopyFrom(decoded)
        return came

    def put_result(self, command: Command) -> bool:
        """Whether the command is a marker that has got its result from here, encoded."""
        marker = command.record_marker_command_attributes
        if not self._encoded or marker.marker_name != MARKER_NAME:
            return False
        encoded = self._encoded.pop(number_in_marker(marker.details), None)
        if encoded is None or RESULT_KEY not in marker.details:
            return False
        marker.details[RESULT_KEY].payloads[0].CopyFrom(encoded)
        return True

    def _failure_of(self, error: Exception) -> Failure:
        failure = Failure()
        converter = self._converter
        converter.failure_converter.to_failure(error, converter.payload_converter, failure)
        return failure

    def _codec_for(self, request: LocalActivityRequest) -> PayloadCodec:
        converter = self._converter
        if not converter.is_context_free:
            context = self._context_of(request.resolved_id, request.activity)
            converter = converter.with_context(context)
        assert converter.payload_codec is not None, "there is a codec, or nothing to carry for"
        return converter.payload_codec
