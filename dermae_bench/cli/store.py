"""Commands over the store and this installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dermae_bench.cli.flags import FORMAT, PLACE_FLAGS, SUITE_FLAGS, flag, with_flags


@click.command("list")
@with_flags(*PLACE_FLAGS, FORMAT)
@flag("--stages", env="STAGES", is_flag=True, help="Every finished stage, newest first, with key, age and size.")
def list_(results: Path, form: str, stages: bool, **_: Any) -> int:
    """List the results folders and what the store holds: stages, failures, quarantine, living runs."""
    from dermae_bench.commands.listing import list_results, list_stages

    return list_stages(results, form) if stages else list_results(results, form)


@click.command()
@click.argument("key")
@with_flags(*PLACE_FLAGS, FORMAT)
@flag("--images", env="IMAGES", is_flag=True, help="Of a prepare stage: id, split and label of every image, as CSV.")
def show(key: str, results: Path, form: str, images: bool, **_: Any) -> int:
    """Show one stage by (the beginning of) its key: what made it, what it gave, why it failed."""
    from dermae_bench.commands.listing import show_images, show_stage

    return show_images(results, key) if images else show_stage(results, key, form)


@click.command()
@click.argument("suites", nargs=-1, type=click.Path(path_type=Path))
@with_flags(SUITE_FLAGS[1], *PLACE_FLAGS, FORMAT)
@flag(
    "--unused",
    env="UNUSED",
    is_flag=True,
    help="Also results, checkpoints and failures of stages that none of the given suites needs.",
)
@flag(
    "--partial",
    env="PARTIAL",
    is_flag=True,
    help="Also checkpoints and shards of stages that are not finished: they will begin anew.",
)
@flag("--older-than", env="OLDER_THAN", metavar="AGE", help="Only what was not changed for so long: 7d, 12h, 2w.")
@flag("--yes", env="YES", is_flag=True, help="Remove it; without this it is only shown.")
def clean(
    suites: tuple[Path, ...], sets: tuple[str, ...], results: Path, plugins_dir: Path | None, form: str,
    unused: bool, partial: bool, older_than: str | None, yes: bool,
) -> int:  # fmt: skip
    """Show what of the store may go, and remove it with --yes.

    Without more words: what lies in quarantine, what attempts left behind whose stages are finished, failures of
    stages that are finished now, temporary files, traces of killed runs. Nothing that a later run could use.

    With --unused, name ALL suites whose results are to stay; each counts as it stands and with every preset, with
    the given --set. Whatever a living run needs or works on stays in any case.
    """
    from dermae_bench.commands.cleaning import Wishes
    from dermae_bench.commands.cleaning import clean as clean_store

    wishes = Wishes(unused=unused, partial=partial, older_than=older_than, yes=yes)
    return clean_store(suites, sets=sets, results=results, plugins_dir=plugins_dir, wishes=wishes, form=form)


@click.command("import-weights")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A new .safetensors file.")
@click.option("--trust-pickle", is_flag=True, help="RUN the file, in a child process. Only if you trust its author.")
def import_weights(file: Path, out: Path, trust_pickle: bool) -> int:
    """Make .safetensors of a pickled file of weights, with a .json beside it that says where they come from.

    Without --trust-pickle nothing of the file is run, and what holds more than tensors is refused.
    """
    from dermae_bench.commands.importing import import_weights_file

    return import_weights_file(file, out, trusted=trust_pickle)


@click.command()
@with_flags(*PLACE_FLAGS)
def doctor(results: Path, plugins_dir: Path | None) -> int:
    """Check this installation: libraries, devices, processes, store, plugins."""
    from dermae_bench.commands.doctor import examine

    return examine(results, plugins_dir)
