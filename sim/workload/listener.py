"""Who hears how runs have ended: the addresses of their completion callbacks."""

from __future__ import annotations

import asyncio
import random

from perdure.server.engine.completions import CompletionRequest
from perdure.server.engine.posting import PostFailed, PostResponse
from sim.ledger import Heard, Ledger
from sim.witness import Witness
from sim.workload.worker import Mood

LATENCY_SECONDS_MAX = 0.05
BASE = "http://listener/"


class Listener:
    """All of them."""

    def __init__(self, witness: Witness, ledger: Ledger, dice: random.Random, mood: Mood) -> None:
        self._witness = witness
        self._ledger = ledger
        self._dice = dice
        self._mood = mood

    async def post(self, request: CompletionRequest, timeout_seconds: float) -> PostResponse:
        """Hear it, mostly."""
        await self._travel()
        if self._misbehaves():
            raise PostFailed("no route")
        headers = dict(request.headers)
        path = headers["Nexus-Link"].split("/")
        heard = Heard(path[-2], path[-3], headers["Nexus-Operation-State"])
        self._witness.heard(heard)
        if self._misbehaves():
            return PostResponse(503, "", b"")
        self._ledger.heard.setdefault(request.url, []).append(heard)
        await self._travel()
        if self._misbehaves():
            await asyncio.sleep(timeout_seconds)
            raise PostFailed("the answer was lost")
        return PostResponse(200, "", b"")

    async def _travel(self) -> None:
        await asyncio.sleep(self._dice.random() ** 3 * LATENCY_SECONDS_MAX)

    def _misbehaves(self) -> bool:
        return self._mood.chance > 0 and self._dice.random() < self._mood.chance
