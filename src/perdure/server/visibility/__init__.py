"""What a list shows of runs."""

from __future__ import annotations
