"""A run book for a database: rehearse, ask, apply, check, and go back when it went wrong."""

from __future__ import annotations
