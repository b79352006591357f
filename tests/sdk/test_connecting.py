"""How clients connect: by TLS, with keys and headers, by proxies, to several addresses."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from temporalio.api.cloud.cloudservice.v1 import GetNamespacesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    GetSystemInfoRequest,
    SignalWorkflowExecutionRequest,
)

from perdure.client import Client, CloudOperationsClient
from perdure.service import (
    DnsLoadBalancingConfig,
    GrpcCompression,
    HttpConnectProxyConfig,
    KeepAliveConfig,
    RetryConfig,
    RPCError,
    RPCStatusCode,
    TLSConfig,
)
from perdure.transport.session import METHOD as SESSIONS
from tests.sdk.homes import Homes

NAME = "temporal.example"
ASK = GetSystemInfoRequest()
ONCE = RetryConfig(max_retries=0)


@dataclass
class Recorder(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # only the stubs are generic
    """Answers whatever is asked with nothing, and notes the headers; it has no sessions."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def service(self, handler_call_details: Any) -> Any:
        """The method, whichever it is."""
        method, metadata = handler_call_details.method, handler_call_details.invocation_metadata
        if method == SESSIONS:
            return None

        async def answer(_: bytes, context: Any) -> bytes:
            self.calls.append((method, dict(metadata)))
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)

    def seen(self, header: str) -> list[Any]:
        """What each call had in a header."""
        return [headers.get(header) for _, headers in self.calls]


@asynccontextmanager
async def serving(
    recorder: Recorder, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((recorder,))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def credentials_of(authority: trustme.CA, *names: str, mutual: bool = False) -> Any:
    """A server's, for some names; with `mutual`, it asks for a client's certificate."""
    issued = authority.issue_cert(*names)
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    roots = authority.cert_pem.bytes() if mutual else None
    return grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), chain)], roots, require_client_auth=mutual
    )


async def connect(port: int, **options: Any) -> Client:
    return await Client.connect(f"localhost:{port}", **options)


async def test_a_server_is_trusted_by_its_root_certificate_and_name(
    authority: trustme.CA,
) -> None:
    recorder = Recorder()
    roots = authority.cert_pem.bytes()
    async with serving(recorder, credentials_of(authority, "localhost")) as port:
        await connect(port, tls=TLSConfig(server_root_ca_cert=roots))
        for tls in (True, False, TLSConfig(server_root_ca_cert=roots, domain=NAME)):
            with pytest.raises(RuntimeError, match="Failed client connect: UNAVAILABLE"):
                await connect(port, tls=tls)
    assert len(recorder.calls) == 1


@pytest.mark.parametrize("option", ["domain", "verification_server_name"])
async def test_a_certificate_may_be_of_another_name_than_was_called(
    authority: trustme.CA, option: str
) -> None:
    roots = authority.cert_pem.bytes()
    async with serving(Recorder(), credentials_of(authority, NAME)) as port:
        trusting = TLSConfig(server_root_ca_cert=roots)
        await connect(port, tls=replace(trusting, **dict[str, Any]({option: NAME})))
        with pytest.raises(RuntimeError, match="UNAVAILABLE"):
            await connect(port, tls=trusting)
        with pytest.raises(RuntimeError, match="UNAVAILABLE"):
            await connect(port, tls=replace(trusting, **dict[str, Any]({option: "other.example"})))


async def test_a_server_that_asks_for_one_gets_the_certificate_of_the_client(
    authority: trustme.CA,
) -> None:
    roots = authority.cert_pem.bytes()
    mine = authority.issue_cert("client.example")
    key, chain = mine.private_key_pem.bytes(), mine.cert_chain_pems[0].bytes()
    async with serving(Recorder(), credentials_of(authority, "localhost", mutual=True)) as port:
        await connect(
            port,
            tls=TLSConfig(server_root_ca_cert=roots, client_cert=chain, client_private_key=key),
        )
        with pytest.raises(RuntimeError, match="UNAVAILABLE"):
            await connect(port, tls=TLSConfig(server_root_ca_cert=roots))


async def test_what_makes_no_sense_of_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="both client cert and private key"):
        await connect(1, tls=TLSConfig(client_cert=b"alone"))
    with pytest.raises(ValueError, match="server root CA cert"):
        await connect(1, tls=TLSConfig(verification_server_name=NAME))


async def test_a_key_brings_tls_unless_it_is_refused(authority: trustme.CA) -> None:
    recorder = Recorder()
    async with serving(recorder, credentials_of(authority, "localhost")) as port:
        # It speaks TLS: it does not know who has signed the certificate.
        with pytest.raises(RuntimeError, match="UNAVAILABLE"):
            await connect(port, api_key="key")
    async with serving(recorder) as port:
        with pytest.raises(RuntimeError, match="UNAVAILABLE"):
            await connect(port, api_key="key")
        await connect(port, api_key="key", tls=False)
    assert recorder.seen("authorization") == ["Bearer key"]


