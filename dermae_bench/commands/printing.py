"""Printing words that come from strangers: suites, plugins, libraries."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TextIO

import click

from dermae_bench.report.escape import csv_text, json_ascii, visible

LONGEST_LINE = 10_000


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines whose control characters are shown, not obeyed; what the terminal cannot spell becomes an escape."""
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if stream is None:
        # it was closed before we began: nothing can be shown
        return
    encoding = stream.encoding or "utf-8"
    click.echo(harmless(text).encode(encoding, "backslashreplace").decode(encoding), err=err)


def open_closed_streams() -> None:
    """Lead standard streams that were closed before we began (``>&-``) nowhere.

    Else the next file that is opened takes the place of one of them, and whatever a library prints goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # it gets the lowest number that is free, and those below are taken by now
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w"))  # noqa: SIM115 (for good)


def harmless(text: str) -> str:
    """The same lines with control characters as escapes, so that no name can steer a terminal."""
    return "\n".join(visible(line, LONGEST_LINE) for line in text.split("\n"))


def echo_json(value: Any, *, sort_keys: bool = False) -> None:
    """Print a value as JSON in plain ASCII, in which no control character stands."""
    click.echo(json_ascii(json.dumps(value, indent=1, sort_keys=sort_keys)))


def echo_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], stream: IO[str] | None = None) -> None:
    """Print rows, to standard output by default, as CSV in which no cell is a formula to a spreadsheet."""
    writer = csv.DictWriter(stream or sys.stdout, list(columns), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: csv_text(value) if isinstance(value, str) else value for name, value in row.items()})
