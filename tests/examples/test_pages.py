"""What the pages for users show is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.examples.pages import BLOCK, Page
from tests.tidy.source import ROOT

PAGES = [
    "docs/getting-started.md",
    "docs/embedded.md",
    "docs/cli.md",
    "docs/workflows.md",
    "docs/activities.md",
    "docs/finding.md",
    "docs/versioning.md",
    "docs/data.md",
    "docs/replay.md",
    "docs/testing.md",
    "docs/determinism.md",
    "docs/observability.md",
    "examples/README.md",
    "examples/bonus_cron/README.md",
    "examples/database_migration/README.md",
    "examples/file_upload/README.md",
    "examples/greeting/README.md",
    "examples/nexus_greeting/README.md",
    "examples/reminders/README.md",
    "examples/ride_payment/README.md",
    "examples/subscription_polling/README.md",
    "examples/traced_order/README.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_do_what_it_says(page: str, tmp_path: Path) -> None:
    assert Page(ROOT / page, tmp_path).run() > 0


def test_every_example_has_a_page() -> None:
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/__main__.py")} - {"demo"}
    assert folders == {Path(page).parent.name for page in PAGES if page.count("/") == 2}


def test_the_readme_shows_a_part_of_the_first_program() -> None:
    program = (ROOT / "docs/getting-started.md").read_text()
    shown = dict(BLOCK.findall((ROOT / "README.md").read_text()))["python"]
    assert shown in program


def test_the_readme_names_targets_that_there_are() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = "".join(content for _, content in BLOCK.findall((ROOT / "README.md").read_text()))
    targets = re.findall(r"^\$ make (\w+)", text, re.MULTILINE)
    assert "demo" in targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
