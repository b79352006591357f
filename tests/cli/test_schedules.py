"""`perdure schedule`: what is typed, and what is seen."""

from __future__ import annotations

import json
import uuid

import pytest

from tests.cli.terminal import QUEUE, Terminal

NOTHING_BEFORE = ("--start-time", "2099-01-01T00:00:00Z")


@pytest.fixture
def name(terminal: Terminal) -> str:
    """A schedule that does nothing by itself."""
    schedule_id = f"schedule-{uuid.uuid4()}"
    _set(terminal, "create", schedule_id, "--interval", "1h/15m", "--cron", "30 9 * * 1-5 # shop")
    return schedule_id


def succeed(terminal: Terminal, *words: str) -> str:
    """What a command prints that must succeed."""
    return terminal.ok("", *words).out


def _set(terminal: Terminal, command: str, schedule_id: str, *options: str) -> str:
    return succeed(
        terminal,
        *("schedule", command, "-s", schedule_id, "--type", "Nobody", "-t", f"no {QUEUE}"),
        *("--memo", "a=1", "--input", '"x"', *NOTHING_BEFORE, *options),
    )


def described(terminal: Terminal, schedule_id: str) -> dict[str, object]:
    """What `describe` says to programs."""
    found: dict[str, object] = json.loads(
        succeed(terminal, "schedule", "describe", "-s", schedule_id, "--json")
    )
    return found


def test_a_schedule_is_created_listed_and_described(terminal: Terminal, name: str) -> None:
    found = described(terminal, name)
    assert found["actionCount"] == 0
    assert len(found["futureActionTimes"]) == 10  # type: ignore[arg-type]
    query = f"ScheduleId = '{name}'"
    (line,) = succeed(terminal, "schedule", "list", "-q", query, "--json").splitlines()
    assert json.loads(line)["workflowType"] == "Nobody"
    text = succeed(terminal, "schedule", "list", "-q", query)
    assert "hour 9, minute 30 (shop)" in text
    assert "every 1 h at 15 m" in text
    text = succeed(terminal, "schedule", "describe", "-s", name)
    assert "ACTIVE" in text
    assert "2099-01-01" in text


def test_an_update_replaces_everything(terminal: Terminal, name: str) -> None:
    _set(terminal, "update", name, "--calendar", '{"hour":"3"}', "--notes", "new")
    text = succeed(terminal, "schedule", "describe", "-s", name)
    assert "hour 3, minute 0" in text
    assert "every" not in text
    assert "new" in text


def test_a_schedule_is_paused_and_unpaused(terminal: Terminal, name: str) -> None:
    succeed(terminal, "schedule", "toggle", "-s", name, "--pause", "--reason", "enough")
    assert "PAUSED" in succeed(terminal, "schedule", "describe", "-s", name)
    succeed(terminal, "schedule", "toggle", "-s", name, "--unpause")
    assert "ACTIVE" in succeed(terminal, "schedule", "describe", "-s", name)


def test_a_schedule_acts_when_it_is_told_to(terminal: Terminal, name: str) -> None:
    succeed(terminal, "schedule", "trigger", "-s", name)
    _set(terminal, "update", name, "--interval", "1h", "--start-time", "2020-01-01T00:00:00Z")
    succeed(
        terminal,
        *("schedule", "backfill", "-s", name, "--overlap-policy", "AllowAll"),
        *("--start-time", "2020-01-01T00:00:00Z", "--end-time", "2020-01-01T01:00:00Z"),
    )
    found = described(terminal, name)
    assert found["actionCount"] == 3
    text = succeed(terminal, "schedule", "describe", "-s", name)
    assert f"Nobody-{name}-2020-01-01T01:00:00Z" in text


def test_matching_times_are_told(terminal: Terminal, name: str) -> None:
    _set(terminal, "update", name, "--cron", "0 0 29 2 *", "--start-time", "2020-01-01T00:00:00Z")
    times = succeed(
        terminal,
        *("schedule", "list-matching-times", "-s", name),
        *("--start-time", "2021-01-01", "--end-time", "2033-01-01T00:00:00Z"),
    )
    assert [line[:4] for line in times.splitlines()] == ["2024", "2028", "2032"]


def test_a_deleted_schedule_is_gone(terminal: Terminal, name: str) -> None:
    succeed(terminal, "schedule", "delete", "-s", name)
    refusal = terminal.run("", "schedule", "describe", "-s", name)
    assert refusal.exit_code == 1
    assert f"there is no schedule '{name}'" in refusal.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("toggle",), "say one of --pause and --unpause"),
        (("backfill", "--start-time", "x", "--end-time", "y"), "is not a time"),
        (("trigger", "--overlap-policy", "Maybe"), "Maybe"),
    ],
)
def test_misuse_is_told(terminal: Terminal, options: tuple[str, ...], problem: str) -> None:
    refusal = terminal.run("", "schedule", *options, "-s", "any")
    assert refusal.exit_code == 2
    assert problem in " ".join(refusal.err.replace("│", " ").split())
