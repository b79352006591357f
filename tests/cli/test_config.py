"""What commands connect to: options, then variables, then profiles; and `perdure config`."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from perdure.transport import CallFailed
from perdure.transport.port import Code
from tests.cli.terminal import Said, Terminal
from tests.interop.servers import executable
from tests.sdk.recording_service import RecordingService

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of profiles of these tests, which is not there yet."""
    found = tmp_path / "here" / "temporal.toml"
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(found))
    for variable in ("TEMPORAL_PROFILE", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"):
        monkeypatch.delenv(variable, raising=False)
    return found


@pytest.fixture
def plain() -> Terminal:
    """A terminal that does not say where the server is."""
    return Terminal("")


def _profiles(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def _where(said: Said) -> str:
    """The address that a command did not reach."""
    return said.err.partition("no server answers at ")[2].partition(": ")[0]


def test_the_profile_says_where_the_server_is(file: Path, plain: Terminal, address: str) -> None:
    _profiles(file, f'[profile.default]\naddress = "{address}"\nnamespace = "nope"\n')
    assert "no namespace 'nope'" in plain.refused("workflow describe x")
    plain.ok("workflow count --namespace default")


def test_options_go_before_variables_and_variables_before_the_file(
    file: Path, plain: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _profiles(file, '[profile.default]\naddress = "127.0.0.1:2"\n')
    assert _where(plain.run("cluster health")) == "127.0.0.1:2"
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:3")
    assert _where(plain.run("cluster health")) == "127.0.0.1:3"
    ours = Terminal("127.0.0.1:4")
    assert _where(ours.run("cluster health")) == "127.0.0.1:4"
    assert _where(ours.run("cluster health --address 127.0.0.1:5")) == "127.0.0.1:5"
    assert _where(ours.run("cluster health --disable-config-env")) == "127.0.0.1:2"
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    assert _where(plain.run("cluster health --disable-config-file")) == "127.0.0.1:7233"


def test_a_profile_is_chosen_by_option_or_variable(
    file: Path, plain: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _profiles(file, '[profile.a]\naddress = "127.0.0.1:2"\n[profile.b]\naddress = "127.0.0.1:3"\n')
    monkeypatch.setenv("TEMPORAL_PROFILE", "a")
    assert _where(plain.run("cluster health")) == "127.0.0.1:2"
    assert _where(plain.run("cluster health --profile b")) == "127.0.0.1:3"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--profile nope", "Profile 'nope' not found (`perdure config list`"),
        ("--config-file /nowhere/x.toml", "there is no file '/nowhere/x.toml'"),
        ("--tls-ca-path /nowhere/ca.pem", "'/nowhere/ca.pem' cannot be read: No such file"),
        ("--grpc-meta nonsense", "'nonsense' is not KEY=VALUE (--grpc-meta)"),
        ("--tls-key-path a --tls-key-data b", "Cannot specify both"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    file: Path, plain: Terminal, options: str, words: str
) -> None:
    said = plain.run(f"cluster health {options}")
    assert (said.exit_code, said.out) == (2, "")
    assert said.err.startswith("perdure: ")
    assert said.err.count("\n") == 1
    assert words in said.err


async def test_keys_and_headers_are_sent(file: Path, plain: Terminal) -> None:
    _profiles(file, '[profile.default]\napi_key = "k1"\n[profile.default.grpc_meta]\nTeam_x = "a"')
    service = RecordingService({"ListNamespaces": CallFailed(Code.UNAUTHENTICATED, "go away")})
    async with service.over_grpc() as address:
        line = f"namespace list --no-tls --grpc-meta Other=b --address {address}"
        refused = await asyncio.to_thread(plain.refused, line)
        caller = service.headers[-1]
        await asyncio.to_thread(plain.run, f"{line} --api-key k2 --grpc-meta team-x=c")
        later = service.headers[-1]
    assert refused == "go away (UNAUTHENTICATED)"
    names = ("authorization", "team-x", "other")
    assert [caller.header(name) for name in names] == ["Bearer k1", "a", "b"]
    assert [later.header(name) for name in names] == ["Bearer k2", "c", "b"]


def test_a_server_without_tls_is_not_reached_with_it(
    file: Path, plain: Terminal, address: str
) -> None:
    assert _where(plain.run(f"cluster health --address {address} --tls")) == address


def test_properties_are_set_told_and_deleted(file: Path, plain: Terminal) -> None:
    plain.ok("config set --prop address --value example:1")
    plain.ok("config set -p tls.disabled -v true")
    plain.ok("config set -p grpc_meta.Team_X -v a --profile other")
    assert plain.ok("config list").out == "default\nother\n"
    assert plain.ok("config list --json").json_lines == [{"name": "default"}, {"name": "other"}]
    assert plain.ok("config get --json").json == {
        "address": "example:1",
        "tls": {"disabled": True},
    }
    assert plain.ok("config get").out.split() == [
        *("PROPERTY", "VALUE", "address", "example:1", "tls", "true", "tls.disabled", "true")
    ]
    assert plain.ok("config get -p grpc_meta.team_x --profile other").out == "a\n"
    plain.ok("config set -p tls -v false")
    plain.ok("config delete -p address")
    assert plain.ok("config get --json").json == {}
    assert plain.ok("config get -p address --json").json == {"property": "address", "value": None}
    plain.ok("config delete-profile --profile other")
    assert plain.ok("config list").out == "default\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("config get", "there is no profile 'default'"),
        ("config delete -p address --profile a", "address is not set in profile 'a'"),
        ("config delete-profile --profile b", "there is no profile 'b'"),
        ("config set -p nope -v x", "unknown property 'nope'"),
        ("config set -p tls -v x", "tls is either true or false"),
    ],
)
def test_config_refuses_what_it_cannot_do(
    file: Path, plain: Terminal, line: str, words: str
) -> None:
    _profiles(file, "[profile.a]\n")
    assert words in plain.refused(line)
    assert file.read_text() == "[profile.a]\n"


def test_a_file_that_makes_no_sense_is_left_alone(file: Path, plain: Terminal) -> None:
    _profiles(file, "no toml")
    assert "TOML parse error" in plain.refused("config set -p address -v x")
    assert file.read_text() == "no toml"


def test_a_change_keeps_the_rest_of_the_file(file: Path, plain: Terminal) -> None:
    _profiles(file, '# ours\n[profile.default]\naddress = "a"  # here\nelse = 3\n')
    plain.ok("config set -p namespace -v n")
    assert file.read_text() == (
        '# ours\n[profile.default]\naddress = "a"  # here\nelse = 3\nnamespace = "n"\n'
    )


def test_nobody_else_may_read_the_file(file: Path, plain: Terminal) -> None:
    plain.ok("config set -p api_key -v secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [one.name for one in file.parent.iterdir()] == [file.name]


@pytest.mark.interop
def test_the_official_command_line_reads_what_ours_has_set(file: Path, plain: Terminal) -> None:
    for prop, value in (
        ("address", "a:1"),
        ("namespace", "n"),
        ("tls.server_name", "s"),
        ("tls.disable_host_verification", "true"),
        ("codec.endpoint", "http://c"),
        ("grpc_meta.Team_X", "x"),
    ):
        plain.ok("config set", "-p", prop, "-v", value)
    done = subprocess.run(
        [executable("temporal"), "config", "get", "-o", "json"],
        capture_output=True,
        check=True,
        env={**os.environ, "TEMPORAL_CONFIG_FILE": str(file)},
    )
    assert json.loads(done.stdout) == plain.ok("config get --json").json
