"""Nexus operations of a workflow: scheduled, called at their handler until it answers, and ended by
that answer, by a completion that comes later, or by a timeout."""
