"""The project stands alone, and nothing in it is left for later."""

from __future__ import annotations

import pytest

from tests.tidy.source import ROOT, project_files, report, sources
from tests.tidy.words import private_traces, unfinished


def test_nothing_in_the_package_is_unfinished() -> None:
    report(finding for source in sources("src") for finding in unfinished(source.path, source.text))


def test_no_file_names_a_private_machine_or_a_registry() -> None:
    paths = project_files()
    assert "pyproject.toml" in paths
    report(finding for path in paths for finding in private_traces(path, text_of(path)))


def text_of(path: str) -> str:
    """A file's text; what is not UTF-8 (a recorded history, an image) reads as far as it goes."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def broken_up(text: str) -> str:
    """Undo the bar by which the examples below escape the very rules that they break."""
    assert "|" in text
    return text.replace("|", "")


@pytest.mark.parametrize("word", ["TO|DO", "FIX|ME", "XX|X", "HA|CK"])
def test_a_mark_for_later_is_found(word: str) -> None:
    assert list(unfinished("example.py", f"x = 1  # {broken_up(word)}: later"))


def test_a_stub_is_found() -> None:
    assert list(unfinished("example.py", broken_up("raise NotImplemented|Error")))
    assert list(unfinished("example.py", "return NotImplemented")) == []


@pytest.mark.parametrize(
    "text",
    [
        "open('/|home/ann/app.db')",
        "see /|work/main/README.md",
        "PATH=/|root/bin:/bin",
        "perdure dev --db /|tmp/app.db",
        r"C:\|Users\ann",
        "as in ../|shared/notes.md",
        "curl http://10.|1.2.3:7233",
        "host = '192.|168.0.7'",
        "https://build.|corp/index",
        "git@code.|internal:perdure.git",
        "--index|-url https://example.com",
        "https://py|pi.org/simple",
    ],
)
def test_a_trace_of_a_private_machine_is_found(text: str) -> None:
    assert list(private_traces("example.txt", broken_up(text)))


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env bash",
        "apsw==3.54.1.0",
        "http://localhost:7233 and 127.0.0.1",
        "src/home/page.py and docs/work/items",
        "threading.local()",
        "version 110.1.2.3",
    ],
)
def test_what_every_machine_has_passes(text: str) -> None:
    assert list(private_traces("example.txt", text)) == []
