"""Signals that end a run: noted while stages run, and an orderly way out everywhere else."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C, an end on request, a closed terminal, and what Slurm can send before it takes the node away."""


class Signalled(BaseException):
    """The run was asked to stop while no stage ran.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(name(number))
        self.number = number


class TooLong(BaseException):
    """What was to be done within a time was not."""


class Requests:
    """While inside, a signal is only noted: the loop that runs the stages acts on it."""

    def __init__(self) -> None:
        self.count = 0
        self.number: int | None = None
        self.since: float | None = None
        """Seconds, monotonic, of the first one."""
        self._before: dict[int, Any] = {}

    def ask(self, number: int | None = None) -> None:
        """Ask for a stop, as a signal would."""
        self.count += 1
        self.number = number if number is not None else self.number
        self.since = self.since if self.since is not None else time.monotonic()

    def __enter__(self) -> Requests:
        self._before = _install(lambda number, frame: self.ask(number))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """While inside, a signal raises `Signalled`, and a second one ends the process at once with 128 + its number."""
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            os._exit(128 + number)
        raise Signalled(number)

    before = _install(handle)
    try:
        yield
    finally:
        _restore(before)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Do it in so many seconds. Raises: TooLong: where they are over."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def name(number: int) -> str:
    """`SIGTERM`, or the number where it has no name."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Set the handler for all of them; returns those before. Only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    # what nohup asked for stands
    numbers = [n for n in STOPPING if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        # None: it was set outside of Python
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)
