"""A process that uploads a file, from the embedded engine on a SQLite file.

    python -m examples.file_upload.uploading DATABASE HOST:PORT FILE

Killed and started again with the same database, it goes on where it was, and does not know of it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import perdure
from examples.connecting import keep_quiet
from examples.file_upload.activities import Content, Upload, Uploader
from examples.file_upload.storage import Storage
from examples.file_upload.workflows import UploadFile
from perdure.client import Client
from perdure.common import WorkflowIDConflictPolicy
from perdure.worker import Worker

TASK_QUEUE = "uploads"
"""Where files are on many machines, each has a queue of its own: the steps are for its files."""


def upload_worker(client: Client, storage: Storage) -> Worker:
    """What uploads files of this machine."""
    uploader = Uploader(storage)
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[UploadFile],
        activities=[
            uploader.measure,
            uploader.send,
            uploader.is_intact,
            uploader.publish,
            uploader.discard,
            uploader.delete_temporary,
        ],
    )


async def upload(client: Client, path: Path) -> Content:
    """Upload a file, or wait for the upload of it that is under way."""
    return await client.execute_workflow(
        UploadFile.run,
        Upload(str(path), path.name),
        id=f"upload-{path.name}",
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )


async def main(database: str, address: str, path: Path) -> None:
    """Upload one file."""
    host, _, port = address.rpartition(":")
    async with (
        perdure.embedded(database) as client,
        upload_worker(client, Storage(host, int(port))),
    ):
        content = await upload(client, path)
        print(f"{path.name}: {content.size} bytes are in storage", flush=True)


if __name__ == "__main__":
    keep_quiet()
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
