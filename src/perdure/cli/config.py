"""`perdure config`: the file of profiles that commands and clients read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from perdure.cli.connecting import ConfigFileOption, ProfileOption
from perdure.cli.exits import fail
from perdure.cli.parameters import JsonOption
from perdure.cli.saying import say

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

configs = typer.Typer(
    name="config",
    help="Keep what commands and clients connect to, as profiles in a file.",
    no_args_is_help=True,
)
PropertyOption = Annotated[
    str,
    typer.Option("--prop", "-p", metavar="PROPERTY", help="Which one, such as tls.server_name."),
]
SWITCH: Final = {"true": True, "false": False}
TEXTS: Final = ("address", "namespace", "api_key", "codec.endpoint", "codec.auth")
TLS_SWITCHES: Final = ("tls.disabled", "tls.disable_host_verification")
TLS_TEXTS: Final = (
    "tls.client_cert_path",
    "tls.client_cert_data",
    "tls.client_key_path",
    "tls.client_key_data",
    "tls.server_ca_cert_path",
    "tls.server_ca_cert_data",
    "tls.server_name",
)
TLS: Final = "tls"
"""A switch: whether there is such a table."""
HEADERS: Final = "grpc_meta."


@configs.command("list")
def list_profiles(config_file: ConfigFileOption = None, *, as_json: JsonOption = False) -> None:
    """List the profiles. JSON is one profile a line."""
    for name in _profiles(_read(_file(config_file))):
        if as_json:
            from perdure.cli.terminal import print_json

            print_json({"name": name})
        else:
            say(name)


@configs.command("get")
def get(
    prop: PropertyOption = "",
    profile: ProfileOption = "",
    config_file: ConfigFileOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell what is set of a profile: all of it, or one property."""
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.terminal import print_json

    file = _file(config_file)
    values = _one(_read(file), _name(profile), file)
    if not prop:
        if as_json:
            print_json(values)
        else:
            rows = sorted((name, _shown(value)) for name, value in _flat(values))
            print_rows(("PROPERTY", "VALUE"), rows)
        return
    _check(prop)
    name = ".".join(_path(prop))
    value = dict(_flat(values)).get(name)
    if as_json:
        print_json({"property": name, "value": value})
    elif value is not None:
        say(_shown(value))


@configs.command("set")
def set_property(
    prop: PropertyOption,
    value: Annotated[str, typer.Option("--value", "-v", help="What it shall be.")],
    profile: ProfileOption = "",
    config_file: ConfigFileOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Set a property, and make the profile and the file if there are none."""
    _check(prop)
    file, name = _file(config_file), _name(profile)
    document = _read(file)
    values = document.setdefault("profile", _table()).setdefault(name, _table())
    *tables, last = _path(prop)
    if prop == TLS and not _switch(prop, value):
        values.pop(TLS, None)
    elif prop == TLS:
        values.setdefault(TLS, _table()).pop("disabled", None)
    else:
        for table in tables:
            values = values.setdefault(table, _table())
        values[last] = _switch(prop, value) if prop in TLS_SWITCHES else value
    _write(file, document)
    _tell(name, f"set {prop} of {name}", "set", as_json=as_json, prop=prop)


@configs.command("delete")
def delete(
    prop: PropertyOption,
    profile: ProfileOption = "",
    config_file: ConfigFileOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Unset a property of a profile."""
    _check(prop)
    file, name = _file(config_file), _name(profile)
    document = _read(file)
    values: Any = _one(document, name, file)
    *tables, last = _path(prop)
    for table in tables:
        values = values.get(table, {})
    if last not in values:
        fail(f"{prop} is not set in profile {name!r}")
    del values[last]
    _write(file, document)
    _tell(name, f"unset {prop} of {name}", "deleted", as_json=as_json, prop=prop)


@configs.command("delete-profile")
def delete_profile(
    profile: Annotated[str, typer.Option("--profile", help="Which profile.")],
    config_file: ConfigFileOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Delete a profile with all that is set of it."""
    file = _file(config_file)
    document = _read(file)
    _one(document, profile, file)
    del _profiles(document)[profile]
    _write(file, document)
    _tell(profile, f"deleted profile {profile}", "deleted", as_json=as_json)


def _file(given: Path | None) -> Path:
    from perdure.envconfig._file import default_path

    file = given or default_path(os.environ)
    if file is None:
        fail("this system has no place for configurations: name a file with --config-file")
    return file


def _name(given: str) -> str:
    from perdure.envconfig._environment import DEFAULT_PROFILE, chosen_profile

    return given or chosen_profile(os.environ) or DEFAULT_PROFILE


def _read(file: Path) -> TOMLDocument:
    """The file as it is, with its comments; an empty one when there is none."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from perdure.envconfig import ClientConfig, ConfigError

    try:
        # What cannot be read as a configuration is not to be changed either.
        ClientConfig.load(config_source=file)
        return tomlkit.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (ConfigError, OSError, TOMLKitError) as error:
        fail(str(error))


def _write(file: Path, document: TOMLDocument) -> None:
    """Replace the file at once, as one that nobody else can read: it has keys in it."""
    import tomlkit

    file = file.resolve()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, prefix=file.name, delete=False, encoding="utf-8"
        ) as fresh:
            fresh.write(tomlkit.dumps(document))
        Path(fresh.name).replace(file)
    except OSError as error:
        fail(f"{str(file)!r} cannot be written: {error.strerror}")


def _table() -> MutableMapping[str, Any]:
    import tomlkit

    return tomlkit.table()


def _profiles(document: TOMLDocument) -> MutableMapping[str, Any]:
    found: MutableMapping[str, Any] = document.get("profile", {})
    return found


def _one(document: TOMLDocument, name: str, file: Path) -> MutableMapping[str, Any]:
    found: MutableMapping[str, Any] | None = _profiles(document).get(name)
    if found is None:
        fail(f"there is no profile {name!r} in {file} (`perdure config list` shows what there is)")
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The properties of a profile by their names."""
    for name, value in values.items():
        if not isinstance(value, Mapping):
            yield prefix + name, value
            continue
        if prefix + name == TLS:
            yield TLS, True
        yield from _flat(value, f"{prefix}{name}.")


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _path(prop: str) -> list[str]:
    """Where in a profile's table a property is."""
    from perdure.envconfig._file import normalized_header

    if prop.startswith(HEADERS):
        return [HEADERS.rstrip("."), normalized_header(prop.removeprefix(HEADERS))]
    return prop.split(".")


def _check(prop: str) -> None:
    known = (*TEXTS, TLS, *TLS_SWITCHES, *TLS_TEXTS)
    if prop not in known and not (prop.startswith(HEADERS) and prop != HEADERS):
        fail(f"unknown property {prop!r}: there are {', '.join(known)} and {HEADERS}NAME")


def _switch(prop: str, value: str) -> bool:
    if value not in SWITCH:
        fail(f"{prop} is either true or false, not {value!r}")
    return SWITCH[value]


def _tell(name: str, told: str, done: str, *, as_json: bool, **more: str) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"profile": name, **more, "done": done})
    else:
        say(told)
