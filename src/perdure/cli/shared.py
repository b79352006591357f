"""Options that the official command line has for every command, where they say nothing to ours.

A server that is started with them starts: what replaces another program is given its arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer


def _hidden(name: str, *more: str) -> Any:
    return typer.Option(name, *more, hidden=True)


SHARED: Final[dict[str, tuple[Any, object]]] = {
    "color": (Annotated[str, _hidden("--color")], "auto"),
    "output": (Annotated[str, _hidden("--output", "-o")], "text"),
    "time_format": (Annotated[str, _hidden("--time-format")], "relative"),
    "no_json_shorthand_payloads": (Annotated[bool, _hidden("--no-json-shorthand-payloads")], False),
    "profile": (Annotated[str, _hidden("--profile")], ""),
    "config_file": (Annotated[str, _hidden("--config-file")], ""),
    "disable_config_file": (Annotated[bool, _hidden("--disable-config-file")], False),
    "disable_config_env": (Annotated[bool, _hidden("--disable-config-env")], False),
    "env": (Annotated[str, _hidden("--env")], ""),
    "client_connect_timeout": (Annotated[str, _hidden("--client-connect-timeout")], ""),
    "env_file": (Annotated[str, _hidden("--env-file")], ""),
}
"""By parameter: the option, and what it is by default."""


def with_shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, which takes these options and does not hear of them."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def taking(**given: Any) -> Any:
        return command(**{name: value for name, value in given.items() if name not in SHARED})

    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in SHARED.items()
    ]
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
    ]
    changed = signature.replace(parameters=[*kept, *added])
    taking.__signature__ = changed  # type: ignore[attr-defined]
    taking.__annotations__ = {one.name: one.annotation for one in changed.parameters.values()}
    return taking
