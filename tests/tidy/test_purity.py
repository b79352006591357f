"""The machines are pure."""

from __future__ import annotations

import pytest

from tests.tidy.imports import MACHINES, is_within
from tests.tidy.purity import impurities
from tests.tidy.source import report, snippet, sources

MACHINE = "src/perdure/server/machines/workflow/turn.py"


def test_the_machines_are_pure() -> None:
    machines = [source for source in sources("src") if is_within(source.module, MACHINES)]
    assert machines
    report(finding for source in machines for finding in impurities(source))


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio",
        "import time",
        "from time import time_ns",
        "import random",
        "import os.path",
        "import logging",
        "import threading",
        "import socket",
        "import uuid",
        "from secrets import token_bytes",
        "import sqlite3",
        "import grpc",
        "from temporalio import workflow",
        "def late():\n    import random",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now(tz=None)",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import datetime as moment\nmoment.now()",
        "import datetime as d\nd.date.today()",
        "timestamp.GetCurrentTime()",
        "async def decide(): ...",
        "async def decide():\n    return [x async for x in y]",
        "open('file')",
        "hash('text')",
        "print('text')",
    ],
)
def test_an_impurity_is_found(text: str) -> None:
    assert list(impurities(snippet(text, MACHINE)))


@pytest.mark.parametrize(
    "text",
    [
        "from __future__ import annotations",
        "import msgspec",
        "from collections.abc import Mapping",
        "from typing import assert_never",
        "from temporalio.api.history.v1 import HistoryEvent",
        "from google.protobuf.duration_pb2 import Duration",
        "from . import state",
        "from perdure.server.machines.activity import retry",
        "def decide(now_ns: int, ids: object) -> None: ...",
        "turn.now()",
        "from datetime import datetime, UTC\ndatetime.fromtimestamp(0, tz=UTC)",
    ],
)
def test_what_is_pure_passes(text: str) -> None:
    assert list(impurities(snippet(text, MACHINE))) == []
