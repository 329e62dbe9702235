"""What `export` does: a leaderboard as a table for a paper, or the whole results folder as one archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from dermae_bench.bounded.texts import read_json, read_json_lines, read_text
from dermae_bench.commands.output_file import replaceable
from dermae_bench.commands.printing import echo
from dermae_bench.durable import replacing, write_text
from dermae_bench.errors import OK, UserError
from dermae_bench.report.board_file import BoardFile, read_board, selected
from dermae_bench.report.escape import visible, without_paths
from dermae_bench.report.export import csv_file
from dermae_bench.report.leaderboard import Board, cells_of
from dermae_bench.report.real_pictures import FOLDER

Form = Literal["latex", "markdown", "csv", "zip"]
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member of an archive: the earliest that ZIP can write."""
SHOWN = 10
"""Findings that are named."""


def export_results(
    what: Path,
    *,
    form: Form,
    out: Path | None,
    board: Board,
    columns: str | None,
    rows: Sequence[str],
    preset: str | None,
    sets: Sequence[str],
    results: Path,
    plugins_dir: Path | None,
) -> int:
    """Write one leaderboard, or the results folder, in another form. Returns the exit code.

    Args:
        what: a results folder, the name of one inside `results`, or a suite file (with `preset` and `sets`).
        out: the file to write; None: standard output.
        columns: metrics and costs to keep, separated by commas; None: all.
        rows: patterns of rows to keep; empty: all.

    Raises:
        UserError: there are no such results, or they may not leave this machine as they are.
        NothingMatched: `rows` leave nothing.
    """
    target = None if out is None else replaceable(out)
    folder = _folder(what, preset, sets, results, plugins_dir)
    if form == "zip":
        if out is None or target is None:
            raise UserError("an archive is not printed", hint="name its file with --out")
        if columns or rows:
            raise UserError("--columns and --rows belong to tables; an archive holds the whole results folder")
        if target.is_relative_to(folder.resolve()):
            raise UserError(f"{out} lies inside the folder that goes into it", hint="name a file outside of it")
        data = archive(folder)
        with replacing(target) as temporary:
            temporary.write_bytes(data)
        echo(f"{out}  (next: dermae-bench verify {out})")
        return OK
    read = read_board(folder, board)
    text = _table(read, form, _names(columns), rows)
    if target is None:
        click.echo(text, nl=False)
    else:
        write_text(target, text)
        echo(str(out))
    return OK


def _folder(what: Path, preset: str | None, sets: Sequence[str], results: Path, plugins_dir: Path | None) -> Path:
    if what.is_file():
        from dermae_bench.commands.session import open_session

        return open_session(what, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir).folder
    if preset is not None or sets:
        raise UserError(f"--preset and --set belong to a suite file, and {what} is none")
    folder = what if what.is_dir() else results / what
    if not folder.is_dir():
        raise UserError(f"there are no results at {folder}", hint="`dermae-bench list` shows the results folders")
    return folder


def _names(columns: str | None) -> list[str]:
    return [name.strip() for name in (columns or "").split(",") if name.strip()]


def _table(read: BoardFile, form: Form, columns: Sequence[str], rows: Sequence[str]) -> str:
    table = selected(read.table, columns, rows)
    if form == "csv":
        return csv_file(cells_of(table))
    if form == "markdown":
        from dermae_bench.report.escape import markdown as safe
        from dermae_bench.report.markdown import sections

        return "\n".join([f"# {safe(read.title)}: {table.board}", "", *sections(table)])
    from dataclasses import replace

    from dermae_bench.report.latex import latex_tables

    return latex_tables(replace(read, table=table), whole=len(table.lines) == len(read.table.lines))


def archive(folder: Path) -> bytes:
    """A ZIP file of a results folder, the same for equal folders: report.html is in it, real photographs are not.

    Members are stored as they are, in the order of their names, below one folder that is named like the results. They
    are not packed: libraries that pack differ, and then equal folders would give unlike archives.

    Raises:
        UserError: files differ from SHA256SUMS, there are photographs in it, or a text names a folder of a machine.
    """
    from dermae_bench.report.verify.digests import SUMS, check_digests, members
    from dermae_bench.report.verify.findings import Report

    report = Report(folder=folder.name)
    check_digests(folder, report)
    _refuse(folder, [f"{visible(item.place)}: {visible(item.message)}" for item in report.findings],
            "`dermae-bench report SUITE` builds the folder again")  # fmt: skip
    names = [name for name in sorted([*members(folder), SUMS]) if not name.startswith(f"{FOLDER}/")]
    _refuse(folder, [f"{visible(name)}: {told}" for name in names for told in _unfit(folder, name)],
            "it is not for others; see docs/export.md")  # fmt: skip
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, strict_timestamps=True) as out:
        for name in names:
            member = zipfile.ZipInfo(f"{folder.resolve().name}/{name}", _EPOCH)
            member.create_system, member.external_attr = 3, 0o100644 << 16
            out.writestr(member, (folder / name).read_bytes())
    return stream.getvalue()


def _refuse(folder: Path, told: Sequence[str], hint: str) -> None:
    if told:
        more = [f"... and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        raise UserError("\n  ".join([f"{folder} is not exported:", *told[:SHOWN], *more]), hint=hint)


def _unfit(folder: Path, name: str) -> Iterator[str]:
    """Why a file must not leave this machine."""
    kind = name.rpartition(".")[2].lower()
    if kind in _PICTURES and not name.startswith("figures/"):
        yield "a picture outside figures/, maybe a photograph"
    if kind == "html" or kind not in _TEXTS:
        return
    path = folder / name
    if kind == "json":
        values = list(_strings(read_json(path)))
    elif kind == "jsonl":
        values = [value for _, line in read_json_lines(path) for value in _strings(line)]
    else:
        values = read_text(path).split("\n")
    found = next((value for value in values if without_paths(value) != value), None)
    if found is not None:
        yield f"it names a folder of a machine: {visible(found, 120)}"


_PICTURES = frozenset({"png", "jpg", "jpeg", "gif", "tif", "tiff", "bmp", "webp", "dcm", "npy"})
_TEXTS = frozenset({"json", "jsonl", "csv", "md", "txt", "yaml"})


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
