"""Commands over results folders and published tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dermae_bench.cli.flags import FORMAT, PLACE_FLAGS, SUITE_FLAGS, flag, places, with_flags

WHAT = click.argument("what", type=click.Path(path_type=Path), metavar="RESULTS|SUITE")


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@flag(
    "--n",
    "sizes",
    env="TEST_SIZES",
    multiple=True,
    type=click.IntRange(1, 10**7),
    metavar="IMAGES",
    help="A size that the test set may have; repeatable.",
)
@flag(
    "--classes",
    env="CLASSES",
    multiple=True,
    metavar="TASK=NEGATIVE,POSITIVE",
    help="Images of each class, negative first; repeatable, several for one task are tried in turn.",
)
@with_flags(FORMAT)
@flag("--out", env="AUDIT_OUT", type=click.Path(path_type=Path), help="Also write the audit here, as Markdown.")
def audit(table: Path, sizes: tuple[int, ...], classes: tuple[str, ...], form: str, out: Path | None) -> int:
    """Say what the digits of a published table allow: test size, F1 average, baselines, copies, contradictions.

    Findings are no failure. docs/audit.md shows how to write the table.
    """
    from dermae_bench.commands.auditing import audit_table

    return audit_table(table, sizes=sizes, classes=classes, form=form, out=out)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="A B | FOLDER ROW_A ROW_B")
@flag(
    "--metric",
    "metrics",
    env="METRIC",
    multiple=True,
    metavar="NAME",
    help="Compare this column; repeatable. All that have a better side by default.",
)
@flag(
    "--test",
    env="TEST",
    type=click.Choice(["sign-flip", "bootstrap", "mcnemar", "mcnemar-mid-p", "delong"]),
    default="sign-flip",
    show_default=True,
    help="Of the difference.",
)
@flag("--policy", env="POLICY", type=click.Path(path_type=Path), help="What B must reach; decides the exit code.")
@flag(
    "--flips",
    env="FLIPS",
    multiple=True,
    metavar="N|all|DIR",
    help="List N images on which the rows part, or write their pictures into DIR; repeatable.",
)
@flag("--seed", env="SEED", type=click.IntRange(0), default=0, show_default=True, help="Of draws and sign flips.")
@with_flags(*PLACE_FLAGS, FORMAT)
def compare(
    words: Sequence[str],
    metrics: Sequence[str],
    test: Any,
    policy: Path | None,
    flips: Sequence[str],
    seed: int,
    form: str,
    plugins_dir: Path | None,
    **_: Any,
) -> int:
    """Compare the candidate B with the reference A: results folders, or rows of them (FOLDER:ROW).

    Leaves with 0 (GO, or no policy), 1 (NO-GO), 4 (INCONCLUSIVE), 2 (a mistake, or A and B may not be compared).
    docs/compare.md explains tests and policies.
    """
    from dermae_bench.archives import unpacked_words
    from dermae_bench.commands.comparing import compare_results

    with unpacked_words(words) as found:
        return compare_results(
            found, metrics=metrics, test=test, policy=policy, flips=flips, form=form, seed=seed, plugins_dir=plugins_dir
        )


@click.command()
@WHAT
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS)
@flag(
    "--store/--no-store",
    env="STORE",
    default=True,
    show_default=True,
    help="Without: check as in a clone; what needs the store is listed and does not count.",
)
@flag(
    "--format",
    "form",
    env="FORMAT",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print.",
)
def verify(what: Path, store: bool, form: str, **words: Any) -> int:
    """Compute every number of a results folder again, and name what differs.

    Leaves with 0 (nothing differs), 1 (something differs), 4 (nothing differs, but something could not be checked).
    docs/verify.md says what is found, and what cannot be.
    """
    from dermae_bench.commands.verifying import verify_results

    return verify_results(what, **places(words), store=store, form=form)


@click.command()
@WHAT
@flag(
    "--as",
    "form",
    env="AS",
    type=click.Choice(["latex", "markdown", "csv", "zip"]),
    required=True,
    help="A table of one board, or the whole folder as an archive without real photographs.",
)
@flag("--out", env="OUT", type=click.Path(path_type=Path), help="The file to write; standard output by default.")
@flag(
    "--board",
    env="BOARD",
    type=click.Choice(["classifiers", "generators"]),
    default="classifiers",
    show_default=True,
    help="Which leaderboard.",
)
@flag("--columns", env="COLUMNS", metavar="NAME,...", help="Only these metrics and costs. All by default.")
@flag("--rows", env="ROWS", multiple=True, metavar="PATTERN", help="Only rows whose name fits; repeatable.")
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS)
def export(
    what: Path, form: Any, out: Path | None, board: Any, columns: str | None, rows: tuple[str, ...], **words: Any
) -> int:
    """Write a leaderboard as LaTeX, Markdown or CSV, or a results folder as an archive that `verify` reads.

    docs/export.md shows both.
    """
    from dermae_bench.commands.exporting import export_results

    return export_results(what, form=form, out=out, board=board, columns=columns, rows=rows, **places(words))
