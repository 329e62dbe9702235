"""`external-images` and `external-images-labelled`: generated images that were made elsewhere, scored like our own.

They lie in a folder or an archive, in any sub-folders, as JPEG or PNG. Image i of a sample set is the i-th by its POSIX
path, in the order of code points (`a/10.png` stands before `a/2.png`), or by a hash of it. The whole picture is
squashed to a square of the prepared images' size, as the real images are.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from dermae_bench import api
from dermae_bench.builtin.datasets.tables import Row, read_table, repeated
from dermae_bench.builtin.external.pictures import Pictures, pictures


@dataclass(frozen=True, kw_only=True)
class ExternalImagesConfig:
    """Where the images lie, and where they come from. One of `path` and `archive` is given."""

    source: str
    """What made the images, and who gives them away: name, version, place."""
    path: api.Folder | None = None
    """Folder of the images; sub-folders count, hidden files do not. Links in it are followed only to files in it, or
    into folders given with --data-root."""
    archive: api.File | None = None
    """The same as a .zip, .tar or .tar.gz. Images are read from it one by one; it is not unpacked."""
    inside: str = ""
    """Path, with /, of the folder in it that counts, e.g. `release/images`; empty: all of it."""
    licence: str = ""
    """What its licence allows, in a word: CC-BY-NC-4.0."""
    corpora: tuple[str, ...] | None = None
    """Public data collections that the maker of the images was trained on, e.g. ISIC 2019: a test image that is part
    of one may be copied in them, and is listed. null: nobody has said."""
    expected: Annotated[int, api.Between(1)] | None = None
    """How many images there must be, e.g. as its paper says; another number is an error."""
    order: Literal["path", "hash"] = "path"
    """By path, or by the SHA-256 of the path: of a set of fewer images than there are, the first by path may all be of
    one sub-folder, and those by hash are of all."""
    skip: Annotated[int, api.Between(0)] = 0
    """At most this many unreadable images are left out, and all later ones move up; one more is an error. With 1 or
    more, every image is decoded once before the first is given."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.archive is None):
            raise ValueError("exactly one of `path` (a folder) and `archive` (a file) is given")
        if not self.source.strip():
            raise ValueError("`source` is empty: it says what made the images")
        # hidden folders belong to no key
        if self.inside and any(part in ("", "..") or part.startswith(".") for part in self.inside.split("/")):
            raise ValueError(f"`inside` is {self.inside!r}, not a path like release/images")


@dataclass(frozen=True, kw_only=True)
class ExternalLabelledConfig(ExternalImagesConfig):
    """The same, of images with a class."""

    labels: api.File | None = None
    """CSV with the columns `path` (from the folder, with /) and `label`, one row for each image. null: the first
    sub-folder of each image is named as its class."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What a class is called there -> the class of the task, where the two differ: {melanoma: mel}."""


class ExternalImages(api.GivenImages):
    """Images of a folder or an archive, made elsewhere, as the rows of a generator that nobody trains here."""

    Config: ClassVar[type] = ExternalImagesConfig
    config: ExternalImagesConfig

    def available(self) -> int | Sequence[int]:
        """How many images there are.

        Raises:
            DataMissing: the folder or the archive is not there.
            DataError: it cannot be used, with every name in it that is wrong.
        """
        return len(self._kept)

    def sample(self, conditions: api.Conditions, sampling: object, noise: api.Noise) -> Tensor:
        """uint8 (B, 3, S, S): image `conditions.indices[i]` for each i.

        Raises:
            DataError: there are fewer images; or all that cannot be read, by name.
        """
        there = len(self._kept)
        if beyond := [index for index in conditions.indices if index >= there]:
            raise _too_few(f"image {max(beyond) + 1:,} is asked for, and there are {there:,}")
        return self._read([self._kept[index] for index in conditions.indices])

    def _read(self, positions: Sequence[int]) -> Tensor:
        pixels, failed = self._pictures.read(positions, self.task.image_size)
        if failed:
            # the others that cannot be read are told with it
            raise _unreadable(self._pictures, self._pictures.unreadable() | dict(failed))
        return torch.from_numpy(pixels)

    @cached_property
    def _pictures(self) -> Pictures:
        config = self.config
        folder = None if config.path is None else Path(config.path)
        found = pictures(folder, None if config.archive is None else Path(config.archive), config.inside)
        if config.expected not in (None, len(found.paths)):
            raise api.DataError(f"there are {len(found.paths):,} images, and `expected` says {config.expected:,}")
        return found

    @cached_property
    def _kept(self) -> Sequence[int]:
        """Positions of the images that count, in the order in which they are given."""
        found = self._pictures
        bad = found.unreadable() if self.config.skip else {}
        if len(bad) > self.config.skip:
            raise _unreadable(found, bad)
        kept = [position for position in range(len(found.paths)) if position not in bad]
        if self.config.order == "hash":
            kept.sort(key=lambda position: hashlib.sha256(found.paths[position].encode()).digest())
        return kept


