"""Imports run one way, and the official SDK stays outside."""

from __future__ import annotations

import pytest

from tests.tidy.imports import (
    LAYERS,
    MACHINES,
    foreign_temporal,
    imported_names,
    layer_of,
    wrong_directions,
)
from tests.tidy.source import report, snippet, sources

MACHINE = "src/perdure/server/machines/workflow/turn.py"
STORE = "src/perdure/server/store/ports.py"
ENGINE = "src/perdure/server/engine/pipeline.py"
FRONTEND = "src/perdure/server/frontend/start.py"
SDK = "src/perdure/client/handle.py"


def test_imports_run_one_way() -> None:
    report(finding for source in sources("src") for finding in wrong_directions(source))


def test_only_the_contract_of_the_official_sdk_is_used() -> None:
    checked = sources("src", "sim", "examples")
    report(finding for source in checked for finding in foreign_temporal(source))


def test_the_rules_see_the_project() -> None:
    modules = {source.module for source in sources("src")}
    assert "perdure" in modules
    assert any(layer_of(module) == MACHINES for module in modules)


def test_no_layer_is_above_itself() -> None:
    def reaches(layer: str) -> set[str]:
        direct = LAYERS[layer]
        return set(direct).union(*(reaches(below) for below in direct))

    assert [layer for layer in LAYERS if layer in reaches(layer)] == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (MACHINE, "from perdure.server.store import ports"),
        (MACHINE, "from ...store.ports import Commit"),
        (MACHINE, "from perdure import transport"),
        (MACHINE, "import perdure.client"),
        (STORE, "from perdure.server.engine.pipeline import Pipeline"),
        (STORE, "from ..engine import pipeline"),
        (STORE, "from perdure.server import frontend"),
        (ENGINE, "def late():\n    import perdure.server.frontend.start"),
        (ENGINE, "from perdure.server.app import Server"),
        (FRONTEND, "from perdure.client import Client"),
        (FRONTEND, "from perdure.cli.main import main"),
        (SDK, "from perdure.server.machines.workflow import turn"),
        (SDK, "from ..server import machines"),
        (SDK, "import perdure._embedded"),
        ("src/perdure/transport/port.py", "from perdure.server.engine import pipeline"),
        ("src/perdure/transport/port.py", "from perdure import client"),
        ("src/perdure/testing/fixtures.py", "from perdure.server.store import memory"),
        ("src/perdure/server/undecided.py", "import json"),
    ],
)
def test_an_import_against_the_layers_is_found(path: str, line: str) -> None:
    assert list(wrong_directions(snippet(line, path)))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (MACHINE, "from perdure.server.machines.activity import retry"),
        (MACHINE, "from . import state"),
        (MACHINE, "from ..activity.retry import next_attempt"),
        (STORE, "from perdure.server.machines.workflow.state import Workflow"),
        (ENGINE, "from perdure.server.store.ports import Commit"),
        (FRONTEND, "from perdure.server.engine.pipeline import Pipeline"),
        (FRONTEND, "from perdure.transport import port"),
        (FRONTEND, "from perdure import __version__"),
        (SDK, "from perdure.transport.port import Transport"),
        (SDK, "from perdure.common import RetryPolicy"),
        ("src/perdure/__init__.py", "from perdure._embedded import embedded"),
        ("src/perdure/testing/__init__.py", "from perdure.testing.environment import start"),
        ("src/perdure/server/app.py", "from perdure.client import Client"),
        ("src/perdure/_embedded.py", "from perdure.server.engine import pipeline"),
        ("src/perdure/cli/main.py", "from perdure.server import app"),
        ("src/perdure/testing/environment.py", "from perdure.server import app"),
    ],
)
def test_an_import_along_the_layers_passes(path: str, line: str) -> None:
    assert list(wrong_directions(snippet(line, path))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import temporalio",
        "import temporalio.client",
        "from temporalio import workflow",
        "from temporalio.common import RetryPolicy",
        "def late():\n    from temporalio.worker import Worker",
    ],
)
def test_the_official_sdk_is_found(line: str) -> None:
    assert list(foreign_temporal(snippet(line)))


@pytest.mark.parametrize(
    "line",
    [
        "import temporalio.api.common.v1",
        "from temporalio.api.enums.v1 import EventType",
        "from temporalio import api",
        "import temporaliox",
    ],
)
def test_the_contract_passes(line: str) -> None:
    assert list(foreign_temporal(snippet(line))) == []


def test_relative_imports_are_resolved_from_modules_and_packages() -> None:
    from_module = snippet("from . import b\nfrom ..c import d", "src/perdure/a/m.py")
    from_package = snippet("from . import b\nfrom ..c import d", "src/perdure/a/__init__.py")
    assert [name for _, name in imported_names(from_module)] == ["perdure.a.b", "perdure.c.d"]
    assert [name for _, name in imported_names(from_package)] == ["perdure.a.b", "perdure.c.d"]
