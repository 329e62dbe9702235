"""How a dataset's images get their splits: by a rule of the harness, or as a CSV of the user says."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dermae_bench import api
from dermae_bench.builtin.datasets.tables import Row, read_table, repeated

GIVEN = "as given in the CSV"
COLUMNS = ("id", "split", "group")


@dataclass(frozen=True, kw_only=True)
class SplitChoice:
    """Params that every dataset with a choice of splits has."""

    split_csv: api.File | None = None
    """CSV for `split: csv`, with the columns `id` and `split` (train, val or test) and every image exactly once. An
    optional column `group` takes the place of the dataset's own groups where it is not empty."""
    leaky: str | None = None
    """Why a CSV's splits may divide groups; without it that is an error. Rows of such a split are marked and ranked
    apart. Rules state their own reason."""


def check_choice(choice: SplitChoice, split: str | None, *, given: Collection[str | None]) -> list[str]:
    """What is wrong with a choice of splits, whatever the data are.

    Args:
        choice: the params.
        split: the rule's name.
        given: names whose splits are written in a table, so that they may be leaky.
    """
    problems = []
    if split == "csv" and choice.split_csv is None:
        problems.append("`split: csv` needs `split_csv`, a CSV with the columns id and split")
    if split != "csv" and choice.split_csv is not None:
        problems.append("`split_csv` is used by `split: csv` alone")
    if choice.leaky is not None and split not in given:
        problems.append(f"`leaky` says why a CSV divides groups, and `split: {split}` reads none; remove it")
    if choice.leaky is not None and not choice.leaky.strip():
        problems.append("`leaky` states no reason")
    return problems


def by_rule(rule: api.SplitRule, examples: Sequence[api.Example]) -> list[api.Example]:
    """The examples with the splits of a rule."""
    splits = rule.place({example.id: example.group for example in examples})
    return [replace(example, split=splits[example.id]) for example in examples]


def by_csv(choice: SplitChoice, examples: Sequence[api.Example], problems: list[str]) -> list[api.Example]:
    """The examples with the splits, and the groups, of `split_csv`; all that is wrong with it goes to `problems`.

    Raises:
        DataMissing: there is no such file.
        DataError: it is no such table at all.
    """
    assert choice.split_csv is not None, "checked by check_choice"
    table = Path(choice.split_csv)
    if not table.is_file():
        raise api.DataMissing(f"there is no file {table}; `split_csv` names the table of the splits")
    columns, rows = read_table(table, COLUMNS[:2], problems)
    name = table.name
    problems += [f"{name}: unknown column {c!r}, not one of {' '.join(COLUMNS)}" for c in columns if c not in COLUMNS]
    rows = repeated([row for row in rows if _complete(row, name, problems)], "id", name, problems)
    known = {example.id for example in examples}
    problems += [_unknown(row, known, name) for row in rows if row["id"] not in known]
    found = {row["id"]: row for row in rows if row["split"] in api.SPLITS}
    problems += [f"{name}: {image} is not in it" for image in sorted(known - {row["id"] for row in rows})]
    told = [(example, found[example.id]) for example in examples if example.id in found]
    placed = [placed_in(example, row["split"], row.values.get("group")) for example, row in told]
    check_given(placed, name, choice.leaky, problems)
    if "group" in columns and choice.leaky is None:
        # groups of one's own may join lesions, never hide that one is divided
        own = api.divided_groups([placed_in(example, row["split"]) for example, row in told])
        known_already = api.divided_groups(placed)
        problems += [
            f"{name}: {group!r}, a group of the dataset, lies in {' and '.join(splits)} (state why in `leaky`)"
            for group, splits in own.items()
            if group not in known_already
        ]
    return placed


def check_given(examples: Sequence[api.Example], name: str, leaky: str | None, problems: list[str]) -> None:
    """Splits that were written by hand: each of the three has images, and no group is divided without a reason."""
    used = {example.split for example in examples}
    problems += [f"{name}: no image is in {split}" for split in api.SPLITS if split not in used]
    if leaky is None:
        problems += [
            f"{name}: group {group!r} lies in {' and '.join(splits)} (state why in `leaky`, if it must)"
            for group, splits in api.divided_groups(examples).items()
        ]


def _complete(row: Row, name: str, problems: list[str]) -> bool:
    if not row["id"]:
        problems.append(f"{name}, line {row.line}: empty id")
    if row["split"] not in api.SPLITS:
        problems.append(f"{name}, line {row.line}: unknown split {row['split']!r}, not one of {' '.join(api.SPLITS)}")
    return bool(row["id"])


def _unknown(row: Row, known: Collection[str], name: str) -> str:
    stem = row["id"].rpartition(".")[0]
    meant = f"; write {stem!r}, without a suffix" if stem in known else ""
    return f"{name}, line {row.line}: the dataset has no image {row['id']!r}{meant}"


def placed_in(example: api.Example, split: str, group: str | None = None) -> api.Example:
    """The example in a split that a table names, under the table's group if there is one."""
    known = next(word for word in api.SPLITS if word == split)
    return replace(example, split=known, group=group or example.group)
