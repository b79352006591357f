"""The options that the commands on schedules share, and how their texts are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.parameters import json_from

if TYPE_CHECKING:
    from temporalio.api.common.v1 import Payload

    from perdure.client import Client

ScheduleIdOption = Annotated[
    str, typer.Option("--schedule-id", "-s", help="Which schedule.", show_default=False)
]


class OverlapPolicy(StrEnum):
    """What becomes of an action while another goes on, in the words of Temporal's command line."""

    SKIP = "Skip"
    BUFFER_ONE = "BufferOne"
    BUFFER_ALL = "BufferAll"
    CANCEL_OTHER = "CancelOther"
    TERMINATE_OTHER = "TerminateOther"
    ALLOW_ALL = "AllowAll"

    @property
    def number(self) -> int:
        """The policy as the API has it."""
        return list(OverlapPolicy).index(self) + 1


OverlapOption = Annotated[
    OverlapPolicy | None,
    typer.Option(
        "--overlap-policy",
        case_sensitive=False,
        help="What to do while a workflow of the schedule goes on; as the schedule says, unless "
        "given.",
    ),
]


def time_from(text: str | datetime) -> datetime:
    """`2026-01-31T09:30:00Z` or with an offset as a time; without either it is UTC. Raises
    BadParameter."""
    if isinstance(text, datetime):
        return text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time: write it like 2026-01-31T09:30:00Z"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def time_option(help_text: str) -> Any:
    """An option that takes a time."""
    return typer.Option(parser=time_from, metavar="TIME", help=help_text, show_default=False)


def pairs_from(pairs: list[str], option: str) -> dict[str, Any]:
    """What was given as KEY=JSON. Raises BadParameter."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{pair!r} is not KEY=JSON", param_hint=option)
        found[key] = json_from(text, f"{option} {key}")
    return found


async def payloads_from(client: Client, values: dict[str, Any]) -> dict[str, Payload]:
    """Values as payloads."""
    encoded = await client.data_converter.encode(list(values.values()))
    return dict(zip(values, encoded, strict=True))


def seconds_of(length: timedelta) -> Any:
    """A Duration."""
    from google.protobuf.duration_pb2 import Duration

    message = Duration()
    message.FromTimedelta(length)
    return message


def timestamp_of(time: datetime) -> Any:
    """A Timestamp."""
    from google.protobuf.timestamp_pb2 import Timestamp

    message = Timestamp()
    message.FromDatetime(time)
    return message
