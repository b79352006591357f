"""Loads programs that are written for the official SDK as programs of ours.

Only the name of the package in the imports changes, which is all that a migration takes.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from types import ModuleType

PREFIX = "perdure_programs."
"""Stands before the name of a module that has been translated."""

_OFFICIAL = re.compile(r"\btemporalio\b(?!\.api\b)")
_ALONG = re.compile(r"\bfrom (tests\.interop\.(?:stage|programs\.\w+)) import\b")
# Ours has no core with a runtime of its own.
_RUNTIME = re.compile(r"^from temporalio\.runtime import .*$", re.MULTILINE)

_LOADING = threading.RLock()
"""Two sides of a comparison load from two threads, and a module half loaded must not be seen."""


def translated(name: str) -> ModuleType:
    """The module of that name, its imports of the official SDK replaced by ours, and so in the
    modules of the interop tests that it imports. Loaded once."""
    with _LOADING:
        return _translated(name)


def _translated(name: str) -> ModuleType:
    known = sys.modules.get(PREFIX + name)
    if known is not None:
        return known
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin) as file:
        source = _RUNTIME.sub("", file.read())
    source = _OFFICIAL.sub("perdure", source)
    for along in _ALONG.findall(source):
        translated(along)
    source = _ALONG.sub(rf"from {PREFIX}\1 import", source)
    module = ModuleType(PREFIX + name)
    module.__file__ = spec.origin
    _parents(PREFIX + name)
    sys.modules[PREFIX + name] = module
    try:
        exec(compile(source, spec.origin, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[PREFIX + name]
        raise
    return module


def _parents(name: str) -> None:
    """Makes the packages above a module."""
    while "." in name:
        name = name.rpartition(".")[0]
        package = sys.modules.setdefault(name, ModuleType(name))
        package.__path__ = []
