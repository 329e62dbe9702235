"""Commands over the store and this installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dermae_bench.cli.flags import FORMAT, PLACE_FLAGS, with_flags


@click.command("list")
@with_flags(*PLACE_FLAGS, FORMAT)
def list_(results: Path, form: str, **_: Any) -> int:
    """List the results folders and what the store holds."""
    from dermae_bench.commands.listing import list_results

    return list_results(results, form)


@click.command()
@click.argument("key")
@with_flags(*PLACE_FLAGS, FORMAT)
def show(key: str, results: Path, form: str, **_: Any) -> int:
    """Show one stage by (the beginning of) its key: what made it, what it gave, why it failed."""
    from dermae_bench.commands.listing import show_stage

    return show_stage(results, key, form)


@click.command()
@with_flags(*PLACE_FLAGS)
def doctor(results: Path, plugins_dir: Path | None) -> int:
    """Check this installation: libraries, devices, processes, store, plugins."""
    from dermae_bench.commands.doctor import examine

    return examine(results, plugins_dir)
