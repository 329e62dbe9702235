"""What the public sets in their official layouts share: ids, files, facts, labels, and the split `all-test`.

A set that is only tested on needs no training images. `split: all-test` puts every image into test.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar

from dermae_bench import api
from dermae_bench.builtin.datasets.splitting import GIVEN, SplitChoice, by_csv, by_rule, check_choice
from dermae_bench.builtin.datasets.tables import ABSENT, MAX_BYTES, Row, read_table

ALL_TEST = api.SplitRule("all-test, every image is test", lambda groups: dict.fromkeys(groups, "test"))
BENIGN, MALIGNANT = "benign", "malignant"
MALIGNANCY = api.Task(name="malignancy", classes=(BENIGN, MALIGNANT), positive=MALIGNANT)
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
SKIN_TONES = {"I": "I-II", "II": "I-II", "III": "III-IV", "IV": "III-IV", "V": "V-VI", "VI": "V-VI"}
"""Fitzpatrick type -> its group in DDI; Class-N-Diff calls the groups A, B and C."""


@dataclass(frozen=True, kw_only=True)
class ExternalConfig(SplitChoice):
    """Params of every set in an official layout."""

    root: api.Folder
    """Folder with the set as it is unpacked."""
    image_size: Annotated[int, api.Between(8, 2048)] = 224
    """Side in pixels of the squares that the images are squashed to."""
    skip: Annotated[int, api.Between(0, None)] = 0
    """At most this many missing or unreadable images are left out; one more is an error."""

    def __post_init__(self) -> None:
        if problems := check_choice(self, self.chosen(), given=("csv",)):
            raise ValueError("; ".join(problems))

    def chosen(self) -> str:
        """The word that says which image is in which split."""
        return str(getattr(self, "split", "all-test"))


@dataclass
class Found:
    """What reading a set brought to light besides its images."""

    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Images without a file."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rule -> images that it leaves out."""


class External(api.Dataset):
    """A set in its official layout: every problem told at once, images left out by stated rules alone, and counted."""

    Config: ClassVar[type] = ExternalConfig
    title: ClassVar[str]

    config: ExternalConfig
    _left_out: Counter[str] | None = None

    @abstractmethod
    def read(self, found: Found) -> Sequence[api.Example]:
        """Every labelled image in the order of its id; `split` is filled in afterwards unless it is official."""

    def rule(self) -> api.SplitRule | None:
        """The rule of the split; None where a table says who is in which."""
        word = self.config.chosen()
        if word == "csv":
            return None
        return ALL_TEST if word == "all-test" else api.split_rule(word, own_test=True)

    @property
    def split_rule(self) -> str:
        """The rule, and how many images were left out by what."""
        if self._left_out is None:
            self.examples()
        told = [f"{count} left out: {why}" for why, count in sorted((self._left_out or Counter()).items())]
        rule = self.rule()
        return "; ".join([GIVEN if rule is None else rule.name, *told])

    @property
    def leaky(self) -> str | None:
        rule = self.rule()
        return self.config.leaky if rule is None else rule.leaky

    def examples(self) -> Sequence[api.Example]:
        """All labelled images, by id.

        Raises:
            DataMissing, DataError: as `Dataset.examples`.
        """
        found = Found()
        examples = self.read(found)
        # The files that a stated `skip` allows to be missing stay in the list: the decoder finds and counts them.
        if len(found.missing) > self.config.skip:
            found.problems += missing_files(found.missing, examples)
        rule = self.rule()
        placed = by_csv(self.config, examples, found.problems) if rule is None else self.placed(examples, rule)
        if found.problems:
            raise self.refused(found.problems)
        self._left_out = found.left_out
        return placed

    def placed(self, examples: Sequence[api.Example], rule: api.SplitRule) -> list[api.Example]:
        """The examples with their splits."""
        return by_rule(rule, examples)

    def refused(self, problems: Sequence[str], hint: str | None = None) -> api.DataError:
        """The error that lists everything that is wrong."""
        return api.DataError(f"{self.title} cannot be read: {len(problems)} problem(s)", problems, hint=hint)

    def absent(self, what: str) -> api.DataMissing:
        """The error for a table, or images, that are not there."""
        return api.DataMissing(f"{self.title} is not there: no {what} in {self.config.root}; get it from {self.home}")


# -- tables --------------------------------------------------------------------------------------------------------


def read_official(path: Path, required: Sequence[str], problems: list[str]) -> tuple[tuple[str, ...], list[Row]]:
    """As `read_table`, of tables that pandas wrote with its row numbers: a first column without a name is dropped.

    Raises:
        DataError: as `read_table`.
    """
    table = api.read_csv(path, MAX_BYTES)
    if table.columns[0] != "" or "" in table.columns[1:]:
        return read_table(path, required, problems)
    columns = table.columns[1:]
    wrong = [f"column {name!r} is missing" for name in required if name not in columns]
    wrong += [f"column {name!r} stands {columns.count(name)} times" for name in required if columns.count(name) > 1]
    if wrong:
        raise api.DataError(f"{path.name} has an unusable header: {','.join(table.columns)[:200]}", wrong)
    rows = []
    for line, cells in table.rows:
        if len(cells) != len(table.columns):
            problems.append(f"{path.name}, line {line}: {len(cells)} cells instead of {len(table.columns)}")
        else:
            rows.append(Row(line, dict(zip(columns, cells[1:], strict=True))))
    check_present(rows, required, path.name, problems)
    if not table.rows:
        problems.append(f"{path.name}: no rows below the header")
    return columns, rows


