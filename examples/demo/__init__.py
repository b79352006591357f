"""`make demo`: the examples one after the other, and a process that is killed."""

from __future__ import annotations
