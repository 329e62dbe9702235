"""What the commands over a suite share: load, plan, run, collect, show."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec

import click

from dermae_bench.commands.printing import echo
from dermae_bench.commands.publishing import LONGEST_REASON, Session, publish
from dermae_bench.durable import digest_of
from dermae_bench.errors import FAILED, OK, DataMissing, StorageError, UserError, brief
from dermae_bench.execute.executor import Executor, Options, Outcome, select
from dermae_bench.execute.observers import observers
from dermae_bench.execute.signals import Signalled, TooLong, leaving, name, within
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.checking import Finding
from dermae_bench.report.escape import visible
from dermae_bench.report.reference import reference_rows
from dermae_bench.store.artifacts import Store
from dermae_bench.store.contents import Contents
from dermae_bench.suite.keys import Identities
from dermae_bench.suite.known import data_findings, other_findings
from dermae_bench.suite.load import load_suite, refuse, results_name
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.resources import limits_by_kind
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage

P = ParamSpec("P")
PUBLISH_SECONDS = 7.0
"""What a run that was stopped may spend on its results folder: with what its stages take it is gone within 30 s."""


def _stoppable(command: Callable[P, int]) -> Callable[P, int]:
    """Let a signal end a command with 128 + its number and one line, wherever it strikes."""

    @functools.wraps(command)
    def stoppable(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            with leaving():
                return command(*args, **kwargs)
        except Signalled as asked:
            click.echo(f"stopped by {name(asked.number)}: nothing finished is lost", err=True)
            return 128 + asked.number

    return stoppable


class _Tasks:
    """Asks for a dataset's tasks once, and remembers what was missing."""

    def __init__(self, catalog: Catalog, contents: Contents) -> None:
        self.catalog = catalog
        self.identities = Identities(catalog, contents)
        self.found: Mapping[str, Mapping[str, Any]] | None = None
        self.missing: str | None = None
        self.counts: Mapping[str, Mapping[str, int]] | None = None
        """Split -> class -> images, where there are data to count."""
        self.attributes: Mapping[str, Any] | None = None
        """Attribute -> number or text, where there are data that have them."""
        self.wrong: str | None = None
        """Why the images that are there cannot be read."""

    def __call__(self, plugin: str, params: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
        card = self.catalog.card("dataset", plugin)
        try:
            facts = self.identities.facts(plugin, self.identities.params(params, card.params))
        except DataMissing as error:
            self.missing = str(error)
            facts = digest_of(["missing", plugin, dict(params)])
        try:
            absolute = self.identities.absolute(params, card.params)
            tasks = self.catalog.tasks(plugin, absolute, facts)
            self.counts = self.catalog.counts(plugin, absolute, facts)
            self.attributes = self.catalog.attributes(plugin, absolute, facts)
            if self.missing is None:
                self.wrong = self.catalog.wrong(plugin, absolute, facts)
        except DataMissing as error:
            self.missing = str(error)
            return None
        self.found = {task["name"]: task for task in tasks}
        return self.found


def open_session(
    suite: Path, *, preset: str | None, sets: Sequence[str], results: Path, plugins_dir: Path | None
) -> Session:
    """Load and plan a suite; imports no plugin and no torch in this process."""
    catalog = Catalog(plugins_dir)
    contents = Contents(catalog.cache / "contents.json")
    tasks = _Tasks(catalog, contents)
    loaded = load_suite(suite, catalog=catalog, tasks_of=tasks, preset=preset, sets=sets, file_digest=contents.file)
    refuse(loaded, data_findings(loaded.resolved, catalog, tasks.found, tasks.attributes, tasks.counts))
    if loaded.suite.reference is not None:
        # it is shown last, but what is wrong with it is told first
        reference_rows(Path(loaded.suite.reference))
    others = {}
    for other, entry in loaded.resolved["evaluate_on"].items():
        others[other] = asked = _Tasks(catalog, contents)
        asked(entry["plugin"], entry["params"])
    told = {other: (asked.found, asked.attributes) for other, asked in others.items()}
    refuse(loaded, other_findings(loaded.resolved, tasks.found, told))
    every: dict[tuple[str, ...], _Tasks] = {("dataset",): tasks}
    every |= {("evaluate_on", other): asked for other, asked in others.items()}
    known = {other: asked.found for other, asked in others.items() if asked.found is not None}
    planner = Planner(loaded.suite, catalog, contents, tasks.found, tasks.counts, known)
    row_planner = RowPlanner(planner, loaded.resolved)
    rows = row_planner.rows()
    contents.save()
    return Session(
        loaded=loaded,
        catalog=catalog,
        store=Store(results / "store"),
        folder=results / results_name(loaded),
        stages=planner.stages,
        rows=rows,
        figures=row_planner.figures,
        unread=[Finding(at, asked.wrong) for at, asked in every.items() if asked.wrong is not None],
        missing=planner.missing or tasks.missing or next((a.missing for a in others.values() if a.missing), None),
    )


@_stoppable
def run_suite(
    suite: Path,
    *,
    preset: str | None,
    sets: Sequence[str],
    results: Path,
    plugins_dir: Path | None,
    options: Options,
    form: str,
    verbosity: int,
) -> int:
    """`run`: do what is left, write the results folder, print the boards. Returns the exit code."""
    session = open_session(suite, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir)
    _need_data(session)
    refuse(session.loaded, session.unread)
    stages = select(session.stages, options)
    with _needed(session):
        return _run(session, stages, options, form, verbosity)


@contextlib.contextmanager
def _needed(session: Session) -> Iterator[None]:
    """Inside, no `clean` removes what the plan of `session` reads."""
    with session.store.writable(), session.store.announced(session.folder.name, [s.key for s in session.stages]):
        yield


def _run(session: Session, stages: Sequence[Stage], options: Options, form: str, verbosity: int) -> int:
    outcome = _execute(session, stages, options, verbosity)

    def mend(damaged: Sequence[Stage]) -> None:
        if outcome.interrupted is None:
            again = _execute(session, damaged, replace(options, force=()), verbosity)
            outcome.cached -= len(damaged)
            outcome.done += again.done
            outcome.failed |= again.failed
            outcome.blocked += again.blocked
            outcome.interrupted = again.interrupted

    with session.store.writable():
        if outcome.interrupted is None:
            publish(session, form, mend)
        elif not outcome.hurried:
            try:
                with within(PUBLISH_SECONDS):
                    publish(session, form, mend)
            except TooLong:
                click.echo("the results folder is not up to date; `dermae-bench report` builds it", err=True)
    return _leave(session, outcome)


def _execute(session: Session, stages: Sequence[Stage], options: Options, verbosity: int) -> Outcome:
    from dermae_bench.execute.local import LocalBackend
    from dermae_bench.execute.progress import Progress

    display = Progress(len(stages), verbosity=verbosity)
    limited = replace(options, limits=limits_by_kind(session.loaded.suite.resources))
    backend = functools.partial(LocalBackend, pass_env=options.pass_env) if options.pass_env else LocalBackend
    executor = Executor(session.store, backend, display, limited, observers())
    try:
        return executor.run(stages)
    finally:
        display.close()


def _need_data(session: Session) -> None:
    if session.missing is not None:
        raise DataMissing(session.missing)


def _leave(session: Session, outcome: Outcome) -> int:
    done, failed = len(outcome.done), len(outcome.failed)
    click.echo(
        f"{outcome.cached} stages cached, {done} done, {failed} failed, {len(outcome.blocked)} not run", err=True
    )
    for failure in outcome.failed.values():
        reason = visible(brief(failure.reason), LONGEST_REASON)
        echo(f"failed: {visible(failure.name)}: {reason}\n  look: dermae-bench show {failure.key[:12]}", err=True)
    if outcome.interrupted is not None:
        echo(f"{session.folder}  (stopped: give the same command again to go on)")
        return 128 + outcome.interrupted
    if failed:
        echo(f"{session.folder}  (next: dermae-bench show {next(iter(outcome.failed))[:12]})")
        return FAILED
    echo(f"{session.folder}  (next: open {session.folder / 'report.html'})")
    return OK


@_stoppable
def report_suite(
    suite: Path, *, preset: str | None, sets: Sequence[str], results: Path, plugins_dir: Path | None, form: str
) -> int:
    """`report`: build the results folder from what the store holds."""
    session = open_session(suite, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir)
    _need_data(session)
    if not session.store.root.is_dir():
        raise UserError(
            f"there is no store at {session.store.root}", hint="run the suite first, or name its place with --results"
        )
    with _needed(session):
        publish(session, form)
    echo(f"{session.folder}  (next: open {session.folder / 'report.html'})")
    return OK


@_stoppable
def validate_suite(
    suite: Path, *, preset: str | None, sets: Sequence[str], results: Path, plugins_dir: Path | None, data: bool
) -> int:
    """`validate`: every mistake at once, or one line that says what the suite holds; with `data` also the images."""
    session = open_session(suite, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir)
    refuse(session.loaded, session.unread)
    floors = sum(row.kind == "floor" for row in session.rows)
    rows = f"{len(session.rows) - floors} rows and {floors} floors"
    echo(f"{suite}: {rows}, {len(session.stages)} stages; no mistake found")
    if data:
        from dermae_bench.commands.linting import lint

        with _needed(session):
            return lint(session, lambda stages: _execute(session, stages, Options(), -1))
    if session.missing is not None:
        echo(f"keys unknown: data missing: {session.missing}")
    return OK


@_stoppable
def show_plan(
    suite: Path,
    *,
    preset: str | None,
    sets: Sequence[str],
    results: Path,
    plugins_dir: Path | None,
    form: str,
    costs: bool,
    peak_tflops: float,
    utilisation: float,
) -> int:
    """`plan`: every stage with its state, the reason and the cost; costs are counted where they are not yet."""
    from dermae_bench.commands.costing import Yardstick
    from dermae_bench.commands.planning import print_plan

    session = open_session(suite, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir)
    interrupted = _count_costs(session) if costs else None
    if interrupted is not None:
        return 128 + interrupted
    yardstick = Yardstick(peak_tflops=peak_tflops, utilisation=utilisation)
    print_plan(session.stages, session.store, session.missing, form, sys.stdout, yardstick)
    return OK


def _count_costs(session: Session) -> int | None:
    """Run the cost stages that have a key and no result; they read no data. Returns the signal that stopped it."""
    stages = [stage for stage in session.stages if stage.kind == "cost" and stage.key]
    left = [stage for stage in stages if not session.store.has(stage.kind, stage.key)]
    if not left:
        return None
    click.echo(f"counting the costs of {len(left)} models, once; --no-costs leaves them out", err=True)
    try:
        return _execute(session, left, Options(jobs=min(4, os.cpu_count() or 1)), -1).interrupted
    except StorageError as error:
        # a plan without costs is better than none where nothing may be written
        echo(f"costs are not counted: {error}", err=True)
        return None