def check_present(rows: Iterable[Row], columns: Collection[str], name: str, problems: list[str]) -> None:
    """Cells that say, as a word, that there is nothing: an empty cell is the way to say it."""
    problems += [
        f"{name}, line {row.line}: {column} is {row[column]!r}, which says that there is none"
        for row in rows
        for column in columns
        if row[column].casefold() in ABSENT
    ]


def sound_ids(rows: Iterable[Row], columns: Sequence[str], name: str, problems: list[str]) -> list[Row]:
    """The rows whose ids can be ids: no cell is empty, and none looks like a path, since names never become paths."""
    sound = []
    for row in rows:
        wrong = [f"{name}, line {row.line}: {why}" for column in columns if (why := _no_id(column, row[column]))]
        problems += wrong
        if not wrong:
            sound.append(row)
    return sound


def _no_id(column: str, text: str) -> str | None:
    if not text:
        return f"empty {column}"
    hidden = text.startswith(".") or not text.isprintable() or not set("/\\:").isdisjoint(text)
    return f"{column} {text!r} is no name" if hidden else None


def one_hot(row: Row, columns: Sequence[str], name: str, problems: list[str]) -> str | None:
    """The one column of `columns` that is 1 where the others are 0."""
    hot = [column for column in columns if row[column] in ("1", "1.0")]
    cold = [column for column in columns if row[column] in ("0", "0.0")]
    if len(hot) == 1 and len(hot) + len(cold) == len(columns):
        return hot[0]
    cells = ",".join(row[column] for column in columns)
    problems.append(f"{name}, line {row.line}: not exactly one 1 among 0s: {cells}")
    return None


# -- files ---------------------------------------------------------------------------------------------------------


def image_files(folders: Sequence[Path], root: Path, problems: list[str]) -> dict[str, Path]:
    """Image id -> file, over the folders that exist; hidden files are not images, links stay inside `root`."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                    found[file.stem].append(file)
                    if file.is_symlink() and (why := api.leads_out(file, (root,))) is not None:
                        problems.append(f"{folder.name}/{file.name}: {why}")
    for stem, files in sorted(found.items()):
        if len(files) > 1:
            places = ", ".join(f"{file.parent.name}/{file.name}" for file in files)
            problems.append(f"{stem} has {len(files)} image files: {places}")
    return {stem: files[0] for stem, files in found.items()}


def match(ids: Mapping[str, int], files: Mapping[str, Path], name: str, found: Found) -> None:
    """Every row has a file, every file a row.

    Args:
        ids: image id -> line of its row.
        name: of the table.
    """
    lost = sorted((line, image) for image, line in ids.items() if image not in files)
    found.missing += [f"{name}, line {line}: {image} has no image file" for line, image in lost]
    found.problems += [f"{files[image].name} has no row in {name}" for image in sorted(files.keys() - ids.keys())]


def missing_files(told: Sequence[str], examples: Sequence[api.Example]) -> list[str]:
    """What is said of images without a file: each by itself, or one line where none of several is there.

    Args:
        told: a line for each.
        examples: every image of the set.
    """
    none_is_there = len(told) >= len(examples) > 1 and not any(
        example.source is not None and os.path.isfile(example.source)  # noqa: PTH113 (no error for odd names)
        for example in examples
    )
    if not none_is_there:
        return list(told)
    return [f"none of the {len(examples):,} images is there: is `root` right? The first one: {told[0]}"]


def relative_file(root: Path, text: str, where: str, found: Found) -> Path | None:
    """The file below `root` that a cell names; None, and a problem, where it can be none."""
    path = PurePosixPath(text)
    odd = not text or "\\" in text or ":" in text or not text.isprintable() or path.is_absolute() or not path.parts
    if odd or any(part.startswith(".") for part in path.parts):
        found.problems.append(f"{where}: {text!r} is no relative path below {root.name}, with / and without dots")
        return None
    file = root / path
    if (why := api.leads_out(file, (root,))) is not None:
        found.problems.append(f"{where}: {text} {why}")
        return None
    if not os.path.isfile(file):  # noqa: PTH113 (no error for a name that no file can have)
        found.missing.append(f"{where}: no such file {text}")
    return file


# -- facts and labels ----------------------------------------------------------------------------------------------


def mapping_of(answers: Iterable[tuple[str, str, int]], task: str, name: str, problems: list[str]) -> dict[str, str]:
    """Class -> answer, as (class, answer, line) of every row says; one class with two answers is a problem."""
    first: dict[str, tuple[str, int]] = {}
    for label, answer, line in answers:
        other, earlier = first.setdefault(label, (answer, line))
        if other != answer:
            problems.append(
                f"{name}, line {line}: {task} of {label!r} is {answer!r} here and {other!r} on line {earlier}"
            )
    return {label: answer for label, (answer, _) in sorted(first.items())}


def reached(name: str, parent: str, mapping: Mapping[str, str], classes: Sequence[str] = ()) -> api.Task:
    """A task that follows from `parent`; its classes are the answers, sorted, unless they are given."""
    return api.Task(
        name=name,
        classes=tuple(classes) or tuple(sorted(set(mapping.values()))),
        positive=MALIGNANT if MALIGNANT in mapping.values() else None,
        parent=parent,
        mapping=dict(mapping),
    )


def malignancy_of(parent: str, mapping: Mapping[str, str]) -> api.Task:
    """`malignancy`, with the classes and the positive answer that it has everywhere."""
    return api.Task(
        name=MALIGNANCY.name,
        classes=MALIGNANCY.classes,
        positive=MALIGNANT,
        parent=parent,
        mapping=dict(mapping),
    )
