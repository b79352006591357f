"""The watch over workflow code: what it interrupts, and what it tells of."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from perdure.worker.deadlock import BlockedTime, DeadlockError, DeadlockWatch


@pytest.fixture
def watch() -> Any:
    """A watch that looks."""
    watch = DeadlockWatch(0.05)
    watch.start()
    yield watch
    watch.stop()


def test_code_that_ends_in_time_is_left_alone(watch: DeadlockWatch) -> None:
    for number in range(1000):
        assert watch.run(lambda number=number: number) == number  # type: ignore[misc]


def test_code_that_never_ends_is_interrupted(watch: DeadlockWatch) -> None:
    def spin() -> None:
        while True:
            pass

    with pytest.raises(DeadlockError, match="in spin"):
        watch.run(spin)
    assert watch.run(lambda: "again") == "again"


def blocked_seconds(*looks: tuple[float | None, int]) -> float:
    """For how long code is to blame, of which this was seen at each second."""
    (cpu_seconds, line), *further = looks
    blocked = BlockedTime(cpu_seconds, (1, line))
    for cpu_seconds, line in further:
        blocked.look(cpu_seconds, (1, line), 1.0)
    assert blocked.wall_seconds == len(further)
    return blocked.seconds


def test_code_is_to_blame_for_what_it_uses_and_for_waiting_at_one_place() -> None:
    assert blocked_seconds((0.0, 1), (1.0, 2), (2.0, 3)) == 2.0
    assert blocked_seconds((0.0, 1), (0.1, 1), (0.2, 1)) == pytest.approx(0.2)
    assert blocked_seconds((0.0, 1), (0.0, 1), (0.001, 1)) == 2.0
    # It goes on, though others leave it little of the processor.
    assert blocked_seconds((0.0, 1), (0.001, 2), (0.002, 3)) == pytest.approx(0.002)
    assert blocked_seconds((None, 1), (None, 2), (None, 3)) == 2.0


def test_code_that_works_and_waits_by_turns_is_interrupted_later(watch: DeadlockWatch) -> None:
    def dawdle() -> None:
        line = 0
        while True:
            for line in range(100):
                time.sleep(0.0005 if line % 2 else 0.0001)

    begun = time.monotonic()
    with pytest.raises(DeadlockError, match="in dawdle"):
        watch.run(dawdle)
    assert time.monotonic() - begun > 0.05


def test_code_that_waits_in_the_main_thread_is_interrupted(watch: DeadlockWatch) -> None:
    never = threading.Event()
    for wait in (never.wait, queue.SimpleQueue[None]().get, partial(time.sleep, 3600)):
        with pytest.raises(DeadlockError, match=r"didn't yield within 0\.05"):
            watch.run(wait_in_code_of_ones_own(wait))
    # Nothing is raised any more by what comes after.
    assert sum(range(100_000)) == 4_999_950_000


def wait_in_code_of_ones_own(wait: Callable[[], object]) -> Callable[[], None]:
    def waits() -> None:
        wait()

    return waits


def test_a_signal_that_somebody_else_handles_is_left_to_him(watch: DeadlockWatch) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _: came.append(number))
    try:
        with pytest.raises(DeadlockError):
            watch.run(lambda: threading.Event().wait(0.5))
        assert not came
    finally:
        signal.signal(signal.SIGURG, before)


def test_code_that_swallows_an_interruption_is_interrupted_again_and_told_of(
    watch: DeadlockWatch, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted: list[BaseException] = []

    def swallow() -> None:
        while len(interrupted) < 3:
            try:
                while True:
                    pass
            except BaseException as error:
                interrupted.append(error)

    with pytest.raises(DeadlockError, match="in swallow"):
        watch.run(swallow)
    assert len(interrupted) == 3
    [record] = caplog.records
    assert "cannot be interrupted" in record.message
    assert "in swallow" in record.message


class LetGo(logging.Handler):
    """Sets an event when something is logged, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.event = threading.Event()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.event.set()


def test_code_in_another_thread_that_waits_is_told_of_and_reported_when_it_ends(
    watch: DeadlockWatch,
) -> None:
    logger = logging.getLogger("perdure.worker")
    told = LetGo()
    logger.addHandler(told)
    try:
        with ThreadPoolExecutor(1) as thread:
            ended = thread.submit(watch.run, lambda: told.event.wait(60))
            with pytest.raises(DeadlockError, match=r"didn't yield within 0\.05"):
                ended.result()
    finally:
        logger.removeHandler(told)
    [text] = told.texts
    assert "cannot be interrupted" in text
    assert "told.event.wait(60)" in text
