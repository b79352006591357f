"""What the world does with the service: clients, workers, and the programs that workers run."""

from __future__ import annotations
