"""The steps of an upload. Each may be tried again, anywhere in the middle."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from examples.file_upload.storage import Storage
from perdure import activity
from perdure.exceptions import ApplicationError


@dataclass
class Upload:
    """A file on this machine, and its name in storage."""

    path: str
    name: str


@dataclass
class Content:
    """What a file holds."""

    size: int
    sha256: str


@dataclass
class Sending:
    """An upload, and what of."""

    upload: Upload
    content: Content

    @property
    def part(self) -> str:
        """The name until all of it is there. Another content has another, so nothing is mixed."""
        return f"{self.upload.name}.{self.content.sha256[:16]}.part"


class Uploader:
    """The activities, with the storage that they send to."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @activity.defn
    async def measure(self, upload: Upload) -> Content:
        """What is to be sent."""
        if not upload.name.isprintable() or "/" in upload.name:
            raise ApplicationError(f"{upload.name!r} is no name for a file", non_retryable=True)
        try:
            return await asyncio.to_thread(_content, Path(upload.path))
        except FileNotFoundError:
            raise ApplicationError(
                f"there is no file {upload.path!r}", non_retryable=True
            ) from None

    @activity.defn
    async def send(self, sending: Sending) -> None:
        """Send what storage does not have yet.

        Storage itself knows best how far the attempt before has come. The heartbeats say that this
        one is alive, and show people how far it is.
        """
        had = await self._storage.size(sending.part) or 0
        activity.heartbeat(had)
        if had < sending.content.size:
            path = Path(sending.upload.path)
            await self._storage.append(sending.part, path, had, activity.heartbeat)

    @activity.defn
    async def is_intact(self, sending: Sending) -> bool:
        """Whether what was sent is what storage holds."""
        return (
            await self._storage.sha256(sending.part, activity.heartbeat) == sending.content.sha256
        )

    @activity.defn
    async def publish(self, sending: Sending) -> None:
        """Give it its name, under which nobody has ever seen half a file."""
        await self._storage.rename(sending.part, sending.upload.name)

    @activity.defn
    async def discard(self, sending: Sending) -> None:
        """Remove what was sent and has no name yet."""
        await self._storage.remove(sending.part)

    @activity.defn
    async def delete_temporary(self, upload: Upload) -> None:
        """Delete the file on this machine."""
        await asyncio.to_thread(Path(upload.path).unlink, missing_ok=True)


def _content(path: Path) -> Content:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Content(size=file.tell(), sha256=digest.hexdigest())
