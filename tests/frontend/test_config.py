"""Settings: overrides by Temporal's names."""

from __future__ import annotations

import pytest

from perdure.server.config import (
    ADDRESSES,
    COUNTS,
    DURATIONS,
    SWITCHES,
    TEXTS,
    SettingsError,
    parse_overrides,
)
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS

WITHOUT_KEY = {"failure_depth_max"}
"""Limits that are ours: Temporal has no key for them."""


def test_every_limit_has_a_key_of_temporal() -> None:
    named = {*COUNTS.values(), *DURATIONS.values(), *SWITCHES.values(), *ADDRESSES.values()}
    named |= {*TEXTS.values()}
    assert named | WITHOUT_KEY == set(DEFAULT_LIMITS.__struct_fields__)


def test_overrides_change_their_limits_and_nothing_else() -> None:
    limits = parse_overrides(["limit.maxIDLength=10", "history.maximumSignalsPerExecution=7"])
    assert (limits.id_length_max, limits.signals_max) == (10, 7)
    assert limits.blob_size_bytes_max == DEFAULT_LIMITS.blob_size_bytes_max


def test_keys_are_known_in_any_case() -> None:
    assert parse_overrides(["LIMIT.maxidlength=10"]).id_length_max == 10


def test_a_text_is_one() -> None:
    key = "component.nexusoperations.callback.endpoint.template"
    assert parse_overrides([f'{key}="https://x/cb"']).nexus_callback_url == "https://x/cb"
    with pytest.raises(SettingsError, match="is no text"):
        parse_overrides([f"{key}=5"])


def test_a_switch_is_true_or_false() -> None:
    assert parse_overrides(["frontend.WorkflowPauseEnabled=true"]).is_workflow_pause_enabled
    assert not parse_overrides(["frontend.WorkflowPauseEnabled=false"]).is_workflow_pause_enabled
    with pytest.raises(SettingsError, match="neither true nor false"):
        parse_overrides(["frontend.WorkflowPauseEnabled=1"])


@pytest.mark.parametrize(
    ("text", "seconds"), [('"10s"', 10), ('"1m30s"', 90), ('"1.5s"', 1.5), ("3", 3), ('"2h"', 7200)]
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    limits = parse_overrides([f"history.defaultWorkflowTaskTimeout={text}"])
    assert limits.workflow_task_timeout_ns == seconds * SECOND_NS


def test_a_setting_of_temporal_that_has_no_effect_is_taken_and_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert parse_overrides(["system.enableEagerWorkflowStart=true"]) == DEFAULT_LIMITS
    assert "system.enableEagerWorkflowStart has no effect here" in caplog.text


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("limit.maxIDLength", "is not of the form KEY=JSON"),
        ("limit.maxIDLength=x", "is not JSON"),
        ("limit.maxIDLength=-1", "is not a whole number above 0"),
        ("limit.maxIDLength=true", "is not a whole number above 0"),
        ("limit.maxIDLength=99999999999999999999", "is not a whole number above 0"),
        ("history.defaultWorkflowTaskTimeout=0", "is not a duration"),
        ("history.defaultWorkflowTaskTimeout=1e300", "is not a duration"),
        (f'history.defaultWorkflowTaskTimeout="{"9" * 400}h"', "is not a duration"),
        ('history.defaultWorkflowTaskTimeout="10 s"', "is not a duration"),
        ("limits.maxIDLength=1", "unknown setting limits.maxIDLength"),
    ],
)
def test_an_unusable_override_is_refused_with_a_reason(override: str, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        parse_overrides([override])


def test_polls_wait_as_long_as_those_of_temporal() -> None:
    """SDKs take a poll that ends later, or a history read, for a broken connection."""
    assert DEFAULT_LIMITS.task_poll_ns_max == 60 * SECOND_NS
    assert DEFAULT_LIMITS.history_poll_ns_max == 20 * SECOND_NS


def test_addresses_that_may_be_called_are_patterns() -> None:
    text = '[{"Pattern":"*.example.com"},{"Pattern":"localhost:*","AllowInsecure":true}]'
    limits = parse_overrides([f"callback.allowedAddresses={text}"])
    assert limits.callback_addresses == (("*.example.com", False), ("localhost:*", True))


@pytest.mark.parametrize("text", ['"*"', "[1]", '[{"AllowInsecure":true}]'])
def test_addresses_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="allowedAddresses"):
        parse_overrides([f"callback.allowedAddresses={text}"])
