"""Temporal's published protobuf contract, without the SDK that it is distributed with.

To import `temporalio.api` is to import its package first, whose `__init__` loads all of that SDK,
native library and all: a fifth of the time until a program has its first result. The packages of
its services load grpcio besides, for stubs that nobody here uses. `skip_sdk` puts these packages in
place without that. Whatever an `__init__` would have defined is there when somebody asks for it; a
program that has imported `temporalio` itself notices nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader

_PACKAGE = "temporalio"
_SERVICES = frozenset(
    f"{_PACKAGE}.api.{name}.v1" for name in ("operatorservice", "testservice", "workflowservice")
)


def skip_sdk() -> None:
    """Let submodules of the package be imported without what its `__init__` imports."""
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.loader is None:
        return  # Whoever imports it says best what is missing.
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)
    module.__path__ = pkgutil.extend_path(module.__path__, _PACKAGE)

    def attribute(name: str) -> Any:
        """Called for what the package does not have yet."""
        if name.startswith("__") and name != "__version__":
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = attribute
    sys.modules[_PACKAGE] = module
    sys.meta_path.insert(0, _ServicePackages)


class _ServicePackages:
    """Finds the packages of services, whose messages need no stubs."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where one of them is; nothing of other modules."""
        if fullname not in _SERVICES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _MessagesFirst(spec.loader)  # type: ignore[assignment]  # all that is used
        return spec


class _MessagesFirst:
    """Loads a package by its messages; by its `__init__` when something else is asked for."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module as it would be."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Let the module find what it has when it is asked."""

        def attribute(name: str) -> Any:
            """Called for what the package does not have yet."""
            messages = importlib.import_module(f"{module.__name__}.request_response_pb2")
            if name in messages.DESCRIPTOR.message_types_by_name:
                found = module.__dict__[name] = getattr(messages, name)
                return found
            if importlib.util.find_spec(f"{module.__name__}.{name}") is not None:
                raise AttributeError(f"{module.__name__}.{name} is not imported")
            del module.__dict__["__getattr__"]
            self._loader.exec_module(module)
            return getattr(module, name)

        module.__dict__["__getattr__"] = attribute
