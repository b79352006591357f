"""What is stored of a run: formats that only grow, rows that are small, keys that sort."""

from __future__ import annotations

import msgspec
import pytest

from perdure.server.machines.workflow import inputs, state
from perdure.server.machines.workflow.codec import (
    all_records,
    copy_run,
    decode_run,
    encode_head,
    encode_record,
    record_key,
)
from perdure.server.machines.workflow.state import BlobName, Phase, RecordKind
from tests.machines import requests
from tests.machines.stages import complete, poll, stage
from tests.machines.world import run_bytes

STORED = (
    state.Recorded,
    state.Pending,
    state.PendingActivity,
    state.Activity,
    state.Attempt,
    state.Timer,
    state.BufferedEvent,
    state.Request,
    state.WorkflowTask,
    state.RetryPolicy,
    state.ResetPoint,
)


@pytest.mark.parametrize("phase", list(Phase)[1:])
def test_a_run_comes_back_as_it_was(phase: Phase) -> None:
    run = stage(phase).run
    again = copy_run(run)
    assert again is not run
    assert run_bytes(again) == run_bytes(run)
    assert again.activity_ids == run.activity_ids


def test_a_copy_shares_nothing_that_changes() -> None:
    run = stage(Phase.STARTED).run
    before = run_bytes(run)
    again = copy_run(run)
    again.activities[5].attempt.identity = "somebody else"
    again.recorded.signals = 99
    assert again.recorded.workflow_task is not None
    again.recorded.workflow_task.attempt = 99
    again.activity_ids.clear()
    assert run_bytes(run) == before


def test_rows_come_back_whatever_their_order() -> None:
    world = stage(Phase.IDLE)
    run = world.run
    rows = all_records(run)
    assert run_bytes(decode_run(encode_head(run), reversed(rows))) == run_bytes(run)


def test_keys_of_numbers_sort_as_the_numbers_do() -> None:
    numbers = [0, 1, 255, 256, 65536, 2**40]
    keys = [record_key(RecordKind.BUFFERED, number) for number in numbers]
    assert sorted(keys) == keys
    assert record_key(RecordKind.TIMER, "zeit-ä") == "zeit-ä".encode()


def test_a_part_that_is_gone_has_no_content() -> None:
    run = stage(Phase.IDLE).run
    assert encode_record(run, RecordKind.ACTIVITY, 5) is not None
    assert encode_record(run, RecordKind.ACTIVITY, 6) is None
    assert encode_record(run, RecordKind.BLOB, BlobName.MEMO) is None


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_a_row_of_an_older_version_is_read_with_defaults(kind: type) -> None:
    """Structs are arrays, and a new field goes at the end with a default: so rows of before it
    decode."""
    assert issubclass(kind, msgspec.Struct)
    assert kind.__struct_config__.array_like
    fields = msgspec.structs.fields(kind)
    required = [field for field in fields if field.required]
    assert required == list(fields[: len(required)])


def test_a_head_without_its_newest_fields_is_read_with_their_defaults() -> None:
    run = stage(Phase.IDLE).run
    recorded, pending = msgspec.msgpack.decode(encode_head(run))
    older = msgspec.msgpack.encode((recorded[:-1], pending[:-2]))
    again = decode_run(older, all_records(run))
    assert again.recorded.build_id == ""
    assert again.recorded.run_id == run.recorded.run_id


def test_a_turn_writes_no_more_when_much_is_pending() -> None:
    world = stage(Phase.STARTED)
    complete(world, "; ".join(f"timer t{number} 500s" for number in range(200)))
    decision = world.decide(_signal())
    (segment,) = decision.segments
    assert len(world.stored.records) > 200
    assert segment.touched == set()
    poll(world)
    decision = world.decide(_signal())
    assert decision.segments[0].touched == {(RecordKind.BUFFERED, 0)}


def _signal() -> inputs.SignalWorkflow:
    return inputs.SignalWorkflow("", requests.signal("go", {}))
