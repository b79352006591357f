"""The seed of a run's random numbers, as every Temporal SDK with the Rust core derives it.

It must never change: a run that has drawn a number draws the same one on replay, on another
machine, and in another SDK. The seed is SipHash-1-3 with a zero key over the run id and the byte
0xFF, which is how Rust hashes a string.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFFFFFFFFFF


def seed_of_run(run_id: str) -> int:
    """The seed derived from the original run id."""
    return siphash_1_3(run_id.encode() + b"\xff")


def siphash_1_3(data: bytes) -> int:
    """SipHash with one compression and three finalisation rounds, and a zero key."""
    v0, v1, v2, v3 = (
        0x736F6D6570736575,
        0x646F72616E646F6D,
        0x6C7967656E657261,
        0x7465646279746573,
    )
    state = (v0, v1, v2, v3)
    whole = len(data) - len(data) % 8
    for offset in range(0, whole, 8):
        word = int.from_bytes(data[offset : offset + 8], "little")
        state = _absorb(state, word)
    last = int.from_bytes(data[whole:], "little") | ((len(data) & 0xFF) << 56)
    v0, v1, v2, v3 = _absorb(state, last)
    state = (v0, v1, v2 ^ 0xFF, v3)
    for _ in range(3):
        state = _round(*state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _absorb(state: tuple[int, int, int, int], word: int) -> tuple[int, int, int, int]:
    v0, v1, v2, v3 = state
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
    return v0 ^ word, v1, v2, v3


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & _MASK
    v1 = _rotate(v1, 13) ^ v0
    v0 = _rotate(v0, 32)
    v2 = (v2 + v3) & _MASK
    v3 = _rotate(v3, 16) ^ v2
    v0 = (v0 + v3) & _MASK
    v3 = _rotate(v3, 21) ^ v0
    v2 = (v2 + v1) & _MASK
    v1 = _rotate(v1, 17) ^ v2
    v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK
