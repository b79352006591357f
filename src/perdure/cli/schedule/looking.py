"""`perdure schedule list`, `describe` and `list-matching-times`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target, call
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say
from perdure.cli.schedule.parameters import ScheduleIdOption, time_option, timestamp_of

if TYPE_CHECKING:
    from temporalio.api.schedule.v1 import ScheduleListEntry
    from temporalio.api.workflowservice.v1 import DescribeScheduleResponse

    from perdure.client import Client

PAGE_SIZE = 200


def list_schedules(
    limit: Annotated[int, typer.Option(min=0, help="How many at most; 0 for all.")] = 50,
    query: Annotated[str, typer.Option("--query", "-q", help="Which ones.")] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List schedules, the newest first. JSON is one schedule a line."""
    from temporalio.api.workflowservice.v1 import ListSchedulesRequest

    from perdure.cli.rendering.schedules import entry_json, print_list
    from perdure.cli.terminal import output, print_json

    async def fetch(client: Client) -> list[ScheduleListEntry]:
        found: list[ScheduleListEntry] = []
        request = ListSchedulesRequest(
            namespace=namespace, query=query, maximum_page_size=PAGE_SIZE
        )
        while True:
            page = await client.workflow_service.list_schedules(request)
            found += page.schedules
            request.next_page_token = page.next_page_token
            # One more than wanted tells whether there are more.
            if not page.next_page_token or (limit and len(found) > limit):
                return found

    found = call(Target(address, namespace), fetch)
    shown = found[:limit] if limit else found
    if as_json:
        for entry in shown:
            print_json(entry_json(entry))
    elif shown:
        print_list(output(), shown)
    else:
        say(f"there are no schedules in namespace {namespace!r}", err=True)
    if len(shown) < len(found):
        say(f"there are more than {limit}: see more with --limit, all with --limit 0", err=True)


def describe(
    *,
    schedule_id: ScheduleIdOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Tell what a schedule does, has done and will do."""
    from temporalio.api.workflowservice.v1 import DescribeScheduleRequest

    from perdure.cli.rendering.schedules import description_json, print_description
    from perdure.cli.terminal import output, print_json

    async def fetch(client: Client) -> DescribeScheduleResponse:
        described: DescribeScheduleResponse = await client.workflow_service.describe_schedule(
            DescribeScheduleRequest(namespace=namespace, schedule_id=schedule_id)
        )
        return described

    described = call(Target(address, namespace), fetch)
    if as_json:
        print_json(description_json(schedule_id, described))
    else:
        print_description(output(), schedule_id, described)


def matching_times(
    *,
    schedule_id: ScheduleIdOption,
    start_time: Annotated[datetime, time_option("Later than this.")],
    end_time: Annotated[datetime, time_option("Not later than this.")],
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Tell when a schedule acts in a range of time."""
    from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest

    from perdure.cli.rendering.times import moment
    from perdure.cli.terminal import print_json

    async def fetch(client: Client) -> list[datetime]:
        found = await client.workflow_service.list_schedule_matching_times(
            ListScheduleMatchingTimesRequest(
                namespace=namespace,
                schedule_id=schedule_id,
                start_time=timestamp_of(start_time),
                end_time=timestamp_of(end_time),
            )
        )
        return [time.ToDatetime(UTC) for time in found.start_time]

    times = [moment(time) for time in call(Target(address, namespace), fetch)]
    if as_json:
        print_json(times)
    else:
        for time in times:
            say(time)
