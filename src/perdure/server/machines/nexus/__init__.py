"""Nexus operations, as far as machines know of them: what becomes of a call to a handler."""
