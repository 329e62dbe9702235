"""The command line: words in, calls out. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dermae_bench import __version__
from dermae_bench.errors import FAILED, STORAGE, USAGE, BenchError
from dermae_bench.flags import FORMAT, PLACE_FLAGS, QUIET, RUN_FLAGS, SUITE, SUITE_FLAGS, flag, with_flags


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="dermae-bench")
def app() -> None:
    """Benchmark generators and classifiers of skin lesions: suites in, leaderboards out.

    A run that was killed goes on where it was: give the same command again.
    """


@app.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS, *RUN_FLAGS, FORMAT, *QUIET)
def run(suite: Path, form: str, quiet: bool, verbose: int, **words: Any) -> int:
    """Run a suite to its leaderboards."""
    from dermae_bench.commands.session import run_suite

    return run_suite(suite, **_places(words), options=_options(words), form=form, verbosity=-1 if quiet else verbose)


@app.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS, FORMAT)
@flag(
    "--costs/--no-costs",
    env="COSTS",
    default=True,
    show_default=True,
    help="Count what is not counted yet, in child processes; it is kept in the store.",
)
@flag(
    "--peak-tflops",
    env="PEAK_TFLOPS",
    type=click.FloatRange(min=0, min_open=True),
    default=989.0,
    show_default=True,
    help="Peak of the device for GPU-hours, 10^12 FLOP/s; the default is dense bf16 of one H200.",
)
@flag(
    "--utilisation",
    env="UTILISATION",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.3,
    show_default=True,
    help="Share of the peak that is reached.",
)
def plan(suite: Path, form: str, costs: bool, peak_tflops: float, utilisation: float, **words: Any) -> int:
    """Show what a run would do: cached, new or stale and why, with its cost. Works without the data, too.

    A stage's line has the parameters of its model; GMACs of ONE image (10^9 multiply-adds; 1 MAC = 2 FLOPs): all
    passes to draw it or to answer for it, or one training step with its backward passes; the PFLOPs of the whole
    stage, that is GMACs x 2 x images, where a training sees batch size x steps images; GPU-hours; and disk. A
    student's training is its own: passes of its teacher during the fit come on top.

    \b
    JSON (under `stages`) and CSV have these names:
      state           cached, new, stale, partial, failed or unknown
      kind            of stage
      name            as --only and --skip match it
      key             empty while the data are missing
      parameters      of the model, frozen helpers included
      gmacs           of ONE image, backward passes included where it is trained on
      images          drawn or answered for, or steps x batch size
      pflops          10^15 FLOPs of the whole stage: gmacs x 2 x images
      gpu_hours       pflops at --peak-tflops and --utilisation
      disk_bytes      that stay in the store
      scratch_bytes   beside them while it runs: checkpoints
      why             it is stale, partial, failed or unknown
    """
    from dermae_bench.commands.session import show_plan

    return show_plan(suite, **_places(words), form=form, costs=costs, peak_tflops=peak_tflops, utilisation=utilisation)


@app.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS)
@flag("--data", env="DATA", is_flag=True, help="Look at the images, too: splits, duplicates, labels, leaks.")
def validate(suite: Path, data: bool, **words: Any) -> int:
    """Check a suite and report everything that is wrong with it.

    With --data the images are prepared and linted: lesions on both sides of a split are errors; near-duplicates,
    conflicting labels and generated copies of test images are warnings. Nothing is trained or drawn.
    """
    from dermae_bench.commands.session import validate_suite

    return validate_suite(suite, **_places(words), data=data)


@app.command("list")
@with_flags(*PLACE_FLAGS, FORMAT)
def list_(results: Path, form: str, **_: Any) -> int:
    """List the results folders and what the store holds."""
    from dermae_bench.commands.listing import list_results

    return list_results(results, form)


@app.command()
@click.argument("key")
@with_flags(*PLACE_FLAGS, FORMAT)
def show(key: str, results: Path, form: str, **_: Any) -> int:
    """Show one stage by (the beginning of) its key: what made it, what it gave, why it failed."""
    from dermae_bench.commands.listing import show_stage

    return show_stage(results, key, form)


@app.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS, FORMAT)
def report(suite: Path, form: str, **words: Any) -> int:
    """Build the results folder again from the store, also of a half-done run."""
    from dermae_bench.commands.session import report_suite

    return report_suite(suite, **_places(words), form=form)


@app.command()
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


@app.command()
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
    from dermae_bench.commands.comparing import compare_results

    return compare_results(
        words, metrics=metrics, test=test, policy=policy, flips=flips, form=form, seed=seed, plugins_dir=plugins_dir
    )


@app.command()
@click.argument("what", type=click.Path(path_type=Path), metavar="RESULTS|SUITE")
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

    return verify_results(what, **_places(words), store=store, form=form)


@app.group(invoke_without_command=True)
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
@with_flags(*PLACE_FLAGS)
def plugins_check(names: Sequence[str], plugins_dir: Path | None, **_: Any) -> int:
    """Run the conformance kit over plugins (all installed ones by default)."""
    from dermae_bench.commands.plugin_check import check_plugins

    return check_plugins(names, plugins_dir)


@plugins.command("new")
@click.argument("kind", type=click.Choice(["generator", "classifier"]))
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder to put the new project into.")
def plugins_new(kind: str, name: str, into: Path) -> int:
    """Write a new plugin project: one class, its entry point and its test."""
    from dermae_bench.commands.plugin_new import new_plugin

    return new_plugin(kind, name, into)


@app.command()
@with_flags(*PLACE_FLAGS)
def doctor(results: Path, plugins_dir: Path | None) -> int:
    """Check this installation: libraries, devices, processes, store, plugins."""
    from dermae_bench.commands.doctor import examine

    return examine(results, plugins_dir)


def _places(words: dict[str, Any]) -> dict[str, Any]:
    return {name: words[name] for name in ("preset", "sets", "results", "plugins_dir")}


def _options(words: dict[str, Any]) -> Any:
    from dermae_bench.execute.executor import Options

    return Options(**{name: words[name] for name in ("jobs", "only", "skip", "force", "fail_fast", "timeout")})


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: runs a command and leaves with its exit code; a user's mistake never shows a traceback."""
    if sys.platform == "win32":
        print("dermae-bench needs a POSIX system; on Windows, use WSL", file=sys.stderr)  # noqa: T201
        sys.exit(USAGE)
    try:
        code = app.main(args=arguments, prog_name="dermae-bench", standalone_mode=False)
    except BenchError as error:
        from dermae_bench.commands.printing import echo

        echo(str(error), err=True)
        code = error.exit_code
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # the reader of our output went away (as `head` does); nothing is wrong with the run
        sys.stderr.close()
        code = FAILED
    except OSError as error:
        click.echo(f"{error.filename or 'a file'} cannot be used: {error.strerror}", err=True)
        code = STORAGE
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
