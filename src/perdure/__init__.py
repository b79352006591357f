"""Durable execution in Python: a server that speaks Temporal's API.

This module stays free of imports, so that any part of the package can be imported without the rest.
"""

from __future__ import annotations

__version__ = "0.1.0"
