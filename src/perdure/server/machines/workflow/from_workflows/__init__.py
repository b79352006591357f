"""Messages of other workflows. A decider that changes its workflow sends the answer itself; one
that refuses, or has nothing to change, leaves it to `answers`."""

from __future__ import annotations
