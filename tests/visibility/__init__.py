"""The query language: what is accepted, what is refused and how, and what it finds."""
