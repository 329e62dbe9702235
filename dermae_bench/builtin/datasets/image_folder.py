"""`image-folder`: anybody's images, described by a CSV or by sub-folders named after their class.

CSV columns: `path` (relative to `root`, with /) and `label`; if present `group` (lesion or patient), `split`
(train, val, test) and `caption`; every other column is an attribute.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

from dermae_bench import api
from dermae_bench.builtin.datasets.external import ALL_TEST, missing_files
from dermae_bench.builtin.datasets.splitting import (
    GIVEN,
    SplitChoice,
    by_csv,
    by_rule,
    check_choice,
    check_given,
    placed_in,
)
from dermae_bench.builtin.datasets.tables import Row, read_table, repeated

RESERVED = ("path", "label", "group", "split", "caption")
# Formats that cannot be read are listed all the same: the decoder then refuses them by name instead of
# their being dropped here in silence.
READABLE = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png"})
OTHER = frozenset({".tif", ".tiff", ".gif", ".bmp", ".webp", ".heic", ".heif", ".avif", ".jp2", ".dcm", ".eps", ".svg"})


@dataclass(frozen=True, kw_only=True)
class ImageFolderConfig(SplitChoice):
    """Where the images lie, what they are called, and what is asked of them."""

    root: api.Folder
    """Folder that holds all images; links out of it are followed only into folders given with --data-root."""
    csv: api.File | None = None
    """CSV with a row an image. Columns `path` and `label`; optional `group`, `split` (train, val, test) and `caption`,
    what `captions: {own: {}}` says of the image; every other column is an attribute. none: each sub-folder of `root` is
    a class and its name the label."""
    task: str = "diagnosis"
    """Name of the task that the labels answer."""
    classes: tuple[str, ...] = ()
    """Labels in the order of their numbers; empty: all labels found, sorted."""
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further tasks: name -> label -> answer, for every label. Their classes are the answers, sorted."""
    positive: str | None = None
    """The answer counted as positive by binary metrics, in every task that has it."""
    image_size: Annotated[int, api.Between(8, 2048)] = 224
    """Side in pixels of the squares that the images are squashed to."""
    split: Literal["lesion-grouped", "paper-random-80-20", "all-test", "csv"] | None = None
    """`lesion-grouped`: 70 % of the groups are train, 10 % val, 20 % test, by a hash of the group.
    `paper-random-80-20`: 80/20 by image, which divides groups; the 20 % are test and a tenth of the 80 % is val.
    `all-test`: every image is test. `csv`: as `split_csv` says, by path. null: as the column `split` of `csv` says,
    and lesion-grouped where there is none."""
    contained_in: tuple[str, ...] = ()
    """Public data collections that these images are part of, e.g. ISIC 2019: weights that were trained on one of them
    may have seen the test set, and are listed."""
    skip: Annotated[int, api.Between(0, None)] = 0
    """At most this many missing or unreadable images are left out; one more is an error."""

    def __post_init__(self) -> None:
        if problems := check_choice(self, self.split, given=(None, "csv")):
            raise ValueError("; ".join(problems))


