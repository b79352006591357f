"""Payloads as short text for people, and as JSON values for programs.

The command line has no data converter of the user's: it shows what can be read as it is, and says
of anything else how it is encoded and how long it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from temporalio.api.common.v1 import Payload

BRIEF_LENGTH_MAX = 160
"""A payload in a history is shown up to this many characters; --json has all of it."""

RESPACED_LENGTH_MAX = 10_000
"""Longer ones are cut to a fraction anyway."""


def brief(payload: Payload, length_max: int = BRIEF_LENGTH_MAX) -> str:
    """One payload on one line."""
    encoding = encoding_of(payload)
    if encoding.startswith("json/"):
        return shortened(_spaced(payload), length_max)
    if encoding == "binary/null":
        return "null"
    size = len(payload.data)
    return f"<{size} bytes>" if encoding == "binary/plain" else f"<{encoding}, {size} bytes>"


def brief_all(payloads: Iterable[Payload], length_max: int = BRIEF_LENGTH_MAX) -> str:
    """Payloads as they would stand between the parentheses of a call."""
    return shortened(", ".join(brief(one, length_max) for one in payloads), length_max)


def json_value(payload: Payload) -> Any:
    """What a payload of JSON says; any other as protobuf's JSON writes it."""
    encoding = encoding_of(payload)
    if encoding == "binary/null":
        return None
    if encoding.startswith("json/"):
        try:
            return json.loads(payload.data)
        except ValueError:
            pass  # it is not what it says it is: shown as any other
    return json_format.MessageToDict(payload)


def encoding_of(payload: Payload) -> str:
    """How a payload says that it is encoded."""
    return payload.metadata["encoding"].decode("utf-8", errors="replace") or "no encoding"


def _spaced(payload: Payload) -> str:
    """The JSON as it is, but with blanks between its parts, where a long line may be broken."""
    text = payload.data.decode("utf-8", errors="replace")
    if len(text) > RESPACED_LENGTH_MAX:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        return text  # it is not what it says it is


def shortened(text: str, length_max: int) -> str:
    """A text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= length_max else line[: length_max - 1] + "…"
