"""`perdure dev` as a person meets it: what it says when it is ready, how it ends, what it
refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

import apsw
import pytest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    StartWorkflowExecutionResponse,
)

from perdure.server.store.sqlite import open_sqlite
from tests.crash.connection import Connection, ServerAway
from tests.crash.reading import NAMESPACE
from tests.crash.server_process import ServerProcess, dev_command
from tests.frontend.client import start_request

pytestmark = pytest.mark.crash

REFUSAL_SECONDS_MAX = 30.0
CANNOT_START = 1
USAGE = 2


def refusal(database: Path, *options: str, port: int = 0) -> tuple[int, str]:
    """How it ends when it cannot start: its exit code, and what it says."""
    done = subprocess.run(
        dev_command(port, database, *options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=REFUSAL_SECONDS_MAX,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200"},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def one_line(said: str) -> str:
    """The one line that a person is told."""
    [line] = said.splitlines()
    return line


async def test_it_says_where_it_listens_and_keeps_its_data(tmp_path: Path) -> None:
    database = tmp_path / "perdure.db"
    with ServerProcess(dev_command(0, database)) as server:
        line = await asyncio.to_thread(server.wait_ready)
        where = f"127.0.0.1:{server.port}"
        assert line == f"perdure listens on {where}, keeps its data in {database}\n"
        connection = Connection(server.port)
        described = await connection.call(
            DescribeNamespaceRequest(namespace=NAMESPACE), DescribeNamespaceResponse
        )
        assert described.namespace_info.name == NAMESPACE
        await connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_it_ends_cleanly_and_answers_parked_polls(
    tmp_path: Path, number: signal.Signals
) -> None:
    with ServerProcess(dev_command(0, tmp_path / "perdure.db", "-n", "another")) as server:
        await asyncio.to_thread(server.wait_ready)
        connection = Connection(server.port)
        queue = TaskQueue(name="queue")
        workflow_task = asyncio.create_task(
            connection.call(
                PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=queue),
                PollWorkflowTaskQueueResponse,
                timeout_seconds=60.0,
            )
        )
        activity_task = asyncio.create_task(
            connection.call(
                PollActivityTaskQueueRequest(namespace="another", task_queue=queue),
                PollActivityTaskQueueResponse,
                timeout_seconds=60.0,
            )
        )
        # A later call on the same connection is answered: the polls are parked.
        await connection.call(
            DescribeNamespaceRequest(namespace="another"), DescribeNamespaceResponse
        )
        assert await asyncio.to_thread(server.stop, number) == 0
        assert await workflow_task == PollWorkflowTaskQueueResponse()
        assert await activity_task == PollActivityTaskQueueResponse()
        assert server.said() == ""
        await connection.close()


async def test_a_database_in_use_is_refused_by_name_of_its_process(tmp_path: Path) -> None:
    database = tmp_path / "perdure.db"
    with ServerProcess(dev_command(0, database)) as server:
        await asyncio.to_thread(server.wait_ready)
        code, said = await asyncio.to_thread(refusal, database)
        assert code == CANNOT_START
        assert f"{database} is in use by process {server.pid}" in one_line(said)
        # The first one goes on undisturbed.
        assert await asyncio.to_thread(server.stop) == 0


async def test_a_server_whose_database_another_one_takes_over_ends_as_a_failure(
    tmp_path: Path,
) -> None:
    database = tmp_path / "perdure.db"
    with ServerProcess(dev_command(0, database)) as server:
        await asyncio.to_thread(server.wait_ready)
        # Somebody took it for a left-over.
        database.with_name(f"{database.name}.lock").unlink()
        with ServerProcess(dev_command(0, database)) as other:
            await asyncio.to_thread(other.wait_ready)
            connection = Connection(server.port)
            request = start_request(workflow_id="too-late")
            with pytest.raises(ServerAway):
                await connection.call(request, StartWorkflowExecutionResponse)
            await connection.close()
            assert await asyncio.to_thread(server.wait) == 1
            assert f"another server has taken over {database}" in server.said()
            assert await asyncio.to_thread(other.stop) == 0


async def test_a_database_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "perdure.db"
    await open_sqlite(database).close()
    connection = apsw.Connection(str(database))
    connection.execute("UPDATE perdure_schema SET version = 4000")
    connection.close()
    code, said = refusal(database)
    assert code == CANNOT_START
    assert "schema version 4000, written by a newer Perdure" in one_line(said)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port: int = other.getsockname()[1]
        code, said = refusal(tmp_path / "perdure.db", port=port)
    assert code == CANNOT_START
    assert f"cannot listen on 127.0.0.1:{port}" in one_line(said)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    database = tmp_path / "missing" / "perdure.db"
    code, said = refusal(database)
    assert code == CANNOT_START
    assert f"{database} cannot be opened" in one_line(said)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    code, said = refusal(tmp_path)
    assert code == CANNOT_START
    assert f"{tmp_path} cannot be opened" in one_line(said)
    assert list(tmp_path.parent.glob(f"{tmp_path.name}.lock")) == []


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "letter.txt"
    database.write_text("Dear reader,\n" * 1000)
    before = database.read_bytes()
    code, said = refusal(database)
    assert code == CANNOT_START
    assert f"{database} cannot be opened" in one_line(said)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--no-such-option",), "--no-such-option"),
        (("--port", "many"), "--port"),
        (("--port", "70000"), "--port"),
        (("--port", "-1"), "--port"),
        (("--log-level", "loud"), "--log-level"),
        (("--dynamic-config-value", "nonsense=1"), "nonsense"),
        (("--namespace", ""), "amespace"),
        (("--search-attribute", "K"), "NAME=TYPE"),
        (("--search-attribute", "K=Number"), "Number"),
        (("--log-format", "xml"), "--log-format"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_bad_option_is_refused(tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    code, said = refusal(tmp_path / "perdure.db", *options)
    assert code == USAGE
    assert word in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