class ImageFolder(api.Dataset):
    """Images of a folder; splits as given, or by a hash of the group."""

    Config: ClassVar[type] = ImageFolderConfig
    home: ClassVar[str] = "your own images: set `root` (and `csv`) in the suite's dataset params"

    config: ImageFolderConfig

    @classmethod
    def tasks(cls, config: ImageFolderConfig) -> Sequence[api.Task]:
        """The labels' own task, then one for each of `maps`."""
        lines = {} if config.classes else _labels(config)
        classes = config.classes or tuple(sorted(lines))
        problems = [f"classes: {c!r} stands twice" for c in sorted(set(classes)) if classes.count(c) > 1]
        if len(classes) < 2:
            problems.append(f"only {len(classes)} class(es) found: {' '.join(classes)}")
        tasks = [api.Task(name=config.task, classes=classes, positive=_if_in(config.positive, classes))]
        for name, mapping in config.maps.items():
            problems += [
                f"maps.{name}: label {c!r} has no answer{lines.get(c, '')}" for c in classes if c not in mapping
            ]
            problems += [f"maps.{name}: there is no label {c!r}" for c in mapping if c not in classes]
            if name == config.task:
                problems.append(f"maps.{name}: this is the name of the labels' own task")
            answers = tuple(sorted(set(mapping.values())))
            if len(answers) < 2:
                problems.append(f"maps.{name}: fewer than two answers")
            tasks.append(
                api.Task(
                    name=name,
                    classes=answers,
                    positive=_if_in(config.positive, answers),
                    parent=config.task,
                    mapping=dict(mapping),
                )
            )
        if config.positive is not None and all(task.positive is None for task in tasks):
            problems.append(f"positive: no task has an answer {config.positive!r}")
        if problems:
            raise api.DataError("the tasks of the image folder do not fit its labels", problems)
        return tuple(tasks)

    @property
    def split_rule(self) -> str:
        rule = self._rule()
        return GIVEN if rule is None else rule.name

    @property
    def leaky(self) -> str | None:
        rule = self._rule()
        return self.config.leaky if rule is None else rule.leaky

    def _rule(self) -> api.SplitRule | None:
        """None where a table says who is in which split."""
        if self.config.split == "csv" or (self.config.split is None and _has_splits(self.config)):
            return None
        if self.config.split == "all-test":
            return ALL_TEST
        return api.split_rule(self.config.split or "lesion-grouped", own_test=True)

    def examples(self) -> Sequence[api.Example]:
        """All images, sorted by path."""
        problems: list[str] = []
        missing: list[str] = []
        root = _root(self.config)
        lines: dict[str, int] = {}
        if self.config.csv is None:
            found = _from_folders(root, problems)
        else:
            found = _from_csv(root, Path(self.config.csv), problems, lines)
        where = {image: f"{Path(str(self.config.csv)).name}, line {line}: {image}" for image, line in lines.items()}
        for example in found:
            source, told = root / example.id, where.get(example.id, example.id)
            if (why := api.leads_out(source, (root,))) is not None:
                problems.append(f"{told}: {why}")
            elif not os.path.isfile(source):  # noqa: PTH113 (no error for a name that no file can have)
                missing.append(f"{told}: no such file")
            if self.config.classes and example.label not in self.config.classes:
                problems.append(f"{told}: unknown label {example.label!r}")
        # The files that a stated `skip` allows to be missing stay in the list: the decoder finds and counts them.
        if len(missing) > self.config.skip:
            problems += missing_files(missing, found)
        found = self._placed(found, problems)
        if problems:
            raise api.DataError(f"the image folder cannot be read: {len(problems)} problem(s)", problems)
        return sorted(found, key=lambda example: example.id)

    def _placed(self, found: Sequence[api.Example], problems: list[str]) -> list[api.Example]:
        rule = self._rule()
        if rule is not None:
            if self.config.leaky is not None:
                problems.append("`leaky` says why given splits divide groups, and no split is given; remove it")
            return by_rule(rule, found)
        if self.config.split == "csv":
            return by_csv(self.config, found, problems)
        assert self.config.csv is not None, "without a table no split is given"
        return _given(found, Path(self.config.csv), self.config.leaky, problems)


def _if_in(answer: str | None, classes: Sequence[str]) -> str | None:
    return answer if answer in classes else None


def _root(config: ImageFolderConfig) -> Path:
    root = Path(config.root)
    if not root.is_dir():
        raise api.DataMissing(f"there is no folder {root}; `root` names the folder that holds the images")
    if config.csv is not None and not Path(config.csv).is_file():
        raise api.DataMissing(f"there is no file {config.csv}; `csv` names the table of the images")
    return root


def _labels(config: ImageFolderConfig) -> dict[str, str]:
    """Every label -> where it stands first, in words that end a sentence."""
    root = _root(config)
    if config.csv is None:
        return {folder.name: "" for folder in _class_folders(root)}
    table = Path(config.csv)
    found: dict[str, str] = {}
    for row in read_table(table, ("path", "label"), [])[1]:
        if row["label"]:
            found.setdefault(row["label"], f" (it stands first in {table.name}, line {row.line})")
    return found


def _has_splits(config: ImageFolderConfig) -> bool:
    if config.csv is None:
        return False
    _root(config)
    columns, rows = read_table(Path(config.csv), ("path", "label"), [])
    return "split" in columns and any(row["split"] for row in rows)


