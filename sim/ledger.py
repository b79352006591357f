"""What was promised to whom: the answers that left the engine, and what clients and workers did.

Checkers compare it with what is stored. An answer counts from the moment at which it leaves the
engine, whether or not it arrives.
"""

from __future__ import annotations

import msgspec


class Start(msgspec.Struct):
    """A request to start a workflow, by its request id."""

    workflow_id: str
    reuse_policy: int
    conflict_policy: int
    run_ids: list[str] = []
    """Each run id that it was answered with, in order."""
    is_new: bool = False


class Signal(msgspec.Struct):
    """A request to signal a workflow, by its request id."""

    workflow_id: str
    run_id: str
    """The run that it named; "" for whichever is current."""
    sender: str
    sequence: int
    tries: int = 0
    is_acknowledged: bool = False


class Completion(msgspec.Struct):
    """A workflow task that a worker completed."""

    workflow_id: str
    run_id: str
    started_event_id: int
    is_acknowledged: bool = False


class Ledger:
    """Everything that was promised in one world."""

    def __init__(self) -> None:
        self.starts: dict[str, Start] = {}
        self.signals: dict[str, Signal] = {}
        self.completions: dict[tuple[str, int], Completion] = {}
        """By run id and started event id."""
        self.results: dict[tuple[str, str], set[bytes]] = {}
        """Results that workers produced, by run id and activity id."""
        self.acknowledged_activities: set[tuple[str, str]] = set()
        """Activities (run id, activity id) whose result was accepted."""
        self.reads: dict[str, list[bytes]] = {}
        """Per run id, the recorded events that some reader has seen, as entries of a History."""
        self.closed_seen: dict[str, int] = {}
        """Per run id, the closed status that some reader has seen."""
        self.terminated: set[str] = set()
        """Run ids whose termination was acknowledged."""

    def read(self, run_id: str, first_event_id: int, entries: list[bytes]) -> str:
        """Note recorded events that a reader has got; what they contradict, or ""."""
        known = self.reads.setdefault(run_id, [])
        for index, entry in enumerate(entries, first_event_id - 1):
            if index < len(known):
                if known[index] != entry:
                    return f"event {index + 1} of run {run_id} was read before, and was different"
            elif index == len(known):
                known.append(entry)
            else:
                break  # A reader that begins beyond what anyone has read: nothing to compare with.
        return ""
