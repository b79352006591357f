"""The command line: one file per noun."""

from __future__ import annotations
