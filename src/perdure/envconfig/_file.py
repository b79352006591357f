"""The file of profiles: where it is, and what may stand in it."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from perdure.envconfig._errors import ConfigError

CONFIG_FILE_VARIABLE: Final = "TEMPORAL_CONFIG_FILE"
PROFILE_NAMES: Final = ("address", "namespace", "api_key", "tls", "codec", "grpc_meta")
CODEC_NAMES: Final = ("endpoint", "auth")
TLS_NAMES: Final = (
    "disabled",
    "client_cert_path",
    "client_cert_data",
    "client_key_path",
    "client_key_data",
    "server_ca_cert_path",
    "server_ca_cert_data",
    "server_name",
    "disable_host_verification",
)
_Kind = TypeVar("_Kind")
TYPE_NAMES: Final = {str: "a string", bool: "a boolean", dict: "a table"}


@dataclass(frozen=True)
class Tls:
    """The table `tls` of a profile."""

    disabled: bool | None = None
    server_name: str | None = None
    server_ca_cert: Path | bytes | None = None
    client_cert: Path | bytes | None = None
    client_key: Path | bytes | None = None
    disable_host_verification: bool | None = None


@dataclass(frozen=True)
class Profile:
    """A profile of the file, or one that environment variables say."""

    address: str | None = None
    namespace: str | None = None
    api_key: str | None = None
    tls: Tls | None = None
    grpc_meta: Mapping[str, str] = field(default_factory=dict)
    codec_endpoint: str | None = None
    codec_auth: str | None = field(default=None, repr=False)


def default_path(environment: Mapping[str, str]) -> Path | None:
    """The file that is read when none is named; None where the system has no place for it."""
    if named := environment.get(CONFIG_FILE_VARIABLE):
        return Path(named)
    home = _configurations()
    return None if home is None else home / "temporalio" / "temporal.toml"


def read_profiles(source: Path | bytes, *, is_strict: bool) -> Mapping[str, Profile]:
    """The profiles of a file or of its content; none when there is no file. Raises ConfigError."""
    if isinstance(source, Path):
        where = f" ({source})"
        try:
            content = source.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(
                f"Configuration loading error: {error.strerror} ({source})"
            ) from error
    else:
        where, content = "", source
    try:
        return _parsed(content, is_strict=is_strict)
    except _Problem as error:
        raise ConfigError(f"{error}{where}") from None


def normalized_header(name: str) -> str:
    """A header's name as gRPC has it."""
    return name.lower().replace("_", "-")


class _Problem(Exception):
    """The content makes no sense; the message lacks which file it is."""


def _configurations() -> Path | None:
    if sys.platform == "win32":
        named = os.environ.get("APPDATA")
        return Path(named) if named else None
    if sys.platform == "darwin":
        return _home("Library", "Application Support")
    xdg = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(xdg) if os.path.isabs(xdg) else _home(".config")


def _home(*below: str) -> Path | None:
    try:
        return Path.home().joinpath(*below)
    except RuntimeError:
        return None


def _parsed(content: bytes, *, is_strict: bool) -> Mapping[str, Profile]:
    try:
        document = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise _Problem(
            f"Configuration loading error: invalid utf-8 sequence from index {error.start}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise _Problem(f"Configuration loading error: TOML parse error: {error}") from None
    table = _Table("", document, is_strict=is_strict)
    table.refuse_others(("profile",))
    profiles = table.table("profile")
    return {} if profiles is None else {name: _profile(profiles.sub(name)) for name in profiles}


def _profile(table: _Table) -> Profile:
    table.refuse_others(PROFILE_NAMES)
    # For commands, which show payloads: programs are given a codec of their own.
    codec = table.table("codec")
    if codec is not None:
        codec.refuse_others(CODEC_NAMES)
    tls = table.table("tls")
    return Profile(
        address=table.get("address", str),
        namespace=table.get("namespace", str),
        api_key=table.get("api_key", str),
        tls=None if tls is None else _tls(tls),
        grpc_meta=_headers(table.table("grpc_meta")),
        codec_endpoint=None if codec is None else codec.get("endpoint", str),
        codec_auth=None if codec is None else codec.get("auth", str),
    )


def _tls(table: _Table) -> Tls:
    table.refuse_others(TLS_NAMES)
    return Tls(
        disable_host_verification=table.get("disable_host_verification", bool),
        disabled=table.get("disabled", bool),
        server_name=table.get("server_name", str),
        server_ca_cert=_source(table, "server_ca_cert"),
        client_cert=_source(table, "client_cert"),
        client_key=_source(table, "client_key"),
    )


def _source(table: _Table, name: str) -> Path | bytes | None:
    path = table.get(f"{name}_path", str)
    data = table.get(f"{name}_data", str)
    if path is not None and data is not None:
        raise _Problem(f"Invalid configuration: Cannot specify both {name}_path and {name}_data")
    if path is not None:
        return Path(path)
    return data.encode() if data else None


def _headers(table: _Table | None) -> Mapping[str, str]:
    if table is None:
        return {}
    # A name that is written as gRPC has it goes before another that only means the same.
    names = sorted(table, key=lambda name: name == normalized_header(name))
    return {normalized_header(name): table.need(name, str) for name in names}


class _Table:
    """A table of the file, which knows its place in it."""

    def __init__(self, place: str, values: Mapping[str, Any], *, is_strict: bool) -> None:
        self._place = place
        self._values = values
        self._is_strict = is_strict

    def __iter__(self) -> Any:
        return iter(self._values)

    def get(self, name: str, kind: type[_Kind]) -> _Kind | None:
        """A value that need not be there. Raises _Problem for one of another type."""
        return self.need(name, kind) if name in self._values else None

    def need(self, name: str, kind: type[_Kind]) -> _Kind:
        """A value that is there. Raises _Problem for one of another type."""
        value = self._values[name]
        if not isinstance(value, kind):
            raise _Problem(
                f"Configuration loading error: TOML parse error: {self._of(name)} is "
                f"not {TYPE_NAMES[kind]}"
            )
        return value

    def table(self, name: str) -> _Table | None:
        """A table in this one, if it is there. Raises _Problem for anything else."""
        return self.sub(name) if name in self._values else None

    def sub(self, name: str) -> _Table:
        """A table in this one. Raises _Problem for anything else."""
        return _Table(self._of(name), self.need(name, dict), is_strict=self._is_strict)

    def refuse_others(self, names: Sequence[str]) -> None:
        """Raise _Problem for an unknown name, if the file is to be read strictly."""
        for name in self._values if self._is_strict else ():
            if name not in names:
                known = ", ".join(f"`{one}`" for one in names)
                raise _Problem(
                    f"Configuration loading error: TOML parse error: unknown field `{name}` in "
                    f"{self._place or 'the file'}, expected {known}"
                )

    def _of(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name
