"""What `verify` does: find the folder and its store, compute everything again, print what differs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dermae_bench.archives import unpacked
from dermae_bench.commands.printing import echo
from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Catalog

if TYPE_CHECKING:
    from dermae_bench.report.evidence import Score
    from dermae_bench.report.verify.metrics import Metrics
    from dermae_bench.report.verify.scores import ScoreSamples
    from dermae_bench.report.verify.stored import Entries


def verify_results(
    what: Path,
    *,
    preset: str | None,
    sets: Sequence[str],
    results: Path,
    plugins_dir: Path | None,
    store: bool,
    form: str,
) -> int:
    """Check a results folder; 0 nothing differs, 1 something does, 4 something is left unchecked.

    Args:
        what: a results folder, an archive of one, the name of one inside `results`, or a suite file (with `preset` and
            `sets`).
        results: where the folder and the store lie; the store beside the folder goes before the one in here.
        store: False: check as in a clone, which has no store; what needs it does not count.
        form: `table` or `json`.

    Raises:
        UserError: `what` names no results folder, its archive is refused, or there is no such plugins folder.
    """
    from dermae_bench.report.verify.metrics import Metrics
    from dermae_bench.report.verify.render import json_report, terminal_report
    from dermae_bench.report.verify.verify import verify

    with unpacked(what) as opened:
        folder = _folder(opened, preset, sets, results, plugins_dir)
        catalog = Catalog(plugins_dir)
        # a mistake in the flag is told before anything is checked
        catalog.names()
        homes = list(dict.fromkeys([folder.absolute().parent, results]))
        place = next((home / "store" for home in homes if (home / "store").is_dir()), None) if store else None
        report = verify(
            folder,
            store=place,
            without_store=not store,
            catalog=catalog,
            samples_in=lambda entries: samples_in(entries, Metrics(catalog)),
            results=homes,
            # an archive lies unpacked where nobody else may look
            named=str(what if opened != what else folder),
            tell=_progress if sys.stderr.isatty() else _silence,
        )
    if form == "json":
        click.echo(json_report(report))
    else:
        echo(terminal_report(report))
    return report.exit_code


def _progress(done: int, total: int) -> None:
    click.echo(f"\rcomputing score {done + 1} of {total}", nl=done + 1 == total, err=True)


def _silence(done: int, total: int) -> None:
    """Nobody watches."""


def _folder(what: Path, preset: str | None, sets: Sequence[str], results: Path, plugins_dir: Path | None) -> Path:
    if what.is_file():
        from dermae_bench.commands.session import open_session

        return open_session(what, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir).folder
    if preset is not None or sets:
        raise UserError(f"--preset and --set belong to a suite file, and {what} is none")
    folder = what if what.is_dir() else results / what
    if not folder.is_dir():
        where = "" if what.is_absolute() else f", here or in {results}"
        raise UserError(
            f"{what} is no results folder: there is no such folder{where}",
            hint="`dermae-bench list` shows those that are there; `dermae-bench report SUITE` makes one again",
        )
    return folder


def samples_in(entries: Entries, metrics: Metrics) -> ScoreSamples:
    """Computes scores of samples from features and samples in the store, by the code of the score stage."""

    def again(score: Score, work: Mapping[str, Any]) -> Mapping[str, Any]:
        # torch is imported here, where there are samples to read
        from dermae_bench.execute.stages.common import StageContext
        from dermae_bench.execute.stages.score import score as score_stage
        from dermae_bench.store.manifests import Damaged, Manifest

        class Reading(StageContext):
            """Reads inputs without moving a damaged one aside, and metrics from the catalog alone."""

            def input(self, role: str) -> tuple[Path, Manifest]:
                about = self.spec["inputs"][role]
                manifest = entries.whole(about["kind"], about["key"])
                if manifest is None:
                    raise Damaged(f"store entry {about['kind']}/{about['key']} is missing or damaged")
                return entries.folder(about["kind"], about["key"]), manifest

            def configured(self, name: str, params: Mapping[str, Any]) -> Any:
                return metrics(name, params)

        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch)
            spec = {"name": score.name, "work": work, "inputs": score.inputs}
            return score_stage(Reading(folder=place, spec=spec, out=place))

    return again
