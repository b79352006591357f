"""Uploads arrive whole, once, through kills, damage and cancellation."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import perdure
from examples.file_upload.__main__ import FILE_BYTES
from examples.file_upload.__main__ import main as kill_in_the_middle
from examples.file_upload.activities import Content, Sending, Upload, Uploader
from examples.file_upload.ftp_server import ftp_server
from examples.file_upload.storage import BLOCK_BYTES, Storage
from examples.file_upload.uploading import TASK_QUEUE, upload, upload_worker
from examples.file_upload.workflows import UploadFile
from perdure.client import Client, WorkflowFailureError
from perdure.testing import ActivityEnvironment

PATIENCE_SECONDS = 30.0


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "perdure.activity")
    caplog.set_level(logging.CRITICAL, "aioftp")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Where storage keeps what it holds."""
    found = tmp_path / "storage"
    found.mkdir()
    return found


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A file to upload."""
    path = tmp_path / "film.bin"
    path.write_bytes(os.urandom(5 * BLOCK_BYTES + 1))
    return path


@asynccontextmanager
async def _uploading(stored: Path, bytes_per_second: int | None = None) -> AsyncIterator[Client]:
    async with (
        ftp_server(stored, bytes_per_second=bytes_per_second) as port,
        perdure.embedded() as client,
        upload_worker(client, Storage("127.0.0.1", port)),
    ):
        yield client


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


async def _sending(film: Path) -> Sending:
    one = Upload(str(film), film.name)
    content: Content = await ActivityEnvironment().run(Uploader(Storage("", 0)).measure, one)
    return Sending(one, content)


async def test_a_file_goes_to_storage_and_its_temporary_copy_is_deleted(
    stored: Path, film: Path
) -> None:
    wanted = _files(film.parent)
    async with _uploading(stored) as client:
        content = await upload(client, film)
    assert content.size == len(wanted[film.name])
    assert _files(stored) == wanted
    assert _files(film.parent) == {}


async def test_a_killed_upload_goes_on(tmp_path: Path) -> None:
    told: list[str] = []
    await kill_in_the_middle(tmp_path, tell=told.append)
    assert told[0].startswith("the first process was killed after")
    assert told[1:] == [
        f"film.bin: {FILE_BYTES} bytes are in storage",
        "the temporary file is deleted",
    ]
    assert list(_files(tmp_path / "storage")) == ["film.bin"]


async def test_what_storage_has_is_not_sent_again(stored: Path, film: Path) -> None:
    sending = await _sending(film)
    part = stored / sending.part
    part.write_bytes(b"x" * BLOCK_BYTES)
    told: list[int] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = told.append
    async with ftp_server(stored) as port:
        await environment.run(Uploader(Storage("127.0.0.1", port)).send, sending)
    assert told[0] == BLOCK_BYTES
    assert told[-1] == sending.content.size
    sent = _files(film.parent)[film.name][BLOCK_BYTES:]
    assert _files(stored) == {sending.part: b"x" * BLOCK_BYTES + sent}


async def test_what_arrived_damaged_is_sent_anew(stored: Path, film: Path) -> None:
    wanted = _files(film.parent)
    (stored / (await _sending(film)).part).write_bytes(b"x" * BLOCK_BYTES)
    async with _uploading(stored) as client:
        await upload(client, film)
    assert _files(stored) == wanted


async def test_a_cancelled_upload_leaves_nothing_behind(stored: Path, film: Path) -> None:
    async with _uploading(stored, bytes_per_second=BLOCK_BYTES) as client:
        handle = await client.start_workflow(
            UploadFile.run, Upload(str(film), film.name), id="u", task_queue=TASK_QUEUE
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not _files(stored):  # noqa: ASYNC110 -- another program's files are no event
                await asyncio.sleep(0.01)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert _files(stored) == {}
    assert film.name in _files(film.parent)


@pytest.mark.parametrize("name", ["nothing.bin", "a\r\nDELE film.bin", "../film.bin", "\x1b[2J"])
async def test_what_cannot_be_uploaded_is_refused_at_once(
    stored: Path, tmp_path: Path, name: str
) -> None:
    async with _uploading(stored) as client:
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(
                UploadFile.run,
                Upload(str(tmp_path / "nothing.bin"), name),
                id="u",
                task_queue=TASK_QUEUE,
            )
    assert re.search("there is no file|is no name", str(caught.value.cause.__cause__))
