"""Ids of a simulation: UUIDs of version 4 that only the seed decides."""

from __future__ import annotations

import random
import uuid


class SeededIds:
    """A source of ids, the same for the same dice."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def uuid(self) -> str:
        """A new UUID in its 36 characters."""
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
