"""Configurations are read as the official SDK reads them: it is asked the same, as a peer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from temporalio import envconfig as official

from perdure import envconfig
from perdure.client import Client
from perdure.testing import WorkflowEnvironment

TLS = "[profile.default.tls]\n"
HEADERS = "[profile.default.grpc_meta]\n"
PREFIX = "TEMPORAL_TLS_"
DETAIL = "Configuration loading error: TOML parse error"
"""After it, a parser says in its own words what it does not understand."""

PROFILES = {
    "nothing": ("", {}),
    "unknown names": ("x=1\n[profile.default]\nunknown=1", {}),
    "no table of profiles": ("profile=3", {}),
    "no table": ("[profile]\ndefault=3", {}),
    "no text": ("[profile.default]\naddress=3", {}),
    "an empty text": ('[profile.default]\naddress=""', {}),
    "no TOML": ("this is not toml", {}),
    "another type in codec": ("[profile.default.codec]\nendpoint=3", {}),
    "a codec": ('[profile.default.codec]\nendpoint="e"\nauth="a"', {}),
    "tls as a switch": ("[profile.default]\ntls=true", {}),
    "an empty table": (TLS, {}),
    "tls disabled": (TLS + "disabled=true", {}),
    "tls enabled": (TLS + "disabled=false", {}),
    "disabled is no switch": (TLS + "disabled=3", {}),
    "no verification": (TLS + "disable_host_verification=true", {}),
    "data and path": (TLS + 'client_key_data=""\nclient_key_path="q"', {}),
    "empty data": (TLS + 'client_key_data=""', {}),
    "an empty path": (TLS + 'client_key_path=""', {}),
    "another profile is wrong": ('[profile.b.tls]\nclient_key_data=""\nclient_key_path=""', {}),
    "a header is no text": (HEADERS + "a=3", {}),
    "an empty header": (HEADERS + 'A_b=""', {}),
    "variables go first": (
        '[profile.default]\naddress="a"\nnamespace="n"\napi_key="k"',
        {"TEMPORAL_ADDRESS": "", "TEMPORAL_NAMESPACE": "x", "TEMPORAL_API_KEY": "y"},
    ),
    "a header removed": (
        HEADERS + 'A="x"\nb_c=""',
        {"TEMPORAL_GRPC_META_B_C": "", "TEMPORAL_GRPC_META_A": " ", "TEMPORAL_GRPC_META_D": "d"},
    ),
    "TLS on": (TLS + "disabled=true", {"TEMPORAL_TLS": "True"}),
    "TLS off": (TLS + 'server_name="x"', {"TEMPORAL_TLS": "0"}),
    "TLS said badly": (TLS + "disabled=true", {"TEMPORAL_TLS": "banana"}),
    "TLS said badly of none": ("", {"TEMPORAL_TLS": "yes"}),
    "TLS by a name": ("", {PREFIX + "SERVER_NAME": "n"}),
    "TLS by no verification": ("", {PREFIX + "DISABLE_HOST_VERIFICATION": "banana"}),
    "TLS by an empty certificate": ("", {PREFIX + "CLIENT_CERT_DATA": ""}),
    **{
        f"{kind}: {file} in the file, {variable} in a variable": (
            f'{TLS}{kind}_{file}="x"',
            {f"{PREFIX}{kind}_{variable}".upper(): "y"},
        )
        for kind in ("client_cert", "client_key", "server_ca_cert")
        for file in ("path", "data")
        for variable in ("path", "data")
    },
    **{
        f"{kind}: both in variables": (
            "",
            {f"{PREFIX}{kind}_{form}".upper(): "y" for form in ("path", "data")},
        )
        for kind in ("client_cert", "client_key", "server_ca_cert")
    },
    "a profile by variable": ('[profile.z]\naddress="q"', {"TEMPORAL_PROFILE": "z"}),
    "an unknown profile by variable": ("", {"TEMPORAL_PROFILE": "z"}),
    "default by variable": ("[profile.z]", {"TEMPORAL_PROFILE": "default"}),
    "an empty profile by variable": ('[profile.z]\naddress="q"', {"TEMPORAL_PROFILE": ""}),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "a profile that is there": {"profile": "z"},
    "a profile that is not there": {"profile": "y"},
    "an empty name": {"profile": ""},
    "default, which is not there": {"profile": "default"},
    "no variables": {"disable_env": True},
    "no file": {"disable_file": True, "profile": "y"},
    "neither": {"disable_file": True, "disable_env": True},
    "no file there": {"config_source": Path("/nowhere/temporal.toml")},
    "a folder": {"config_source": Path("/")},
    "another kind": {"config_source": 3},
    "no UTF-8": {"config_source": b"\xff"},
    "bytes": {"config_source": b'[profile.z]\naddress="b"', "profile": "z"},
    "strict": {"config_file_strict": True},
}


def _answer(load: Callable[[], Any]) -> object:
    """What came of it, as values that do not depend on whose they are."""
    try:
        found = load()
    except (RuntimeError, TypeError) as error:
        text = str(error)
        for vague in (DETAIL, "Configuration loading error: invalid utf-8", "Is a directory"):
            if vague in text:
                return vague
        return text
    tls = None if found.tls is None else vars(found.tls)
    return {**vars(found), "tls": tls}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_read_as_the_official_sdk_reads_it(name: str) -> None:
    content, variables = PROFILES[name]

    def load(peer: Any) -> object:
        return _answer(
            lambda: peer.ClientConfigProfile.load(
                config_source=content, override_env_vars=variables
            )
        )

    assert load(envconfig) == load(official)


@pytest.mark.parametrize("name", OPTIONS)
def test_options_mean_what_they_mean_in_the_official_sdk(name: str) -> None:
    options = {"config_source": '[profile.z]\naddress="q"\nother=3', **OPTIONS[name]}
    variables = {"TEMPORAL_NAMESPACE": "n", "TEMPORAL_PROFILE": "z"}

    def load(peer: Any) -> object:
        return _answer(
            lambda: peer.ClientConfigProfile.load(override_env_vars=variables, **options)
        )

    assert load(envconfig) == load(official)


@pytest.mark.skipif(sys.platform != "linux", reason="each system has its own place")
@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": "{home}"},
        {"HOME": "/nowhere", "XDG_CONFIG_HOME": "{home}/.config"},
        {"HOME": "{home}", "XDG_CONFIG_HOME": "relative"},
        {"HOME": "{home}", "TEMPORAL_CONFIG_FILE": ""},
        {"HOME": "{home}", "TEMPORAL_CONFIG_FILE": "/nowhere"},
        {"HOME": "/nowhere", "TEMPORAL_CONFIG_FILE": "{home}/.config/temporalio/temporal.toml"},
    ],
)
@pytest.mark.parametrize("options", [{}, {"override_env_vars": {}}, {"disable_env": True}])
def test_the_file_is_where_the_official_sdk_looks_for_it(
    variables: Mapping[str, str],
    options: Mapping[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / ".config/temporalio/temporal.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[profile.default]\naddress = "found"\n')
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.format(home=tmp_path))
    expected = official.ClientConfigProfile.load(**options)
    assert envconfig.ClientConfigProfile.load(**options).address == expected.address


def test_all_profiles_are_read_without_what_variables_say() -> None:
    content = '[profile.a]\naddress="x"\n[profile.b.grpc_meta]\nC_d="e"'
    config = envconfig.ClientConfig.load(
        config_source=content, override_env_vars={"TEMPORAL_ADDRESS": "y"}
    )
    assert config.to_dict() == {"a": {"address": "x"}, "b": {"grpc_meta": {"c-d": "e"}}}
    assert envconfig.ClientConfig.from_dict(config.to_dict()) == config


def test_errors_tell_the_file_and_the_place_but_no_value(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.a]\napi_key = ["secret"]\n')
    with pytest.raises(envconfig.ConfigError) as caught:
        envconfig.ClientConfig.load(config_source=file)
    assert str(caught.value) == f"{DETAIL}: profile.a.api_key is not a string ({file})"


def test_a_profile_does_not_show_its_key() -> None:
    assert "secret" not in repr(envconfig.ClientConfigProfile(api_key="secret"))


async def test_a_client_connects_with_what_a_profile_says() -> None:
    async with await WorkflowEnvironment.start_local(namespace="others") as environment:
        target = environment.client.service_client.config.target_host
        other = await environment.connect_client()
        host = other.service_client.config.target_host
        client = await Client.connect(
            **envconfig.ClientConfig.load_client_connect_config(
                disable_file=True,
                override_env_vars={
                    "TEMPORAL_ADDRESS": host,
                    "TEMPORAL_NAMESPACE": "others",
                    "TEMPORAL_GRPC_META_X_TEAM": "blue",
                },
            )
        )
        config = client.service_client.config
    assert (client.namespace, config.target_host) == ("others", target)
    assert config.rpc_metadata == {"x-team": "blue"}
