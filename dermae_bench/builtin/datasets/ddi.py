"""`ddi`: Diverse Dermatology Images, 656 clinical photographs of three groups of skin tones (Daneshjou et al. 2022).

Official layout below `root`: `ddi_metadata.csv` (DDI_ID, DDI_file, skin_tone, malignant, disease), and the images in
`images/` or beside the CSV. Every image is test: the set is there to measure on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dermae_bench import api
from dermae_bench.builtin.datasets.external import (
    BENIGN,
    MALIGNANCY,
    MALIGNANT,
    External,
    ExternalConfig,
    Found,
    image_files,
    malignancy_of,
    mapping_of,
    match,
    read_official,
    sound_ids,
)
from dermae_bench.builtin.datasets.tables import Row, repeated

METADATA = "ddi_metadata.csv"
COLUMNS = ("DDI_ID", "DDI_file", "skin_tone", "malignant", "disease")
TONES = {"12": "I-II", "34": "III-IV", "56": "V-VI"}
"""The column's codes -> Fitzpatrick types."""
ANSWERS = {"true": MALIGNANT, "1": MALIGNANT, "1.0": MALIGNANT, "false": BENIGN, "0": BENIGN, "0.0": BENIGN}


@dataclass(frozen=True, kw_only=True)
class DDIConfig(ExternalConfig):
    """Where the images lie, and what is asked of them."""

    labels: Literal["malignancy", "diagnosis"] = "malignancy"
    """Task that the labels answer. `malignancy`: column malignant. `diagnosis`: column disease, and malignancy is a map
    of it; a disease that is malignant in some rows alone is an error."""
    split: Literal["all-test", "csv"] = "all-test"
    """`all-test`: every image is test. `csv`: as `split_csv` says."""


class DDI(External):
    """DDI, for evaluation; attributes skin_tone (I-II, III-IV, V-VI) and disease."""

    Config: ClassVar[type] = DDIConfig
    contained_in: ClassVar[tuple[str, ...]] = ("DDI",)
    home: ClassVar[str] = (
        "DDI (Stanford research use agreement): https://ddi-dataset.github.io, then Stanford AIMI shared datasets"
    )
    title: ClassVar[str] = "DDI"

    config: DDIConfig

    @classmethod
    def tasks(cls, config: DDIConfig) -> Sequence[api.Task]:
        """`malignancy`; with `labels: diagnosis` the diseases in the table, and `malignancy` as a map of them."""
        if config.labels == "malignancy":
            return (MALIGNANCY,)
        dataset = cls(config)
        problems: list[str] = []
        told = [(row["disease"], ANSWERS.get(row["malignant"].lower(), BENIGN), row.line) for row in dataset._rows([])]
        mapping = mapping_of(told, "malignancy", METADATA, problems)
        if problems:
            raise dataset.refused(problems, hint="`labels: malignancy` needs no diseases")
        return (api.Task(name="diagnosis", classes=tuple(mapping)), malignancy_of("diagnosis", mapping))

    def _rows(self, problems: list[str]) -> list[Row]:
        table = Path(self.config.root) / METADATA
        if not table.is_file():
            raise self.absent(METADATA)
        _, rows = read_official(table, COLUMNS, problems)
        rows = sound_ids(rows, ("DDI_file", "DDI_ID", "disease"), METADATA, problems)
        return repeated(repeated(rows, "DDI_file", METADATA, problems), "DDI_ID", METADATA, problems)

    def read(self, found: Found) -> Sequence[api.Example]:
        root = Path(self.config.root)
        rows = sorted(self._rows(found.problems), key=lambda row: row["DDI_file"])
        files = image_files([root / "images", root], root, found.problems)
        if rows and not files:
            raise self.absent("images")
        ids = {row.line: Path(row["DDI_file"]).stem for row in rows}
        match({image: line for line, image in ids.items()}, files, METADATA, found)
        examples = []
        for row in rows:
            where = f"{METADATA}, line {row.line}"
            tone, answer = TONES.get(row["skin_tone"]), ANSWERS.get(row["malignant"].lower())
            if tone is None:
                found.problems.append(f"{where}: unknown skin_tone {row['skin_tone']!r}, not one of {' '.join(TONES)}")
            if answer is None:
                found.problems.append(f"{where}: malignant {row['malignant']!r} is neither True nor False")
                continue
            image = ids[row.line]
            attributes: dict[str, Any] = {"skin_tone": tone, "disease": row["disease"]}
            examples.append(
                api.Example(
                    id=image,
                    # DDI names no patients and no lesions, so each image is its own.
                    group=image,
                    split="test",
                    label=row["disease"] if self.config.labels == "diagnosis" else answer,
                    source=files.get(image, root / "images" / row["DDI_file"]),
                    attributes=attributes,
                )
            )
        return examples


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"ddi": DDI}
