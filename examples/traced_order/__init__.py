"""Traces: an order's way from the client to its activities, as one tree of spans."""

from __future__ import annotations
