"""Nexus: endpoints, calls to handlers, and the completions that come back."""
