"""Observers: told what happens, never asked; one that raises is reported once and not told again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import click
import pluggy

from dermae_bench.plugin.hookspecs import OBSERVER_GROUP, PROJECT, Observations


def observers() -> Callable[[str, Mapping[str, Any]], None]:
    """A function that tells every installed observer an event, by hook name."""
    entries = list(metadata.entry_points(group=OBSERVER_GROUP))
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Observations)
    for entry in entries:
        try:
            manager.register(entry.load(), name=entry.name)
        except Exception as error:  # noqa: BLE001 (a stranger's module may raise anything; the run goes on without it)
            click.echo(f"observer {entry.name!r} cannot be used: {type(error).__name__}: {error}", err=True)

    def tell(hook: str, event: Mapping[str, Any]) -> None:
        for name, plugin in manager.list_name_plugin():
            if plugin is None or not hasattr(plugin, hook):
                continue
            try:
                getattr(plugin, hook)(event=dict(event))
            except Exception as error:  # noqa: BLE001 (as above)
                click.echo(f"observer {name!r} failed and is not told again: {type(error).__name__}: {error}", err=True)
                manager.unregister(name=name)

    return tell
