"""The kit over one plugin in a process of its own: told as it goes, and ended where a check takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dermae_bench.bounded.files import open_plain, read_bytes
from dermae_bench.errors import BenchError, DataError, PluginError
from dermae_bench.execute.child import TELL_STACKS
from dermae_bench.execute.endings import LARGEST_LOG, size_of
from dermae_bench.execute.local import Ended, LocalBackend
from dermae_bench.execute.logs import LOGS
from dermae_bench.execute.signals import Signalled, name
from dermae_bench.execute.watching import Clock
from dermae_bench.plugin.catalog import Reference
from dermae_bench.secrets import redact
from dermae_bench.testing.promise import ASKED, IMPORTING, TOLD, Check

CHECK_SECONDS = 120.0
"""How long one check may take, where nothing else is asked for."""
PRELOAD = ("numpy", "torch", "torchvision", "dermae_bench.testing.trying")
"""What the kit imports for any plugin."""
LARGEST = 16 << 20
"""Bytes of what the kit tells about one plugin."""
LOG_END = 1 << 18
"""Bytes at the end of a log that are looked at."""
STACKS_SECONDS = 5.0
"""How long is waited for the word where a plugin stands."""
GONE_SECONDS = 10.0
"""How long is waited for a process that was killed."""
_CALL = "dermae_bench.testing.trying:answer"
_LOOK_SECONDS = 0.05
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$', re.MULTILINE)
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x.*$", re.MULTILINE)


class Watched:
    """One plugin under test.

    Args:
        backend: what runs the process; its server has imported `PRELOAD` or more.
        called: as the user names the plugin.
        reference: where it lies.
        home: folder of its files.
        limit: seconds that a check may take.
        began: told the name of every check that begins.
    """

    def __init__(
        self,
        backend: LocalBackend,
        called: str,
        reference: Reference,
        home: Path,
        limit: float = CHECK_SECONDS,
        began: Callable[[str], None] | None = None,
    ) -> None:
        self.kind = ""
        """As soon as it is imported."""
        self.running = IMPORTING
        """The check that was begun last."""
        self.stood = ""
        """`` at FILE, line N, in FUNCTION``: where the plugin was when it was interrupted or ended."""
        self.printed = ""
        """The end of what it printed."""
        self._backend, self._called, self._reference = backend, called, reference
        self._home, self._limit, self._began = home, limit, began
        self._attempt = f"check-{os.getpid()}-{id(self)}"
        self._folder = Path()
        self._read = 0
        self._open: list[str] = []
        """Promises that are not settled."""

    def checks(self) -> Iterator[Check]:
        """Every promise as it is settled.

        Raises:
            PluginError: it cannot be imported.
            Signalled: the command was interrupted; `running` and `stood` then tell where.
        """
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder)
            asked = {"name": self._called, "reference": asdict(self._reference), "folder": str(Path.cwd())}
            (self._folder / ASKED).write_text(json.dumps(asked))
            try:
                self._backend.submit(self._attempt, self._folder, _CALL)
                yield from self._follow()
            except (Signalled, KeyboardInterrupt):
                if self._read:
                    self.stood = self._ask()
                raise
            finally:
                self.printed = "".join(_words(_text(self._folder / log)) for log in LOGS)
                self._end()

    def _end(self) -> None:
        """Let go of the process, and of the news of its end: whoever uses the backend next does not know it."""
        self._backend.kill(self._attempt)
        end = time.monotonic() + GONE_SECONDS
        with contextlib.suppress(BenchError):
            while self._attempt in self._backend.running and time.monotonic() < end:
                self._backend.wait(_LOOK_SECONDS)
            self._backend.wait(0.0)

    def _follow(self) -> Iterator[Check]:
        clock, since = Clock(), None
        while True:
            ended = [end for end in self._backend.wait(_LOOK_SECONDS) if end.attempt == self._attempt]
            now = clock.now()
            for line in self._news():
                since = now
                if (check := self._heard(line)) is not None:
                    yield check
            if ended and self.kind and not self._open:
                return
            if ended:
                self.stood = _place(_text(self._folder / LOGS[1]), self._home)
                yield from self._cut_short(f"it ended the process{_how(ended[0])}")
                return
            # before the first word, the server still imports
            if since is not None and now - since >= self._limit:
                self.stood = self._ask()
                yield from self._cut_short(f"it took more than {self._limit:g} s")
                return

    def _news(self) -> list[dict[str, Any]]:
        """Whole lines that are new; strangers' code runs in the process that writes them."""
        try:
            words = read_bytes(self._folder / TOLD, LARGEST)[self._read :]
        except DataError:
            return []
        whole = words[: words.rfind(b"\n") + 1]
        self._read += len(whole)
        found = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                news = json.loads(line)
                found += [news] if isinstance(news, dict) else []
        return found

    def _heard(self, line: dict[str, Any]) -> Check | None:
        if "error" in line:
            raise PluginError(str(line["error"]))
        if "promises" in line:
            self.kind, self._open = str(line["kind"]), [str(promise) for promise in line["promises"]]
        elif "begins" in line:
            self.running = str(line["begins"])
            if self._began is not None:
                self._began(self.running)
        elif "ends" in line:
            told = line["ends"]
            check = Check(str(told["name"]), told["reason"], told["skipped"])
            self._open = [promise for promise in self._open if promise != check.name]
            return check
        return None

    def _cut_short(self, why: str) -> Iterator[Check]:
        """The check that runs is broken, and those behind it cannot be tried."""
        if not self.kind:
            raise PluginError(f"plugin {self._called!r} cannot be imported: {why}{self.stood}")
        yield Check(self.running, f"{why}{self.stood}")
        for promise in self._open:
            if promise != self.running:
                yield Check(promise, None, "not tried: the process had been ended")

    def _ask(self) -> str:
        """Where the plugin stands: its process tells it from C, even while the interpreter's lock is held."""
        pid = self._backend.running.get(self._attempt)
        log = self._folder / LOGS[1]
        before = seen = size_of(log)
        if pid is None:
            return ""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, TELL_STACKS)
        end = time.monotonic() + STACKS_SECONDS
        while time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            size = size_of(log)
            if size == seen != before:
                break
            seen = size
        return _place(_text(log, before), self._home)


def _place(stacks: str, home: Path) -> str:
    """The innermost line of a plugin in what `faulthandler` wrote, of the main thread if it is there."""
    # the main thread stands last
    for thread in reversed(_THREAD.split(stacks)[1:]):
        for frame in _FRAME.finditer(thread):
            file = Path(frame["file"])
            # names are written in ASCII
            if str(file.parent) == str(home).encode("ascii", "backslashreplace").decode():
                return f", at {file.name}, line {frame['line']}, in {frame['function']}"
    return ""


def _words(log: str) -> str:
    """What was printed before the stacks: those are not for people."""
    words = re.split(r"^(?:Current thread|Thread) 0x|^Fatal Python error:", log, maxsplit=1, flags=re.MULTILINE)[0]
    return redact(words, os.environ)


def _text(log: Path, start: int = 0) -> str:
    """The end of a log, from byte `start` at the earliest; a crash tells so much that little of it is not enough."""
    with contextlib.suppress(DataError, OSError), open_plain(log, LARGEST_LOG) as stream:
        stream.seek(max(stream.seek(0, os.SEEK_END) - LOG_END, start))
        return stream.read(LOG_END).decode(errors="replace")
    return ""


def _how(ended: Ended) -> str:
    if ended.code is None:
        return f" ({ended.told or ended.reason})"
    return f" (killed by {name(-ended.code)})" if ended.code < 0 else f" (exit code {ended.code})"
