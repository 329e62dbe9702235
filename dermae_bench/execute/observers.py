"""Observers: told what happens, never asked; one that raises is reported once and not told again."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

import click
import pluggy

from dermae_bench.execute.progress import plain
from dermae_bench.execute.signals import Signalled, TooLong
from dermae_bench.plugin.hookspecs import OBSERVER_GROUP, PROJECT, Observations
from dermae_bench.secrets import redact

LONGEST = 1000
"""Characters of what is shown of an observer's error."""


def observers() -> Callable[[str, Mapping[str, Any]], None]:
    """A function that tells every installed observer an event, by hook name."""
    entries = list(metadata.entry_points(group=OBSERVER_GROUP))
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Observations)
    movers: set[str] = set()
    for entry in entries:
        try:
            with _staying(entry.name, movers):
                manager.register(entry.load(), name=entry.name)
        except BaseException as error:  # noqa: BLE001 (a stranger's module may raise anything; the run goes on)
            _raise_if_of_the_user(error)
            _complain(f"observer {entry.name!r} cannot be used", error)

    def tell(hook: str, event: Mapping[str, Any]) -> None:
        for name, plugin in manager.list_name_plugin():
            if plugin is None:
                continue
            try:
                with _staying(name, movers):
                    if hasattr(plugin, hook):
                        getattr(plugin, hook)(event=dict(event))
            except BaseException as error:  # noqa: BLE001 (as above)
                _raise_if_of_the_user(error)
                _complain(f"observer {name!r} failed and is not told again", error)
                manager.unregister(name=name)

    return tell


@contextlib.contextmanager
def _staying(name: str, movers: set[str]) -> Iterator[None]:
    """Go back to the working folder afterwards: paths of the run may be relative. `movers` were told of already."""
    # a handle and not a path: the folder may be moved, or unreadable from above
    here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            if not _same(here):
                os.fchdir(here)
                if name not in movers:
                    movers.add(name)
                    _say(f"observer {name!r} changed the working folder, which was put back")
        finally:
            os.close(here)


def _same(folder: int) -> bool:
    try:
        return os.path.samestat(os.fstat(folder), os.stat("."))  # noqa: PTH116 (of a handle)
    except OSError:
        # where it stands now cannot be looked at
        return False


def _raise_if_of_the_user(error: BaseException) -> None:
    """What a signal to this process raised goes on its way.

    Raises:
        BaseException: `error` itself. Where a run has handlers for signals, a KeyboardInterrupt is the observer's own.
    """
    interrupted = isinstance(error, KeyboardInterrupt)
    if isinstance(error, Signalled | TooLong) or (
        interrupted and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        raise error


def _complain(what: str, error: BaseException) -> None:
    """One line that steers no terminal and tells no secret."""
    try:
        told = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 (even naming a stranger's error may raise)
        told = f"{type(error).__name__}, which has no message"
    _say(f"{what}: {told}")


def _say(words: str) -> None:
    click.echo(plain(redact(words, os.environ), LONGEST), err=True)
