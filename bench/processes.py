"""What a process and its descendants have used: CPU seconds and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

REFERENCE_STEPS = 2_000_000


def reference_cpu_ms() -> float:
    """CPU of a fixed piece of pure Python: what a machine is worth just now.

    On a shared or virtual machine the same work costs a third more at one time than at another, so
    numbers are only comparable where this one is alike.
    """
    began, total = time.process_time(), 0
    for step in range(REFERENCE_STEPS):
        total += step
    return (time.process_time() - began) * 1_000


def _tree(pid: int) -> Iterator[psutil.Process]:
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)


def cpu_seconds(pid: int) -> float:
    """User and system time used so far by a process and its descendants, ended ones included."""
    total = 0.0
    for process in _tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # It ended between listing and reading.
        total += times.user + times.system
        total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total


def resident_bytes(pid: int) -> int:
    """Memory held now by a process and its living descendants."""
    total = 0
    for process in _tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def resident_max_bytes(pid: int) -> int:
    """The most memory that each of a process and its living descendants ever held, summed.

    Linux keeps that mark for every process; elsewhere this is what they hold now.
    """
    total = 0
    for process in _tree(pid):
        status = Path(f"/proc/{process.pid}/status")
        try:
            lines = status.read_text().splitlines() if status.exists() else []
            mark = next((line for line in lines if line.startswith("VmHWM:")), None)
            total += int(mark.split()[1]) * 1024 if mark else process.memory_info().rss
        except (psutil.NoSuchProcess, OSError):
            continue
    return total