async def test_keys_and_headers_of_a_connection_can_be_replaced() -> None:
    recorder = Recorder()
    async with serving(recorder) as port:
        client = await connect(port, api_key="one", tls=False, rpc_metadata={"Colour": "blue"})
        service = client.workflow_service
        await service.get_system_info(ASK)
        client.api_key = "two"
        client.rpc_metadata = {"colour": "red", "blob-bin": b"\x00\x01"}
        await service.get_system_info(ASK)
        await service.get_system_info(ASK, metadata={"colour": "green"})
        client.rpc_metadata = {"authorization": "mine"}
        await service.get_system_info(ASK)
        client.rpc_metadata, client.api_key = {}, None
        await service.get_system_info(ASK)
    assert (client.api_key, client.rpc_metadata) == (None, {})
    assert recorder.seen("colour") == ["blue", "blue", "red", "green", None, None]
    assert recorder.seen("blob-bin") == [None, None, b"\x00\x01", b"\x00\x01", None, None]
    keys = ["Bearer one", "Bearer one", "Bearer two", "Bearer two", "mine", None]
    assert recorder.seen("authorization") == keys


@pytest.mark.parametrize(
    ("headers", "of_connection", "of_call"),
    [
        (
            {"Text": b"bytes"},
            "Invalid binary header key 'text': invalid gRPC metadata key name",
            "Invalid metadata value for ASCII key text: expected str",
        ),
        (
            {"blob-bin": "text"},
            "Invalid ASCII header key 'blob-bin': invalid gRPC metadata key name",
            "Invalid metadata value for binary key blob-bin: expected bytes",
        ),
        (
            {"number": 3},
            "failed to extract enum RpcMetadataValue ('str | bytes')",
            "argument 'call': the header number is neither str nor bytes",
        ),
    ],
    ids=["bytes", "text", "neither"],
)
async def test_headers_that_grpc_cannot_carry_are_refused(
    headers: Any, of_connection: str, of_call: str
) -> None:
    recorder = Recorder()
    kind = TypeError if "number" in headers else ValueError
    async with serving(recorder) as port:
        with pytest.raises(kind) as error:
            await connect(port, rpc_metadata=headers)
        assert str(error.value) == of_connection
        client = await connect(port, rpc_metadata={"colour": "blue"})
        with pytest.raises(kind) as error:
            await client.workflow_service.get_system_info(ASK, metadata=headers)
        assert str(error.value) == of_call
        with pytest.raises(kind) as error:
            client.rpc_metadata = headers
        assert str(error.value) == of_connection
        assert client.rpc_metadata == {"colour": "blue"}


async def test_headers_of_the_right_kind_are_replaced_though_others_are_refused() -> None:
    recorder = Recorder()
    async with serving(recorder) as port:
        client = await connect(port, rpc_metadata={"colour": "blue", "blob-bin": b"1"})
        with pytest.raises(ValueError, match="invalid gRPC metadata key name"):
            client.rpc_metadata = {"colour": "red", "text": b"2"}
        await client.workflow_service.get_system_info(ASK)
    assert recorder.seen("colour") == ["blue", "red"]
    assert recorder.seen("blob-bin") == [b"1", b"1"]


async def test_a_lazy_client_connects_with_its_first_call() -> None:
    recorder = Recorder()
    async with serving(recorder) as port:
        client = await connect(port, lazy=True, keep_alive_config=KeepAliveConfig(10_000, 5_000))
        assert recorder.calls == []
        await client.workflow_service.get_system_info(ASK)
        await client.service_client.close()
    assert len(recorder.calls) == 1
    again = await connect(port, lazy=True, retry_config=ONCE)
    with pytest.raises(RPCError) as error:
        await again.workflow_service.get_system_info(ASK)
    assert error.value.status is RPCStatusCode.UNAVAILABLE
    await again.service_client.close()


@dataclass
class Proxy:
    """Carries connections to where it is told, for who knows the password."""

    asked: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    """By clients, through it."""
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        if base64.b64encode(b"ada:se/cret").decode() not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        host, _, port = head.split()[1].rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            await asyncio.gather(
                self._carry(reader, there[1], counts=True),
                self._carry(there[0], writer, counts=False),
            )
        finally:
            writer.close()
            there[1].close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        while data := await reader.read(65536):
            if counts:
                self.bytes_sent += len(data)
            writer.write(data)
        writer.close()


