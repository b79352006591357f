"""What is due."""

from __future__ import annotations
