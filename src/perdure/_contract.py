"""Temporal's published protobuf contract, without the SDK that it is distributed with.

To import `temporalio.api` is to import its package first, whose `__init__` loads all of that SDK,
native library and all: a fifth of the time until a program has its first result. `skip_sdk` puts
the package in place without that. Whatever `__init__` would have defined is there when somebody
asks for it; a program that has imported `temporalio` itself notices nothing.
"""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from typing import Any

_PACKAGE = "temporalio"


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
