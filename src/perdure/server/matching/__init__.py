"""Task queues, hosted: polls, backlogs, and reading them from the store page by page."""

from __future__ import annotations
