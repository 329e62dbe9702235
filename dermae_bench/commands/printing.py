"""Printing words that come from strangers: suites, plugins, libraries."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from dermae_bench.report.escape import csv_text, json_ascii, visible

LONGEST_LINE = 10_000


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines whose control characters are shown, not obeyed; what the terminal cannot spell becomes an escape."""
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(harmless(text).encode(encoding, "backslashreplace").decode(encoding), err=err)


def harmless(text: str) -> str:
    """The same lines with control characters as escapes, so that no name can steer a terminal."""
    return "\n".join(visible(line, LONGEST_LINE) for line in text.split("\n"))


def echo_json(value: Any, *, sort_keys: bool = False) -> None:
    """Print a value as JSON in plain ASCII, in which no control character stands."""
    click.echo(json_ascii(json.dumps(value, indent=1, sort_keys=sort_keys)))


def csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a CSV file that no spreadsheet takes for a formula."""
    return {name: csv_text(value) if isinstance(value, str) else value for name, value in row.items()}
