"""The lock that keeps a second process away from a database.

It is a file of our own beside the database: SQLite's exclusive locking mode would also shut out our
own readers. The kernel lets go of it when the process ends, however it ends; the file itself stays.
"""

from __future__ import annotations

import errno
import fcntl
import os

from perdure.server.store.ports import StoreInUse


class LockFile:
    """A held lock. Made by `hold`, given back by `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @staticmethod
    def hold(database: str) -> LockFile:
        """Take the lock of `database`, or raise StoreInUse that names the process which has it."""
        if os.path.isdir(database):  # It never becomes a database: leave no lock beside it.
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path = f"{os.path.realpath(database)}.lock"  # one lock, whatever link leads to the file
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            who = f"process {holder}" if holder else "another process"
            raise StoreInUse(
                f"{database} is in use by {who}; stop that one first, or name another database file"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return LockFile(descriptor)

    def release(self) -> None:
        """Let go of it; more than once does no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
