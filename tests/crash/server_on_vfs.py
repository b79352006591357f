"""A server in a process of its own whose disk forgets what was not synced.

It reads commands from its input: `cut SEED FOLDER` makes the files as they would be found after a
power loss at this moment, in a folder, and ends the process without another step.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import threading
from pathlib import Path

import msgspec

from perdure.server.app import Server
from perdure.server.config import Settings
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from tests.store.powerloss import Disk

CHECKPOINT_BYTES = 300_000
"""Small, so that power is also lost while the log is copied."""


def command(port: int, database: Path, synchronous: str) -> list[str]:
    """How to start it."""
    options = ("--port", str(port), "--db", str(database), "--synchronous", synchronous)
    return [sys.executable, "-m", __spec__.name, *options]


def main() -> None:
    """Serve until the power is cut, or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--db", required=True)
    parser.add_argument("--synchronous", required=True)
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    with Disk() as disk:
        settings = msgspec.convert(
            {"synchronous": options.synchronous, "checkpoint_bytes": CHECKPOINT_BYTES},
            SqliteSettings,
        )
        store = open_sqlite(options.db, vfs=disk.name, settings=settings)
        server = await Server.start(Settings(port=options.port), stopping.set, store)
        threading.Thread(target=_obey, args=(disk,), daemon=True).start()
        print(f"listens on 127.0.0.1:{server.port}", flush=True)
        await stopping.wait()
        await server.stop()


def _obey(disk: Disk) -> None:
    """Carry out commands. While the lock is held nothing is written or synced, so nothing is
    acknowledged either that is not yet in the files which are made here."""
    for line in sys.stdin:
        verb, seed, folder = line.split(maxsplit=2)
        assert verb == "cut"
        with disk.lock:
            disk.found_after(Path(folder.strip()), random.Random(int(seed)))
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
