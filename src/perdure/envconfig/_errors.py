"""What is raised for a configuration that cannot be used."""

from __future__ import annotations


class ConfigError(RuntimeError):
    """A client's configuration cannot be used."""
