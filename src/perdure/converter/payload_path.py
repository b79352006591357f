"""What payloads go through between the converter and the wire: the codec, then the storage."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.common.v1 import Payload

from perdure.converter.external_storage import (
    ExternalStorage,
    StorageNotConfiguredError,
    StorageTarget,
    UnreadableReferenceError,
    is_encoded_reference,
    is_reference,
    without_mark,
)
from perdure.converter.payload_codec import PayloadCodec


class PayloadPath(PayloadCodec):
    """A codec and a storage, of which either may be missing, as one codec."""

    def __init__(
        self,
        codec: PayloadCodec | None,
        storage: ExternalStorage | None,
        target: StorageTarget | None,
    ) -> None:
        self._codec = codec
        self._storage = storage
        self._target = target

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encoded; then what is large is stored, and referred to."""
        encoded = list(payloads) if self._codec is None else await self._codec.encode(payloads)
        if self._storage is None:
            return encoded
        return await self._storage.store(encoded, self._target)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Fetched where there are references, then decoded.

        Raises StorageNotConfiguredError when there is a reference but no storage.
        """
        encoded = list(payloads)
        if any(map(is_reference, encoded)):
            if self._storage is None:
                raise StorageNotConfiguredError
            encoded = await self.fetch(await self.plain(encoded))
        return encoded if self._codec is None else await self._codec.decode(encoded)

    async def plain(self, payloads: Sequence[Payload]) -> list[Payload]:
        """References without the encoding that another SDK may have given them, and what else
        there is as it is. Raises whatever the codec raises, and UnreadableReferenceError."""
        return [await self._plain(payload) for payload in payloads]

    async def fetch(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What plain references refer to, still encoded.

        Raises StorageNotConfiguredError when there is a reference but no storage.
        """
        if not any(map(is_reference, payloads)):
            return list(payloads)
        if self._storage is None:
            raise StorageNotConfiguredError
        return await self._storage.retrieve(payloads)

    async def _plain(self, payload: Payload) -> Payload:
        """A reference without the encoding that another SDK may have given it."""
        if not is_encoded_reference(payload):
            return payload
        reference = without_mark(payload)
        if self._codec is not None:
            [reference] = await self._codec.decode([reference])
        if not is_reference(reference):
            raise UnreadableReferenceError
        return reference
