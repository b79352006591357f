"""What people read: payloads, failures, times and histories as text."""

from __future__ import annotations
