"""Printing words that come from strangers: suites, plugins, libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dermae_bench.report.escape import csv_text, visible

LONGEST_LINE = 10_000


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines whose control characters are shown, not obeyed."""
    click.echo(harmless(text), err=err)


def harmless(text: str) -> str:
    """The same lines with control characters as escapes, so that no name can steer a terminal."""
    return "\n".join(visible(line, LONGEST_LINE) for line in text.split("\n"))


def csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a CSV file that no spreadsheet takes for a formula."""
    return {name: csv_text(value) if isinstance(value, str) else value for name, value in row.items()}
