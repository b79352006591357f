"""Projects of a test's own, made of files that are only read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from perdure._check.checker import check
from perdure._check.finding import Finding

HEAD = "from perdure import activity, workflow\n"
Checked = Callable[..., list[Finding]]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Checks the body of a `run` method after some lines, and more files beside it."""
    monkeypatch.chdir(tmp_path)

    def checked(before: str, body: str, files: Mapping[str, str] | None = None) -> list[Finding]:
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        lines = "\n".join(f"        {line}" for line in body.splitlines())
        head = f"{HEAD}{before}\n@workflow.defn\nclass Works:\n"
        (tmp_path / "flows.py").write_text(f"{head}    async def run(self, given):\n{lines}\n")
        return check([tmp_path / "flows.py"])

    return checked
