"""A storage driver that keeps payloads in memory, and programs whose payloads are worth storing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from temporalio.api.common.v1 import Payload

from perdure import activity, workflow
from perdure.converter import (
    DataConverter,
    ExternalStorage,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)
from perdure.converter.external_storage import StorageTarget
from perdure.exceptions import ApplicationError

THRESHOLD = 500
LARGE = "x" * 1000


class Memory(StorageDriver):
    """Keeps payloads in memory, and notes what it is asked."""

    def __init__(self, name: str = "memory") -> None:
        self._name = name
        self.kept: dict[str, bytes] = {}
        self.targets: list[StorageTarget | None] = []
        self.retrieved = 0

    def name(self) -> str:
        """Its name."""
        return self._name

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        """Keeps them by number."""
        self.targets.append(context.target)
        claims = []
        for payload in payloads:
            key = f"{len(self.kept)}"
            self.kept[key] = payload.SerializeToString()
            claims.append(StorageDriverClaim({"key": key}))
        return claims

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        """Those it has."""
        self.retrieved += len(claims)
        for claim in claims:
            if claim.claim_data["key"] not in self.kept:
                raise ApplicationError("It is gone.", type="Gone", non_retryable=True)
        return [Payload.FromString(self.kept[claim.claim_data["key"]]) for claim in claims]


def storing(driver: StorageDriver, threshold: int = THRESHOLD) -> DataConverter:
    """A data converter that stores what is large."""
    return DataConverter(external_storage=ExternalStorage([driver], None, threshold))


@activity.defn
async def double(text: str) -> str:
    """Twice as much."""
    return text + text


@workflow.defn
class Inner:
    """Returns what it is given."""

    @workflow.run
    async def run(self, text: str) -> str:
        """The same."""
        return text


@workflow.defn
class Outer:
    """Takes, passes on and returns large values, in all the ways that there are."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @workflow.run
    async def run(self, text: str) -> str:
        """All that came, at the end."""
        doubled = await workflow.execute_activity(
            double, text, start_to_close_timeout=timedelta(seconds=10)
        )
        local = await workflow.execute_local_activity(
            double, text, start_to_close_timeout=timedelta(seconds=10)
        )
        inner = await workflow.execute_child_workflow(
            Inner.run, text, id=f"{workflow.info().workflow_id}-inner"
        )
        await workflow.wait_condition(lambda: len(self.said) == 2)
        return "".join([doubled, local, inner, *self.said])

    @workflow.signal
    def say(self, text: str) -> None:
        """Something to remember."""
        self.said.append(text)

    @workflow.query
    def repeat(self, text: str) -> str:
        """The same."""
        return text

    @workflow.update
    def add(self, text: str) -> str:
        """Something to remember, returned."""
        self.said.append(text)
        return text