async def test_calls_go_by_a_proxy_that_asks_for_a_password() -> None:
    recorder, proxy = Recorder(), Proxy()
    async with serving(recorder) as port, proxy.listening() as address:
        config = HttpConnectProxyConfig(address, basic_auth=("ada", "se/cret"))
        client = await connect(port, http_connect_proxy_config=config)
        await client.service_client.close()
        assert proxy.asked[0].startswith(f"CONNECT localhost:{port} ")
        with pytest.raises(RuntimeError, match="UNAVAILABLE"):
            await connect(port, http_connect_proxy_config=HttpConnectProxyConfig(address))
    assert len(recorder.calls) == 1


@pytest.mark.parametrize("compression", GrpcCompression)
async def test_large_requests_are_compressed_where_that_is_wanted(
    compression: GrpcCompression,
) -> None:
    proxy = Proxy()
    async with serving(Recorder()) as port, proxy.listening() as address:
        client = await connect(
            port,
            grpc_compression=compression,
            http_connect_proxy_config=HttpConnectProxyConfig(address, ("ada", "se/cret")),
        )
        request = SignalWorkflowExecutionRequest(signal_name="a" * 100_000)
        await client.workflow_service.signal_workflow_execution(request)
        await client.service_client.close()
    assert (proxy.bytes_sent > 100_000) is (compression is GrpcCompression.NONE)


@pytest.mark.parametrize("balanced", [False, True])
async def test_calls_go_to_all_addresses_in_turn_where_that_is_wanted(balanced: bool) -> None:
    recorders = Recorder(), Recorder()
    async with serving(recorders[0]) as one, serving(recorders[1]) as other:
        client = await Client.connect(
            f"ipv4:127.0.0.1:{one},127.0.0.1:{other}",
            dns_load_balancing_config=DnsLoadBalancingConfig.default if balanced else None,
        )
        service = client.workflow_service
        for _ in range(20):
            await service.get_system_info(ASK)
        while balanced and not all(recorder.calls for recorder in recorders):
            await service.get_system_info(ASK)
        await client.service_client.close()
    assert all(bool(recorder.calls) for recorder in recorders) is balanced


async def test_the_cloud_client_says_which_version_it_speaks() -> None:
    recorder = Recorder()
    async with serving(recorder) as port:
        client = await CloudOperationsClient.connect(
            target_host=f"localhost:{port}", tls=False, api_key="key", version="2024-10-01"
        )
        await client.cloud_service.get_namespaces(GetNamespacesRequest())
        client.rpc_metadata, client.api_key = {}, "other"
        await client.cloud_service.get_namespaces(GetNamespacesRequest())
    versions = recorder.seen("temporal-cloud-api-version")
    assert versions == ["2024-10-01", "2024-10-01", None]
    assert recorder.seen("authorization") == ["Bearer key", "Bearer key", "Bearer other"]
    methods = [method for method, _ in recorder.calls]
    assert methods[1] == "/temporal.api.cloud.cloudservice.v1.CloudService/GetNamespaces"
    assert client.identity == client.service_client.config.identity


@pytest.mark.parametrize(
    "home",
    ["embedded", "embedded in a thread", "ours", pytest.param("real", marks=pytest.mark.interop)],
)
async def test_a_service_says_whether_it_is_well(homes: Homes, home: str) -> None:
    await asyncio.to_thread(homes.start, home)
    async with homes.open(home) as client:
        assert await client.service_client.check_health()
        with pytest.raises(RPCError) as error:
            await client.service_client.check_health(service="no such service")
        assert error.value.status is RPCStatusCode.NOT_FOUND
        with pytest.raises(RPCError) as error:
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace="no such namespace")
            )
        assert error.value.status is RPCStatusCode.NOT_FOUND
        assert "describe_namespace" in dir(client.workflow_service)
        assert "sleep_until" in dir(client.test_service)


FORKING = """
import asyncio, os, sys
from perdure.client import Client
from perdure.runtime import Runtime, TelemetryConfig

async def tried(make):
    try:
        return type(await make()).__name__
    except AssertionError as error:
        return str(error)

async def main(address):
    return await Client.connect(address)

address = sys.argv[1]
client = asyncio.run(main(address))
if os.fork() == 0:
    own = Runtime(telemetry=TelemetryConfig())
    for make in (
        lambda: client.count_workflows(),
        lambda: Client.connect(address),
        lambda: Client.connect(address, runtime=own, lazy=True),
    ):
        print(asyncio.run(tried(make)), flush=True)
    os._exit(0)
os.wait()
os._exit(0)
"""


async def test_a_forked_process_is_told_that_the_connection_is_not_its_own() -> None:
    async with serving(Recorder()) as port:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", FORKING, f"localhost:{port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        told, _ = await asyncio.wait_for(program.communicate(), 60)
    assert told.decode().splitlines() == [
        "Cannot use client across forks",
        "Cannot create client across forks",
        "Client",
    ]
