"""`clean`: what of the store may go, and its removal when asked for. Imports no torch."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermae_bench.commands.printing import echo, echo_csv, echo_json
from dermae_bench.commands.session import open_session
from dermae_bench.errors import OK, StorageError, UserError
from dermae_bench.report.escape import visible
from dermae_bench.store.artifacts import Store
from dermae_bench.store.refusals import size
from dermae_bench.store.sweeping import Item, candidates, remove

SHOWN = 20
"""Lines of the table for each sort of things; JSON and CSV have all."""
_AGE = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
FIELDS = ("what", "kind", "name", "key", "path", "bytes", "days", "removed")


@dataclass(frozen=True)
class Wishes:
    """What the user wants gone."""

    unused: bool
    partial: bool
    older_than: str | None
    yes: bool


def clean(
    suites: Sequence[Path], *, sets: Sequence[str], results: Path, plugins_dir: Path | None, wishes: Wishes, form: str
) -> int:
    """Show what may go, with sizes; remove it if `wishes.yes`."""
    if wishes.unused and not suites:
        raise UserError(
            "--unused needs the suites whose results are to stay",
            hint="name all of them: what none of them needs is removed",
        )
    if suites and not wishes.unused:
        raise UserError(
            "suites are named for --unused alone", hint="without it nothing that any suite could need is removed"
        )
    age = seconds(wishes.older_than) if wishes.older_than is not None else 0.0
    store = Store(results / "store")
    if not store.root.is_dir():
        raise UserError(f"there is no store at {store.root}", hint="name the place of the results with --results")
    needed = _needed(suites, sets, results, plugins_dir) if wishes.unused else None
    with store.writable():
        try:
            items = candidates(store, needed=needed, partial=wishes.partial, older_than=age)
            removed = [remove(store, item) for item in items] if wishes.yes else None
        except ValueError as error:
            raise StorageError(str(error), hint="wait for that run, or end it") from error
    _print(store, items, removed, form)
    return OK


def seconds(age: str) -> float:
    """`7d`, `12h`, `90m`, `30s` or `2w` in seconds.

    Raises:
        UserError: it is nothing of the kind.
    """
    found = _AGE.fullmatch(age)
    if found is None:
        raise UserError(f"{age!r} is no age", hint="a number and s, m, h, d or w, for example 7d")
    return int(found[1]) * float(_SECONDS[found[2]])


def _needed(suites: Sequence[Path], sets: Sequence[str], results: Path, plugins_dir: Path | None) -> set[str]:
    """Keys of every stage of the suites, as they stand and with each of their presets."""
    needed: set[str] = set()
    for suite in suites:
        presets: list[str | None] = [None]
        while presets:
            preset = presets.pop()
            session = open_session(suite, preset=preset, sets=sets, results=results, plugins_dir=plugins_dir)
            if session.absent:
                raise UserError(
                    f"nobody can say what {suite} needs{f' with preset {preset}' if preset else ''}: "
                    f"its data are missing: {session.missing}",
                    hint="put the data there, or leave --unused out",
                )
            if preset is None:
                presets += session.loaded.presets
            needed |= {stage.key for stage in session.stages}
    return needed


def _print(store: Store, items: Sequence[Item], removed: Sequence[bool] | None, form: str) -> None:
    now = time.time()
    rows: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        rows.append(
            {
                "what": item.what,
                "kind": item.kind,
                "name": item.name,
                "key": item.key,
                "path": item.path.relative_to(store.root).as_posix(),
                "bytes": item.bytes,
                "days": round(max(0.0, now - item.when) / 86400, 3),
                "removed": removed[number] if removed is not None else False,
            }
        )
    if form == "json":
        echo_json({"bytes": sum(item.bytes for item in items), "items": rows})
    elif form == "csv":
        echo_csv(FIELDS, rows)
    else:
        _table(rows, removed)


def _table(rows: Sequence[dict[str, Any]], removed: Sequence[bool] | None) -> None:
    for what in dict.fromkeys(row["what"] for row in rows):
        listed = [row for row in rows if row["what"] == what]
        echo(f"{what}: {len(listed)}, {size(sum(row['bytes'] for row in listed))}")
        for row in listed[:SHOWN]:
            kept = "  (in use now: it stays)" if removed is not None and not row["removed"] else ""
            name = f"  {visible(row['name'])}" if row["name"] else ""
            echo(f"  {size(row['bytes']):>10}  {row['days']:>6.1f} d  {visible(row['path'])}{name}{kept}")
        if len(listed) > SHOWN:
            echo(f"  and {len(listed) - SHOWN} more (--format json lists all)")
    if not rows:
        echo("nothing to remove")
    elif removed is None:
        echo(f"{size(sum(row['bytes'] for row in rows))} would be freed; nothing was removed yet: add --yes")
    else:
        gone = [row for row in rows if row["removed"]]
        echo(f"removed {len(gone)} of {len(rows)}: {size(sum(row['bytes'] for row in gone))} freed")
