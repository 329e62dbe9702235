"""What `list`, `show` and `plugins` print: results folders, stages, cards. Imports no torch."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dermae_bench.bounded.tables import Kind, read_parquet
from dermae_bench.bounded.texts import read_json
from dermae_bench.commands.printing import echo, echo_csv, echo_json
from dermae_bench.commands.stored import contents, facts, finished
from dermae_bench.commands.under_way import begun, under_way
from dermae_bench.errors import NOTHING_MATCHED, OK, DataError, DataMissing, UserError
from dermae_bench.plugin.catalog import Card, Catalog
from dermae_bench.store.artifacts import KINDS, Store
from dermae_bench.store.refusals import size

STATES = ("ok", "failed", "pending")
"""Of rows, as `list` counts them."""


def list_results(results: Path, form: str) -> int:
    """Results folders with the state of their rows, and the stages in the store by kind."""
    places = [path.parent for path in sorted(results.glob("*/classifiers.json"))]
    folders = [{"suite": place.name, **_states(place)} for place in places]
    about = contents(results)
    if form == "json":
        echo_json({"results": folders, **about})
    elif form == "csv":
        echo_csv(["suite", *STATES, "unreadable"], folders)
    else:
        shown = [{name: "" if value is None else value for name, value in folder.items()} for folder in folders]
        _print(
            ["suite", *STATES, *(["unreadable"] if any(folder["unreadable"] for folder in shown) else [])],
            shown or [{"suite": "(no results yet)", **dict.fromkeys(STATES, "")}],
        )
        echo()
        _print(["kind", "stages", "size"], [{**line, "size": size(line["bytes"])} for line in about["store"]])
        for line in facts(about):
            echo(line)
    return OK


def _states(folder: Path) -> dict[str, Any]:
    """Rows of both boards by state; of a folder that cannot be read only the reason: it does not hide the others."""
    try:
        # a suite may have no generators
        found = [*_statuses(folder / "classifiers.json"), *_statuses(folder / "generators.json", missing=True)]
    except DataError as error:
        # the folder stands in the same line already
        reason = str(error).partition("\n")[0].removeprefix(f"{folder}/")
        return {**dict.fromkeys(STATES), "unreadable": reason}
    return {**{state: found.count(state) for state in STATES}, "unreadable": None}


def _statuses(path: Path, *, missing: bool = False) -> Sequence[str]:
    try:
        return [str(row["status"]) for row in read_json(path)["rows"]]
    except DataMissing:
        if missing:
            return []
        raise
    except (LookupError, TypeError) as error:
        raise DataError(f"{path} is no leaderboard; `dermae-bench report SUITE` builds it again") from error


def list_stages(results: Path, form: str) -> int:
    """`list --stages`: every finished stage, newest first."""
    now = time.time()
    rows: list[dict[str, Any]] = [
        {"kind": e.kind, "key": e.key, "days": round(max(0.0, now - e.when / 1e9) / 86400, 3), "bytes": e.bytes,
         "name": e.name}
        for e in finished(results)
    ]  # fmt: skip
    if form == "json":
        echo_json(rows)
    elif form == "csv":
        echo_csv(["kind", "key", "days", "bytes", "name"], rows)
    elif rows:
        shown = [{**r, "key": r["key"][:12], "size": size(r["bytes"]), "age": f"{r['days']:.1f} d"} for r in rows]
        _print(["kind", "key", "age", "size", "name"], shown)
    else:
        echo("(no stages yet)")
    return OK


def show_stage(results: Path, key: str, form: str) -> int:
    """One stage: its manifest, or why it failed or where it stands, with the end of its log."""
    store = Store(results / "store")
    found = [(kind, path.name) for kind in KINDS for path in (store.root / kind).glob(f"{_hex(key)}*")]
    failed = [path.stem for path in (store.root / "failures").glob(f"{_hex(key)}*.json")]
    open_ones = begun(store, key)
    keys = {name for _, name in found} | set(failed) | set(open_ones)
    if not keys:
        raise UserError(
            f"no stage in {store.root} was begun that has a key with the beginning {key!r}",
            hint="`dermae-bench plan SUITE` prints the keys; --results names another place",
        )
    if len(keys) > 1:
        raise UserError(f"{len(keys)} stages have keys that begin with {key!r}", hint="give more of the key")
    if found:
        about = asdict(store.manifest(*found[0]))
    elif not failed:
        about = under_way(store, open_ones[0])
    else:
        failure = store.failure(failed[0])
        if failure is None:
            raise UserError(f"the record of the failed stage {failed[0]} cannot be read")
        about = {"status": "failed", **asdict(failure)}
    if form == "json":
        echo_json(about, sort_keys=True)
        return OK
    for name, value in about.items():
        if name in {"traceback", "printed"}:
            continue
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        echo(f"{name:<12} {text if len(text) < 2000 else text[:2000] + ' ... (--format json shows all)'}")
    for name in ("traceback", "printed"):
        if about.get(name):
            echo(about[name].rstrip("\n"))
    return OK


def show_images(results: Path, key: str) -> int:
    """`show KEY --images`: id, split and label of every image of a prepared data set, as CSV."""
    store = Store(results / "store")
    found = [path.name for path in (store.root / "prepare").glob(f"{_hex(key)}*")]
    if len(found) != 1:
        count = f"{len(found)} prepared data sets in" if found else "no prepared data set in"
        raise UserError(
            f"{count} {store.root} {'have keys that begin' if found else 'has a key that begins'} with {key!r}",
            hint="`dermae-bench run SUITE --only prepare` makes it, `dermae-bench plan SUITE` prints its key",
        )
    columns: dict[str, Kind] = {"id": "text", "split": "text", "label": "whole"}
    table = read_parquet(store.file("prepare", found[0], "table.parquet"), columns).to_pydict()
    classes = store.manifest("prepare", found[0]).summary["tasks"][0]["classes"]
    lines = zip(table["id"], table["split"], table["label"], strict=True)
    echo_csv(list(columns), [{"id": image, "split": split, "label": classes[label]} for image, split, label in lines])
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
        echo_json(rows)
    elif form == "csv":
        echo_csv(["name", "kind", "state", "origin", "about"], rows)
    else:
        _print(["name", "kind", "state", "origin", "about"], rows)
    return OK if rows else NOTHING_MATCHED


def show_plugin(name: str, plugins_dir: Path | None, form: str) -> int:
    """One plugin's card."""
    catalog = Catalog(plugins_dir)
    card = catalog.cards([catalog.reference(name)])[0]
    if form == "json":
        echo_json(asdict(card))
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
        echo(f"  {name} ({_kind(about)}, {default}): {about.get('description', '')}")
    if not schema.get("properties"):
        echo("  none")


def _kind(about: Mapping[str, Any]) -> str:
    """What a parameter may be, in a word or as its choices."""
    if "x-path" in about:
        return "path"
    if "anyOf" in about:
        return " | ".join(dict.fromkeys(_kind(member) for member in about["anyOf"]))
    if "enum" in about or "const" in about:
        choices = about.get("enum", (about.get("const"),))
        return " | ".join(choice if isinstance(choice, str) else json.dumps(choice) for choice in choices)
    return str(about["type"])


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
