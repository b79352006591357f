"""What of a workflow dies with the process: the queries and the updates that wait for its next
workflow task. (The speculative workflow task dies with it too: `Run.speculative`.)

Nothing of it is stored, folded from events, or told by a history. A workflow that has any stays in
memory; when it must leave all the same, whoever waits is told to try again. `Workflow.volatile` is
None as long as there is nothing, which is nearly always.
"""

from __future__ import annotations

import msgspec


class Admitted(msgspec.Struct):
    """An update that its workflow has not accepted or rejected yet."""

    request: bytes
    """A serialised Request."""
    is_sent: bool = False
    """The outstanding workflow task carries it."""
    attached: dict[str, bytes] = {}
    """Other requests for it that want to hear of its end, by their ids: serialised Requests with
    nothing but their callbacks."""


class Volatile(msgspec.Struct):
    """The volatile part of a workflow: all of it is about its current run."""

    queries: dict[str, bytes] = {}
    """Waiting queries, each a serialised WorkflowQuery, by the id that they have on a workflow
    task."""
    updates: dict[str, Admitted] = {}
    """By their ids, in the order in which they came."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return not self.queries and not self.updates
