"""What a refused call brought along is freed at once, not when somebody looks for cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import grpc
import pytest
from grpc import aio

from perdure.transport import Caller, CallFailed, Code
from perdure.transport.grpc_server import GrpcServer


class Large:
    """Stands for all that a handler had in hand."""


@pytest.fixture
def nobody_looks_for_cycles() -> Iterator[None]:
    """As between two garbage collections of a server, which are far apart."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.usefixtures("nobody_looks_for_cycles")
async def test_nothing_of_a_refused_call_is_kept() -> None:
    kept: list[weakref.ref[Large]] = []

    async def refuse(request: bytes, caller: Caller) -> bytes:
        large = Large()
        kept.append(weakref.ref(large))
        try:
            raise ValueError("the reason")
        except ValueError as error:
            raise CallFailed(Code.NOT_FOUND, "no") from error

    server = GrpcServer({"/a.Service/refuse": refuse}, host="127.0.0.1", port=0)
    async with aio.insecure_channel(f"127.0.0.1:{await server.start()}") as channel:
        call = channel.unary_unary(
            "/a.Service/refuse", request_serializer=bytes, response_deserializer=bytes
        )
        for _ in range(3):
            with pytest.raises(aio.AioRpcError) as refused:
                await call(b"x")
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    await server.stop(0)
    assert [reference() for reference in kept] == [None] * 3
