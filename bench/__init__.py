"""Workloads and peers, measured side by side. Never a test: a slow machine fails nothing here."""
