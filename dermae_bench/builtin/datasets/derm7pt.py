"""`derm7pt`: 1,011 cases of the interactive atlas of dermoscopy, each with a dermoscopic and a clinical image.

Official layout below `root` (`release_v0/`): `meta/meta.csv`, `meta/{train,valid,test}_indexes.csv`, which count the
rows of meta.csv from 0, and `images/` with the files that the columns derm and clinic name (Kawahara et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermae_bench import api
from dermae_bench.builtin.datasets.external import (
    BENIGN,
    MALIGNANT,
    External,
    ExternalConfig,
    Found,
    malignancy_of,
    reached,
    read_official,
    relative_file,
    sound_ids,
)
from dermae_bench.builtin.datasets.splitting import placed_in
from dermae_bench.builtin.datasets.tables import Row, known, repeated

META = "meta/meta.csv"
INDEXES = {"train_indexes.csv": "train", "valid_indexes.csv": "val", "test_indexes.csv": "test"}
MOST_DIGITS = 10
CRITERIA = (
    "pigment_network", "streaks", "pigmentation", "regression_structures", "dots_and_globules", "blue_whitish_veil",
    "vascular_structures",
)  # fmt: skip
COLUMNS = ("case_num", "diagnosis", *CRITERIA, "location", "sex", "elevation", "clinic", "derm")
GROUPS = {
    "basal cell carcinoma": "basal cell carcinoma",
    "blue nevus": "nevus",
    "clark nevus": "nevus",
    "combined nevus": "nevus",
    "congenital nevus": "nevus",
    "dermal nevus": "nevus",
    "dermatofibroma": "miscellaneous",
    "lentigo": "miscellaneous",
    "melanoma": "melanoma",
    "melanoma (0.76 to 1.5 mm)": "melanoma",
    "melanoma (in situ)": "melanoma",
    "melanoma (less than 0.76 mm)": "melanoma",
    "melanoma (more than 1.5 mm)": "melanoma",
    "melanoma metastasis": "melanoma",
    "melanosis": "miscellaneous",
    "miscellaneous": "miscellaneous",
    "recurrent nevus": "nevus",
    "reed or spitz nevus": "nevus",
    "seborrheic keratosis": "seborrheic keratosis",
    "vascular lesion": "miscellaneous",
}
"""The table's diagnoses -> the five groups of the authors."""


@dataclass(frozen=True, kw_only=True)
class Derm7ptConfig(ExternalConfig):
    """Where the images lie, which of a case's two is taken, and what is malignant."""

    view: Literal["derm", "clinic"] = "derm"
    """`derm`: the dermoscopic image of each case. `clinic`: the clinical photograph."""
    malignant: tuple[Literal["melanoma", "basal cell carcinoma"], ...] = ("melanoma",)
    """Groups of diagnoses that count as malignant. Class-N-Diff counts melanoma alone: 252 of 1,011."""
    split: Literal["official", "all-test", "csv"] = "official"
    """`official`: as the three index files say (413 train, 203 val, 395 test). `all-test`: every image is test. `csv`:
    as `split_csv` says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.malignant:
            raise ValueError("`malignant` names no group; every case would be benign")


class Derm7pt(External):
    """Derm7pt; attributes sex, localization, elevation and the seven criteria."""

    Config: ClassVar[type] = Derm7ptConfig
    contained_in: ClassVar[tuple[str, ...]] = ("Derm7pt", "Interactive Atlas of Dermoscopy", "EDRA")
    home: ClassVar[str] = "Derm7pt (for research, on request): https://derm.cs.sfu.ca, archive release_v0.zip"
    title: ClassVar[str] = "Derm7pt"

    config: Derm7ptConfig

    @classmethod
    def tasks(cls, config: Derm7ptConfig) -> Sequence[api.Task]:
        """`diagnosis` (20 classes), `diagnosis-group` (the authors' five), `malignancy`."""
        answers = {name: MALIGNANT if group in config.malignant else BENIGN for name, group in GROUPS.items()}
        return (
            api.Task(name="diagnosis", classes=tuple(GROUPS)),
            reached("diagnosis-group", "diagnosis", GROUPS),
            malignancy_of("diagnosis", answers),
        )

    def __init__(self, config: Derm7ptConfig) -> None:
        super().__init__(config)
        self._placed: list[api.Example] = []

    def rule(self) -> api.SplitRule | None:
        if self.config.split != "official":
            return super().rule()
        return api.SplitRule(
            "official split of Derm7pt, by case", lambda groups: {e.id: e.split for e in self._placed if e.id in groups}
        )

    def read(self, found: Found) -> Sequence[api.Example]:
        root = Path(self.config.root)
        if not (root / META).is_file():
            raise self.absent(META)
        if not (root / "images").is_dir():
            raise self.absent("images")
        _, rows = read_official(root / META, COLUMNS, found.problems)
        official = self._official(len(rows), found) if self.config.split == "official" else {}
        splits = {row.line: official.get(position, "test") for position, row in enumerate(rows)}
        rows = repeated(sound_ids(rows, ("case_num",), META, found.problems), "case_num", META, found.problems)
        view = self.config.view
        found.problems += [f"{META}, line {row.line}: empty {view}" for row in rows if not row[view]]
        rows = repeated([row for row in rows if row[view]], view, META, found.problems)
        told = [(example, splits[row.line]) for row in rows if (example := self._example(row, found)) is not None]
        self._placed = sorted((placed_in(*pair) for pair in told), key=lambda example: example.id)
        return self._placed

    def _example(self, row: Row, found: Found) -> api.Example | None:
        where = f"{META}, line {row.line}"
        source = relative_file(Path(self.config.root) / "images", row[self.config.view], where, found)
        if row["diagnosis"] not in GROUPS:
            found.problems.append(f"{where}: unknown diagnosis {row['diagnosis']!r}, not one of {', '.join(GROUPS)}")
            return None
        if source is None:
            return None
        facts = {name: known(row[name]) for name in ("sex", "elevation", *CRITERIA)}
        return api.Example(
            id=f"{row['case_num']}-{self.config.view}",
            group=row["case_num"],
            split="test",
            label=row["diagnosis"],
            source=source,
            attributes={**facts, "localization": known(row["location"])},
        )

    def _official(self, cases: int, found: Found) -> dict[int, str]:
        """Row of meta.csv, from 0 -> split; every row stands exactly once in the three files."""
        folder = Path(self.config.root) / "meta"
        if lost := [name for name in INDEXES if not (folder / name).is_file()]:
            raise self.absent(" and no ".join(f"meta/{name}" for name in lost))
        placed: dict[int, tuple[str, str]] = {}
        for name, split in INDEXES.items():
            _, rows = read_official(folder / name, ("indexes",), found.problems)
            for row in rows:
                where = f"meta/{name}, line {row.line}"
                text = row["indexes"]
                index = int(text) if text.isdecimal() and len(text) < MOST_DIGITS else cases
                if index >= cases:
                    found.problems.append(f"{where}: {text[:20]!r} is no row of {META}, which has 0 to {cases - 1}")
                    continue
                if index in placed:
                    found.problems.append(f"{where}: row {index} stands in {placed[index][1]} already")
                else:
                    placed[index] = (split, where)
        found.problems += [
            f"{META}: row {index} stands in no index file" for index in range(cases) if index not in placed
        ]
        return {index: split for index, (split, _) in placed.items()}


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"derm7pt": Derm7pt}
