"""Every pair of a phase and an input has its row."""

from __future__ import annotations

import typing

from perdure.server.machines.registry import MACHINES, Message
from perdure.server.machines.schedule import inputs, messages
from perdure.server.machines.schedule.decide import TABLE, Phase


def test_the_table_is_complete() -> None:
    wanted = {(phase, kind) for phase in Phase for kind in typing.get_args(inputs.Input)}
    assert set(TABLE) == wanted


def test_each_machine_is_registered_under_its_kind() -> None:
    assert all(kind == machine.kind for kind, machine in MACHINES.items())


def test_messages_have_tags_of_their_own() -> None:
    tags = [kind.__struct_config__.tag for kind in typing.get_args(Message)]
    assert len(tags) == len(set(tags))
    assert set(typing.get_args(messages.Message)) <= set(typing.get_args(Message))
