"""Flags that commands share; each is also an environment variable `DERMAE_BENCH_*`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SUITE = click.argument("suite", type=click.Path(path_type=Path))


def flag(*names: str, env: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, envvar=f"DERMAE_BENCH_{env}", show_envvar=True, **settings)


class FiniteRange(click.FloatRange):
    """A range of numbers. click's own lets NaN through any bounds: it is neither less nor more than one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return found


SUITE_FLAGS = [
    flag("--preset", env="PRESET", metavar="NAME", help="Merge this preset of the suite over it."),
    flag(
        "--set",
        "sets",
        env="SET",
        multiple=True,
        metavar="A.B=C",
        help="Replace one value of the suite; repeatable. `null` takes an entry out of a section of names.",
    ),
]


def _declare(context: click.Context, parameter: click.Parameter, roots: tuple[Path, ...]) -> None:
    from dermae_bench.plugin.links import declare_roots

    declare_roots(roots)


PLACE_FLAGS = [
    flag(
        "--results",
        env="RESULTS",
        type=click.Path(path_type=Path),
        default=Path("results"),
        show_default=True,
        help="Where results and the store lie.",
    ),
    flag(
        "--data-root",
        env="DATA_ROOTS",
        type=click.Path(path_type=Path),
        multiple=True,
        expose_value=False,
        callback=_declare,
        metavar="DIR",
        help="Links in data may lead into this folder, too; repeatable.",
    ),
    flag("--plugins-dir", env="PLUGINS_DIR", type=click.Path(path_type=Path), help="Folder of single-file plugins."),
]
RUN_FLAGS = [
    flag(
        "--only",
        env="ONLY",
        multiple=True,
        metavar="PATTERN",
        help="Only stages whose name matches, and what they need.",
    ),
    flag("--skip", env="SKIP", multiple=True, metavar="PATTERN", help="Not the stages whose name matches."),
    flag(
        "-j",
        "--jobs",
        env="JOBS",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Independent stages side by side.",
    ),
    flag(
        "--executor",
        env="EXECUTOR",
        type=click.Choice(["local"]),
        default="local",
        show_default=True,
        help="What runs the stages.",
    ),
    flag(
        "--timeout",
        env="TIMEOUT",
        type=FiniteRange(min=0.1),
        metavar="SECONDS",
        help="Longest time of one attempt at a stage; goes before the suite's `resources: {wall}`.",
    ),
    flag(
        "--pass-env",
        env="PASS_ENV",
        multiple=True,
        metavar="NAME",
        help="Give stages this secret of the environment; TOKEN, KEY, PASSWORD and the like are kept back.",
    ),
    flag("--fail-fast", env="FAIL_FAST", is_flag=True, help="Stop at the first failed stage."),
    flag(
        "--force",
        env="FORCE",
        multiple=True,
        metavar="PATTERN",
        help="Do these stages again although they are finished ('*': all).",
    ),
]
FORMAT = flag(
    "--format",
    "form",
    env="FORMAT",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print.",
)
QUIET = [
    flag("-q", "--quiet", env="QUIET", is_flag=True, help="No progress."),
    flag("-v", "--verbose", env="VERBOSE", count=True, help="More progress."),
]


def with_flags(*flags: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def wrap(function: Any) -> Any:
        for flag in reversed(flags):
            function = flag(function)
        return function

    return wrap


def places(words: dict[str, Any]) -> dict[str, Any]:
    """Of a command's words, those that say which suite is meant and where its results lie."""
    return {name: words[name] for name in ("preset", "sets", "results", "plugins_dir")}
