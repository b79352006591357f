"""Plugins of a client: they change how it is configured and how it connects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from perdure.service import ConnectConfig, ServiceClient

if TYPE_CHECKING:
    from perdure.client.config import ClientConfig


class Plugin(ABC):
    """Changes a client. One that is a `perdure.worker.Plugin` too changes the client's workers."""

    def name(self) -> str:
        """What it is called in messages."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @abstractmethod
    def configure_client(self, config: ClientConfig) -> ClientConfig:
        """What the client is to be configured as."""

    @abstractmethod
    async def connect_service_client(
        self,
        config: ConnectConfig,
        next: Callable[[ConnectConfig], Awaitable[ServiceClient]],  # noqa: A002 -- mirrored
    ) -> ServiceClient:
        """Connects, by `next`."""
