"""Random workflow programs, carried out on the real server and on ours, and compared."""

from __future__ import annotations
