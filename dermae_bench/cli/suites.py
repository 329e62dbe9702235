"""Commands over a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dermae_bench.cli.flags import (
    FORMAT,
    PLACE_FLAGS,
    QUIET,
    RUN_FLAGS,
    SUITE,
    SUITE_FLAGS,
    FiniteRange,
    flag,
    places,
    with_flags,
)  # fmt: skip


@click.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS, *RUN_FLAGS, FORMAT, *QUIET)
def run(suite: Path, form: str, quiet: bool, verbose: int, **words: Any) -> int:
    """Run a suite to its leaderboards."""
    from dermae_bench.commands.session import run_suite

    return run_suite(suite, **places(words), options=_options(words), form=form, verbosity=-1 if quiet else verbose)


@click.command()
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
    type=FiniteRange(min=0, min_open=True),
    default=989.0,
    show_default=True,
    help="Peak of the device for GPU-hours, 10^12 FLOP/s; the default is dense bf16 of one H200.",
)
@flag(
    "--utilisation",
    env="UTILISATION",
    type=FiniteRange(min=0, max=1, min_open=True),
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
      state           cached, new, stale, partial, damaged, failed or unknown
      kind            of stage
      name            as --only and --skip match it
      key             empty while the data are missing
      parameters      of the model, frozen helpers included
      gmacs           of ONE image, backward passes included where it is trained on
      images          drawn or answered for, or steps x batch size
      pflops          10^15 FLOPs of the whole stage: gmacs x 2 x images
      gpu_hours       pflops at --peak-tflops and --utilisation
      disk_bytes      that stay in the store
      scratch_bytes   beside them while it runs: checkpoints or blocks
      why             it is stale, partial, damaged, failed or unknown
    """
    from dermae_bench.commands.session import show_plan

    return show_plan(suite, **places(words), form=form, costs=costs, peak_tflops=peak_tflops, utilisation=utilisation)


@click.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS)
@flag("--data", env="DATA", is_flag=True, help="Look at the images, too: splits, duplicates, labels, leaks.")
def validate(suite: Path, data: bool, **words: Any) -> int:
    """Check a suite and report everything that is wrong with it.

    With --data the images are prepared and linted: lesions on both sides of a split are errors, and so is whatever is
    wrong with images and answers that were made elsewhere; near-duplicates, conflicting labels, generated copies of
    test images, images that another test set shares, captions that tell the class, and classes with few or no images in
    val or test are warnings. Nothing is trained or drawn.
    """
    from dermae_bench.commands.session import validate_suite

    return validate_suite(suite, **places(words), data=data)


@click.command()
@SUITE
@with_flags(*SUITE_FLAGS, *PLACE_FLAGS, FORMAT)
def report(suite: Path, form: str, **words: Any) -> int:
    """Build the results folder again from the store, also of a half-done run."""
    from dermae_bench.commands.session import report_suite

    return report_suite(suite, **places(words), form=form)


def _options(words: dict[str, Any]) -> Any:
    from dermae_bench.execute.executor import Options

    names = ("jobs", "only", "skip", "force", "fail_fast", "timeout", "pass_env")
    return Options(**{name: words[name] for name in names})