class ExternalImagesLabelled(ExternalImages):
    """Images of a folder or an archive, made elsewhere, each for a class: by its sub-folder or by a CSV."""

    Config: ClassVar[type] = ExternalLabelledConfig
    conditional: ClassVar[bool] = True
    config: ExternalLabelledConfig

    def available(self) -> tuple[int, ...]:
        """How many images of each class there are, in the order of the task.

        Raises:
            DataMissing: the folder, the archive or the CSV is not there.
            DataError: it cannot be used, with every name in it that is wrong.
        """
        return tuple(len(positions) for positions in self._by_class)

    def sample(self, conditions: api.Conditions, sampling: object, noise: api.Noise) -> Tensor:
        """uint8 (B, 3, S, S): image `conditions.nth[i]` of class `conditions.labels[i]` for each i.

        Raises:
            DataError: there are fewer of a class; or all that cannot be read, by name.
        """
        assert conditions.labels is not None, "a conditional generator is asked for classes"
        asked = list(zip(conditions.labels.tolist(), conditions.nth, strict=True))
        there = self.available()
        most: dict[int, int] = {}
        for label, nth in asked:
            most[label] = max(most.get(label, 0), nth + 1)
        if short := [
            f"image {count:,} of {self.task.classes[label]!r} is asked for, and there are {there[label]:,}"
            for label, count in sorted(most.items())
            if count > there[label]
        ]:
            raise _too_few("; ".join(short))
        return self._read([self._by_class[label][nth] for label, nth in asked])

    @cached_property
    def _by_class(self) -> Sequence[Sequence[int]]:
        """Class -> positions of its images, in the order in which they are given."""
        paths, problems = self._pictures.paths, list[str]()
        labels = self._by_folder(paths, problems) if self.config.labels is None else self._by_table(paths, problems)
        if problems:
            raise api.DataError(
                f"the classes of the images cannot be used: {len(problems)} problem(s)",
                problems,
                hint=f"classes: {', '.join(self.task.classes)}; `names` says what they are called there",
            )
        found: list[list[int]] = [[] for _ in self.task.classes]
        for position in self._kept:
            found[labels[paths[position]]].append(position)
        return found

    def _class(self, name: str) -> int | None:
        known = self.config.names.get(name, name)
        return self.task.classes.index(known) if known in self.task.classes else None

    def _by_folder(self, paths: Sequence[str], problems: list[str]) -> dict[str, int]:
        problems += [f"{path}: lies in no class folder" for path in paths if "/" not in path]
        found: dict[str, int] = {}
        nested = (path for path in paths if "/" in path)
        for folder, group in itertools.groupby(nested, key=lambda path: path.partition("/")[0]):
            inner = list(group)
            label = self._class(folder)
            if label is None:
                problems.append(f"{folder}: a folder of {len(inner):,} image(s) that is named as no class")
            else:
                found |= dict.fromkeys(inner, label)
        return found

    def _by_table(self, paths: Sequence[str], problems: list[str]) -> dict[str, int]:
        table = Path(str(self.config.labels))
        if not table.is_file():
            raise api.DataMissing(f"there is no file {table}; `labels` names the table of the images' classes")
        _, rows = read_table(table, ("path", "label"), problems)
        known = set(paths)
        # `./a//b.png` and `a/b.png` are the same file
        rows = [Row(row.line, {**row.values, "path": PurePosixPath(row["path"]).as_posix()}) for row in rows]
        found: dict[str, int] = {}
        for row in repeated(rows, "path", table.name, problems):
            path, label = row["path"], self._class(row["label"])
            if path not in known:
                problems.append(f"{table.name}, line {row.line}: there is no image {path!r}")
            if label is None:
                problems.append(f"{table.name}, line {row.line}: {row['label']!r} is no class")
            # wrong rows do not also miss their image
            found[path] = label or 0
        problems += [f"{path}: no row in {table.name}" for path in paths if path not in found]
        return found


def _too_few(message: str) -> api.DataError:
    return api.DataError(message, hint="ask for fewer; images that were made elsewhere cannot be made more")


def _unreadable(found: Pictures, bad: Mapping[int, str]) -> api.DataError:
    return api.DataError(
        f"{len(bad)} of {len(found.paths):,} images cannot be read",
        [f"{found.paths[position]}: {reason}" for position, reason in sorted(bad.items())],
        hint=f"mend them, or state `skip: {len(bad)}` in the params",
    )


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    """Names that a suite may use."""
    return {"external-images": ExternalImages, "external-images-labelled": ExternalImagesLabelled}
