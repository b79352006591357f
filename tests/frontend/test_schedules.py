"""Schedules through the API: lists and counts by queries, pages, hostile input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Memo, Payload, SearchAttributes
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    AddSearchAttributesResponse,
)
from temporalio.api.schedule.v1 import (
    CalendarSpec,
    Schedule,
    SchedulePatch,
    SchedulePolicies,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.api.workflowservice.v1 import (
    CountSchedulesRequest,
    CountSchedulesResponse,
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    PatchScheduleRequest,
    PatchScheduleResponse,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)

from perdure.transport import CallFailed, Code
from tests.frontend.client import NAMESPACE, Client
from tests.machines.schedules.world import schedule


def attributes(**values: Any) -> SearchAttributes:
    """Search attributes as a client sends them."""
    return SearchAttributes(
        indexed_fields={
            name: Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())
            for name, value in values.items()
        }
    )


async def create(client: Client, name: str, **fields: Any) -> None:
    """CreateSchedule."""
    request = {
        "namespace": NAMESPACE,
        "schedule_id": name,
        "request_id": f"create {name}",
        "schedule": schedule(),
    }
    await client.call(CreateScheduleRequest(**{**request, **fields}), CreateScheduleResponse)


async def listed(client: Client, query: str = "", **fields: Any) -> list[str]:
    """The ids of a page, and the token of the next one if there is one."""
    request = ListSchedulesRequest(namespace=NAMESPACE, query=query, **fields)
    found = await client.call(request, ListSchedulesResponse)
    return [entry.schedule_id for entry in found.schedules]


async def test_schedules_are_found_by_what_they_are(client: Client) -> None:
    added = {"Team": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
    await client.call(
        AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=added),
        AddSearchAttributesResponse,
    )
    await create(client, "one", search_attributes=attributes(Team="red"))
    await create(client, "two", search_attributes=attributes(Team="blue"))
    await create(client, "three", schedule=schedule(state=ScheduleState(paused=True)))
    assert await listed(client) == ["three", "two", "one"]
    assert await listed(client, "Team = 'red'") == ["one"]
    assert await listed(client, "Team IS NOT NULL") == ["two", "one"]
    assert await listed(client, "TemporalSchedulePaused = true") == ["three"]
    assert await listed(client, "ScheduleId IN ('one', 'three') AND Team = 'red'") == ["one"]
    assert await listed(client, "ScheduleId STARTS_WITH 't'") == ["three", "two"]
    assert await listed(client, "ORDER BY ScheduleId") == ["one", "three", "two"]
    count = await client.call(
        CountSchedulesRequest(namespace=NAMESPACE, query="TemporalSchedulePaused = false"),
        CountSchedulesResponse,
    )
    assert count.count == 2


async def test_a_list_follows_changes_at_once(client: Client) -> None:
    await create(client, "one")
    patch = SchedulePatch(pause="enough")
    await client.call(
        PatchScheduleRequest(namespace=NAMESPACE, schedule_id="one", patch=patch),
        PatchScheduleResponse,
    )
    assert await listed(client, "TemporalSchedulePaused = true") == ["one"]
    await client.call(
        DeleteScheduleRequest(namespace=NAMESPACE, schedule_id="one"), DeleteScheduleResponse
    )
    assert await listed(client) == []


async def test_pages_follow_each_other(client: Client) -> None:
    names = [f"schedule-{number:02}" for number in range(45)]
    for name in names:
        await create(client, name, memo=Memo(fields={"name": Payload(data=name.encode())}))
    found: list[str] = []
    token = b""
    while True:
        request = ListSchedulesRequest(
            namespace=NAMESPACE, maximum_page_size=22, next_page_token=token
        )
        page = await client.call(request, ListSchedulesResponse)
        assert len(page.schedules) <= 22
        for entry in page.schedules:
            assert entry.memo.fields["name"].data == entry.schedule_id.encode()
            assert len(entry.info.future_action_times) == 5
            found.append(entry.schedule_id)
        token = page.next_page_token
        if not token:
            break
    assert found == names[::-1]


async def test_search_attributes_can_be_replaced_and_memos_too(client: Client) -> None:
    await create(client, "one", memo=Memo(fields={"a": Payload(data=b"1")}))

    async def update(**fields: Any) -> DescribeScheduleResponse:
        await client.call(
            UpdateScheduleRequest(
                namespace=NAMESPACE, schedule_id="one", schedule=schedule(), **fields
            ),
            UpdateScheduleResponse,
        )
        return await client.call(
            DescribeScheduleRequest(namespace=NAMESPACE, schedule_id="one"),
            DescribeScheduleResponse,
        )

    described = await update(search_attributes=attributes(BatcherUser="me"))
    assert described.search_attributes.indexed_fields["BatcherUser"].data == b'"me"'
    assert described.memo.fields["a"].data == b"1"
    assert await listed(client, "BatcherUser = 'me'") == ["one"]
    described = await update(search_attributes=SearchAttributes(), memo=Memo())
    assert not described.search_attributes.indexed_fields
    assert not described.memo.fields
    assert await listed(client, "BatcherUser = 'me'") == []


BAD: dict[str, dict[str, Any]] = {
    "a spec that is too large": {
        "schedule": schedule(spec=ScheduleSpec(timezone_data=b"x" * 3_000_000))
    },
    "too many calendars": {
        "schedule": schedule(spec=ScheduleSpec(calendar=[CalendarSpec()] * 2000))
    },
    "a path as a zone": {"schedule": schedule(spec=ScheduleSpec(timezone_name="/etc/passwd"))},
    "an overlap policy that does not exist": {
        "schedule": Schedule(policies=SchedulePolicies(overlap_policy=99))  # type: ignore[arg-type]
    },
    "notes that are too long": {"schedule": schedule(state=ScheduleState(notes="x" * 1_000_001))},
    "a memo that is too large": {"memo": Memo(fields={"a": Payload(data=b"x" * 3_000_000)})},
    "fewer actions than none": {"schedule": schedule(state=ScheduleState(remaining_actions=-1))},
    "a catch-up window of the past": {
        "schedule": Schedule(policies=SchedulePolicies(catchup_window={"seconds": -1}))  # type: ignore[arg-type]
    },
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused(client: Client, case: str) -> None:
    with pytest.raises(CallFailed) as refusal:
        await create(client, "bad", **BAD[case])
    assert refusal.value.code == Code.INVALID_ARGUMENT
    assert await listed(client) == []


async def test_a_catch_up_window_may_be_as_long_as_a_duration(client: Client) -> None:
    window = Duration(seconds=315_576_000_000)
    asked = schedule()
    asked.policies.catchup_window.CopyFrom(window)
    await create(client, "one", schedule=asked)
    described = await client.call(
        DescribeScheduleRequest(namespace=NAMESPACE, schedule_id="one"), DescribeScheduleResponse
    )
    assert described.schedule.policies.catchup_window == window


@pytest.mark.parametrize("name", ["pause", "unpause"])
async def test_a_note_of_a_patch_has_a_limit(client: Client, name: str) -> None:
    await create(client, "one")
    patch = SchedulePatch()
    setattr(patch, name, "x" * 1000)
    request = PatchScheduleRequest(namespace=NAMESPACE, schedule_id="one", patch=patch)
    await client.call(request, PatchScheduleResponse)
    setattr(request.patch, name, "x" * 1001)
    assert (await client.refusal(request)).message == "Schedule notes exceeds limit."


async def test_a_page_token_of_another_query_is_refused(client: Client) -> None:
    for name in ("one", "two"):
        await create(client, name)
    request = ListSchedulesRequest(namespace=NAMESPACE, maximum_page_size=1)
    page = await client.call(request, ListSchedulesResponse)
    for token, query in ((page.next_page_token, "ORDER BY ScheduleId"), (b"zzz", "")):
        with pytest.raises(CallFailed) as refusal:
            await listed(client, query, next_page_token=token)
        assert refusal.value.code == Code.INVALID_ARGUMENT
