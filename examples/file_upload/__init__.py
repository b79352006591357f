"""A file goes to storage and leaves temporary storage, through kills and broken connections."""

from __future__ import annotations
