"""Where a client connects to, and how, as a TOML file and environment variables say it.

    config = ClientConfig.load_client_connect_config()
    client = await Client.connect(**config)

The file has profiles; `TEMPORAL_*` variables go before what the profile says. Both are those of the
official SDKs and of their command line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypedDict, cast

from perdure.envconfig._environment import DEFAULT_PROFILE, apply_environment, chosen_profile
from perdure.envconfig._errors import ConfigError
from perdure.envconfig._file import Profile, default_path, read_profiles
from perdure.envconfig._sources import (
    DataSource,
    path_or_data,
    read_source,
    source_from_dict,
    source_to_dict,
)
from perdure.service import TLSConfig

__all__ = [
    "ClientConfig",
    "ClientConfigProfile",
    "ClientConfigProfileDict",
    "ClientConfigTLS",
    "ClientConfigTLSDict",
    "ClientConnectConfig",
    "ConfigError",
    "DataSource",
]


class ClientConfigTLSDict(TypedDict, total=False):
    """A `ClientConfigTLS` as a dictionary."""

    disabled: bool | None
    server_name: str
    server_ca_cert: Mapping[str, str]
    client_cert: Mapping[str, str]
    client_key: Mapping[str, str]


class ClientConfigProfileDict(TypedDict, total=False):
    """A `ClientConfigProfile` as a dictionary."""

    address: str
    namespace: str
    api_key: str
    tls: ClientConfigTLSDict
    grpc_meta: Mapping[str, str]


class ClientConnectConfig(TypedDict, total=False):
    """The arguments of `Client.connect` that a configuration can say."""

    target_host: str
    namespace: str
    api_key: str
    tls: bool | TLSConfig
    rpc_metadata: Mapping[str, str]


@dataclass(frozen=True)
class ClientConfigTLS:
    """Whether and how connections are encrypted."""

    disabled: bool | None = None
    """True: not at all. False: they are. None: nothing was said, which leaves it to the rest."""
    server_name: str | None = None
    """The name that the server's certificate is for, where it is not the address's."""
    server_root_ca_cert: DataSource | None = None
    """Whom to trust; by default whom the system does."""
    client_cert: DataSource | None = None
    """The client's certificate."""
    client_private_key: DataSource | None = None
    """The key of that certificate."""

    def to_dict(self) -> ClientConfigTLSDict:
        """The same as a dictionary of what was said."""
        found: dict[str, Any] = {}
        if self.disabled is not None:
            found["disabled"] = self.disabled
        if self.server_name is not None:
            found["server_name"] = self.server_name
        sources = {
            "server_ca_cert": self.server_root_ca_cert,
            "client_cert": self.client_cert,
            "client_key": self.client_private_key,
        }
        for name, source in sources.items():
            if written := source_to_dict(source):
                found[name] = written
        return cast(ClientConfigTLSDict, found)

    def to_connect_tls_config(self) -> bool | TLSConfig:
        """What `Client.connect` takes as `tls`. Reads the files. Raises OSError."""
        if self.disabled is True:
            return False
        return TLSConfig(
            domain=self.server_name,
            server_root_ca_cert=read_source(self.server_root_ca_cert),
            client_cert=read_source(self.client_cert),
            client_private_key=read_source(self.client_private_key),
        )

    @classmethod
    def from_dict(cls, d: ClientConfigTLSDict | None) -> Self | None:
        """What a dictionary says; None when it is empty."""
        if not d:
            return None
        return cls(
            disabled=d.get("disabled"),
            server_name=d.get("server_name"),
            server_root_ca_cert=source_from_dict(d.get("server_ca_cert")),
            client_cert=source_from_dict(d.get("client_cert")),
            client_private_key=source_from_dict(d.get("client_key")),
        )


