"""The machine of a kind of executions without a workflow, as the engine knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from perdure.server.machines.ports import Address, Held, InHand, Kind, Limits, Machine, Names
from perdure.server.machines.standalone.inputs import Delete
from perdure.server.machines.standalone.state import Standalone, encode_record, record_key
from perdure.server.machines.standalone.turn import Decision, Family, no_such
from perdure.server.machines.workflow.inputs import WakeUp, lost_calls


def machine_of(
    kind: Kind,
    family: Family,
    *,
    decide: Callable[..., Decision],
    run_named_by: Callable[[Any], str],
    encode_head: Callable[[Any], bytes],
    decode_run: Callable[[bytes, Iterable[tuple[int, bytes, bytes]]], Any],
    in_hand: Callable[[Standalone[Any]], InHand],
    lost_tasks: Callable[[Any], list[Any]],
    may_be_called: Callable[[Any], bool] | None = None,
) -> Machine:
    """All that the engine asks of one; nobody sends it messages of machines, and it sends none."""

    def no_such_run(id_: str, run_id: str) -> str:
        return no_such(family, id_)

    def held(run: Any) -> Held:
        tasks = Held.TASKS if lost_tasks(run) else Held.NOTHING
        is_called = may_be_called is not None and may_be_called(run)
        return tasks | (Held.CALLS if is_called else Held.NOTHING)

    return Machine(
        kind=kind,
        subject=_subject,
        decide=decide,
        run_named_by=run_named_by,
        wake_up=WakeUp,
        encode_head=encode_head,
        encode_record=encode_record,
        record_key=record_key,
        decode_run=decode_run,
        held=held,
        delete=Delete,
        no_such_run=no_such_run,
        in_hand=in_hand,
        lost_tasks=lost_tasks,
        lost_calls=lost_calls,
        is_crowded=_is_crowded,
        sender_that_must_wait=_sender_that_must_wait,
        is_wanted=_is_wanted,
        answer_to=_answer_to,
    )


def _subject(names: Names, run: Any) -> Standalone[Any]:
    return Standalone(names.namespace, names.namespace_id, names.id, run)


def _is_crowded(run: Any, limits: Limits) -> bool:
    return False


def _sender_that_must_wait(message: Any) -> Address | None:
    return None


def _is_wanted(run: Any, message: Any) -> bool:
    return True


def _answer_to(message: Any, reply: Any) -> tuple[Address, Any] | None:
    return None