def _class_folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _from_folders(root: Path, problems: list[str]) -> list[api.Example]:
    problems += [
        f"{entry.name}: lies in no class folder"
        for entry in sorted(root.iterdir())
        if entry.is_file() and _is_image(entry.name)
    ]
    found = []
    for folder in _class_folders(root):
        paths: list[str] = []
        if folder.is_symlink():
            problems.append(f"{folder.name}: a link to a folder is not followed")
            continue
        for place, inner, files in os.walk(folder):
            here = Path(place)
            inner[:] = [name for name in inner if not name.startswith(".")]
            problems += [
                f"{(here / name).relative_to(root).as_posix()}: a link to a folder is not followed"
                for name in inner
                if (here / name).is_symlink()
            ]
            paths += [(here / name).relative_to(root).as_posix() for name in files if _is_image(name)]
        if not paths:
            problems.append(f"{folder.name}: a class folder without images")
        found += [_example(root, path, folder.name, path, {}, None) for path in paths]
    if not found:
        problems.append("no class folder with images; `csv` names a table if there is one")
    return found


def _is_image(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in READABLE | OTHER


def _from_csv(root: Path, table: Path, problems: list[str], lines: dict[str, int]) -> list[api.Example]:
    """The images of a table; `lines` gets the line of each by its id."""
    name = table.name
    columns, rows = read_table(table, ("path", "label"), problems)
    rows = _sound_rows(rows, columns, name, problems)
    facts = {column: _column([row[column] for row in rows]) for column in columns if column not in RESERVED}
    found = []
    for number, row in enumerate(rows):
        group = row["group"] if "group" in columns else row["path"]
        attributes = {column: values[number] for column, values in facts.items()}
        caption = (row["caption"] or None) if "caption" in columns else None
        found.append(_example(root, row["path"], row["label"], group, attributes, caption))
        lines[row["path"]] = row.line
    return found


def _given(found: Sequence[api.Example], table: Path, leaky: str | None, problems: list[str]) -> list[api.Example]:
    """The examples with the splits of the table's own column."""
    columns, rows = read_table(table, ("path", "label"), [])
    rows = _sound_rows(rows, columns, table.name, [])
    problems += [f"{table.name}, line {row.line}: no split, though other rows have one"
                 for row in rows if not row["split"]]  # fmt: skip
    splits = {row["path"]: row["split"] for row in rows if row["split"]}
    placed = [placed_in(example, splits[example.id]) for example in found if example.id in splits]
    check_given(placed, table.name, leaky, problems)
    return placed


def _sound_rows(rows: Sequence[Row], columns: Sequence[str], name: str, problems: list[str]) -> list[Row]:
    sound = [_normal(row) for row in rows if _sound(row, columns, name, problems)]
    return repeated(sound, "path", name, problems)


def _sound(row: Row, columns: Sequence[str], name: str, problems: list[str]) -> bool:
    path = row["path"]
    wrong = [f"empty {column}" for column in ("path", "label", "group") if column in columns and not row[column]]
    if path and ("\\" in path or not path.isprintable() or ":" in path.split("/")[0]):
        wrong.append(f"path {path!r} is no relative path with /")
    elif path and (path.startswith("/") or ".." in path.split("/") or not PurePosixPath(path).parts):
        wrong.append(f"path {path!r} leads out of the folder")
    elif any(part.startswith(".") for part in PurePosixPath(path).parts):
        # hidden files belong to no key: a change of one would go unnoticed
        wrong.append(f"path {path!r} names something hidden; no part may begin with a dot")
    if "split" in columns and row["split"] and row["split"] not in api.SPLITS:
        wrong.append(f"unknown split {row['split']!r}, not one of {' '.join(api.SPLITS)}")
    problems += [f"{name}, line {row.line}: {what}" for what in wrong]
    return not wrong


def _normal(row: Row) -> Row:
    """`./a//b.jpg` and `a/b.jpg` are the same file and must have the same id."""
    return Row(row.line, {**row.values, "path": PurePosixPath(row["path"]).as_posix()})


def _column(cells: Sequence[str]) -> list[str | float | None]:
    """Numbers where every cell that is not empty is one, else words; None where empty."""
    try:
        numbers = [float(cell) if cell else None for cell in cells]
    except ValueError:
        return [cell or None for cell in cells]
    # "nan" and "inf" are words here: a fact is a number or it is unknown.
    finite = all(number is None or abs(number) < float("inf") for number in numbers)
    return list(numbers) if finite else [cell or None for cell in cells]


def _example(
    root: Path, path: str, label: str, group: str, attributes: Mapping[str, str | float | None], caption: str | None
) -> api.Example:
    return api.Example(
        id=path,
        group=group,
        # until the rule is applied
        split="train",
        label=label,
        source=root / path,
        attributes=attributes,
        caption=caption,
    )


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"image-folder": ImageFolder}
