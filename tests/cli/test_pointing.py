"""Where the command line says that a query is wrong."""

from __future__ import annotations

import pytest

from perdure.cli.pointing import pointed
from perdure.server.visibility.query.binding import QueryError, understand
from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("WorkflowId == 'a'", "after: WorkflowId =="),
        ("  WorkflowId 'a' OR", "after: WorkflowId 'a'"),
        ("WorkflowId = 'ä' XOR WorkflowId = 'b'", "after: WorkflowId = 'ä' XOR"),
        ("WorkflowId = 'a' AND", "at its end"),
        ("GROUP BY ExecutionStatus,", "at its end"),
    ],
)
def test_the_part_that_was_read_is_shown(query: str, where: str) -> None:
    with pytest.raises(QueryError) as caught:
        understand(query)
    assert pointed(str(caught.value), query) == f"{caught.value}, in the query {where}"


def test_other_refusals_stay_as_they_are() -> None:
    assert pointed("invalid search attribute: Nope", "Nope = 1") == "invalid search attribute: Nope"


def test_a_command_points_at_the_mistake(terminal: Terminal) -> None:
    said = terminal.refused("workflow list --query \"WorkflowId == 'a'\"")
    assert "in the query after: WorkflowId == (INVALID_ARGUMENT)" in said
