"""`perdure replay`: what it reads, what it says of code that has changed, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from temporalio.api.history.v1 import History

from tests.cli.terminal import Said, Terminal

HISTORIES = Path(__file__).parents[1] / "sdk" / "replay_histories"
CHILD = HISTORIES / "child-1.json"
"""Recorded by the official SDK: one activity, `echo`, whose result is the run's."""

HEAD = """
from datetime import timedelta
from perdure import workflow
LIMIT = timedelta(seconds=10)

@workflow.defn(name="Child")
class Child:
    @workflow.run
    async def run(self, mode: str) -> str:
"""
FITS = (
    '        return await workflow.execute_activity("echo", mode, start_to_close_timeout=LIMIT)\n'
)
SLEEPS_FIRST = "        await workflow.sleep(3)\n" + FITS
STARTS_BOTH = "        timer = workflow.sleep(3)\n        import asyncio\n" + (
    "        task = asyncio.create_task(timer)\n        await asyncio.sleep(0)\n" + FITS
)
WAITS = "        await workflow.wait_condition(lambda: False)\n"
CALLS_OTHER = FITS.replace('"echo"', '"shout"')
ENDS = '        return "echo"\n'
RAISES = '        raise KeyError("nothing")\n'
EXITS = "        raise SystemExit(0)\n"
ENDS_THE_PROCESS = """        with workflow.unsafe.sandbox_unrestricted():
            import os
            os._exit(0)
"""
PRINTS = '        print("hello")\n' + FITS


@pytest.fixture
def offline() -> Terminal:
    """No server is asked."""
    return Terminal("127.0.0.1:1")


class Shop:
    """Replays on a module of this test's own."""

    def __init__(self, directory: Path, terminal: Terminal) -> None:
        self._directory = directory
        self._terminal = terminal
        self._count = 0

    def replay(self, code: str, *more: str) -> Said:
        """Replay on that code, in this process."""
        name = f"code_{self._directory.name}_{self._count}"
        self._count += 1
        (self._directory / f"{name}.py").write_text(HEAD + code)
        return self._terminal.run(f"replay --jobs 1 --workflows {name}", *more)

    def problem(self, code: str) -> Any:
        """What `--json` says of the code and `CHILD`."""
        said = self.replay(code, str(CHILD), "--json")
        assert said.exit_code == 1
        return said.json["problem"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: Terminal) -> Shop:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Shop(tmp_path, offline)


def test_a_history_that_fits_is_counted(shop: Shop) -> None:
    said = shop.replay(FITS, str(CHILD), "--all")
    assert (said.exit_code, said.err) == (0, "")
    first, last = said.out.splitlines()
    assert first.startswith(f"fits    Child {CHILD} (")
    assert last == "1 history: 1 fits"


def test_a_mismatch_shows_event_command_line_and_change(shop: Shop) -> None:
    problem = shop.problem(SLEEPS_FIRST)
    assert problem["kind"] == "nondeterminism"
    assert problem["eventId"] == 5
    assert problem["event"].startswith("event 5 ActivityTaskScheduled {")
    assert problem["command"].startswith("command StartTimer {")
    place = problem["place"]
    assert place["source"] == "await workflow.sleep(3)"
    assert place["function"] == "Child.run"
    assert place["line"] == HEAD.count("\n") + 1
    assert problem["changes"] == ["the command stands in the place of what made event 5"]


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (STARTS_BOTH, "new in the code: this command"),
        (CALLS_OTHER, "activity_type was 'echo' and is 'shout'"),
        (WAITS, "gone from the code, or later in it: what made event 5"),
        (ENDS, "gone from the code: what made event 5; the command fits event 11"),
    ],
)
def test_what_changed_is_told(shop: Shop, code: str, change: str) -> None:
    assert shop.problem(code)["changes"] == [change]


def test_code_that_waits_is_shown_where_it_waits(shop: Shop) -> None:
    said = shop.replay(WAITS, str(CHILD))
    assert "        code:    no command\n" in said.out
    assert "in Child.run: await workflow.wait_condition(lambda: False)\n" in said.out
    assert said.out.endswith("1 history: 0 fit, 1 does not\n")


def test_code_that_raises_is_shown_where_it_does(shop: Shop) -> None:
    problem = shop.problem(RAISES)
    assert problem["kind"] == "failed"
    assert "nothing" in problem["message"]
    assert problem["place"]["source"] == 'raise KeyError("nothing")'


def test_code_that_would_end_the_worker_does_not_end_the_replay(shop: Shop) -> None:
    said = shop.replay(EXITS, str(CHILD), "--jobs", "1")
    assert said.exit_code == 1
    assert "it raised SystemExit(0), which would end the worker" in said.out
    assert said.out.endswith("1 history: 0 fit, 1 does not\n")


