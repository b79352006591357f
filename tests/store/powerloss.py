"""A disk that forgets and fails: an SQLite file system (VFS) for tests of durability.

Every write goes to the real file, so the process under test sees what it wrote. Beside it each
file's *durable* content is kept: what it was at the last sync, and the writes since then. Power
loss is simulated by making the files as they would be found afterwards in another folder: each
unsynced write is there, is not there, or is torn.

The disk can also be told to fail: from the n-th write or sync on, so often or until it is repaired.
"""

from __future__ import annotations

import random
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import apsw

SECTOR_BYTES = 512
Change = tuple[int, bytes | None]
"""A write at an offset, or a truncation to a length."""


class _Durable:
    """What is certainly on the disk of one file, and what may be."""

    def __init__(self, content: bytes) -> None:
        self.synced = content
        self.changes: list[Change] = []

    def image(self, dice: random.Random | None) -> bytes:
        """The file after a power loss; without dice every write survives, as after a kill."""
        content = bytearray(self.synced)
        for offset, data in self.changes:
            fate = dice.choice(("kept", "lost", "torn")) if dice else "kept"
            if fate == "lost":
                continue
            if data is None:
                del content[offset:]
                continue
            if fate == "torn" and dice:
                data = data[: dice.randrange(0, len(data) + 1, SECTOR_BYTES)]
            if len(content) < offset + len(data):
                content.extend(bytes(offset + len(data) - len(content)))
            content[offset : offset + len(data)] = data
        return bytes(content)


class Disk(apsw.VFS):
    """The file system; `name` is what to pass as `vfs`."""

    def __init__(self) -> None:
        self.name = f"disk-{uuid.uuid4().hex}"
        self.lock = threading.RLock()
        self.files: dict[str, _Durable] = {}
        self.failed = 0
        self._error: int | None = None
        self._on = "both"
        self._dies = False
        self._failures_left = 0
        self._passes_left = 0
        super().__init__(self.name, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unregister()

    def fail(
        self,
        error: int,
        *,
        on: Literal["writes", "syncs", "both"] = "both",
        after: int = 0,
        times: int | None = None,
    ) -> None:
        """Let operations fail with an SQLite error: `after` more succeed, then `times` fail."""
        with self.lock:
            self._error = error
            self._on = on
            self._passes_left = after
            self._failures_left = 2**30 if times is None else times
            self.failed = 0

    def die_at_sync(self) -> None:
        """Let the next sync fail, and everything after it."""
        self.fail(apsw.SQLITE_IOERR_FSYNC, on="syncs")
        self._dies = True

    def repair(self) -> int:
        """Let everything succeed again; how many operations have failed."""
        with self.lock:
            self._error = None
            self._dies = False
            return self.failed

    def operate(self, *, is_sync: bool) -> None:
        """Raise when this operation is to fail."""
        if self._error is None or self._on == ("writes" if is_sync else "syncs"):
            return
        if self._passes_left > 0:
            self._passes_left -= 1
        elif self._failures_left > 0:
            self._failures_left -= 1
            self.failed += 1
            if self._dies:
                self._on = "both"
            raise apsw.exception_for(self._error)

    def found_after(self, folder: Path, dice: random.Random | None) -> None:
        """Make the files as they would be found: after a power loss, or a kill without dice."""
        folder.mkdir()
        with self.lock:
            for path, durable in self.files.items():
                (folder / Path(path).name).write_bytes(durable.image(dice))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self.lock:
            super().xDelete(filename, False)
            self.files.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None
        with disk.lock:
            if path not in disk.files:
                disk.files[path] = _Durable(Path(path).read_bytes())
            self._durable = disk.files[path]

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._disk.lock:
            self._disk.operate(is_sync=False)
            super().xWrite(data, offset)
            self._durable.changes.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        with self._disk.lock:
            self._disk.operate(is_sync=False)
            super().xTruncate(newsize)
            self._durable.changes.append((newsize, None))

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            # A failed sync may have written anything: its changes stay unsynced.
            self._disk.operate(is_sync=True)
            # The real disk need not sync: what would be found is made of what is kept here.
            self._durable.synced = self._durable.image(None)
            self._durable.changes.clear()
