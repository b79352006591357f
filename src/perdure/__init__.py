"""Durable execution in Python: code that must finish.

`from perdure import workflow, activity` is what workflow code needs; `perdure.embedded` runs the
engine in your program. This module imports nothing itself, so that any part of the package can be
imported without the rest; it only sees to it that Temporal's contract can be imported quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure._contract import skip_sdk

if TYPE_CHECKING:
    from perdure._embedded import embedded as embedded

__version__ = "0.1.0"


skip_sdk()


def __getattr__(name: str) -> Any:
    """`embedded`, when it is first wanted."""
    if name == "embedded":
        from perdure._embedded import embedded

        globals()["embedded"] = embedded
        return embedded
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
