"""Loads `replay_programs.py` against our SDK: the same text, with other imports."""

from __future__ import annotations

import sys
import types
from pathlib import Path

from perdure._definitions import WORKFLOW_ATTRIBUTE, WorkflowDefinition

_PROGRAMS = Path(__file__).with_name("replay_programs.py")
_NAME = "tests.sdk.replay_programs_of_ours"


def load_source(path: Path, name: str) -> types.ModuleType:
    """The module that a file becomes when it imports our SDK instead of the official one."""
    text = path.read_text().replace("from temporalio", "from perdure")
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def definitions(module: types.ModuleType) -> dict[str, WorkflowDefinition]:
    """The workflows of a module, by type."""
    found: dict[str, WorkflowDefinition] = {}
    for value in vars(module).values():
        definition = getattr(value, WORKFLOW_ATTRIBUTE, None)
        if isinstance(value, type) and isinstance(definition, WorkflowDefinition):
            assert definition.name is not None
            found[definition.name] = definition
    return found


programs = load_source(_PROGRAMS, _NAME)
PROGRAMS = definitions(programs)
