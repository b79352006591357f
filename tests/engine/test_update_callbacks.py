"""Callbacks of updates: called when the outcome is durable, while the run goes on, and again by
whoever comes after a crash."""

from __future__ import annotations

import asyncio

import msgspec

from perdure.server.machines.workflow.state import Callback, CallbackState
from tests.engine.house import NAMESPACE, House, simulated, turns
from tests.engine.test_callbacks import Listener
from tests.machines.updating import update


async def begin(house: House) -> None:
    """A run with an update that was accepted; whoever sent it wants to hear of its end."""
    house.limits = msgspec.structs.replace(house.limits, are_update_callbacks_enabled=True)
    await house.crash()
    await house.start("w")
    await house.complete(await house.take(), "")
    await house.submit("w", update("u", request_id="first", callback="http://elsewhere/x"))
    await house.complete(await house.take(), "message u/accept", say="accept:u")


async def end(house: House) -> None:
    await house.signal("w")
    await house.complete(await house.take(), "message u/respond", say="respond:u")


async def until(house: House, state: CallbackState) -> Callback:
    while True:
        (callback,) = (await house.run("w")).callbacks.values()
        if callback.state == state:
            return callback
        await asyncio.sleep(0.1)


@simulated
async def test_somebody_is_told_of_the_end_of_an_update_while_its_run_goes_on(
    house: House,
) -> None:
    listener = Listener(house)
    await begin(house)
    await turns()
    assert not listener.heard
    await end(house)
    await listener.hears(1)
    (request,) = listener.heard
    headers = dict(request.headers)
    assert (request.url, b"done" in request.body) == ("http://elsewhere/x", True)
    assert headers["Nexus-Operation-State"] == "succeeded"
    assert "requestID=first" in headers["Nexus-Link"]
    await until(house, CallbackState.SUCCEEDED)
    assert (await house.engine.describe(NAMESPACE, "w", "")).run.is_open


@simulated
async def test_an_attempt_that_dies_with_its_process_is_made_again(house: House) -> None:
    listener = Listener(house)
    listener.is_silent = True
    await begin(house)
    await end(house)
    await listener.hears(1)
    await house.crash()
    listener.is_silent = False
    assert (await until(house, CallbackState.SUCCEEDED)).attempt == 1, "the lost one does not count"
    assert len(listener.heard) == 2


@simulated
async def test_nobody_is_told_where_that_is_switched_off(house: House) -> None:
    listener = Listener(house)
    await begin(house)
    house.limits = msgspec.structs.replace(house.limits, are_update_callbacks_enabled=False)
    await house.crash()
    await end(house)
    await asyncio.sleep(100)
    assert not listener.heard
