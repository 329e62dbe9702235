"""`isic`: ISIC 2019, ISIC 2020, and whatever is downloaded from the ISIC Archive.

Layouts below `root`:

- 2019: `ISIC_2019_Training_GroundTruth.csv` (one-hot), `ISIC_2019_Training_Metadata.csv`, `ISIC_2019_Training_Input/`;
  the test set has the same names with `Test`, and 2,047 of its 8,238 images are UNK, of no class.
- 2020: `ISIC_2020_Training_GroundTruth_v2.csv` (or without `_v2`, or Kaggle's `train.csv`), images in `train/`,
  `jpeg/train/`, `ISIC_2020_Training_JPEG/train/`, `images/` or beside the CSV.
- archive: `metadata.csv` of isic-cli, of a DOI bundle or of the gallery, images in `images/` or beside the CSV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from dermae_bench import api
from dermae_bench.builtin.datasets import isic_tables as tables
from dermae_bench.builtin.datasets.external import (
    BENIGN,
    MALIGNANCY,
    MALIGNANT,
    External,
    ExternalConfig,
    Found,
    malignancy_of,
    mapping_of,
)

Layout = Literal["2019", "2020", "archive"]


@dataclass(frozen=True, kw_only=True)
class ISICConfig(ExternalConfig):
    """Where the images lie, how they are described, and what is asked of them."""

    layout: Literal["auto", "2019", "2020", "archive"] = "auto"
    """How the tables look; `auto`: as the one of their names says that lies in `root`."""
    part: Literal["training", "test"] = "training"
    """Part of ISIC 2019; its test set names no lesions. The other layouts have one part."""
    labels: Literal["diagnosis", "malignancy"] = "diagnosis"
    """Task that the labels answer. `diagnosis`: what the lesion is, with malignancy as a map of it. `malignancy`:
    benign or malignant alone, for exports where one diagnosis is both."""
    malignant: tuple[Literal["mel", "bcc", "ak", "scc"], ...] = ("mel", "bcc", "ak", "scc")
    """Classes of ISIC 2019 that count as malignant; Class-N-Diff counts `[mel]` alone. The others say it themselves."""
    level: Annotated[int, api.Between(1, 5)] = 3
    """Which of the archive's diagnosis_1 to diagnosis_5 names the class; where it is empty, the deepest above."""
    group: Literal["patient", "lesion"] = "patient"
    """What a split never divides. `patient`: the patient, else the lesion, else the image, as far as they are named.
    `lesion`: the lesion, else the image."""
    unlabelled: Literal["refuse", "leave-out"] = "refuse"
    """Images without an answer (UNK, indeterminate, none): an error that names them, or left out and counted."""
    without: api.File | None = None
    """CSV of images to leave out, by its column image_name_2 (ISIC_2020_Training_Duplicates.csv), image_id
    (HAM10000_metadata.csv), isic_id, image_name or image; names that are not here are no error."""
    split: Literal["lesion-grouped", "paper-random-80-20", "all-test", "csv"] = "lesion-grouped"
    """`lesion-grouped`: 70 % of the groups are train, 10 % val, 20 % test, by a hash of the group. `all-test`: every
    image is test. `paper-random-80-20`: 80/20 by image, which divides groups; the 20 % are test and a tenth of the 80 %
    is val. `csv`: as `split_csv` says."""
    contained_in: tuple[str, ...] = ()
    """Public data collections that these images are part of, besides those that the plugin names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.part == "test" and self.layout not in ("auto", "2019"):
            raise ValueError(f"`part: test` is one of ISIC 2019, and `layout: {self.layout}` has one part alone")
        if not self.malignant:
            raise ValueError("`malignant` names no class; every image of ISIC 2019 would be benign")


class ISIC(External):
    """ISIC 2019, ISIC 2020 or an export of the archive; attributes age, sex, localization, dx_type.

    Exports have skin_type (I to VI) and skin_tone (the three groups of DDI) besides.
    """

    Config: ClassVar[type] = ISICConfig
    # Which of them a folder holds is known when it is read; a needless warning costs a look, a missing one a claim.
    contained_in: ClassVar[tuple[str, ...]] = (
        "ISIC Archive", "ISIC 2016", "ISIC 2017", "ISIC 2018", "ISIC 2019", "ISIC 2020", "HAM10000", "BCN20000",
    )  # fmt: skip
    home: ClassVar[str] = (
        "ISIC (CC BY-NC 4.0; exports: per image): https://challenge.isic-archive.com/data, or `isic image download`"
    )
    title: ClassVar[str] = "the ISIC set"

    config: ISICConfig
    _excluded: frozenset[str] | None = None

    @classmethod
    def tasks(cls, config: ISICConfig) -> Sequence[api.Task]:
        """`diagnosis` and `malignancy`, or `malignancy` alone; the classes of an export are those in its table."""
        if config.labels == "malignancy":
            return (MALIGNANCY,)
        dataset = cls(config)
        layout = dataset.layout()
        if layout == "archive":
            problems: list[str] = []
            photos = [photo for photo in dataset._photos(layout, Found()) if dataset._kept(photo, Found())]
            told = [(p.diagnosis, p.answer, p.line) for p in photos if p.diagnosis is not None and p.answer is not None]
            mapping = mapping_of(told, "malignancy", tables.ARCHIVE_TABLE, problems)
            if problems:
                raise dataset.refused(problems, hint="`labels: malignancy` takes the answers as they stand")
            return (api.Task(name="diagnosis", classes=tuple(mapping)), malignancy_of("diagnosis", mapping))
        if layout == "2019":
            classes = tables.CLASSES_2019
            mapping = {name: MALIGNANT if name in config.malignant else BENIGN for name in classes}
        else:
            classes = tables.CLASSES_2020
            mapping = {name: MALIGNANT if name == "melanoma" else BENIGN for name in classes}
        return (api.Task(name="diagnosis", classes=classes), malignancy_of("diagnosis", mapping))

    def layout(self) -> Layout:
        """The layout that the params, or the tables in the folder, name.

        Raises:
            DataMissing: no table of any layout is there.
            DataError: tables of several layouts are there.
        """
        if self.config.layout != "auto":
            return self.config.layout
        root = Path(self.config.root)
        names: dict[Layout, tuple[str, ...]] = {
            "2019": (tables.truth_2019(self.config.part),),
            "2020": tables.TABLES_2020,
            "archive": (tables.ARCHIVE_TABLE,),
        }
        there = {layout: [name for name in held if (root / name).is_file()] for layout, held in names.items()}
        fitting = [layout for layout, held in there.items() if held]
        if not fitting:
            raise self.absent(" or ".join(name for held in names.values() for name in held))
        if len(fitting) > 1:
            told = [f"{layout}: {', '.join(there[layout])}" for layout in fitting]
            raise self.refused(told, hint=f"say which one: `layout: {fitting[0]}`")
        return fitting[0]

    def _photos(self, layout: Layout, found: Found) -> list[tables.Photo]:
        root = Path(self.config.root)
        needed = tables.needed(layout, root, self.config.part)
        if lost := [name for name in needed if not (root / name).is_file()]:
            raise self.absent(" and no ".join(lost))
        if layout == "2019":
            return tables.photos_2019(root, self.config.part, self.config.malignant, found)
        if layout == "2020":
            return tables.photos_2020(root / needed[0], found)
        return tables.photos_of_archive(root / needed[0], self.config.level, found)

    def read(self, found: Found) -> Sequence[api.Example]:
        layout = self.layout()
        root = Path(self.config.root)
        photos = self._photos(layout, found)
        files = tables.files_of(layout, root, self.config.part, found)
        if photos and not files:
            raise self.absent("images")
        name = tables.needed(layout, root, self.config.part)[0]
        wanted = [photo for photo in photos if self._kept(photo, found)]
        kept = self._labelled(wanted, name, found)
        if self.config.unlabelled == "leave-out":
            wanted = [photo for photo, _ in kept]
        # an image that is left out may be there, and need not
        asked = {photo.image for photo in wanted} | files.keys()
        tables.match_files([photo for photo in photos if photo.image in asked], files, name, found)
        groups = tables.groups_of(photos, self.config.group, name, found)
        return [
            api.Example(
                id=photo.image,
                group=groups[photo.image],
                split="test",
                label=label,
                source=files.get(photo.image, root / f"{photo.image}.jpg"),
                attributes=photo.attributes,
            )
            for photo, label in sorted(kept, key=lambda pair: pair[0].image)
        ]

    def _kept(self, photo: tables.Photo, found: Found) -> bool:
        if self.config.without is None:
            return True
        table = Path(self.config.without)
        if self._excluded is None:
            self._excluded = tables.named_in(table, found)
        if photo.image not in self._excluded:
            return True
        found.left_out[f"named in {table.name}"] += 1
        return False

    def _labelled(self, photos: Sequence[tables.Photo], name: str, found: Found) -> list[tuple[tables.Photo, str]]:
        labelled = []
        for photo in photos:
            label = photo.answer if self.config.labels == "malignancy" or photo.answer is None else photo.diagnosis
            if label is not None:
                labelled.append((photo, label))
            elif self.config.unlabelled == "leave-out":
                found.left_out["no answer"] += 1
            elif not photo.faulty:
                found.problems.append(
                    f"{name}, line {photo.line}: {photo.image} has no answer: {photo.why} (see `unlabelled`)"
                )
        return labelled


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"isic": ISIC}
