"""Commands over plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dermae_bench.cli.flags import FORMAT, PLACE_FLAGS, FiniteRange, flag, with_flags


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List, show, check or start plugins."""
    if context.invoked_subcommand is None:
        context.exit(context.invoke(plugins_list))


@plugins.command("list")
@with_flags(*PLACE_FLAGS, FORMAT)
def plugins_list(plugins_dir: Path | None = None, form: str = "table", **_: Any) -> int:
    """List every plugin, broken ones with their reason."""
    from dermae_bench.commands.listing import list_plugins

    return list_plugins(plugins_dir, form)


@plugins.command("show")
@click.argument("name")
@with_flags(*PLACE_FLAGS, FORMAT)
def plugins_show(name: str, plugins_dir: Path | None, form: str, **_: Any) -> int:
    """Show a plugin's parameters, sampling and columns."""
    from dermae_bench.commands.listing import show_plugin

    return show_plugin(name, plugins_dir, form)


@plugins.command("check")
@click.argument("names", nargs=-1)
@with_flags(
    *PLACE_FLAGS,
    flag(
        "--timeout",
        env="CHECK_TIMEOUT",
        type=FiniteRange(min=0.1),
        metavar="SECONDS",
        default=120.0,
        show_default=True,
        help="Longest time of one check.",
    ),
)
def plugins_check(names: Sequence[str], plugins_dir: Path | None, timeout: float, **_: Any) -> int:
    """Run the conformance kit over plugins (all installed ones by default)."""
    from dermae_bench.commands.plugin_check import check_plugins

    return check_plugins(names, plugins_dir, timeout)


@plugins.command("new")
@click.argument("kind", type=click.Choice(["generator", "classifier"]))
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder to put the new project into.")
@click.option("--conditional", is_flag=True, help="Write a generator that draws the classes of a task.")
def plugins_new(kind: str, name: str, into: Path, conditional: bool) -> int:
    """Write a new plugin project: one class, its entry point and its test."""
    from dermae_bench.commands.plugin_new import new_plugin

    return new_plugin(kind, name, into, conditional)
