"""Commands that have payloads encoded and decoded by a codec server."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Memo, Payload, Payloads, SearchAttributes
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.cli.codec_server import payloads_in
from tests.cli.terminal import Terminal
from tests.interop.servers import executable

ENCODED = base64.b64encode(b"binary/turned").decode()


class Codec(ThreadingHTTPServer):
    """Turns payloads round, for those who know the word."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.namespaces: set[str] = set()
        self.headers: list[dict[str, str]] = []

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Codec)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.headers.append({key.lower(): value for key, value in self.headers.items()})
        if self.headers["Authorization"] != "word":
            self.send_error(403)
            return
        turn = _encoded if self.path.endswith("/encode") else _decoded
        answer = json.dumps({"payloads": [turn(one) for one in body["payloads"]]}).encode()
        if "/short" in self.path:
            answer = b'{"payloads": []}'
        if "/strange" in self.path:
            answer = b"\xff"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_request(self, *arguments: Any) -> None:
        """Tests print nothing."""

    def log_error(self, *arguments: Any) -> None:
        """Nor of what is refused."""


def _encoded(payload: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64encode(json.dumps(payload).encode()[::-1]).decode()
    return {"metadata": {"encoding": ENCODED}, "data": text}


def _decoded(payload: dict[str, Any]) -> dict[str, Any]:
    if payload["metadata"]["encoding"] != ENCODED:
        return payload
    whole: dict[str, Any] = json.loads(base64.b64decode(payload["data"])[::-1])
    return whole


@pytest.fixture
def codec() -> Iterator[Codec]:
    """A codec server."""
    with Codec() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _input(terminal: Terminal, workflow_id: str, options: str = "") -> Any:
    events = terminal.ok(f"workflow show {workflow_id} --json {options}").json["events"]
    return events[0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"][0]


def test_what_is_sent_is_encoded_and_what_comes_is_decoded(
    terminal: Terminal, codec: Codec
) -> None:
    workflow_id = uuid.uuid4().hex
    options = f"--codec-endpoint {codec.endpoint}/{{namespace}} --codec-auth word"
    start = f"workflow start --type T --task-queue nobody --workflow-id {workflow_id}"
    terminal.ok(f"{start} --memo k=1 {options} --codec-header Team=blue", "--input", '"secret"')
    assert codec.headers[0]["x-namespace"] == "default"
    assert codec.headers[0]["team"] == "blue"
    assert _input(terminal, workflow_id)["metadata"]["encoding"] == ENCODED
    shown = _input(terminal, workflow_id, options)
    assert base64.b64decode(shown["data"]) == b'"secret"'
    described = terminal.ok(f"workflow describe {workflow_id} --json {options}").json
    assert described["memo"] == {"k": 1}


def test_the_profile_names_it(
    terminal: Terminal, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text(f'[profile.default.codec]\nendpoint = "{codec.endpoint}"\nauth = "word"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    workflow_id = uuid.uuid4().hex
    start = f"workflow start --type T --task-queue nobody --workflow-id {workflow_id}"
    terminal.ok(start, "--input", '"secret"')
    assert _input(terminal, workflow_id, "--disable-config-file")["metadata"] == {
        "encoding": ENCODED
    }


@pytest.mark.interop
def test_the_official_command_line_reads_what_ours_has_encoded(
    terminal: Terminal, codec: Codec, address: str
) -> None:
    workflow_id = uuid.uuid4().hex
    options = ["--codec-endpoint", codec.endpoint, "--codec-auth", "word"]
    start = f"workflow start --type T --task-queue nobody --workflow-id {workflow_id}"
    terminal.ok(start, "--input", '{"a": 1}', *options)
    command = ["workflow", "show", "--workflow-id", workflow_id, "--address", address]
    done = subprocess.run(
        [executable("temporal"), *command, "--output", "json", *options],
        capture_output=True,
        check=True,
    )
    [started, *_] = json.loads(done.stdout)["events"]
    [payload] = started["workflowExecutionStartedEventAttributes"]["input"]["payloads"]
    assert json.loads(base64.b64decode(payload["data"])) == {"a": 1}


@pytest.mark.parametrize(
    ("path", "auth", "problem"),
    [
        ("", "nonsense", "encode: 403 Forbidden"),
        ("/short", "word", "1 payloads became 0 by encode"),
        ("/strange", "word", "encode: the answer is no payloads"),
    ],
)
def test_a_codec_server_that_fails_is_named(
    terminal: Terminal, codec: Codec, path: str, auth: str, problem: str
) -> None:
    endpoint = codec.endpoint + path
    line = f"workflow start --type T --task-queue nobody --codec-endpoint {endpoint}"
    said = terminal.refused(f"{line} --codec-auth {auth}", "--input", '"secret"')
    assert said.startswith(f"codec server {endpoint}: {problem}")


def test_nobody_there_is_told(terminal: Terminal) -> None:
    line = "workflow start --type T --task-queue nobody --codec-endpoint http://127.0.0.1:1"
    assert "codec server http://127.0.0.1:1" in terminal.refused(line, "--input", '"secret"')


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--codec-endpoint file:///etc/passwd", "'file:///etc/passwd' is no address of a codec"),
        ("--codec-header nonsense", "'nonsense' is not KEY=VALUE (--codec-header)"),
        ("--tls-disable-host-verification", "a server that cannot be verified is not connected"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, options: str, words: str) -> None:
    said = terminal.run(f"workflow count {options}")
    assert (said.exit_code, said.out) == (2, "")
    assert words in said.err


def test_verification_is_not_left_out_by_a_profile(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text("[profile.default.tls]\ndisable_host_verification = true\n")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    assert "--tls-ca-path" in terminal.run("workflow count").err
    monkeypatch.setenv("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "false")
    assert "--tls-ca-path" not in terminal.run("workflow count").err


def test_payloads_are_found_wherever_they_are() -> None:
    one, two, three = (Payload(data=bytes([number])) for number in range(3))
    request = StartWorkflowExecutionRequest(
        input=Payloads(payloads=[one]),
        memo=Memo(fields={"a": two}),
        search_attributes=SearchAttributes(indexed_fields={"b": three}),
    )
    found = {payload.data for payload in payloads_in(request)}
    assert found == {one.data, two.data}, "search attributes are for the service to read"
