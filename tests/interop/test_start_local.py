"""`perdure` in place of `temporal server start-dev`, started by the official SDK itself."""

from __future__ import annotations

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment

from tests.interop.servers import executable

KEYWORD = SearchAttributeKey.for_keyword("K 1")
FLAG = SearchAttributeKey.for_bool("F")

LIKE_THE_COMMAND_LINE = [
    *("--http-port", "7999", "--metrics-port", "7998", "--ui-ip", "127.0.0.1"),
    *("--ui-disable-news-fetch", "--sqlite-pragma", "journal_mode=wal"),
    *("--log-config", "--color", "never", "-o", "json", "--time-format", "iso"),
    *("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=50"),
]

pytestmark = pytest.mark.interop


async def test_the_official_sdk_starts_it_with_its_own_options(tmp_path: object) -> None:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=executable("perdure"),
        dev_server_extra_args=[*LIKE_THE_COMMAND_LINE, "--namespace", "other"],
        search_attributes=[KEYWORD, FLAG],
        dev_server_database_filename=f"{tmp_path}/perdure.db",
    ) as environment:
        for namespace in ("default", "other"):
            client = await Client.connect(
                environment.client.service_client.config.target_host, namespace=namespace
            )
            listed = await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace=namespace)
            )
            assert dict(listed.custom_attributes) == {
                "K 1": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
                "F": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
            }
            handle = await client.start_workflow(
                "Nobody",
                id="w",
                task_queue="q",
                search_attributes=TypedSearchAttributes([SearchAttributePair(KEYWORD, "x")]),
            )
            found = [one.id async for one in client.list_workflows("`K 1` = 'x'")]
            assert found == [handle.id]
