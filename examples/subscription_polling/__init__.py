"""A subscription that renews itself while it is paid for: polls, reminders, an end."""

from __future__ import annotations
