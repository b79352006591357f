"""The engine in a FastAPI program: opened by its lifespan, used by its handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

import perdure
from tests.embedded.running import greet, worker


def application(database: Path, *, thread: bool) -> FastAPI:
    """A service that greets durably."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with perdure.embedded(database, thread=thread) as client, worker(client):
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/greet/{name}")
    async def handle(name: str) -> dict[str, str]:
        return {"greeting": await greet(app.state.client, f"greeting {name}", name)}

    return app


@pytest.mark.parametrize("thread", [False, True], ids=["this loop", "own thread"])
async def test_handlers_run_workflows_and_the_lifespan_closes_the_engine(
    tmp_path: Path, thread: bool
) -> None:
    for round_number in range(2):
        app = application(tmp_path / "app.db", thread=thread)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app") as browser,
        ):
            names = [f"{round_number} {number}" for number in range(20)]
            answers = await asyncio.gather(*(browser.get(f"/greet/{name}") for name in names))
            for name, answer in zip(names, answers, strict=True):
                assert answer.json() == {"greeting": f"Hello, {name}!"}
