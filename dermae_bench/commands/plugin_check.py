"""`dermae-bench plugins check`: the conformance kit from the command line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from dermae_bench.commands.printing import echo, harmless
from dermae_bench.errors import FAILED, OK, BenchError
from dermae_bench.execute.local import PRELOAD as EVERYTHING
from dermae_bench.execute.local import LocalBackend
from dermae_bench.execute.signals import Signalled, leaving
from dermae_bench.execute.signals import name as name_of
from dermae_bench.plugin.catalog import Catalog, Reference
from dermae_bench.testing.promise import Check
from dermae_bench.testing.watched import CHECK_SECONDS, PRELOAD, Watched

SHOWN_LINES = 20
"""Of what a plugin with a broken promise printed."""


def check_plugins(
    names: Sequence[str], plugins_dir: Path | None, limit: float = CHECK_SECONDS, backend: LocalBackend | None = None
) -> int:
    """Print every promise of every plugin, kept or broken, as it is settled.

    Args:
        names: plugins; none for all that are installed.
        plugins_dir: folder of single-file plugins.
        limit: seconds that one check may take.
        backend: what runs the processes, which stays open; by default one of its own.

    Returns:
        Exit code: 1 if a promise is broken, 128 + N after signal N.
    """
    kit = _Kit(plugins_dir, limit)
    own = LocalBackend(PRELOAD if names else (*EVERYTHING, *PRELOAD)) if backend is None else None
    try:
        with leaving():
            return kit.check(names, backend or own or LocalBackend())
    except Signalled as asked:
        kit.tell_where(f"stopped by {name_of(asked.number)}")
        return 128 + asked.number
    finally:
        if own is not None:
            own.close(hurry=True)


class _Kit:
    """What is printed of the kit."""

    def __init__(self, plugins_dir: Path | None, limit: float) -> None:
        self._catalog = Catalog(plugins_dir)
        self._limit = limit
        self._name = ""
        self._watched: Watched | None = None
        self._shown = False

    def check(self, names: Sequence[str], backend: LocalBackend) -> int:
        code = OK
        for name in names or self._catalog.names():
            self._name, self._watched = name, None
            try:
                reference = self._catalog.reference(name)
                sources = self._catalog.sources(reference)
                home = next(path for module, path in sources.files.items() if module == reference.module).parent
                broken = self._one(reference, home, backend)
            except BenchError as error:
                self._clear()
                echo(f"FAIL  {name}: {error}")
                broken = True
            if broken:
                code = FAILED
                self._tell_printed()
        return code

    def _one(self, reference: Reference, home: Path, backend: LocalBackend) -> bool:
        self._show("starting")
        watched = self._watched = Watched(backend, self._name, reference, home, self._limit, self._show)
        broken = False
        for check in watched.checks():
            self._clear()
            echo(_line(f"{watched.kind} {self._name}", check))
            broken = broken or check.reason is not None
        self._clear()
        return broken

    def _show(self, running: str) -> None:
        """Name what runs on a terminal, in a line that the next one takes the place of."""
        if sys.stderr is not None and sys.stderr.isatty():
            width = shutil.get_terminal_size((100, 24)).columns - 1
            click.echo(f"\r\x1b[K{harmless(f'...   {self._name}: {running}')[:width]}", err=True, nl=False)
            self._shown = True

    def _clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
            self._shown = False

    def _tell_printed(self) -> None:
        lines = self._watched.printed.strip("\n").splitlines() if self._watched is not None else []
        if lines:
            echo(f"      {self._name} printed:", err=True)
        for line in lines[-SHOWN_LINES:]:
            echo(f"      | {line}", err=True)

    def tell_where(self, why: str) -> None:
        """Say what was running when the command was interrupted."""
        self._clear()
        watched = self._watched
        if watched is None:
            echo(f"{why}, before a check was begun", err=True)
            return
        name = f"{watched.kind} {self._name}".lstrip()
        echo(f"{why} while this was running: {name}: {watched.running}{watched.stood}", err=True)


def _line(subject: str, check: Check) -> str:
    state = "FAIL" if check.reason is not None else "skip" if check.skipped is not None else "ok  "
    why = check.reason if check.reason is not None else check.skipped
    return f"{state}  {subject}: {check.name}" + (f": {why}" if why else "")