def test_a_process_that_ends_is_told_with_what_it_was_at(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(CHILD.read_bytes())
    said = shop.replay(ENDS_THE_PROCESS, str(CHILD), str(other), "--jobs", "2")
    assert said.exit_code == 1
    assert said.err.startswith("perdure: a process ended while it replayed one of ")
    assert str(other) in said.err


def test_what_workflows_print_is_not_among_the_results(shop: Shop) -> None:
    said = shop.replay(PRINTS, str(CHILD), "--json")
    assert said.json["problem"] is None
    assert "hello" in said.err


def test_a_workflow_that_is_not_there_is_a_problem_unless_passed_over(shop: Shop) -> None:
    other = str(HISTORIES / "randoms-1.json")
    said = shop.replay(FITS, other, "--json")
    assert (said.exit_code, said.json["problem"]["kind"]) == (1, "unknown")
    said = shop.replay(FITS, other, str(CHILD), "--skip-unknown")
    assert (said.exit_code, said.out) == (0, "2 histories: 1 fits, 1 skipped\n")


def _shapes() -> dict[str, bytes]:
    document = json.loads(CHILD.read_text())
    short = json.loads(
        CHILD.read_text().replace("EVENT_TYPE_ACTIVITY_TASK_SCHEDULED", "ActivityTaskScheduled")
    )
    binary = ParseDict(document, History()).SerializeToString()
    return {
        "as-shown.json": json.dumps(document).encode(),
        "with-a-mark.json": b"\xef\xbb\xbf" + json.dumps(document).encode(),
        "a-list.json": json.dumps(document["events"]).encode(),
        "an-answer.json": json.dumps({"history": document}).encode(),
        "short-names.json": json.dumps(short).encode(),
        "binary.bin": binary,
    }


def test_all_shapes_of_files_are_read_from_a_directory(shop: Shop, tmp_path: Path) -> None:
    directory = tmp_path / "histories" / "below"
    directory.mkdir(parents=True)
    for name, content in _shapes().items():
        (directory / name).write_bytes(content)
    (directory / "README.md").write_text("not one")
    said = shop.replay(FITS, str(directory.parent), "--json")
    assert said.exit_code == 0, said
    assert {Path(one["source"]).name for one in said.json_lines} == set(_shapes())
    assert all(one["problem"] is None for one in said.json_lines)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it has no events"),
        (b"{}", "it is JSON, but no history: it has no events"),
        (b'{"events": [{"eventId": "one"}]}', "it is JSON, but no history"),
        (b'{"events": [{"eventType": "EVENT_TYPE_TIMER_FIRED"}]}', "does not begin with"),
        (b'{"events": [3]}', "it is JSON, but no history"),
        (b"\xff\xff\xff", "it is neither JSON nor a binary history"),
    ],
)
def test_a_file_that_is_no_history_is_told_and_the_others_are_tried(
    shop: Shop, tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    said = shop.replay(FITS, str(tmp_path / "bad.json"), str(CHILD), "--json")
    assert said.exit_code == 1
    bad, good = said.json_lines
    assert (bad["problem"]["kind"], good["problem"]) == ("unreadable", None)
    assert complaint in bad["problem"]["message"]


def test_more_arguments_of_the_replayer_come_from_a_mapping(shop: Shop) -> None:
    code = RAISES + '\nmore = {"workflow_failure_exception_types": [KeyError]}\n'
    plain = shop.replay(code, str(CHILD), "--json")
    assert plain.json["problem"]["kind"] == "failed"
    name = f"code_{shop._directory.name}_0"
    said = shop.replay(code, str(CHILD), "--json", "--config", f"{name}:more")
    assert said.json["problem"]["kind"] == "nondeterminism"


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["no-such-file.json"], "there is no file no-such-file.json"),
        ([str(Path(__file__).parent)], "there are no histories in"),
        ([str(CHILD), "--config", "json:nothing"], "module json has no nothing"),
        ([str(CHILD), "--config", "json"], "does not say which attribute"),
        ([str(CHILD), "--config", "json:dumps"], "is no mapping"),
        ([], "give either FILES or --from-server"),
        ([str(CHILD), "--from-server", ""], "give either FILES or --from-server"),
    ],
)
def test_misuse_ends_with_two(shop: Shop, more: list[str], complaint: str) -> None:
    said = shop.replay(FITS, *more)
    assert said.exit_code == 2
    assert complaint in " ".join(said.err.replace("│", " ").split())


@pytest.mark.usefixtures("worker")
def test_the_runs_that_a_server_finds_are_replayed_by_several_processes(
    terminal: Terminal,
) -> None:
    ids = [terminal.started("Greeting", "-i", '"you"') for _ in range(3)]
    for workflow_id in ids:
        terminal.ok(f"workflow result {workflow_id}")
    among = ", ".join(f"'{workflow_id}'" for workflow_id in ids)
    query = f"WorkflowId IN ({among})"
    line = "replay --jobs 2 --json --workflows tests.cli.program --from-server"
    said = terminal.ok(line, query)
    assert sorted(one["workflowId"] for one in said.json_lines) == sorted(ids)
    assert all(one["problem"] is None for one in said.json_lines)
    said = terminal.ok(line, query, "--limit", "1")
    assert len(said.json_lines) == 1
    said = terminal.run(line, "WorkflowId = 'no such'")
    assert (said.exit_code, said.err) == (2, "perdure: no run in namespace 'default' matches\n")
