"""Sets of build ids: changed and read where a server has them, refused where it has not."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from perdure.client import (
    BuildIdOpAddNewCompatible,
    BuildIdOpAddNewDefault,
    BuildIdOpMergeSets,
    BuildIdOpPromoteBuildIdWithinSet,
    BuildIdOpPromoteSetByBuildId,
    Client,
    TaskReachabilityType,
)
from perdure.service import RPCError, RPCStatusCode
from tests.interop.servers import SERVERS, real_server
from tests.sdk.homes import Homes

ON = ("frontend.workerVersioningDataAPIs=true",)
QUEUE = "sets"


@pytest.mark.interop
async def test_sets_are_changed_and_read() -> None:
    with contextlib.ExitStack() as stack:
        address = await asyncio.to_thread(stack.enter_context, real_server(ON))
        client = await Client.connect(address)
        changes = {
            BuildIdOpAddNewDefault("1.0"): [["1.0"]],
            BuildIdOpAddNewCompatible("1.1", "1.0"): [["1.0", "1.1"]],
            BuildIdOpPromoteBuildIdWithinSet("1.0"): [["1.1", "1.0"]],
            BuildIdOpAddNewDefault("2.0"): [["1.1", "1.0"], ["2.0"]],
            BuildIdOpAddNewCompatible("1.2", "1.0", promote_set=True): [
                ["2.0"],
                ["1.1", "1.0", "1.2"],
            ],
            BuildIdOpPromoteSetByBuildId("2.0"): [["1.1", "1.0", "1.2"], ["2.0"]],
            BuildIdOpMergeSets(primary_build_id="2.0", secondary_build_id="1.0"): [
                ["1.1", "1.0", "1.2", "2.0"]
            ],
        }
        for change, expected in changes.items():
            await client.update_worker_build_id_compatibility(QUEUE, change)
            sets = await client.get_worker_build_id_compatibility(QUEUE)
            found = [list(one.build_ids) for one in sets.version_sets]
            assert [sorted(one) for one in found] == [sorted(one) for one in expected], change
            assert (sets.default_build_id(), sets.default_set().default()) == (
                expected[-1][-1],
                expected[-1][-1],
            )
        told = await client.get_worker_task_reachability(
            ["2.0", "1.0"], [QUEUE], TaskReachabilityType.OPEN_WORKFLOWS
        )
        reachable = {
            build_id: dict(one.task_queue_reachability)
            for build_id, one in told.build_id_reachability.items()
        }
        assert reachable == {
            "2.0": {QUEUE: [TaskReachabilityType.NEW_WORKFLOWS]},
            "1.0": {QUEUE: []},
        }
        assert told.build_id_reachability["2.0"].unretrieved_task_queues == frozenset()
        await client.service_client.close()


@pytest.mark.parametrize("home", ["ours", pytest.param("real", marks=pytest.mark.interop)])
async def test_they_are_refused_where_they_are_off(homes: Homes, home: str) -> None:
    assert home in SERVERS
    await asyncio.to_thread(homes.start, home)
    async with homes.open(home) as client:
        for refused in (
            client.update_worker_build_id_compatibility(QUEUE, BuildIdOpAddNewDefault("1.0")),
            client.get_worker_build_id_compatibility(QUEUE),
            client.get_worker_task_reachability(["1.0"]),
        ):
            with pytest.raises(RPCError) as error:
                await refused
            assert error.value.status is RPCStatusCode.PERMISSION_DENIED
