"""Rule: programs written for the official SDK do the same with ours, on either server.

The programs are those of the interop tests. Each is run by the official SDK against the real
server, and by ours, with only the imports changed, against both; what they observe (histories,
descriptions, answers) is compared.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import importlib
import inspect
import logging
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from perdure.client import Client
from tests.interop.kept import directory_of_run, kept, official_on_real, selected
from tests.interop.programs import PROGRAMS
from tests.interop.runs import (
    PROGRAM_TIMEOUT_SECONDS,
    PROGRAMS_AT_ONCE,
    Outcome,
    Sides,
    difference,
    run_against,
    settled,
)
from tests.interop.servers import server
from tests.interop.stage import CLIENT_IDENTITY
from tests.sdk.translated import PREFIX, translated

pytestmark = pytest.mark.interop

NOT_OURS = {
    "signal_races_completion": "holds a thread of workflow code up, of which ours has none",
    "local_activity_heartbeat": "shows how often its task was held, which is up to the clock",
    "child_defaults": "shows how long it is until a time of the year",
}

BY_HAND = (".deployments", ".reset_updates", ".versioning", ".versioning_overrides")
"""Modules whose programs are about the service, though a worker of an SDK takes part."""
KEPT_BY_HAND = (".identifiers", ".odd_requests")
"""Modules that only call the service, and show that what it answers and refuses comes through."""
USES_SDK = re.compile(
    r"\.worker\(|\bstage\.start\(|\.client\.(?!operator_service\b)|@workflow\.defn"
    r"|from temporalio(\.(?!api\b|service\b)\w+)? import"
)


def is_of_sdk(program: Callable[..., object]) -> bool:
    """Whether an SDK does more for a program than pass its calls to the service.

    Those that do everything by hand are the server's business, which other tests look at.
    """
    module = program.__module__
    if module.endswith(BY_HAND):
        return False
    source = inspect.getsource(importlib.import_module(module))
    return module.endswith(KEPT_BY_HAND) or USES_SDK.search(source) is not None


COMPARED = [name for name in PROGRAMS if name not in NOT_OURS and is_of_sdk(PROGRAMS[name])]
COMPARED_MIN = 80

FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d+), in (?P<name>.*)\n(?:    .*\n)*')
NONDETERMINISM = "[TMPRL1100] Nondeterminism error"

SIDES = {"official": "real", "ours": "real", "ours on ours": "ours"}
Outcomes = Sides


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What each selected program observed, by side and program; run once for all processes."""
    directory = directory_of_run(request.config, tmp_path_factory)
    names = selected(request.session, test_ours_equals_the_official_one.__name__)

    def first(names: list[str]) -> Sides:
        official = official_on_real(directory, request.session)
        ours = run_sides(names, [side for side in SIDES if side != "official"])
        return {"official": {name: official[name] for name in names}, **ours}

    with quiet():
        return kept(
            directory, "sdk-interop", lambda: settled(run_sides, names, differ, first=first)
        )


def differ(outcomes: dict[str, Outcome]) -> bool:
    """Whether the sides are not of one mind about a program."""
    official = comparable(outcomes["official"].observations)
    return any(
        outcome.error or comparable(outcome.observations) != official
        for outcome in outcomes.values()
    )


def run_sides(names: list[str], sides: Sequence[str] = tuple(SIDES)) -> Sides:
    """Each side in a thread with an event loop of its own."""
    with concurrent.futures.ThreadPoolExecutor(len(sides)) as pool:
        running = {
            side: pool.submit(
                run_against if side == "official" else run_ours_against, SIDES[side], names
            )
            for side in sides
        }
        return {side: of_side.result() for side, of_side in running.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Programs fail on purpose, and the SDKs say so."""
    loggers = [logging.getLogger(name) for name in ("temporalio", "perdure")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def run_ours_against(target: str, names: Iterable[str]) -> dict[str, Outcome]:
    """Runs programs, translated to our SDK, against a server."""
    with server(target) as address:
        return asyncio.run(_run_ours(address, names))


async def _run_ours(address: str, names: Iterable[str]) -> dict[str, Outcome]:
    client = await Client.connect(address, identity=CLIENT_IDENTITY)
    room = asyncio.Semaphore(PROGRAMS_AT_ONCE)

    async def run(name: str) -> tuple[str, Outcome]:
        async with room:
            return name, await _run_one(client, name)

    try:
        return dict(await asyncio.gather(*(run(name) for name in names)))
    finally:
        await client.service_client.close()


async def _run_one(client: Client, name: str) -> Outcome:
    official = PROGRAMS[name]
    program = getattr(translated(official.__module__), official.__name__)
    stage = translated("tests.interop.stage").Stage(client, name)
    began = time.monotonic()
    error = None
    try:
        async with asyncio.timeout(PROGRAM_TIMEOUT_SECONDS):
            await program(stage)
    except Exception:  # a named boundary: the program's own test reports it
        error = traceback.format_exc()
    return Outcome(stage.observations, error, time.monotonic() - began)


def comparable(observed: Any) -> Any:
    """Without what an SDK may say in its own words.

    - Stack traces keep the frames of the program: the SDKs' own are neither's business.
    - The report of a non-determinism keeps its heading: ours says more.
    - Each has a name and a version of its own.
    """
    if isinstance(observed, dict):
        return {
            key: _frames_of_programs(value) if key == "stack_trace" else comparable(value)
            for key, value in observed.items()
            if key not in ("sdk_name", "sdk_version")
        }
    if isinstance(observed, list):
        return [comparable(value) for value in observed]
    if isinstance(observed, str) and observed.startswith(NONDETERMINISM):
        return NONDETERMINISM
    return observed.replace(PREFIX, "") if isinstance(observed, str) else observed


def _frames_of_programs(trace: str) -> list[str]:
    return [
        frame.group()
        for frame in FRAME.finditer(trace)
        if "/tests/interop/programs/" in frame.group("file")
    ]


@pytest.mark.parametrize("program", COMPARED)
@pytest.mark.parametrize("side", ["ours", "ours on ours"])
def test_ours_equals_the_official_one(side: str, program: str, outcomes: Outcomes) -> None:
    official, ours = outcomes["official"][program], outcomes[side][program]
    assert not official.error, f"{program} fails with the official SDK\n{official.error}"
    observed = comparable(official.observations), comparable(ours.observations)
    diff = difference(*observed, "the official SDK", side)
    assert not ours.error, f"{program} fails with our SDK\n{ours.error}\n{diff}"
    assert not diff, f"{program}: what was observed differs\n{diff}"


def test_every_program_that_is_left_out_exists() -> None:
    assert set(NOT_OURS) <= set(PROGRAMS)


def test_the_programs_of_an_sdk_are_compared() -> None:
    assert len(COMPARED) >= COMPARED_MIN
    modules = {PROGRAMS[name].__module__ for name in COMPARED}
    for module in (*BY_HAND, *KEPT_BY_HAND):
        assert any(PROGRAMS[name].__module__.endswith(module) for name in PROGRAMS), module
    for module in KEPT_BY_HAND:
        assert any(name.endswith(module) for name in modules), module
