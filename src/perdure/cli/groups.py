"""Options that come together: a dataclass whose fields are options, as one parameter of a command.

`with_groups` gives a command the options of each such parameter, and makes the dataclass of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints


def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, with options in the place of each group of them."""
    signature = inspect.signature(command, eval_str=True)
    groups = {
        one.name: one.annotation
        for one in signature.parameters.values()
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }

    @functools.wraps(command)
    def grouped(**given: Any) -> Any:
        made = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **made)

    parameters: list[inspect.Parameter] = []
    for one in signature.parameters.values():
        group = groups.get(one.name)
        parameters += [one] if group is None else _options_of(group)
    kept = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    grouped.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    grouped.__annotations__ = {one.name: one.annotation for one in kept}
    return grouped


def _options_of(group: Any) -> Iterable[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default_of(one),
            annotation=hints[one.name],
        )
        for one in fields(group)
    ]


def _default_of(option: Field[Any]) -> Any:
    if option.default_factory is not MISSING:
        return option.default_factory()
    return inspect.Parameter.empty if option.default is MISSING else option.default
