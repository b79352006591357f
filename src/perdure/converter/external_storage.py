"""Large payloads kept outside the service: in histories there are references to them.

A *driver* keeps payloads wherever it likes, and gives a *claim* for each, by which it finds it
again. What travels instead of the payload is a reference: the driver's name and the claim, as an
`ExternalStorageReference` in protobuf's JSON. Payloads are encoded by the codec before they are
stored, and decoded after they have been fetched; references are not encoded, so that they can be
found. Those that other SDKs have encoded all the same carry a mark.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1.external_storage_pb2 import ExternalStorageReference

_Result = TypeVar("_Result")

PAYLOAD_SIZE_THRESHOLD: Final = 256 * 1024
MESSAGE_TYPE: Final = ExternalStorageReference.DESCRIPTOR.full_name.encode()
_LEGACY_ENCODING: Final = b"json/external-storage-reference"
_MARK: Final = "__temporal_external_storage_reference"


class StorageWarning(RuntimeWarning):
    """Something about external storage is not as it should be."""


class StorageNotConfiguredError(RuntimeError):
    """There is a reference, and nothing to find what it refers to."""

    def __init__(self) -> None:
        super().__init__(
            "[TMPRL1105] Detected externally stored payload(s) but external storage is not"
            " configured."
        )


class UnreadableReferenceError(RuntimeError):
    """A reference was encoded by a codec that is not the one at hand."""

    def __init__(self) -> None:
        super().__init__(
            "[TMPRL1106] Encountered an encoded external storage reference that could not be"
            " decoded. Check that the payload codec used to write it is configured."
        )


@dataclass(frozen=True)
class StorageDriverClaim:
    """By what a driver finds a payload again: whatever it likes."""

    claim_data: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class StorageDriverWorkflowInfo:
    """The workflow that a payload is stored for; what is not known at the time is None."""

    namespace: str
    id: str | None = None
    run_id: str | None = None
    type: str | None = None


@dataclass(frozen=True, kw_only=True)
class StorageDriverActivityInfo:
    """The activity, one without a workflow, that a payload is stored for."""

    namespace: str
    id: str | None = None
    run_id: str | None = None
    type: str | None = None


StorageTarget = StorageDriverWorkflowInfo | StorageDriverActivityInfo
"""What a payload is stored for: whatever it is sent to, or who sends it to nobody in particular."""


@dataclass(frozen=True)
class StorageDriverStoreContext:
    """What a driver may know of the payloads that it is to store."""

    target: StorageTarget | None = None


@dataclass(frozen=True)
class StorageDriverSelectContext:
    """What may be known when a driver is chosen for a payload."""

    target: StorageTarget | None = None


@dataclass(frozen=True)
class StorageDriverRetrieveContext:
    """What a driver may know of the payloads that it is to fetch: nothing, so far."""


class StorageDriver(ABC):
    """Stores payloads and finds them again. Runs outside workflows."""

    @abstractmethod
    def name(self) -> str:
        """The name by which references tell it from other drivers of the same storage."""

    def type(self) -> str:
        """The same for all instances of one kind of driver, in all languages."""
        return type(self).__name__

    @abstractmethod
    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """A claim for each payload, in their order."""

    @abstractmethod
    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """The payload of each claim, in their order."""


DriverSelector = Callable[[StorageDriverSelectContext, Payload], StorageDriver | None]


@dataclass(frozen=True)
class ExternalStorage:
    """Which payloads are kept outside, and by whom."""

    drivers: Sequence[StorageDriver]
    """Those that can be asked for what they once stored."""
    driver_selector: DriverSelector | None = None
    """Who is to store a payload; None leaves it where it is. It may be left out when there is one
    driver, which then stores all."""
    payload_size_threshold: int = PAYLOAD_SIZE_THRESHOLD
    """Bytes. Smaller payloads stay where they are."""
    _by_name: Mapping[str, StorageDriver] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raises ValueError for what makes no sense together."""
        if not self.drivers:
            raise ValueError("ExternalStorage.drivers must contain at least one driver.")
        if self.payload_size_threshold < 0:
            raise ValueError(
                "ExternalStorage.payload_size_threshold must be greater than or equal to zero."
            )
        if len(self.drivers) > 1 and self.driver_selector is None:
            raise ValueError(
                "ExternalStorage.driver_selector must be specified if multiple drivers are"
                " registered."
            )
        by_name: dict[str, StorageDriver] = {}
        for driver in self.drivers:
            if by_name.setdefault(driver.name(), driver) is not driver:
                raise ValueError(
                    "ExternalStorage.drivers contains multiple drivers with name"
                    f" '{driver.name()}'. Each driver must have a unique name."
                )
        object.__setattr__(self, "_by_name", by_name)

    async def store(
        self, payloads: Sequence[Payload], target: StorageTarget | None
    ) -> list[Payload]:
        """The payloads, with references in place of those that were stored.

        One call of each driver, all at once; when one fails, the others are cancelled. Raises
        whatever a driver raises, and ValueError when one breaks its contract.
        """
        indexes: dict[StorageDriver, list[int]] = {}
        choice = StorageDriverSelectContext(target)
        for index, payload in enumerate(payloads):
            driver = self._driver_for(choice, payload)
            if driver is not None:
                indexes.setdefault(driver, []).append(index)
        stored = list(payloads)
        context = StorageDriverStoreContext(target)
        answers = await _all_or_none(
            [
                driver.store(context, [payloads[index] for index in chosen])
                for driver, chosen in indexes.items()
            ]
        )
        for (driver, chosen), claims in zip(indexes.items(), answers, strict=True):
            _check_count(driver, "claims", len(claims), len(chosen))
            for index, claim in zip(chosen, claims, strict=True):
                size = payloads[index].ByteSize()
                stored[index] = reference_payload(driver.name(), claim, size)
        return stored

    async def retrieve(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads, with what was stored in place of references.

        One call of each driver, all at once; when one fails, the others are cancelled. Raises
        whatever a driver raises, and ValueError when one breaks its contract or is not known.
        """
        found: dict[StorageDriver, list[tuple[int, StorageDriverClaim]]] = {}
        for index, payload in enumerate(payloads):
            reference = _reference_of(payload)
            if reference is not None:
                driver = self._by_name.get(reference.driver_name)
                if driver is None:
                    raise ValueError(f"No driver found with name '{reference.driver_name}'")
                claim = StorageDriverClaim(dict(reference.claim_data))
                found.setdefault(driver, []).append((index, claim))
        retrieved = list(payloads)
        context = StorageDriverRetrieveContext()
        answers = await _all_or_none(
            [
                driver.retrieve(context, [claim for _, claim in claims])
                for driver, claims in found.items()
            ]
        )
        for (driver, claims), answer in zip(found.items(), answers, strict=True):
            _check_count(driver, "payloads", len(answer), len(claims))
            for (index, _), payload in zip(claims, answer, strict=True):
                retrieved[index] = payload
        return retrieved

    def _driver_for(
        self, context: StorageDriverSelectContext, payload: Payload
    ) -> StorageDriver | None:
        if payload.ByteSize() < self.payload_size_threshold:
            return None
        if self.driver_selector is None:
            return self.drivers[0]
        driver = self.driver_selector(context, payload)
        if driver is not None and self._by_name.get(driver.name()) is not driver:
            raise ValueError(
                f"Driver '{driver.name()}' returned by driver_selector is not registered in"
                " ExternalStorage.drivers"
            )
        return driver


def is_reference(payload: Payload) -> bool:
    """Whether a payload stands for one that is kept elsewhere."""
    metadata = payload.metadata
    return (
        metadata.get("messageType") == MESSAGE_TYPE
        or metadata.get("encoding") == _LEGACY_ENCODING
        or is_encoded_reference(payload)
    )


def is_encoded_reference(payload: Payload) -> bool:
    """Whether a payload is a reference that a codec may have encoded."""
    return payload.metadata.get(_MARK) == b"true"


def without_mark(payload: Payload) -> Payload:
    """What the codec made of a reference."""
    copied = Payload()
    copied.CopyFrom(payload)
    del copied.metadata[_MARK]
    del copied.external_payloads[:]
    return copied


def reference_payload(driver_name: str, claim: StorageDriverClaim, size_bytes: int) -> Payload:
    """What travels in place of a payload of that size."""
    reference = {"claimData": dict(claim.claim_data), "driverName": driver_name}
    payload = Payload(
        metadata={"encoding": b"json/protobuf", "messageType": MESSAGE_TYPE},
        data=json.dumps(reference, separators=(",", ":"), sort_keys=True).encode(),
    )
    payload.external_payloads.add().size_bytes = size_bytes
    return payload


def _reference_of(payload: Payload) -> ExternalStorageReference | None:
    metadata = payload.metadata
    if metadata.get("encoding") == _LEGACY_ENCODING:
        legacy = json.loads(payload.data)
        claim = legacy["driver_claim"]["claim_data"]
        return ExternalStorageReference(driver_name=legacy["driver_name"], claim_data=claim)
    if metadata.get("messageType") != MESSAGE_TYPE:
        return None
    reference = ExternalStorageReference()
    if metadata.get("encoding") == b"binary/protobuf":
        reference.ParseFromString(payload.data)
        return reference
    try:
        return json_format.Parse(payload.data, reference, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise UnreadableReferenceError from error


def _check_count(driver: StorageDriver, what: str, count: int, expected: int) -> None:
    if count != expected:
        raise ValueError(f"Driver '{driver.name()}' returned {count} {what}, expected {expected}")


async def _all_or_none(calls: Sequence[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """What the calls return; when one fails, the others are cancelled and waited for."""
    if len(calls) <= 1:
        return [await call for call in calls]
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
