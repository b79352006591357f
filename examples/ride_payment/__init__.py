"""Paying for a ride: two transfers that both happen, or neither does."""

from __future__ import annotations
