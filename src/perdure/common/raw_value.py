"""A payload that passes the payload converter as it is."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.common.v1 import Payload


@dataclass(frozen=True)
class RawValue:
    """As an argument, result or type hint: the payload itself. Codecs still apply."""

    payload: Payload
