"""Every file and folder of a results folder is one that its boards and its suite give."""

from __future__ import annotations

import os
import re
from collections.abc import Set as AbstractSet
from pathlib import Path

from dermae_bench.durable import digest_of
from dermae_bench.report.details import nearest
from dermae_bench.report.listed import LIST
from dermae_bench.report.real_pictures import FOLDER as REAL
from dermae_bench.report.records import Boards, published
from dermae_bench.report.verify.findings import Report
from dermae_bench.report.verify.reading import plain

TOPIC = "boards"
FIGURES = "figures"
ALWAYS = "samples"
"""The picture that every suite with generators has."""
LONGEST = 2**20
"""Bytes of a list of pictures."""
_PICTURE = re.compile(r"(?P<name>.+)\.(png|txt)")


def check_members(
    folder: Path, texts: AbstractSet[str], boards: Boards, drawn: AbstractSet[str] | None, report: Report
) -> None:
    """Name files and folders that nothing gives, whether the list of digests has them or not.

    Args:
        texts: names of all files that were made again: those beside the folders of pictures, and charts.
        boards: made again.
        drawn: names of the grids that the suite asks for; None where it cannot be planned here.
    """
    real = {f"-{digest_of([its.info.row, its.metric])[:6]}" for its in nearest(published(boards))}

    def given(name: str) -> bool:
        place, _, own = name.rpartition("/")
        picture = _PICTURE.fullmatch(own)
        if not place:
            return own in texts
        if place == FIGURES:
            grid = picture is not None and (drawn is None or picture["name"] in {ALWAYS, *drawn})
            fits = grid or name in texts
        else:
            fits = picture is not None and picture["name"][-7:] in real
        return own == LIST or fits or (place == REAL and own == ".gitignore")

    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder)
        for name in sorted(folders):
            known = inside == Path() and name in {FIGURES, REAL}
            if not known or Path(place, name).is_symlink():
                report.differs(TOPIC, (inside / name).as_posix(), "nothing gives such a folder")
                folders.remove(name)
        report.count("names of files", len(files))
        for name in sorted(files):
            if not given((inside / name).as_posix()):
                report.differs(TOPIC, (inside / name).as_posix(), "its evidence gives no such file")
    for place in (FIGURES, REAL):
        _as_listed(folder, place, report)


def _as_listed(folder: Path, place: str, report: Report) -> None:
    """The pictures of a folder are those that its own list names."""
    path = folder / place / LIST
    if plain(folder, f"{place}/{LIST}") is not None or path.stat().st_size > LONGEST:
        return
    listed = set(path.read_bytes().decode(errors="replace").splitlines())
    for name in sorted(listed ^ {one.name for one in path.parent.iterdir() if one.name != LIST}):
        report.differs(TOPIC, f"{place}/{name[:120]}", f"it is not in both folder and {place}/{LIST}")
