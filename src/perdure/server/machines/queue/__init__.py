"""The queue machine: tasks on offer x pollers -> matches."""

from __future__ import annotations
