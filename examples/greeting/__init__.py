"""The smallest workflow: one activity, one result."""

from __future__ import annotations
