"""What the commands for activities and for Nexus operations without a workflow have in common:
their options, and how what came of them is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import LISTING, Target
from perdure.cli.exits import REFUSED
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    InputFileOption,
    InputOption,
    JsonOption,
    NamespaceOption,
    duration_option,
    inputs_from,
    memo_from,
)
from perdure.cli.saying import say

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from temporalio.api.common.v1 import Payload
    from temporalio.api.failure.v1 import Failure

PAGE = 100


class Reuse(StrEnum):
    """What becomes of an id of one that is over."""

    ALLOW_DUPLICATE = "AllowDuplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "AllowDuplicateFailedOnly"
    REJECT_DUPLICATE = "RejectDuplicate"


class Conflict(StrEnum):
    """What becomes of an id of one that goes on."""

    FAIL = "Fail"
    USE_EXISTING = "UseExisting"


RunOption = Annotated[
    str, typer.Option("--run-id", "-r", help="Which run; the latest, by default.")
]
Timeout = Annotated[timedelta | None, duration_option("At most so long, such as 30s.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why.")]
QueryOption = Annotated[str, typer.Option("--query", "-q", help="Of which this is true.")]
LimitOption = Annotated[int, typer.Option(min=1, help="At most so many.")]


@dataclass(frozen=True)
class Kind:
    """Activities, or Nexus operations."""

    noun: str
    """Also the name in JSON of what was acted on."""
    id_name: str
    """The name of its id in JSON."""
    prefix: str
    """What the constants of its policies begin with."""
    list_command: str


@dataclass(frozen=True)
class Place:
    """Where a command works, and how it tells what came of it."""

    address: AddressOption = DEFAULT_ADDRESS
    namespace: NamespaceOption = "default"
    as_json: JsonOption = False

    @property
    def target(self) -> Target:
        """Which server and namespace."""
        return Target(self.address, self.namespace)


@dataclass(frozen=True)
class Inputs:
    """What one starts with."""

    input_: InputOption = field(default_factory=list)
    input_file: InputFileOption = field(default_factory=list[Path])

    def values(self) -> list[Any]:
        """The values. Raises BadParameter."""
        return inputs_from(self.input_, self.input_file)


@dataclass(frozen=True)
class Timeouts:
    """How long one may take."""

    schedule_to_close_timeout: Timeout = None
    schedule_to_start_timeout: Timeout = None
    start_to_close_timeout: Timeout = None


@dataclass(frozen=True)
class Starting:
    """What else there is to say of one that starts."""

    id_reuse_policy: Annotated[
        Reuse | None, typer.Option("--id-reuse-policy", case_sensitive=False)
    ] = None
    id_conflict_policy: Annotated[
        Conflict | None, typer.Option("--id-conflict-policy", case_sensitive=False)
    ] = None
    static_summary: Annotated[
        str, typer.Option("--static-summary", help="A line that labels it.")
    ] = ""
    search_attribute: Annotated[
        list[str],
        typer.Option(
            "--search-attribute", metavar="KEY=JSON", help="What it is found by (may be repeated)."
        ),
    ] = field(default_factory=list)


# ---- start


def started(
    kind: Kind, target: Target, request: Any, response: type[Message], starting: Starting
) -> str:
    """Send the request that starts one; its run."""
    from uuid import uuid4

    from perdure.cli.asking import ask, identity, payloads_of

    LISTING.set(kind.list_command)
    request.namespace, request.identity = target.namespace, identity()
    request.request_id = str(uuid4())
    for name in ("id_reuse_policy", "id_conflict_policy"):
        chosen = getattr(starting, name)
        if chosen is not None:
            values = request.DESCRIPTOR.fields_by_name[name].enum_type.values_by_name
            constant = f"{kind.prefix}_{name.upper()}_{chosen.name}"
            setattr(request, name, values[constant].number)
    if starting.static_summary:
        [summary] = payloads_of([starting.static_summary]).payloads
        request.user_metadata.summary.CopyFrom(summary)
    attributes = memo_from(starting.search_attribute, "--search-attribute")
    for key, value in attributes.items():
        [payload] = payloads_of([value]).payloads
        request.search_attributes.indexed_fields[key].CopyFrom(payload)
    answer: Any = ask(target, request, response)
    run_id: str = answer.run_id
    return run_id


def set_durations(request: Any, group: object) -> None:
    """Set each field of a request for which a group of options has a duration."""
    from perdure.cli.asking import to_duration

    for name, length in vars(group).items():
        if isinstance(length, timedelta):
            getattr(request, name).CopyFrom(to_duration(length))


def tell_started(kind: Kind, place: Place, its_id: str, run_id: str) -> None:
    """Say that one has started."""
    if place.as_json:
        from perdure.cli.terminal import print_json

        print_json({kind.id_name: its_id, "runId": run_id, "done": "started"})
    else:
        say(f"{kind.noun} {its_id}: started, run {run_id}")


# ---- result


def show_outcome(
    place: Place, told: dict[str, Any], results: list[Payload], failure: Failure | None
) -> None:
    """Print the result; what failed ends the command. `told` is what JSON has besides."""
    from perdure.cli import asking
    from perdure.cli.rendering.failures import failure_lines
    from perdure.cli.rendering.payloads import brief_all, json_value
    from perdure.cli.terminal import print_json

    if place.as_json:
        if failure is not None:
            told["failure"] = asking.as_json(failure)
        else:
            told["result"] = json_value(results[0]) if results else None
        print_json(told)
    elif failure is not None:
        say("\n".join(failure_lines(failure)), err=True)
    else:
        say(brief_all(results, length_max=2**31))
    if failure is not None:
        raise typer.Exit(REFUSED)


# ---- many


def show_list(
    place: Place,
    request: Any,
    response: type[Message],
    limit: int,
    table: tuple[tuple[str, ...], Callable[[Any], tuple[object, ...]]],
) -> None:
    """List what a request finds: JSON one a line, or a table, of which `table` has the head and
    what makes a row."""
    from perdure.cli import asking

    [field_name] = {one.name for one in response.DESCRIPTOR.fields} - {"next_page_token"}
    request.namespace = place.namespace
    found: list[Any] = []
    while len(found) < limit:
        request.page_size = min(PAGE, limit - len(found))
        page: Any = asking.ask(place.target, request, response)
        found += getattr(page, field_name)
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    if place.as_json:
        from perdure.cli.terminal import print_json

        for one in found:
            print_json(asking.as_json(one))
        return
    from perdure.cli.rendering.tables import print_rows

    head, row_of = table
    print_rows(head, [row_of(one) for one in found])


def show_count(place: Place, request: Any, response: type[Message]) -> None:
    """Tell how many a request finds, also in groups."""
    from perdure.cli.asking import ask
    from perdure.cli.rendering.payloads import json_value

    request.namespace = place.namespace
    found: Any = ask(place.target, request, response)
    groups = [
        ([json_value(one) for one in group.group_values], group.count) for group in found.groups
    ]
    if place.as_json:
        from perdure.cli.terminal import print_json

        told: dict[str, Any] = {"count": found.count}
        if groups:
            told["groups"] = [{"values": values, "count": number} for values, number in groups]
        print_json(told)
        return
    say(f"{found.count:,}")
    for values, number in groups:
        say(f"{', '.join(map(str, values))}: {number:,}")


# ---- one


def show_info(
    place: Place, info: Message, pairs_of: Callable[[Any], list[tuple[str, object]]]
) -> None:
    """Show what the server knows of one."""
    if place.as_json:
        from perdure.cli import asking
        from perdure.cli.terminal import print_json

        print_json(asking.as_json(info))
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs(pairs_of(info))


def act(kind: Kind, place: Place, request: Any, response: type[Message], done: str) -> None:
    """Send a request about one, and say that it is done."""
    from perdure.cli.asking import ask, identity

    LISTING.set(kind.list_command)
    request.namespace = place.namespace
    if "identity" in request.DESCRIPTOR.fields_by_name:
        request.identity = identity()
    ask(place.target, request, response)
    tell(kind, place, getattr(request, f"{kind.noun}_id"), done)


def tell(kind: Kind, place: Place, its_id: str, done: str) -> None:
    """Say what was done to one."""
    if place.as_json:
        from perdure.cli.terminal import print_json

        print_json({kind.noun: its_id, "done": done})
    else:
        say(f"{kind.noun} {its_id}: {done}")


def time_of(info: Any, name: str) -> str:
    """A time of one; empty when there is none."""
    from perdure.cli.rendering.times import local

    return local(getattr(info, name).ToDatetime(tzinfo=UTC)) if info.HasField(name) else ""


def summary_of(info: Any) -> str:
    """The line that labels one; empty when there is none."""
    from perdure.cli.rendering.payloads import brief

    has_summary = info.user_metadata.HasField("summary")
    return brief(info.user_metadata.summary) if has_summary else ""
