"""Crashes of real server processes, and what must be left of the work after them."""
