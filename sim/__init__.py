"""The simulator: the whole service with its clients and workers in one process, under one seed.

Time, randomness, network and disk are parameters of the engine, so a world of it can be run from a
single `random.Random(seed)`: the same seed gives the same trace, byte for byte. A world crashes its
engine and its workers at any await, loses and delays messages, refuses and half-reports commits,
and then checks that nothing which was acknowledged is lost and that no invariant is broken.
"""

from __future__ import annotations
