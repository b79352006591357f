"""The steps of the run book. Each may be tried again: what is done already is not done twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.database_migration import database
from examples.database_migration.releases import RELEASES, Release
from perdure import activity
from perdure.exceptions import ApplicationError


@dataclass
class Change:
    """A release, and where it goes."""

    release: str
    database: str
    backup: str
    """Where a copy is kept, in case that all else fails."""


@dataclass
class StepOf:
    """One step of a change, by its place."""

    change: Change
    index: int


class Operator:
    """The activities, and whom they tell what they do."""

    def __init__(self, tell: Callable[[str], None] = print) -> None:
        self._tell = tell

    @activity.defn
    def back_up(self, change: Change) -> None:
        """Keep a copy of the database as it is."""
        database.copy(Path(change.database), Path(change.backup))
        self._tell("backed up")

    @activity.defn
    def rehearse(self, change: Change) -> list[str]:
        """Apply everything to another copy, check it, go back, and tell what is wrong."""
        rehearsal = Path(change.backup).with_suffix(".rehearsal")
        database.copy(Path(change.backup), rehearsal)
        try:
            problems = _rehearsed(rehearsal, _release(change))
        finally:
            rehearsal.unlink()
        self._tell(f"rehearsed: {'; '.join(problems) or 'fine'}")
        return problems

    @activity.defn
    def apply(self, one: StepOf) -> None:
        """Apply a step to the real database."""
        step = _release(one.change).steps[one.index]
        if database.apply(Path(one.change.database), step):
            self._tell(f"applied {step.version}: {step.name}")

    @activity.defn
    def revert(self, one: StepOf) -> None:
        """Take back a step."""
        step = _release(one.change).steps[one.index]
        if database.revert(Path(one.change.database), step):
            self._tell(f"reverted {step.version}: {step.name}")

    @activity.defn
    def check(self, change: Change) -> list[str]:
        """What is wrong with the real database."""
        problems = _problems(Path(change.database), _release(change))
        self._tell(f"checked: {'; '.join(problems) or 'fine'}")
        return problems

    @activity.defn
    def count_steps(self, change: Change) -> int:
        """How many steps a release has."""
        return len(_release(change).steps)


def _release(change: Change) -> Release:
    if change.release not in RELEASES:
        raise ApplicationError(f"there is no release {change.release!r}", non_retryable=True)
    return RELEASES[change.release]


def _rehearsed(path: Path, release: Release) -> list[str]:
    before = database.schema(path)
    for step in release.steps:
        try:
            database.apply(path, step)
        except sqlite3.Error as error:
            return [f"step {step.version} ({step.name}) fails: {error}"]
    if problems := _problems(path, release):
        return problems
    for step in reversed(release.steps):
        try:
            database.revert(path, step)
        except sqlite3.Error as error:
            return [f"step {step.version} ({step.name}) cannot be taken back: {error}"]
    left = database.schema(path) ^ before
    return [f"going back leaves a difference: {', '.join(sorted(left))}"] if left else []


def _problems(path: Path, release: Release) -> list[str]:
    found = [
        f"{count} {problem}"
        for problem, query in release.checks.items()
        if (count := database.count(path, query))
    ]
    return database.damages(path) + found