@dataclass(frozen=True)
class ClientConfigProfile:
    """One named way to connect."""

    address: str | None = None
    """Host and port."""
    namespace: str | None = None
    """The namespace to work in."""
    api_key: str | None = field(default=None, repr=False)
    """What proves who calls; with one, connections are encrypted unless `tls` says otherwise."""
    tls: ClientConfigTLS | None = None
    """Whether and how connections are encrypted."""
    grpc_meta: Mapping[str, str] = field(default_factory=dict)
    """Headers of every call."""

    @classmethod
    def from_dict(cls, d: ClientConfigProfileDict) -> Self:
        """The profile that a dictionary says."""
        return cls(
            address=d.get("address"),
            namespace=d.get("namespace"),
            api_key=d.get("api_key"),
            tls=ClientConfigTLS.from_dict(d.get("tls")),
            grpc_meta=d.get("grpc_meta") or {},
        )

    def to_dict(self) -> ClientConfigProfileDict:
        """The same as a dictionary of what was said."""
        found: ClientConfigProfileDict = {}
        if self.address is not None:
            found["address"] = self.address
        if self.namespace is not None:
            found["namespace"] = self.namespace
        if self.api_key is not None:
            found["api_key"] = self.api_key
        if self.tls and (tls := self.tls.to_dict()):
            found["tls"] = tls
        if self.grpc_meta:
            found["grpc_meta"] = self.grpc_meta
        return found

    def to_client_connect_config(self) -> ClientConnectConfig:
        """The arguments of `Client.connect`. Reads the files of certificates. Raises OSError."""
        config: ClientConnectConfig = {}
        if self.address:
            config["target_host"] = self.address
        if self.namespace is not None:
            config["namespace"] = self.namespace
        if self.api_key is not None:
            config["api_key"] = self.api_key
            config["tls"] = True
        if self.tls is not None:
            config["tls"] = self.tls.to_connect_tls_config()
        if self.grpc_meta:
            config["rpc_metadata"] = self.grpc_meta
        return config

    @staticmethod
    def load(
        profile: str | None = None,
        *,
        config_source: DataSource | None = None,
        disable_file: bool = False,
        disable_env: bool = False,
        config_file_strict: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConfigProfile:
        """A profile of the file, with what the environment says instead.

        The profile is that named, else by `TEMPORAL_PROFILE`, else `default`, which alone need not
        exist. The file is `config_source` (a path, or the content itself), else that of
        `TEMPORAL_CONFIG_FILE`, else `temporalio/temporal.toml` where the system keeps
        configurations; there need not be one. `config_file_strict` refuses unknown names in it.
        `override_env_vars` stand for the environment of the process.

        Raises ConfigError.
        """
        return public(
            loaded(
                profile,
                config_source=config_source,
                disable_file=disable_file,
                disable_env=disable_env,
                config_file_strict=config_file_strict,
                override_env_vars=override_env_vars,
            )
        )


@dataclass
class ClientConfig:
    """The profiles of a file."""

    profiles: Mapping[str, ClientConfigProfile]
    """By their names."""

    def to_dict(self) -> Mapping[str, ClientConfigProfileDict]:
        """The same as dictionaries of what was said."""
        return {name: profile.to_dict() for name, profile in self.profiles.items()}

    @classmethod
    def from_dict(cls, d: Mapping[str, Mapping[str, Any]]) -> Self:
        """The profiles that dictionaries say."""
        return cls(
            profiles={
                name: ClientConfigProfile.from_dict(cast(ClientConfigProfileDict, profile))
                for name, profile in d.items()
            }
        )

    @staticmethod
    def load(
        *,
        config_source: DataSource | None = None,
        config_file_strict: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConfig:
        """All profiles of the file, without what the environment says.

        Which file, and the rest: see `ClientConfigProfile.load`. Raises ConfigError.
        """
        environment = os.environ if override_env_vars is None else override_env_vars
        profiles = _profiles(config_source, environment, is_strict=config_file_strict)
        return ClientConfig({name: public(profile) for name, profile in profiles.items()})

    @staticmethod
    def load_client_connect_config(
        profile: str | None = None,
        *,
        config_file: str | None = None,
        disable_file: bool = False,
        disable_env: bool = False,
        config_file_strict: bool = False,
        override_env_vars: Mapping[str, str] | None = None,
    ) -> ClientConnectConfig:
        """The arguments of `Client.connect` that a profile says.

        See `ClientConfigProfile.load`. Raises ConfigError, and OSError for files of certificates.
        """
        return ClientConfigProfile.load(
            profile,
            config_source=Path(config_file) if config_file and not disable_file else None,
            disable_file=disable_file,
            disable_env=disable_env,
            config_file_strict=config_file_strict,
            override_env_vars=override_env_vars,
        ).to_client_connect_config()


def loaded(
    profile: str | None,
    *,
    config_source: DataSource | None,
    disable_file: bool,
    disable_env: bool = False,
    config_file_strict: bool = False,
    override_env_vars: Mapping[str, str] | None,
) -> Profile:
    """`ClientConfigProfile.load`, with what is for commands only. Raises ConfigError."""
    if disable_file and disable_env:
        raise ConfigError("Invalid configuration: Cannot disable both file and environment loading")
    location = os.environ if override_env_vars is None else override_env_vars
    environment: Mapping[str, str] = {} if disable_env else location
    chosen = profile if profile is not None else chosen_profile(environment)
    found = Profile()
    if not disable_file:
        profiles = _profiles(config_source, location, is_strict=config_file_strict)
        name = DEFAULT_PROFILE if chosen is None else chosen
        if chosen is not None and name not in profiles:
            raise ConfigError(f"Profile '{name}' not found")
        found = profiles.get(name, found)
    return apply_environment(found, environment)


def _profiles(
    source: DataSource | None, environment: Mapping[str, str], *, is_strict: bool
) -> Mapping[str, Profile]:
    if source is None:
        source = default_path(environment)
    return {} if source is None else read_profiles(path_or_data(source), is_strict=is_strict)


def public(profile: Profile) -> ClientConfigProfile:
    """What a program sees of a profile."""
    tls = profile.tls
    return ClientConfigProfile(
        address=profile.address,
        namespace=profile.namespace,
        api_key=profile.api_key,
        tls=None
        if tls is None
        else ClientConfigTLS(
            disabled=tls.disabled,
            server_name=tls.server_name,
            server_root_ca_cert=tls.server_ca_cert,
            client_cert=tls.client_cert,
            client_private_key=tls.client_key,
        ),
        grpc_meta=profile.grpc_meta,
    )
