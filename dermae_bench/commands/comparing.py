"""What `compare` does: choose rows, compare them, hold a policy against them, show the images on which they part."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dermae_bench.commands.printing import echo
from dermae_bench.errors import FAILED, INCONCLUSIVE, OK, UserError

if TYPE_CHECKING:
    from dermae_bench.plugin.measures import Metric
    from dermae_bench.report.compare.flips import Flips
    from dermae_bench.report.compare.outcome import Comparison
    from dermae_bench.report.compare.policy import LoadedPolicy, Policy
    from dermae_bench.report.compare.procedures import Test
    from dermae_bench.report.compare.recorded import Results
    from dermae_bench.report.compare.sides import Pairing

MISFITS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What computing from a folder raises whose parts do not fit each other."""
EXIT = {"GO": OK, "NO-GO": FAILED, "INCONCLUSIVE": INCONCLUSIVE}


@dataclass(frozen=True, kw_only=True)
class FlipsAsked:
    """What `--flips` asks for."""

    listed: int = 0
    """Of each direction, on the terminal."""
    folder: Path | None = None
    """Where pictures go."""


def compare_results(
    words: Sequence[str],
    *,
    metrics: Sequence[str] = (),
    test: Test = "sign-flip",
    policy: Path | None = None,
    flips: Sequence[str] = (),
    form: str = "table",
    seed: int = 0,
    plugins_dir: Path | None = None,
) -> int:
    """Compare the candidate B with the reference A and print it.

    Args:
        words: `A B`, or `FOLDER ROW_A ROW_B`; see `report.compare.sides`.
        metrics: columns; all of the suite that have a better side by default.
        test: `sign-flip`, `bootstrap`, `mcnemar`, `mcnemar-mid-p` or `delong`.
        policy: a policy file; then the verdict decides the exit code.
        flips: a number of images to list, `all`, or a folder for pictures.
        form: `table`, `json` or `csv` on stdout.
        seed: of bootstrap draws and sign flips.
        plugins_dir: folder of single-file plugins, where a metric lies there.

    Returns:
        0 GO or compared without a policy, 1 NO-GO, 4 INCONCLUSIVE.

    Raises:
        UserError: words, rows, metrics or the policy are wrong, or A and B may not be compared.
    """
    from dermae_bench.report.compare.comparison import compare
    from dermae_bench.report.compare.policy import load_policy
    from dermae_bench.report.compare.recorded import Results
    from dermae_bench.report.compare.sides import paired, sides
    from dermae_bench.report.compare.verdicts import judge
    from dermae_bench.report.evidence import VERIFY

    shown = flips_asked(flips)
    loaded = load_policy(policy) if policy is not None else None
    side_a, side_b = sides(words)
    try:
        a = Results(side_a.folder)
        b = a if side_a.folder == side_b.folder else Results(side_b.folder)
        pairing = paired(a, b, side_a.row, side_b.row)
        held = _fitting(loaded, a, b, pairing) if loaded is not None else None
        comparison = compare(
            a,
            b,
            pairing,
            metric_of=metrics_of(plugins_dir),
            metrics=metrics,
            judged=tuple(held.metrics) if held is not None else (),
            test=test,
            level=held.level if held is not None else 0.95,
            seed=seed,
        )
        judged = judge(comparison, held) if held is not None else None
        found = _flips(comparison)
    except MISFITS as error:
        # what strangers wrote may contradict itself in more ways than a form can tell
        folders = " and ".join(dict.fromkeys((str(side_a.folder), str(side_b.folder))))
        told = f"{folders} cannot be compared: {type(error).__name__}: {str(error)[:200]}"
        raise UserError(told, hint=f"{VERIFY} in a results folder") from error
    if form == "json":
        from dermae_bench.report.compare.machine import json_comparison

        click.echo(json_comparison(comparison, judged, found if flips else {}))
    elif form == "csv":
        from dermae_bench.report.compare.machine import csv_comparison

        click.echo(csv_comparison(comparison), nl=False)
    else:
        from dermae_bench.report.compare.text import terminal_comparison

        echo(terminal_comparison(comparison, judged, found, shown.listed, _width()))
    if shown.folder is not None:
        _pictures(comparison, found, a, shown.folder)
    return EXIT[judged.verdict] if judged is not None else OK


