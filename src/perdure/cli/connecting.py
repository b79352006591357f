"""Where commands connect to: what options say, else variables, else the file of profiles.

`with_connection` gives a command that has `--address` the options that all of them share, which are
those of the official command line. The command itself knows none of them: it is called with an
address and a namespace, and `calling` finds the rest in `CONNECTING`.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer

from perdure.cli.calling import CODEC, CONNECTING, QUERY
from perdure.cli.completing import BY_PARAMETER
from perdure.cli.connection import arguments_of
from perdure.cli.exits import MISUSED, fail
from perdure.cli.parameters import DEFAULT_ADDRESS, DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from perdure.cli.codec_server import CodecServer

PANEL: Final = "Connection"
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        help="Which profile of the file (or TEMPORAL_PROFILE).",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
ConfigFileOption = Annotated[
    Path | None,
    typer.Option(
        "--config-file",
        help="The TOML file of profiles (or TEMPORAL_CONFIG_FILE).",
        rich_help_panel=PANEL,
    ),
]


def _text(name: str, help_text: str) -> Any:
    option = typer.Option(name, help=help_text, show_default=False, rich_help_panel=PANEL)
    return Annotated[str, option]


def _switch(name: str, help_text: str) -> Any:
    option = typer.Option(name, help=help_text, show_default=False, rich_help_panel=PANEL)
    return Annotated[bool, option]


TEXTS: Final = {
    "api_key": _text("--api-key", "What proves who you are."),
    "tls_server_name": _text("--tls-server-name", "Whose certificate the server has."),
    "tls_ca_path": _text("--tls-ca-path", "Whom to trust: a file of certificates."),
    "tls_ca_data": _text("--tls-ca-data", "Whom to trust: the certificates."),
    "tls_cert_path": _text("--tls-cert-path", "Your certificate: its file."),
    "tls_cert_data": _text("--tls-cert-data", "Your certificate itself."),
    "tls_key_path": _text("--tls-key-path", "The key of your certificate: its file."),
    "tls_key_data": _text("--tls-key-data", "The key of your certificate itself."),
    "codec_endpoint": _text("--codec-endpoint", "Who encodes and decodes payloads: http://..."),
    "codec_auth": _text("--codec-auth", "The Authorization header for it."),
}

OPTIONS: Final[Mapping[str, tuple[Any, object]]] = {
    "profile": (ProfileOption, ""),
    "config_file": (ConfigFileOption, None),
    "disable_config_file": (_switch("--disable-config-file", "Read no file."), False),
    "disable_config_env": (_switch("--disable-config-env", "Read no variables."), False),
    **{name: (option, "") for name, option in TEXTS.items()},
    "tls": (
        Annotated[
            bool | None,
            typer.Option(
                "--tls/--no-tls",
                help="Whether to encrypt; with a key or a certificate, unless told otherwise.",
                show_default=False,
                rich_help_panel=PANEL,
            ),
        ],
        None,
    ),
    "tls_disable_host_verification": (
        Annotated[bool, typer.Option("--tls-disable-host-verification", hidden=True)],
        False,
    ),
    "codec_header": (
        Annotated[
            list[str],
            typer.Option(
                "--codec-header",
                metavar="KEY=VALUE",
                help="A header for the codec server (may be repeated).",
                rich_help_panel=PANEL,
            ),
        ],
        (),
    ),
    "grpc_meta": (
        Annotated[
            list[str],
            typer.Option(
                "--grpc-meta",
                metavar="KEY=VALUE",
                help="A header of every call (may be repeated).",
                rich_help_panel=PANEL,
            ),
        ],
        (),
    ),
}
"""What every command that connects takes besides: its option, and what it is by default."""

OUTPUT: Final = "output"
OutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="text|json|jsonl",
        help="As with Temporal's command line: json and jsonl are --json.",
        show_default=False,
        hidden=True,
    ),
]
IS_JSON: Final = {"": False, "text": False, "json": True, "jsonl": True}

HELP: Final = {
    "address": f"Where the server listens (or PERDURE_ADDRESS, else {DEFAULT_ADDRESS}).",
    "namespace": f"Which namespace (or PERDURE_NAMESPACE, else {DEFAULT_NAMESPACE}).",
}


def with_connections(app: typer.Typer) -> None:
    """Give every command of an application that connects the options for it."""
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_connections(group.typer_instance)
    for command in app.registered_commands:
        callback = command.callback
        if callback is not None and "address" in inspect.signature(callback).parameters:
            command.callback = with_connection(callback)


def with_connection(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of connections."""
    signature = inspect.signature(command, eval_str=True)
    own = signature.parameters
    # What a command calls the namespace that it works in; others have another use for the word.
    places = [name for name in ("address", "namespace") if name in own]

    @functools.wraps(command)
    def connecting(**given: Any) -> Any:
        said = {name: given.pop(name, default) for name, (_, default) in OPTIONS.items()}
        arguments, codec = _arguments({**said, **{name: given[name] for name in places}})
        given["address"] = arguments.pop("target_host", DEFAULT_ADDRESS)
        namespace = arguments.pop("namespace", "") or DEFAULT_NAMESPACE
        if "namespace" in places:
            given["namespace"] = namespace
        _choose_output(given)
        context = contextvars.copy_context()
        context.run(CONNECTING.set, arguments)
        context.run(CODEC.set, codec)
        context.run(QUERY.set, given.get("query") or "")
        return context.run(command, **given)

    kept = [
        _completed(_optional(parameter)).replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.values()
    ]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=list(default) if isinstance(default, tuple) else default,
            annotation=annotation,
        )
        for name, (annotation, default) in OPTIONS.items()
    ]
    if "as_json" in own:
        keyword = inspect.Parameter.KEYWORD_ONLY
        added.append(inspect.Parameter(OUTPUT, keyword, default="", annotation=OutputOption))
    changed = signature.replace(parameters=[*kept, *added])
    connecting.__signature__ = changed  # type: ignore[attr-defined]
    connecting.__annotations__ = {one.name: one.annotation for one in changed.parameters.values()}
    return connecting


