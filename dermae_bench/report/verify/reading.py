"""Reading files that somebody else may have written: inside the folder, plain, of bounded size."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.report.verify.findings import UNUSABLE, Report, why

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_TEXT = 2**28
"""Bytes of a text file."""
LARGEST_TABLE = 2**32
"""Bytes of a parquet file, as it lies there and unpacked."""
MOST_ROWS = 10**8


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
    if problem is None and (folder / name).stat().st_size > LARGEST_TEXT:
        problem = f"it is larger than {LARGEST_TEXT} bytes and is not read"
    if problem is None:
        try:
            return (folder / name).read_bytes().decode()
        except (OSError, UnicodeError) as error:
            problem = f"it is no text in UTF-8: {why(error)}"
    report.differs(topic, name, problem)
    return None


def parse(text: str) -> Any:
    """A JSON value.

    Raises:
        ValueError: it is none, it has NaN or Infinity, or a name stands twice in an object.
        RecursionError: it is nested too deep.
    """
    return json.loads(text, parse_constant=_refused, object_pairs_hook=_once)


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def read_json(folder: Path, name: str, report: Report, topic: str) -> Mapping[str, Any] | None:
    """A JSON object; None, and a finding, where there is none."""
    text = read_text(folder, name, report, topic)
    if text is None:
        return None
    try:
        value = parse(text)
        if not isinstance(value, dict):
            raise ValueError("it is no object")
    except (ValueError, RecursionError) as error:
        report.differs(topic, name, f"it cannot be used: {why(error)}")
        return None
    return value


def read_lines(folder: Path, name: str, report: Report, topic: str) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line that is JSON; lines that are not become findings."""
    text = read_text(folder, name, report, topic)
    lines = text.split("\n") if text is not None else [""]
    if lines[-1] != "":
        report.differs(topic, f"{name} line {len(lines)}", "the file ends in the middle of a line")
    for number, line in enumerate(lines[:-1], start=1):
        try:
            yield number, parse(line)
        except (ValueError, RecursionError) as error:
            report.differs(topic, f"{name} line {number}", f"it cannot be used: {why(error)}")


def read_table(folder: Path, name: str, report: Report, topic: str) -> pa.Table | None:
    """A parquet table; None, and a finding, where there is none that can be used."""
    import pyarrow.parquet as pq

    problem = plain(folder, name)
    if problem is None:
        path = folder / name
        try:
            about = pq.read_metadata(path)
            unpacked = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
            if max(path.stat().st_size, unpacked) > LARGEST_TABLE or about.num_rows > MOST_ROWS:
                problem = f"{about.num_rows} rows of {unpacked} bytes are too many; it is not read"
            else:
                return pq.read_table(path, use_threads=False)
        except UNUSABLE as error:
            problem = f"it cannot be used: {why(error)}"
    report.differs(topic, name, problem)
    return None
