"""How this machine compares with the one that the goals were set on, by what others cost on both.

A goal in milliseconds of CPU means little without the machine. So the same run measures the peers,
whose cost where the goals were set is known: the ratio says what the goals would be here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.hellos import DBOS_SQLITE
from bench.results import HelloResult, PeerResult

REAL_SERVER_ON_FILE_MS: Final = 25.0
REAL_SERVER_IN_MEMORY_MS: Final = 15.0
DBOS_ON_SQLITE_MS: Final = 5.9


@dataclass(frozen=True)
class Yardstick:
    """What a peer spends per hello, where the goals were set and here, in ms of CPU."""

    peer: str
    there_ms: float
    here_ms: float

    @property
    def ratio(self) -> float:
        """How many times dearer it is here."""
        return self.here_ms / self.there_ms


def yardsticks(results: Sequence[PeerResult], hellos: Sequence[HelloResult]) -> list[Yardstick]:
    """Of each peer that ran, where most hellos ran at once without a failure."""
    found = []
    for peer in results:
        hello = next((each for each in peer.workloads if each.workload == "hello"), None)
        if peer.whose == "real" and hello and hello.phases and not hello.phases[-1].load.failures:
            there_ms = REAL_SERVER_ON_FILE_MS if peer.on_disk else REAL_SERVER_IN_MEMORY_MS
            found.append(Yardstick(peer.peer, there_ms, hello.phases[-1].server_cpu_ms))
    found += [
        Yardstick(home.home, DBOS_ON_SQLITE_MS, home.phases[-1].total_cpu_ms)
        for home in hellos
        if home.home == DBOS_SQLITE and home.phases and not home.phases[-1].load.failures
    ]
    return found
