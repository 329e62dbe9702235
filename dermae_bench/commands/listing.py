"""What `list`, `show` and `plugins` print: results folders, stages, cards. Imports no torch."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dermae_bench.commands.printing import csv_row, echo
from dermae_bench.errors import NOTHING_MATCHED, OK, UserError
from dermae_bench.plugin.catalog import Card, Catalog
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST

KINDS = ("prepare", "train", "sample", "extract", "predict", "score", "cost")


def list_results(results: Path, form: str) -> int:
    """Results folders with the state of their rows, and the stages in the store by kind."""
    folders = []
    for path in sorted(results.glob("*/classifiers.json")):
        counts: dict[str, int] = {}
        for board in ("classifiers", "generators"):
            for status in _statuses(path.with_name(f"{board}.json")):
                counts[status] = counts.get(status, 0) + 1
        folders.append({"suite": path.parent.name, **{s: counts.get(s, 0) for s in ("ok", "failed", "pending")}})
    store = Store(results / "store")
    held = []
    for kind in KINDS:
        folder = store.root / kind
        entries = [entry for entry in folder.iterdir() if (entry / MANIFEST).is_file()] if folder.is_dir() else []
        held.append({"kind": kind, "stages": len(entries)})
    if form == "json":
        click.echo(json.dumps({"results": folders, "store": held}, indent=1))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, ["suite", "ok", "failed", "pending"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(csv_row, folders))
    else:
        _print(
            ["suite", "ok", "failed", "pending"],
            folders or [{"suite": "(no results yet)", "ok": "", "failed": "", "pending": ""}],
        )
        echo()
        _print(["kind", "stages"], held)
    return OK


def _statuses(path: Path) -> Sequence[str]:
    if not path.is_file():
        return []
    try:
        return [str(row["status"]) for row in json.loads(path.read_text())["rows"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} is no leaderboard: {type(error).__name__}: {error}",
            hint="`dermae-bench report SUITE` builds it again",
        ) from error


def show_stage(results: Path, key: str, form: str) -> int:
    """One stage: its manifest, or why it failed, with the end of its log."""
    store = Store(results / "store")
    found = [(kind, path.name) for kind in KINDS for path in (store.root / kind).glob(f"{_hex(key)}*")]
    failed = [path.stem for path in (store.root / "failures").glob(f"{_hex(key)}*.json")]
    keys = {name for _, name in found} | set(failed)
    if not keys:
        raise UserError(
            f"no stage has a key that begins with {key!r}", hint="`dermae-bench plan SUITE` prints the keys"
        )
    if len(keys) > 1:
        raise UserError(f"{len(keys)} stages have keys that begin with {key!r}", hint="give more of the key")
    if found:
        about = asdict(store.manifest(*found[0]))
    else:
        failure = store.failure(failed[0])
        if failure is None:
            raise UserError(f"the record of the failed stage {failed[0]} cannot be read")
        about = {"status": "failed", **asdict(failure)}
    if form == "json":
        click.echo(json.dumps(about, indent=1, sort_keys=True))
        return OK
    for name, value in about.items():
        if name == "traceback":
            continue
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        echo(f"{name:<12} {text if len(text) < 2000 else text[:2000] + ' ... (--format json shows all)'}")
    if about.get("traceback"):
        echo(about["traceback"])
    return OK


def _hex(key: str) -> str:
    if not key or set(key) - set("0123456789abcdef"):
        raise UserError(f"{key!r} is no key: keys are hexadecimal")
    return key


def list_plugins(plugins_dir: Path | None, form: str) -> int:
    """Every plugin with kind, origin and first line; broken ones with their reason."""
    catalog = Catalog(plugins_dir)
    references = [reference for found in catalog.references.values() for reference in found]
    cards = catalog.cards(references)
    rows = []
    for reference, card in zip(references, cards, strict=True):
        clash = "clash: declared twice" if len(catalog.references[reference.name]) > 1 else ""
        state = "broken" if card.error else "clash" if clash else "ok"
        about = card.error or clash or card.doc.partition("\n")[0]
        rows.append({"name": card.name, "kind": card.kind, "state": state, "origin": card.origin, "about": about})
    rows.sort(key=lambda row: (row["kind"], row["name"]))
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, ["name", "kind", "state", "origin", "about"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(csv_row, rows))
    else:
        _print(["name", "kind", "state", "origin", "about"], rows)
    return OK if rows else NOTHING_MATCHED


def show_plugin(name: str, plugins_dir: Path | None, form: str) -> int:
    """One plugin's card."""
    catalog = Catalog(plugins_dir)
    card = catalog.cards([catalog.reference(name)])[0]
    if form == "json":
        click.echo(json.dumps(asdict(card), indent=1))
        return OK
    echo(f"{card.name} ({card.kind}, {card.origin})")
    if card.error:
        echo(f"broken: {card.error}")
        return OK
    echo(card.doc)
    if card.kind == "classifier":
        echo(f"teacher: {card.flags['teaching']}")
    _print_schema("params", card.params)
    if card.sampling is not None:
        _print_schema("sampling", card.sampling)
    for column in card.columns:
        about = column["description"] or column["protocol"] or ""
        echo(f"column {column['name']}: {about} ({column['better']} is better, unit {column['unit']})")
    _print_facts(card)
    return OK


def _print_schema(title: str, schema: Mapping[str, Any]) -> None:
    echo(f"\n{title}:")
    required = schema.get("required", ())
    for name, about in schema.get("properties", {}).items():
        default = "required" if name in required else f"default {json.dumps(about.get('default'))}"
        what = about.get("type") or about.get("enum") or "one of several kinds"
        echo(f"  {name} ({what}, {default}): {about.get('description', '')}")
    if not schema.get("properties"):
        echo("  none")


def _print_facts(card: Card) -> None:
    libraries = ", ".join(card.libraries) or "none"
    echo(f"\nsource digest {card.digest[:16]} over {len(card.files)} modules; libraries in its keys: {libraries}")


def _print(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """A plain table that fits the terminal: the last column is cut."""
    texts = [[_plain(row[column]) for column in columns] for row in rows]
    widths = [max(len(column), *(len(text[i]) for text in texts)) for i, column in enumerate(columns)]
    room = max(20, shutil.get_terminal_size((140, 24)).columns - sum(widths[:-1]) - 2 * len(widths))
    for line in [list(columns), *texts]:
        cells = [text.ljust(width) for text, width in zip(line[:-1], widths[:-1], strict=True)]
        last = line[-1] if len(line[-1]) <= room else line[-1][: room - 3] + "..."
        echo("  ".join([*cells, last]).rstrip())


def _plain(value: object) -> str:
    """Text without control characters: names come from strangers."""
    return "".join(c if c.isprintable() else "?" for c in str(value).replace("\n", " "))
