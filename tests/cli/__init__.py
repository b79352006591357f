"""The command line, against a server in a process of its own."""

from __future__ import annotations
