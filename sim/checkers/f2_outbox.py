"""F2: a message is written together with the change that it comes of, and goes together with the
change that it makes: of whom it is for, or, if that one refuses it, of its sender. One that has
nothing to change goes by itself."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every message that came or went by itself, or is left over."""
    ledger = audit.ledger
    for sequence, sent in ledger.sent.items():
        if not sent.is_with_source:
            yield f"message {sequence} of run {sent.run} was not written with a change of that run"
    for each in ledger.settled:
        if each.by and not each.target:
            yield f"message {each.sequence} had gone before, and {each.by} has changed by it"
        elif each.by and each.by not in (each.target, each.source):
            yield f"message {each.sequence} to {each.target} went with a change of {each.by}"
    settled = {each.sequence for each in ledger.settled}
    if audit.is_final and (left := ledger.sent.keys() - settled):
        yield f"messages {sorted(left)} never arrived"
