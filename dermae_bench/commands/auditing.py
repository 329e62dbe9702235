"""What `audit` does: read a published table, work out what its digits allow, print it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from dermae_bench.commands.output_file import replaceable
from dermae_bench.commands.printing import echo
from dermae_bench.durable import write_text
from dermae_bench.errors import OK, DataError, StorageError, UserError


def audit_table(
    table: Path,
    *,
    sizes: Sequence[int] = (),
    classes: Sequence[str] = (),
    form: str = "table",
    out: Path | None = None,
) -> int:
    """Audit a published table; findings are no failure.

    Args:
        table: wide or long CSV (docs/audit.md).
        sizes: candidate numbers of test images.
        classes: candidate class sizes, `TASK=NEGATIVE,POSITIVE`, or `NEGATIVE,POSITIVE` for a table of one task.
        form: `table`, `json` or `csv` on stdout.
        out: file that gets the audit as Markdown besides.

    Raises:
        UserError: the table or a flag cannot be read; all mistakes of the table at once, with lines.
        StorageError: `out` cannot be written.
    """
    from dermae_bench.report.audit.audit import audit
    from dermae_bench.report.audit.render import csv_audit, json_audit, markdown_audit, terminal_audit
    from dermae_bench.report.audit.table import read_counts, read_paper_table

    problems: list[str] = []
    wanted: list[tuple[str, tuple[int, ...]]] = []
    for text in classes:
        task, _, counts = text.rpartition("=")
        try:
            wanted.append((task.strip(), read_counts(counts)))
        except ValueError as error:
            problems.append(f"--classes: {error}")
    problems += [f"--n: {n} is no number of images" for n in sizes if n < 1]
    if table.is_dir():
        raise UserError(f"{table} is a folder, not a table", hint="name the CSV file in it")
    try:
        read = read_paper_table(table)
    except DataError as error:
        raise DataError(error.message, [*error.names, *problems], hint=error.hint) from None
    if problems:
        raise UserError("; ".join(problems))
    target = None if out is None else replaceable(out)
    result = audit(read, sizes, wanted)
    if target is not None:
        try:
            write_text(target, markdown_audit(result))
        except OSError as error:
            raise StorageError(f"{out} cannot be written: {error.strerror}") from error
    if form == "json":
        click.echo(json_audit(result))
    elif form == "csv":
        click.echo(csv_audit(result), nl=False)
    else:
        echo(terminal_audit(result, max(60, min(shutil.get_terminal_size((140, 24)).columns, 160))))
    return OK