def flips_asked(words: Sequence[str]) -> FlipsAsked:
    """What `--flips` says: a number or `all` lists, anything else is a folder for pictures.

    Raises:
        UserError: a number that is none of images, two folders, or a folder that photographs may not lie in.
    """
    listed, folders = 0, []
    for word in words:
        if word == "all":
            listed = 1_000_000
        elif word.isascii() and word.isdigit():
            listed = max(listed, int(word))
        elif word.startswith("-") or _is_number(word):
            hint = f"a number of images such as 20, `all`, or a folder; a folder of that name is ./{word}"
            raise UserError(f"--flips: {word} is no number of images", hint=hint)
        else:
            folders.append(Path(word).expanduser())
    if len(folders) > 1:
        raise UserError(f"--flips: one folder for pictures, not {len(folders)}", hint="a number or `all` lists them")
    if folders:
        from dermae_bench.report.compare.sheets import refuse_public

        refuse_public(folders[0])
    return FlipsAsked(listed=listed, folder=folders[0] if folders else None)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def metrics_of(plugins_dir: Path | None) -> Callable[[str, Mapping[str, Any]], Metric]:
    """Builds metric plugins by the names that scores hold; imports each when it is asked for."""
    from dermae_bench.plugin.catalog import Catalog
    from dermae_bench.plugin.loading import load_plugin
    from dermae_bench.plugin.params import build

    catalog = Catalog(plugins_dir)

    def metric_of(name: str, params: Mapping[str, Any]) -> Metric:
        reference = catalog.reference(name)
        kind, cls = load_plugin(reference.name, reference.module, reference.file)
        if kind != "metric":
            raise UserError(f"plugin {name!r} is a {kind} here, and no metric any more")
        metric: Metric = cls(build(cls.Config, params))
        return metric

    return metric_of


def _fitting(loaded: LoadedPolicy, a: Results, b: Results, pairing: Pairing) -> Policy:
    """The policy, checked against the columns of the tasks that it judges."""
    from dermae_bench.report.compare.ranges import range_of

    judged = [pair for pair in pairing.pairs if pair.a.section in loaded.tasks] or pairing.pairs
    columns, ranges = {}, {}
    for pair in judged:
        theirs = b.of(pair.b)
        for name, records in a.of(pair.a).items():
            if name in theirs:
                columns[name] = records[0].better
                # columns may be renamed; an identity holds what the metric itself calls them
                ends = range_of(str(records[0].identity.get("name", name)))
                if ends is not None:
                    ranges[name] = ends
    return loaded.fitting(columns, list(dict.fromkeys(pair.a.section for pair in pairing.pairs)), ranges)


def _flips(comparison: Comparison) -> dict[int, Flips]:
    from dermae_bench.report.compare.flips import flips

    return {place: flips(*pair.answers) for place, pair in enumerate(comparison.pairs) if pair.answers is not None}


def _pictures(comparison: Comparison, found: Mapping[int, Flips], results: Results, folder: Path) -> None:
    from dermae_bench.report.compare.sheets import Pixels, write_sheets
    from dermae_bench.report.compare.text import pair_name
    from dermae_bench.report.ranking import TEST

    pairs = {place: comparison.pairs[place].pair for place in found}
    sets = {pair.a.names.get(TEST, "") for pair in pairs.values()}
    pixels = {on: Pixels(results, on) for on in sorted(sets)}
    written = [
        path
        for place, flips in found.items()
        for path in write_sheets(flips, pair_name(pairs[place]), pixels[pairs[place].a.names.get(TEST, "")], folder)
    ]
    for path in written:
        echo(str(path), err=True)
    word = (
        "they show photographs of the data set: keep them out of what you publish"
        if written
        else "no flips, so no pictures"
    )
    click.echo(word, err=True)


def _width() -> int:
    return max(100, min(shutil.get_terminal_size((120, 24)).columns, 160))
