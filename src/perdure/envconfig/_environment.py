"""What the environment says instead of the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from perdure.envconfig._errors import ConfigError
from perdure.envconfig._file import Profile, Tls, normalized_header

DEFAULT_PROFILE: Final = "default"
PROFILE_VARIABLE: Final = "TEMPORAL_PROFILE"
HEADER_PREFIX: Final = "TEMPORAL_GRPC_META_"
PROFILE_VARIABLES: Final = {
    "address": "TEMPORAL_ADDRESS",
    "namespace": "TEMPORAL_NAMESPACE",
    "api_key": "TEMPORAL_API_KEY",
    "codec_endpoint": "TEMPORAL_CODEC_ENDPOINT",
    "codec_auth": "TEMPORAL_CODEC_AUTH",
}
TLS_VARIABLE: Final = "TEMPORAL_TLS"
TLS_SWITCHES: Final = {"true": True, "1": True, "false": False, "0": False}
SERVER_NAME_VARIABLE: Final = "TEMPORAL_TLS_SERVER_NAME"
VERIFICATION_VARIABLE: Final = "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION"
SOURCES: Final = {
    "client_cert": ("TEMPORAL_TLS_CLIENT_CERT", "cert"),
    "client_key": ("TEMPORAL_TLS_CLIENT_KEY", "key"),
    "server_ca_cert": ("TEMPORAL_TLS_SERVER_CA_CERT", "server CA cert"),
}
"""By field: the variables' names without _PATH and _DATA, and what it is called."""


def chosen_profile(environment: Mapping[str, str]) -> str | None:
    """The profile that the environment names."""
    return environment.get(PROFILE_VARIABLE) or None


def apply_environment(profile: Profile, environment: Mapping[str, str]) -> Profile:
    """The profile with what the environment says instead. Raises ConfigError."""
    said: dict[str, Any] = {
        name: environment[variable]
        for name, variable in PROFILE_VARIABLES.items()
        if variable in environment
    }
    return dataclasses.replace(
        profile,
        tls=_tls(profile.tls, environment),
        grpc_meta=_headers(profile.grpc_meta, environment),
        **said,
    )


def _tls(tls: Tls | None, environment: Mapping[str, str]) -> Tls | None:
    said: dict[str, Any] = {}
    has_said = VERIFICATION_VARIABLE in environment
    if has_said:
        is_on = TLS_SWITCHES.get(environment[VERIFICATION_VARIABLE].lower())
        if is_on is not None:
            said["disable_host_verification"] = is_on
    if TLS_VARIABLE in environment:
        has_said = True
        is_on = TLS_SWITCHES.get(environment[TLS_VARIABLE].lower())
        if is_on is not None:
            said["disabled"] = not is_on
    if SERVER_NAME_VARIABLE in environment:
        said["server_name"] = environment[SERVER_NAME_VARIABLE]
    for name in SOURCES:
        source = _source(name, None if tls is None else getattr(tls, name), environment)
        if source is not None:
            said[name] = source
    if not (said or has_said):
        return tls
    return dataclasses.replace(tls or Tls(), **said)


def _source(
    name: str, present: Path | bytes | None, environment: Mapping[str, str]
) -> Path | bytes | None:
    prefix, words = SOURCES[name]
    path_variable, data_variable = f"{prefix}_PATH", f"{prefix}_DATA"
    path, data = environment.get(path_variable), environment.get(data_variable)
    if path is not None and data is not None:
        raise ConfigError(
            f"Invalid configuration: Cannot specify both {path_variable} and {data_variable}"
        )
    if path is not None:
        if isinstance(present, bytes):
            raise ConfigError(_conflict(words, "path", path_variable, "data"))
        return Path(path)
    if data is None:
        return None
    if isinstance(present, Path):
        raise ConfigError(_conflict(words, "data", data_variable, "path"))
    return data.encode()


def _conflict(words: str, given: str, variable: str, present: str) -> str:
    return (
        f"Invalid configuration: Cannot specify {words} {given} via {variable} when {words} "
        f"{present} is already specified"
    )


def _headers(headers: Mapping[str, str], environment: Mapping[str, str]) -> Mapping[str, str]:
    found = dict(headers)
    for variable, value in environment.items():
        if variable.startswith(HEADER_PREFIX):
            name = normalized_header(variable.removeprefix(HEADER_PREFIX))
            if value:
                found[name] = value
            else:
                found.pop(name, None)
    return found
