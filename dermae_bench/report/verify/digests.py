"""The list of digests of a results folder: `SHA256SUMS`, which `sha256sum -c` reads, too."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dermae_bench.durable import digest_file
from dermae_bench.report.listed import Written, write_changed
from dermae_bench.report.real_pictures import FOLDER
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.reading import plain, read_text

SUMS = "SHA256SUMS"
ASIDE = ("report.html", f"{FOLDER}/")
"""Files and folders that git does not keep: their lines are comments, so that `sha256sum -c` passes without them."""
TOPIC = "files"
DEEPEST = 8
"""Folders below the results folder."""

_HEAD = f"""\
# SHA-256 of every file here: `sha256sum -c {SUMS}`, or `dermae-bench verify`, which computes the numbers again, too.
# A line behind "#" is of a file that is not kept in git; `verify` checks it where it is there.
"""
_LINE = re.compile(r"(?P<aside># )?(?P<digest>[0-9a-f]{64})  (?P<name>[^\\\n]+)")


def write_digests(folder: Path, written: Written | None = None) -> bool:
    """Bring the list up to date with the plain files of `folder`, as the last thing that is written there.

    Args:
        written: digests of what was written just now, which are listed as they are: what lies there may have been
            changed since. Other plain files, and the list itself, are added to it.

    Returns:
        whether its bytes changed.
    """
    if written is None:
        written = {}
    for path in (folder / name for name in members(folder) if plain(folder, name) is None):
        if path not in written:
            written[path] = digest_file(path)
    lines = []
    for name, digest in sorted((path.relative_to(folder).as_posix(), digest) for path, digest in written.items()):
        line = f"{'# ' if name.startswith(ASIDE) else ''}{digest}  {name}"
        # a name that breaks the list is nobody's here; `verify` names it as not listed
        if _LINE.fullmatch(line) is not None:
            lines.append(f"{line}\n")
    text, path = _HEAD + "".join(lines), folder / SUMS
    return write_changed(path, text.encode(), written)


def strangers(folder: Path) -> dict[str, str]:
    """Name -> what is wrong with it, of all that lies in the folder and is no plain file: no digest stands for it."""
    told = ((name, plain(folder, name)) for name in sorted(members(folder)))
    return {name: problem for name, problem in told if problem is not None}


def members(folder: Path) -> list[str]:
    """Relative names of all files and links in the folder but the list itself; no link is followed.

    Folders more than `DEEPEST` deep, and those that cannot be read, are named in place of what is in them.

    Raises:
        OSError: the folder itself cannot be read.
    """
    found, left = [], [(folder, "", 0)]
    while left:
        place, before, depth = left.pop()
        try:
            with os.scandir(place) as entries:
                inside = list(entries)
        except OSError:
            if place == folder:
                raise
            found.append(before[:-1])
            continue
        for entry in inside:
            name = f"{before}{entry.name}"
            if entry.is_dir(follow_symlinks=False) and depth < DEEPEST:
                left.append((Path(entry.path), f"{name}/", depth + 1))
            elif name != SUMS:
                found.append(name)
    return found


def check_digests(folder: Path, report: Report) -> None:
    """Files that were changed, are missing or were added since the list was written."""
    if not (folder / SUMS).exists():
        report.differs(TOPIC, SUMS, "it is missing: nothing says which files belong here")
        return
    listed = _listed(folder, report)
    if listed is None:
        return
    there = set(members(folder))
    for name, digest in listed.items():
        if name not in there:
            if not name.startswith(ASIDE):
                report.differs(TOPIC, name, f"it is missing, and {SUMS} lists it")
            continue
        problem = plain(folder, name)
        if problem is not None:
            report.differs(TOPIC, name, problem)
            continue
        report.count(TOPIC)
        found = digest_file(folder / name)
        if found != digest:
            report.differs(TOPIC, name, f"its bytes are not those that {SUMS} lists", found[:16], digest[:16])
    for name in sorted(there - listed.keys()):
        report.differs(TOPIC, name, f"{SUMS} does not list it")


def _listed(folder: Path, report: Report) -> Mapping[str, str] | None:
    text = read_text(folder, SUMS, report, TOPIC)
    if text is None:
        return None
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        read = _LINE.fullmatch(line)
        if read is None:
            if line and not line.startswith("#"):
                report.differs(TOPIC, f"{SUMS} line {number}", "it is no digest and name", line[:80])
            continue
        name = read["name"]
        if name.startswith("/") or ".." in name.split("/") or name in found:
            report.differs(TOPIC, f"{SUMS} line {number}", "it names no file of this folder, or one twice", name[:80])
            continue
        found[name] = read["digest"]
    return found
