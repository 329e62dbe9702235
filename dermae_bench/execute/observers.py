"""Observers: told what happens, never asked; one that raises is reported once and not told again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import click
import pluggy

from dermae_bench.execute.progress import plain
from dermae_bench.plugin.hookspecs import OBSERVER_GROUP, PROJECT, Observations
from dermae_bench.secrets import redact

LONGEST = 1000
"""Characters of what is shown of an observer's error."""


def observers() -> Callable[[str, Mapping[str, Any]], None]:
    """A function that tells every installed observer an event, by hook name."""
    entries = list(metadata.entry_points(group=OBSERVER_GROUP))
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Observations)
    for entry in entries:
        try:
            manager.register(entry.load(), name=entry.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a stranger's module may raise anything; the run goes on)
            _complain(f"observer {entry.name!r} cannot be used", error)

    def tell(hook: str, event: Mapping[str, Any]) -> None:
        for name, plugin in manager.list_name_plugin():
            if plugin is None or not hasattr(plugin, hook):
                continue
            try:
                getattr(plugin, hook)(event=dict(event))
            except (Exception, SystemExit) as error:  # noqa: BLE001 (as above)
                _complain(f"observer {name!r} failed and is not told again", error)
                manager.unregister(name=name)

    return tell


def _complain(what: str, error: BaseException) -> None:
    """One line that steers no terminal and tells no secret."""
    try:
        told = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 (even naming a stranger's error may raise)
        told = f"{type(error).__name__}, which has no message"
    click.echo(plain(redact(f"{what}: {told}", os.environ), LONGEST), err=True)
