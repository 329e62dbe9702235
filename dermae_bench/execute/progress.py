"""What a run shows while it goes: live lines on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

QUIET, NORMAL, VERBOSE = -1, 0, 1
RATE_SECONDS = 30.0
"""Rates are taken over about this long, so that an estimate follows a change of pace."""
VERBOSE_SECONDS = 30.0
"""How often `-v` repeats where a stage is, when there is no terminal."""
REFRESH_SECONDS = 0.1
NAME_CHARACTERS = 120
REPLACED = "\N{REPLACEMENT CHARACTER}"


@dataclass
class _Stage:
    name: str
    began: float
    status: Mapping[str, Any] = field(default_factory=dict)
    seen: deque[tuple[float, float]] = field(default_factory=deque)
    """(seconds, step) of the last half minute, of one phase."""
    spoken: float = 0.0

    def note(self, status: Mapping[str, Any], now: float) -> None:
        step = _count(status.get("step"))
        if status.get("phase") != self.status.get("phase") or (
            self.seen and step is not None and step < self.seen[-1][1]
        ):
            self.seen.clear()
        self.status = dict(status)
        if step is not None and (not self.seen or step > self.seen[-1][1]):
            self.seen.append((now, step))
            while len(self.seen) > 2 and self.seen[1][0] < now - RATE_SECONDS:
                self.seen.popleft()

    def rate(self, now: float) -> float | None:
        """Steps a second since the oldest step in sight; what a resumed attempt found done does not count."""
        if len(self.seen) < 2:
            return None
        (first_time, first_step), (_, last_step) = self.seen[0], self.seen[-1]
        return (last_step - first_step) / max(now - first_time, 1e-9)

    def where(self, now: float) -> str:
        """Phase, step, rate, time left and loss, as far as they are known."""
        words = [plain(str(self.status["phase"]))] if self.status.get("phase") else []
        told = self.status.get
        step, steps, loss = _count(told("step")), _count(told("steps")), _number(told("loss"))
        if step is not None:
            words.append(f"{step:,.0f}/{steps:,.0f}" if steps is not None else f"{step:,.0f}")
        rate = self.rate(now)
        if rate is not None:
            unit = plain(str(self.status.get("unit") or "step"))
            words.append(f"{_short(rate)} {unit.removesuffix('s')}s/s")
            if step is not None and steps is not None and rate > 0:
                words.append(f"ETA {clock(max(0.0, steps - step) / rate)}")
        if loss is not None:
            words.append(f"loss {loss:.4g}")
        return "  ".join(words)


class Progress:
    """The display of one run, for `total` stages.

    Args:
        total: stages of the run, cached ones included.
        stream: where to write; a terminal gets live lines.
        verbosity: `QUIET` writes nothing, `VERBOSE` adds more.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        total: int,
        stream: TextIO | None = None,
        verbosity: int = NORMAL,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.verbosity = verbosity
        self._stream = sys.stderr if stream is None else stream
        self._now = now
        self._began = now()
        self._running: dict[str, _Stage] = {}
        self._cached = self._done = self._failures = 0
        self._refreshed = -math.inf
        self._mute = verbosity <= QUIET
        live = not self._mute and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._live: Live | None = self._open_live() if live else None

    def started(self, key8: str, name: str) -> None:
        """A stage's process begins."""
        self._running[key8] = _Stage(plain(name), self._now(), spoken=self._now())
        if self._live is None or self.verbosity >= VERBOSE:
            self._line("started", name, key8)
        self._refresh()

    def update(self, key8: str, status: Mapping[str, Any]) -> None:
        """What a running stage last told about itself: `step`, `steps`, `unit`, `loss`, `phase`, each optional."""
        stage = self._running.get(key8)
        if stage is None:
            return
        now = self._now()
        stage.note(status, now)
        if self._live is None and self.verbosity >= VERBOSE and now >= stage.spoken + VERBOSE_SECONDS:
            stage.spoken = now
            self._line("running", stage.name, key8, stage.where(now))
        self._refresh(min_seconds=REFRESH_SECONDS)

    def finished(self, key8: str, name: str, seconds: float) -> None:
        """A stage is in the store."""
        self._running.pop(key8, None)
        self._done += 1
        self._line("done", name, key8, f"in {duration(seconds)}")
        self._refresh()

    def cached(self, count: int) -> None:
        """So many stages were in the store already."""
        self._cached += count
        if count:
            self._write(f"{self._tally()} cached   {count} stage{'s' if count != 1 else ''}")
        self._refresh()

    def lost(self, *, cached: int, done: int) -> None:
        """So many stages that were counted are made again."""
        self._cached -= cached
        self._done -= done
        self._refresh()

    def failed(self, key8: str, name: str, reason: str) -> None:
        """A stage is given up."""
        self._running.pop(key8, None)
        self._failures += 1
        self._line("FAILED", name, key8, f": {plain(reason, 400)}")
        self._refresh()

    def note(self, text: str) -> None:
        """Anything else that people should see: a retry, a warning."""
        self._write(plain(text, 1000))

    def close(self) -> None:
        """End the live display; nothing is written afterwards."""
        if self._live is not None:
            self._running.clear()
            self._refresh()
            live, self._live = self._live, None
            self._guard(live.stop)
        self._mute = True

    def _tally(self) -> str:
        width = len(str(self.total))
        return f"[{self._cached + self._done + self._failures:>{width}}/{self.total}]"

    def _line(self, event: str, name: str, key8: str, more: str = "") -> None:
        tail = more if more.startswith(":") else f" {more}" if more else ""
        self._write(f"{self._tally()} {event:<8} {plain(name)} ({plain(key8)}){tail}")

    def _write(self, line: str) -> None:
        if self._mute:
            return
        live = self._live
        if live is not None:
            self._guard(lambda: live.console.print(line, markup=False, highlight=False, soft_wrap=True))
            return
        encoding = self._stream.encoding or "utf-8"
        text = line.encode(encoding, "backslashreplace").decode(encoding)
        self._guard(lambda: print(text, file=self._stream, flush=True))

    def _guard(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError:
            # nobody reads any more (a closed pipe, a lost terminal): the run is worth more than its display
            self._mute, self._live = True, None

    def _open_live(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
        # refreshed by the calls of the run, not by a thread
        live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        live.start()
        return live

    def _refresh(self, min_seconds: float = 0.0) -> None:
        live, now = self._live, self._now()
        if live is not None and now >= self._refreshed + min_seconds:
            self._refreshed = now
            self._guard(lambda: live.update(self._lines(now), refresh=True))

    def _lines(self, now: float) -> Text:
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        for stage in self._running.values():
            text.append(f"  {stage.name}", style="bold")
            text.append(f"  {clock(now - stage.began)}  {stage.where(now)}\n")
        counts = [f"{self._cached} cached", f"{self._done} done", f"{len(self._running)} running"]
        text.append(f"{self._tally()} {', '.join(counts)}")
        if self._failures:
            text.append(f", {self._failures} failed", style="bold red")
        text.append(f"  {clock(now - self._began)}")
        return text


def plain(text: str, limit: int = NAME_CHARACTERS) -> str:
    """`text` as one line that cannot steer a terminal: controls, bidi marks and lone surrogates are replaced."""
    cut = text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
    spaced = " ".join(cut.split())
    return "".join(REPLACED if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else c for c in spaced)


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, `h:mm:ss` or `d days h:mm:ss`."""
    if not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} day{'s' if days != 1 else ''} {hour}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def duration(seconds: float) -> str:
    """Seconds for the end of a sentence: `0.3 s`, `47 s`, `1:05:20`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else clock(seconds)


def _number(value: object) -> float | None:
    """A status comes from a plugin: only a real number is shown as one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _count(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and math.isfinite(number) else None


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
