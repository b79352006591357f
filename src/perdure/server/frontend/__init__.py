"""The API: each RPC validates, fills in defaults, asks the engine, and translates the answer."""

from __future__ import annotations
