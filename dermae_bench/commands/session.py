"""What the commands over a suite share: load, plan, run, collect, show."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec

import click

from dermae_bench.commands.absent import refusal, told
from dermae_bench.commands.printing import echo
from dermae_bench.commands.publishing import LONGEST_REASON, Session, publish
from dermae_bench.commands.tasks import Tasks
from dermae_bench.errors import FAILED, OK, DataMissing, PluginError, StorageError, UserError, brief
from dermae_bench.execute.choices import matches
from dermae_bench.execute.executor import Executor, Options, Outcome, select
from dermae_bench.execute.observers import observers
from dermae_bench.execute.signals import Signalled, TooLong, leaving, name, within
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.checking import Finding
from dermae_bench.report.escape import visible
from dermae_bench.report.reference import reference_rows
from dermae_bench.store.artifacts import Store
from dermae_bench.store.contents import Contents
from dermae_bench.suite.known import data_findings, other_findings
from dermae_bench.suite.load import load_suite, refuse, results_name
from dermae_bench.suite.missing import Missing
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.resources import limits_by_kind
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.weights import absolute

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


def open_session(
    suite: Path, *, preset: str | None, sets: Sequence[str], results: Path, plugins_dir: Path | None
) -> Session:
    """Load and plan a suite; imports no plugin and no torch in this process."""
    catalog = Catalog(plugins_dir)
    contents = Contents(catalog.cache / "contents.json")
    tasks = Tasks(catalog, contents)
    loaded = load_suite(suite, catalog=catalog, tasks_of=tasks, preset=preset, sets=sets, file_digest=contents.file)
    findings = list(data_findings(loaded.resolved, catalog, tasks.found, tasks.attributes, tasks.counts))
    others = {}
    for other, entry in loaded.resolved["evaluate_on"].items():
        others[other] = asked = Tasks(catalog, contents)
        try:
            asked(entry["plugin"], entry["params"])
        except PluginError as error:
            findings.append(Finding(("evaluate_on", other, "plugin"), error.message, error.hint))
    asked_others = {other: (asked.found, asked.attributes) for other, asked in others.items()}
    refuse(loaded, [*findings, *other_findings(loaded.resolved, tasks.found, asked_others)])
    unpublished = []
    if loaded.suite.reference is not None:
        reference = Path(loaded.suite.reference)
        try:
            # it is shown last, but what is wrong with it is told first
            reference_rows(reference)
        except DataMissing as error:
            unpublished.append(Missing(error.message, absolute(loaded.suite.reference)))
    every: dict[tuple[str, ...], Tasks] = {("dataset",): tasks}
    every |= {("evaluate_on", other): asked for other, asked in others.items()}
    known = {other: asked.found for other, asked in others.items() if asked.found is not None}
    planner = Planner(loaded.suite, catalog, contents, tasks.found, tasks.counts, known)
    row_planner = RowPlanner(planner, loaded.resolved)
    rows = row_planner.rows()
    contents.save()
    absent = told(
        loaded,
        [*planner.absent, *(missing for asked in every.values() for missing in asked.absent), *unpublished],
        # where a folder is not there, what the plugin misses in it goes without saying
        {at: asked.missing for at, asked in every.items() if asked.missing is not None and not asked.absent},
    )
    if unpublished:
        raise refusal(absent)
    return Session(
        loaded=loaded,
        catalog=catalog,
        store=Store(results / "store"),
        folder=results / results_name(loaded),
        stages=planner.stages,
        rows=rows,
        figures=row_planner.figures,
        unread=[Finding(at, asked.wrong) for at, asked in every.items() if asked.wrong is not None],
        absent=absent,
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
    _need_data(session if _waits(session, options) else replace(session, absent=()))
    refuse(session.loaded, session.unread)
    stages = select(session.stages, options)
    for line in session.absent:
        echo(f"data missing: {line}", err=True)
    with _needed(session):
        return _run(session, stages, options, form, verbosity)


def _waits(session: Session, options: Options) -> bool:
    """Whether something that is asked for needs what is not there; what has a key reads nothing that has none."""
    # without its own data nobody knows the rows of a suite, and boards of an earlier run would lose theirs
    publishable = all(stage.key for stage in session.stages if stage.kind == "prepare" and "only" not in stage.work)
    if not publishable or (not options.only and not options.skip):
        return bool(session.absent)
    asked = (stage for stage in session.stages if not options.only or matches(stage.name, options.only))
    return any(not stage.key and not matches(stage.name, options.skip) for stage in asked)


@contextlib.contextmanager
def _needed(session: Session) -> Iterator[None]:
    """Inside, no `clean` removes what the plan of `session` reads."""
    keys = [stage.key for stage in session.stages if stage.key]
    with session.store.writable(), session.store.announced(session.folder.name, keys):
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
    if session.absent:
        raise refusal(session.absent)


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
    echo(f"{suite}: {rows}, {len(session.stages)} stages; no mistake found in the suite")
    if data:
        from dermae_bench.commands.linting import lint

        _need_data(session)
        with _needed(session):
            return lint(session, lambda stages: _execute(session, stages, Options(), -1))
    for line in session.absent:
        echo(f"data missing: {line}")
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
    counted = _count_costs(session) if costs else Outcome()
    if counted.interrupted is not None:
        return 128 + counted.interrupted
    yardstick = Yardstick(peak_tflops=peak_tflops, utilisation=utilisation)
    print_plan(session.stages, session.store, session.absent, form, sys.stdout, yardstick)
    sys.stdout.flush()
    for failure in counted.failed.values():
        reason = visible(brief(failure.reason), LONGEST_REASON)
        echo(f"costs of {visible(failure.name)} could not be counted: {reason}", err=True)
    return FAILED if counted.failed else OK


def _count_costs(session: Session) -> Outcome:
    """Run the cost stages that have a key and no result; they read no data."""
    stages = [stage for stage in session.stages if stage.kind == "cost" and stage.key]
    left = [stage for stage in stages if not session.store.has(stage.kind, stage.key)]
    if not left:
        return Outcome()
    click.echo(f"counting the costs of {len(left)} models, once; --no-costs leaves them out", err=True)
    try:
        return _execute(session, left, Options(jobs=min(4, os.cpu_count() or 1)), -1)
    except StorageError as error:
        # a plan without costs is better than none where nothing may be written
        echo(f"costs are not counted: {error}", err=True)
        return Outcome()
