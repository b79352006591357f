"""Shells complete commands, options, and the names of what is on the server."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid

import pytest

from tests.cli.terminal import Terminal
from tests.interop.servers import executable


@pytest.fixture
def environment(address: str) -> dict[str, str]:
    """One in which `perdure` is a program."""
    folder = os.path.dirname(executable("perdure"))
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PERDURE_ADDRESS": address}


def _completed(environment: dict[str, str], line: str) -> list[str]:
    """What bash suggests at the end of a line."""
    words = line.split(" ")
    script = (
        'source <(perdure completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_perdure_completion perdure; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_names(
    environment: dict[str, str], terminal: Terminal
) -> None:
    prefix = uuid.uuid4().hex
    for name in (f"{prefix}-a", f"{prefix}-b", f"{prefix}-$(touch x)", f"{prefix}-\x1b[2J"):
        terminal.ok("workflow start --type Waiting -t nobody", "-w", name)
    assert _completed(environment, "perdure workfl") == ["workflow"]
    assert _completed(environment, "perdure workflow start --id-conf") == ["--id-conflict-policy"]
    names = [f"{prefix}-a", f"{prefix}-b"]
    assert sorted(_completed(environment, f"perdure workflow show {prefix}")) == names
    assert "default" in _completed(environment, "perdure workflow list --namespace d")


@pytest.mark.parametrize("line", ["perdure workflow show x", "perdure schedule describe -s x"])
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_nothing_is_suggested_without_a_server(environment: dict[str, str], line: str) -> None:
    assert _completed({**environment, "PERDURE_ADDRESS": "127.0.0.1:1"}, line) == []


@pytest.mark.parametrize("shell", ["zsh", "fish", "powershell"])
def test_other_shells_are_told_how_to_ask(terminal: Terminal, shell: str) -> None:
    script = terminal.ok(f"completion {shell}").out
    assert f"complete_{shell}" in script
    assert "_PERDURE_COMPLETE" in script


def test_an_unknown_shell_is_refused(terminal: Terminal) -> None:
    assert terminal.run("completion tcsh").exit_code == 2
