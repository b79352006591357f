"""How the mirrored functions take the arguments of a call: one as `arg`, or several as `args`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNSET: Any = object()
"""No argument was given, where None is a value."""


def arguments(arg: Any, args: Sequence[Any]) -> Sequence[Any]:
    """The one argument or the several. Raises ValueError for both, TypeError for a lone string."""
    if arg is not UNSET:
        if args:
            raise ValueError("Cannot have arg and args")
        return (arg,)
    if isinstance(args, (str, bytes)):
        raise TypeError("args must be a sequence of arguments, not a single string")
    return args
