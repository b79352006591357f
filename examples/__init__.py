"""Programs to read first. Each runs by itself: `python -m examples.greeting`."""

from __future__ import annotations
