"""`fitzpatrick17k`: 16,577 clinical photographs of 114 conditions with Fitzpatrick skin types (Groh et al. 2021).

Official layout below `root`: `fitzpatrick17k.csv`, and the images as `MD5HASH.jpg` in `images/`, `finalfitz17k/`,
`data/finalfitz17k/` or beside the CSV. Many of the addresses in the CSV are dead by now: `skip` states how many images
may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermae_bench import api
from dermae_bench.builtin.datasets.external import (
    BENIGN,
    MALIGNANCY,
    MALIGNANT,
    SKIN_TONES,
    External,
    ExternalConfig,
    Found,
    image_files,
    malignancy_of,
    mapping_of,
    match,
    reached,
    read_official,
    sound_ids,
)
from dermae_bench.builtin.datasets.tables import Row, repeated

METADATA = "fitzpatrick17k.csv"
COLUMNS = (
    "md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label", "nine_partition_label", "three_partition_label",
)  # fmt: skip
IMAGE_FOLDERS = ("images", "finalfitz17k", "data/finalfitz17k", ".")
SKIN_TYPES = {"-1": None, "1": "I", "2": "II", "3": "III", "4": "IV", "5": "V", "6": "VI"}
NON_NEOPLASTIC = "non-neoplastic"
THREE = (BENIGN, MALIGNANT, NON_NEOPLASTIC)
NINE = {
    "benign dermal": BENIGN,
    "benign epidermal": BENIGN,
    "benign melanocyte": BENIGN,
    "genodermatoses": NON_NEOPLASTIC,
    "inflammatory": NON_NEOPLASTIC,
    "malignant cutaneous lymphoma": MALIGNANT,
    "malignant dermal": MALIGNANT,
    "malignant epidermal": MALIGNANT,
    "malignant melanoma": MALIGNANT,
}
"""The nine partitions, and the one of the three that each belongs to."""


@dataclass(frozen=True, kw_only=True)
class Fitzpatrick17kConfig(ExternalConfig):
    """Where the images lie, which of them count, and what is asked of them."""

    labels: Literal["diagnosis", "nine-partition", "three-partition", "malignancy"] = "diagnosis"
    """Task that the labels answer: the 114 conditions, or a partition of them. Coarser tasks follow from it."""
    non_neoplastic: Literal["benign", "leave-out"] = "benign"
    """What an image of the partition non-neoplastic (12,080 of the 16,577) is in the task malignancy; `leave-out`: such
    images are no part of the set, in any task, and 2,263 of the other 4,497 are malignant."""
    scale: Literal["fitzpatrick_scale", "fitzpatrick_centaur"] = "fitzpatrick_scale"
    """Column that the skin types are taken from: of Scale AI's annotators, or of Centaur Labs'."""
    exclude_qc: tuple[Literal[1, 2, 3, 4, 5], ...] = ()
    """Verdicts of the quality check whose images are left out: 1 diagnostic, 2 characteristic, 3 wrongly labelled,
    4 other, 5 potentially diagnostic. About 500 images were checked; the others have none and stay."""
    split: Literal["all-test", "lesion-grouped", "csv"] = "all-test"
    """`all-test`: every image is test. `lesion-grouped`: 70 % of the images are train, 10 % val, 20 % test, by a hash;
    the set names no lesions, and holds near duplicates. `csv`: as `split_csv` says, by groups if it has the column."""


class Fitzpatrick17k(External):
    """Fitzpatrick17k; attributes skin_type (I to VI) and skin_tone (the three groups of DDI)."""

    Config: ClassVar[type] = Fitzpatrick17kConfig
    contained_in: ClassVar[tuple[str, ...]] = ("Fitzpatrick17k", "DermaAmin", "Atlas Dermatologico")
    home: ClassVar[str] = (
        "Fitzpatrick17k (CC BY-NC-SA 3.0): https://github.com/mattgroh/fitzpatrick17k, images by url or on request"
    )
    title: ClassVar[str] = "Fitzpatrick17k"

    config: Fitzpatrick17kConfig

    @classmethod
    def tasks(cls, config: Fitzpatrick17kConfig) -> Sequence[api.Task]:
        """The task of `labels` and the coarser ones: nine-partition, three-partition, malignancy."""
        three = tuple(name for name in THREE if name != NON_NEOPLASTIC or config.non_neoplastic == "benign")
        nine = {name: partition for name, partition in NINE.items() if partition in three}
        if config.labels == "malignancy":
            return (MALIGNANCY,)
        if config.labels == "three-partition":
            binary = {name: _answer(name) for name in three}
            return (api.Task(name="three-partition", classes=three), malignancy_of("three-partition", binary))
        if config.labels == "nine-partition":
            root, partitions = api.Task(name="nine-partition", classes=tuple(nine)), {name: name for name in nine}
        else:
            partitions = cls(config)._partitions()
            root = api.Task(name="diagnosis", classes=tuple(partitions))
        to_three = {name: NINE[partition] for name, partition in partitions.items()}
        coarser = (
            [] if root.name == "nine-partition" else [reached("nine-partition", root.name, partitions, tuple(nine))]
        )
        return (
            root,
            *coarser,
            reached("three-partition", root.name, to_three, three),
            malignancy_of(root.name, {name: _answer(partition) for name, partition in to_three.items()}),
        )

    def _partitions(self) -> dict[str, str]:
        """Condition -> its one of the nine partitions, as the table says."""
        problems: list[str] = []
        rows = [row for row in self._rows([]) if row["nine_partition_label"] in NINE and not self._excluded(row)]
        told = [(row["label"], row["nine_partition_label"], row.line) for row in rows]
        partitions = mapping_of(told, "nine_partition_label", METADATA, problems)
        if problems:
            raise self.refused(problems, hint="`labels: nine-partition` takes the partitions as they stand")
        return partitions

    def _rows(self, problems: list[str]) -> list[Row]:
        table = Path(self.config.root) / METADATA
        if not table.is_file():
            raise self.absent(METADATA)
        columns, rows = read_official(table, COLUMNS, problems)
        if self.config.exclude_qc and "qc" not in columns:
            problems.append(f"{METADATA}: no column qc, which `exclude_qc` reads")
        rows = sound_ids(rows, ("md5hash",), METADATA, problems)
        return repeated(rows, "md5hash", METADATA, problems)

    def _excluded(self, row: Row) -> str | None:
        """The rule that leaves a row out."""
        verdict = row.values.get("qc", "")
        if verdict[:1] in {str(number) for number in self.config.exclude_qc}:
            return f"qc {verdict}"
        if self.config.non_neoplastic == "leave-out" and row["three_partition_label"] == NON_NEOPLASTIC:
            return NON_NEOPLASTIC
        return None

    def read(self, found: Found) -> Sequence[api.Example]:
        root = Path(self.config.root)
        rows = sorted(self._rows(found.problems), key=lambda row: row["md5hash"])
        files = image_files([root / folder for folder in IMAGE_FOLDERS], root, found.problems)
        if rows and not files:
            raise self.absent("images")
        kept = []
        for row in rows:
            _check(row, found.problems)
            if (rule := self._excluded(row)) is None:
                kept.append(row)
            else:
                found.left_out[rule] += 1
        # an image that is left out may be missing: nobody asks for it
        ids = {row["md5hash"] for row in rows}
        wanted = {row["md5hash"]: row.line for row in kept}
        match(
            wanted,
            {image: file for image, file in files.items() if image in wanted or image not in ids},
            METADATA,
            found,
        )
        return [
            api.Example(
                id=row["md5hash"],
                group=row["md5hash"],
                split="test",
                label=self._label(row),
                source=files.get(row["md5hash"], root / "images" / f"{row['md5hash']}.jpg"),
                attributes=_skin(SKIN_TYPES.get(row[self.config.scale])),
            )
            for row in kept
        ]

    def _label(self, row: Row) -> str:
        columns = {"diagnosis": "label", "nine-partition": "nine_partition_label"}
        partition = row["three_partition_label"]
        return (
            _answer(partition)
            if self.config.labels == "malignancy"
            else row[columns.get(self.config.labels, "three_partition_label")]
        )


def _skin(skin_type: str | None) -> dict[str, str | None]:
    return {"skin_type": skin_type, "skin_tone": SKIN_TONES.get(skin_type or "")}


def _answer(partition: str) -> str:
    return MALIGNANT if partition == MALIGNANT else BENIGN


def _check(row: Row, problems: list[str]) -> None:
    """What a row says must be known words, and nine and three partitions must agree."""
    where = f"{METADATA}, line {row.line}"
    nine, three = row["nine_partition_label"], row["three_partition_label"]
    if not row["label"]:
        problems.append(f"{where}: empty label")
    if nine not in NINE:
        problems.append(f"{where}: unknown nine_partition_label {nine!r}, not one of {', '.join(NINE)}")
    if three not in THREE:
        problems.append(f"{where}: unknown three_partition_label {three!r}, not one of {', '.join(THREE)}")
    elif NINE.get(nine, three) != three:
        problems.append(f"{where}: {nine!r} is {NINE[nine]!r}, not {three!r}")
    problems += [
        f"{where}: {column} {row[column]!r} is none of -1, 1, 2, 3, 4, 5, 6"
        for column in ("fitzpatrick_scale", "fitzpatrick_centaur")
        if row[column] not in SKIN_TYPES
    ]
    if (verdict := row.values.get("qc", "")) and verdict[0] not in "12345":
        problems.append(f"{where}: qc {verdict!r} begins with none of 1, 2, 3, 4, 5")


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"fitzpatrick17k": Fitzpatrick17k}
