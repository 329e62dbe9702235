"""Reading files that somebody else may have written: inside the folder, plain, of bounded size."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.bounded import files, texts
from dermae_bench.bounded.tables import read_parquet
from dermae_bench.errors import DataError
from dermae_bench.report.verify.findings import Report, why

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_TEXT = files.LARGEST_TEXT
"""Bytes of a text file."""
MOST_LINES = 1_000_000
"""Of a JSON Lines file."""


def plain(folder: Path, name: str) -> str | None:
    """Why `name` is no file inside `folder`; None where it is one. No link is followed below `folder`."""
    place = folder
    for part in name.split("/"):
        if part in {"", ".", ".."}:
            return "it is no name of a file in this folder"
        place = place / part
        if place.is_symlink():
            return "it is a link; what it leads to is not read"
    try:
        return None if stat.S_ISREG(place.lstat().st_mode) else "it is no file"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def read_text(folder: Path, name: str, report: Report, topic: str) -> str | None:
    """The text of a file; None, and a finding, where there is none that can be used."""
    problem = plain(folder, name)
    if problem is None:
        try:
            return texts.read_text(folder / name, LARGEST_TEXT)
        except DataError as error:
            problem = f"it is no text that can be used: {reason(error)}"
    report.differs(topic, name, problem)
    return None


def reason(error: DataError) -> str:
    """What is wrong with a file, and where in it, without the folder that it lies in."""
    if not isinstance(error, files.Unreadable):
        return why(error)
    place = f"line {error.line}: " if error.line is not None else ""
    return place + error.reason


def read_json(folder: Path, name: str, report: Report, topic: str) -> Mapping[str, Any] | None:
    """A JSON object; None, and a finding, where there is none."""
    text = read_text(folder, name, report, topic)
    if text is None:
        return None
    try:
        value = texts.parse_json(text)
        if not isinstance(value, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        report.differs(topic, name, f"it cannot be used: {error}")
        return None
    return value


def read_lines(folder: Path, name: str, report: Report, topic: str) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line that is JSON; lines that are not become findings."""
    text = read_text(folder, name, report, topic)
    if text is None:
        return
    if text.count("\n") > MOST_LINES:
        report.differs(topic, name, f"it has more than {MOST_LINES:,} lines and is not read")
        return
    lines = text.split("\n")
    if lines[-1] != "":
        report.differs(topic, f"{name} line {len(lines)}", "the file ends in the middle of a line")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield number, texts.parse_json(line)
        except ValueError as error:
            report.differs(topic, f"{name} line {number}", f"it cannot be used: {error}")


def read_table(folder: Path, name: str, report: Report, topic: str) -> pa.Table | None:
    """A parquet table; None, and a finding, where there is none that can be used."""
    problem = plain(folder, name)
    if problem is None:
        try:
            return read_parquet(folder / name)
        except DataError as error:
            problem = f"it cannot be used: {reason(error)}"
    report.differs(topic, name, problem)
    return None
