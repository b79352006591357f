"""The frontend: validation, translation and errors, against a real engine on a store in memory."""

from __future__ import annotations
