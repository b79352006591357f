"""What one server showed of a program."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import Message
from temporalio.service import RPCError

from tests.differential.board import Region
from tests.differential.settled import RunView


class Stuck(Exception):
    """The program did not come to rest."""


@dataclass
class Seen:
    """Raw messages, so that they can be counted."""

    nonce: str
    queue: str
    answers: list[tuple[str, Message | RPCError]] = field(default_factory=list)
    runs: list[RunView] = field(default_factory=list)
    regions: dict[str, dict[str, Region]] = field(default_factory=dict)
    error: str = ""
