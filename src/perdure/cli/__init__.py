"""The command line: one file per command, `rendering` for what people read.

A module of a command imports only what its options need; the client and all that draws on a
terminal is imported when the command runs, so that the help comes at once.
"""

from __future__ import annotations
