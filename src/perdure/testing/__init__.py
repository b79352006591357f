"""Tests of workflows and activities: an engine for the length of a test, and activities alone."""

from __future__ import annotations

from perdure.testing.activity import ActivityEnvironment
from perdure.testing.environment import WorkflowEnvironment
from perdure.testing.mocking import MockedActivity, mock_activity

__all__ = ["ActivityEnvironment", "MockedActivity", "WorkflowEnvironment", "mock_activity"]
