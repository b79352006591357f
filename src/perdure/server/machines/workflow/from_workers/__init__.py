"""What workers report, and what they are given."""

from __future__ import annotations