def _choose_output(given: dict[str, Any]) -> None:
    """Let another program's way to say --json say it here."""
    output = given.pop(OUTPUT, "")
    if output not in IS_JSON:
        fail(f"{output!r} is none of text, json and jsonl (--output)", MISUSED)
    if IS_JSON[output]:
        given["as_json"] = True


def _optional(parameter: inspect.Parameter) -> inspect.Parameter:
    """An address or a namespace that can be left out, so that the rest can say what it is."""
    if parameter.name not in HELP:
        return parameter
    declared = ("--address",) if parameter.name == "address" else ("--namespace", "-n")
    option = typer.Option(
        *declared,
        metavar="HOST:PORT" if parameter.name == "address" else "NAME",
        help=HELP[parameter.name],
        show_default=False,
        rich_help_panel=PANEL,
    )
    return parameter.replace(annotation=Annotated[str, option], default="")


def _completed(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter, with what is on the server for a shell that completes it."""
    complete = BY_PARAMETER.get(parameter.name)
    if complete is None:
        return parameter
    kind, *options = get_args(parameter.annotation)
    changed = [copy.copy(option) for option in options]
    for option in changed:
        option.autocompletion = complete
    return parameter.replace(annotation=Annotated[kind, *changed])


def _arguments(said: Mapping[str, Any]) -> tuple[dict[str, Any], CodecServer | None]:
    """The arguments of `Client.connect`, and who decodes payloads. Ends the command when they make
    no sense."""
    from perdure.envconfig import ConfigError

    try:
        return arguments_of(said)
    except ConfigError as error:
        hint = " (`perdure config list` shows what there is)" if "not found" in str(error) else ""
        fail(f"{error}{hint}", MISUSED)
    except OSError as error:
        fail(f"{error.filename!r} cannot be read: {error.strerror}", MISUSED)
    except ValueError as error:
        fail(str(error), MISUSED)
