"""The token that a completion comes back with: opaque to handlers, an address to us."""

from __future__ import annotations

import base64
import json

import msgspec

from perdure.server.engine.nexus.calls import OperationAddress

HEADER = "temporal-callback-token"
VERSION = 1
TOKEN_LENGTH_MAX = 16_384

_encode = msgspec.msgpack.Encoder().encode
_addresses = msgspec.msgpack.Decoder(OperationAddress)


def encode_address(address: OperationAddress) -> str:
    """An address as a header has it."""
    data = base64.b64encode(_encode(address)).decode()
    return json.dumps({"v": VERSION, "d": data}, separators=(",", ":"))


def decode_address(token: str) -> OperationAddress | None:
    """The address of a token; None when it is no token of ours."""
    if len(token) > TOKEN_LENGTH_MAX:
        return None
    try:
        told = json.loads(token)
        if told["v"] != VERSION:
            return None
        return _addresses.decode(base64.b64decode(told["d"], validate=True))
    except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError):
        return None
