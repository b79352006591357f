"""What the options of connections mean, with the variables and the file that say the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from perdure.cli.codec_server import CodecServer
    from perdure.envconfig._file import Profile

ALIASES: Final = {
    "PERDURE_ADDRESS": "TEMPORAL_ADDRESS",
    "PERDURE_NAMESPACE": "TEMPORAL_NAMESPACE",
}
"""Our own variables go before those that we share."""
HEADER_PREFIX: Final = "TEMPORAL_GRPC_META_"
CONFIG_FILE: Final = "TEMPORAL_CONFIG_FILE"
VARIABLES: Final = {
    "address": "TEMPORAL_ADDRESS",
    "namespace": "TEMPORAL_NAMESPACE",
    "api_key": "TEMPORAL_API_KEY",
    "tls_server_name": "TEMPORAL_TLS_SERVER_NAME",
    "tls_ca_path": "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
    "tls_ca_data": "TEMPORAL_TLS_SERVER_CA_CERT_DATA",
    "tls_cert_path": "TEMPORAL_TLS_CLIENT_CERT_PATH",
    "tls_cert_data": "TEMPORAL_TLS_CLIENT_CERT_DATA",
    "tls_key_path": "TEMPORAL_TLS_CLIENT_KEY_PATH",
    "tls_key_data": "TEMPORAL_TLS_CLIENT_KEY_DATA",
    "codec_endpoint": "TEMPORAL_CODEC_ENDPOINT",
    "codec_auth": "TEMPORAL_CODEC_AUTH",
}
"""By parameter of a command: the variable whose place its option takes."""


UNVERIFIED: Final = (
    "a server that cannot be verified is not connected to: name its certificate with --tls-ca-path,"
    " and whose it is with --tls-server-name, instead of disabling host verification"
)


def arguments_of(said: Mapping[str, Any]) -> tuple[dict[str, Any], CodecServer | None]:
    """The arguments of `Client.connect`, given a command's parameters, and where payloads are
    decoded.

    Raises ConfigError, ValueError for what makes no sense, and OSError for what cannot be read.
    """
    from perdure.envconfig import loaded, public

    file: Path | None = said.get("config_file")
    if file is not None and not file.is_file():
        raise ValueError(f"there is no file {str(file)!r} (--config-file)")
    profile = loaded(
        said.get("profile") or None,
        config_source=file,
        disable_file=bool(said.get("disable_config_file")),
        override_env_vars=_variables(said),
    )
    if profile.tls is not None and profile.tls.disable_host_verification:
        raise ValueError(UNVERIFIED)
    return dict(public(profile).to_client_connect_config()), _codec(profile, said)


def _codec(profile: Profile, said: Mapping[str, Any]) -> CodecServer | None:
    """Raises ValueError."""
    headers = _pairs(said.get("codec_header") or (), "--codec-header")
    if not profile.codec_endpoint:
        return None
    from perdure.cli.codec_server import CodecServer

    return CodecServer(profile.codec_endpoint, profile.codec_auth or "", headers)


def _pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError(f"{text!r} is not KEY=VALUE ({option})")
        found[key] = value
    return found


def _variables(said: Mapping[str, Any]) -> dict[str, str]:
    """The environment, with what options say instead."""
    found = _environment(is_disabled=bool(said.get("disable_config_env")))
    found.update({variable: said[name] for name, variable in VARIABLES.items() if said.get(name)})
    if said.get("tls") is not None:
        found["TEMPORAL_TLS"] = str(said["tls"]).lower()
    if said.get("tls_disable_host_verification"):
        found["TEMPORAL_TLS_DISABLE_HOST_VERIFICATION"] = "true"
    for key, value in _pairs(said.get("grpc_meta") or (), "--grpc-meta").items():
        found[HEADER_PREFIX + key] = value
    return found


def _environment(*, is_disabled: bool) -> dict[str, str]:
    if is_disabled:
        # Which file it is remains to be said, as with the official SDKs.
        return {CONFIG_FILE: os.environ[CONFIG_FILE]} if CONFIG_FILE in os.environ else {}
    ours = {ALIASES[name]: value for name, value in os.environ.items() if name in ALIASES}
    found = {**os.environ, **{name: value for name, value in ours.items() if value}}
    # An empty variable says nothing; but it removes a header.
    return {name: value for name, value in found.items() if value or HEADER_PREFIX in name}
