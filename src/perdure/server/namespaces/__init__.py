"""Namespaces: what keeps the workflows of different users apart."""

from __future__ import annotations
