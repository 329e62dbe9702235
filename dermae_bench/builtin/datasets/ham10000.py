"""`ham10000`: dermoscopic images of 7 kinds of pigmented skin lesions (Tschandl, Rosendahl, Kittler, Sci Data 2018).

Official layout below `root`: `HAM10000_metadata.csv`, and the images in `HAM10000_images_part_1/` and `_part_2/`,
in `HAM10000_images/`, in `images/`, or beside the CSV. Below `test_root`, that of the ISIC 2018 challenge, task 3:
`ISIC2018_Task3_Test_Input/` and the one-hot `ISIC2018_Task3_Test_GroundTruth.csv`. Other files are ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from dermae_bench import api
from dermae_bench.builtin.datasets.splitting import GIVEN, SplitChoice, by_csv, by_rule, check_choice
from dermae_bench.builtin.datasets.tables import Row, age, known, read_table, repeated

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = frozenset({"akiec", "bcc", "mel"})
METADATA = "HAM10000_metadata.csv"
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_images", "images", ".")
TEST_INPUT = "ISIC2018_Task3_Test_Input"
TEST_TRUTH = "ISIC2018_Task3_Test_GroundTruth.csv"
TEST_COLUMNS = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True, kw_only=True)
class HAM10000Config(SplitChoice):
    """Where the images lie and how they are read."""

    root: api.Folder
    """Folder with `HAM10000_metadata.csv` and the images."""
    test_root: api.Folder | None = None
    """Folder with the official ISIC 2018 task 3 test set, for the splits that use it."""
    image_size: Annotated[int, api.Between(8, 2048)] = 224
    """Side in pixels of the squares that the images are squashed to."""
    split: Literal["lesion-grouped", "paper-random-80-20", "official-test", "csv"] = "lesion-grouped"
    """`lesion-grouped`: 70 % of the lesions are train, 10 % val, 20 % test, by a hash of the lesion's id.
    `official-test`: 10 % of the lesions are val, the others train, and `test_root` is test. `paper-random-80-20`: 80/20
    by image, which divides lesions; without `test_root` the 20 % are test and a tenth of the 80 % is val, with it the
    80 % are train and the 20 % val. `csv`: as `split_csv` says, of the images of `test_root` too if it is given."""
    skip: Annotated[int, api.Between(0, None)] = 0
    """At most this many missing or unreadable images are left out; one more is an error."""

    def __post_init__(self) -> None:
        problems = check_choice(self, self.split, given=("csv",))
        if self.split == "official-test" and self.test_root is None:
            problems.append("`split: official-test` needs `test_root`, the folder of the official test set")
        if self.split == "lesion-grouped" and self.test_root is not None:
            problems.append("`split: lesion-grouped` does not use `test_root`; write `split: official-test`")
        if problems:
            raise ValueError("; ".join(problems))


class HAM10000(api.Dataset):
    """HAM10000, with the official test set where it is given; attributes age, sex, localization, dx_type."""

    Config: ClassVar[type] = HAM10000Config
    contained_in: ClassVar[tuple[str, ...]] = ("HAM10000", "ISIC 2018", "ISIC 2019", "ISIC Archive", "DermaMNIST")
    test_contained_in: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "test_root": ("ISIC 2018 Task 3 test", "ISIC Archive")
    }
    home: ClassVar[str] = "HAM10000 (CC BY-NC 4.0): ISIC Archive, or Harvard Dataverse doi:10.7910/DVN/DBW86T"

    config: HAM10000Config

    @classmethod
    def tasks(cls, config: HAM10000Config) -> Sequence[api.Task]:
        """`diagnosis` (7 classes) and `malignancy` (mel, bcc and akiec are malignant)."""
        mapping = {name: "malignant" if name in MALIGNANT else "benign" for name in CLASSES}
        return (
            api.Task(name="diagnosis", classes=CLASSES),
            api.Task(
                name="malignancy",
                classes=("benign", "malignant"),
                positive="malignant",
                parent="diagnosis",
                mapping=mapping,
            ),
        )

    @property
    def split_rule(self) -> str:
        return GIVEN if self.config.split == "csv" else self._rule().name

    @property
    def leaky(self) -> str | None:
        return self.config.leaky if self.config.split == "csv" else self._rule().leaky

    def _rule(self) -> api.SplitRule:
        return api.split_rule(self.config.split, own_test=self.config.test_root is None)

    def examples(self) -> Sequence[api.Example]:
        """Images of HAM10000 by image id, then the official test images by image id."""
        problems: list[str] = []
        missing: list[str] = []
        found = self._lesions(problems, missing)
        official: list[api.Example] = []
        if self.config.test_root is not None:
            official = self._official(Path(self.config.test_root), problems, missing)
            known = {example.id for example in found}
            problems += [f"{e.id} is in the test set and in {METADATA}" for e in official if e.id in known]
        # The files that a stated `skip` allows to be missing stay in the list: the decoder finds and counts them.
        if len(missing) > self.config.skip:
            problems += missing
        if self.config.split == "csv":
            placed = by_csv(self.config, [*found, *official], problems)
        else:
            placed = [*by_rule(self._rule(), found), *official]
        if problems:
            raise api.DataError(f"HAM10000 cannot be read: {len(problems)} problem(s)", problems)
        return placed

    def _roots(self) -> list[Path]:
        return [Path(root) for root in (self.config.root, self.config.test_root) if root is not None]

    def _lesions(self, problems: list[str], missing: list[str]) -> list[api.Example]:
        root = Path(self.config.root)
        table = root / METADATA
        if not table.is_file():
            raise api.DataMissing(f"HAM10000 is not there: no {METADATA} in {root}; get it from {self.home}")
        _, rows = read_table(table, COLUMNS, problems)
        rows = [row for row in rows if _named(row, ("image_id", "lesion_id"), METADATA, problems)]
        rows = repeated(rows, "image_id", METADATA, problems)
        files = _image_files([root / name for name in IMAGE_FOLDERS], self._roots(), problems)
        if not files and rows:
            raise api.DataMissing(f"HAM10000 is not there: no images in {root}; get them from {self.home}")
        _match([row["image_id"] for row in rows], files, METADATA, problems, missing)
        diagnoses: dict[str, Row] = {}
        found = []
        for row in sorted(rows, key=lambda row: row["image_id"]):
            where = f"{METADATA}, line {row.line}"
            if row["dx"] not in CLASSES:
                problems.append(f"{where}: unknown dx {row['dx']!r}, not one of {' '.join(CLASSES)}")
                continue
            other = diagnoses.setdefault(row["lesion_id"], row)
            if other["dx"] != row["dx"]:
                problems.append(
                    f"{where}: lesion {row['lesion_id']} is {row['dx']!r} here and {other['dx']!r} on line {other.line}"
                )
            found.append(
                api.Example(
                    id=row["image_id"],
                    group=row["lesion_id"],
                    split="train",
                    label=row["dx"],
                    source=files.get(row["image_id"], root / f"{row['image_id']}.jpg"),
                    attributes={
                        "age": age(row["age"], where, problems),
                        "sex": known(row["sex"]),
                        "localization": known(row["localization"]),
                        "dx_type": known(row["dx_type"]),
                    },
                )
            )
        return found

    def _official(self, root: Path, problems: list[str], missing: list[str]) -> list[api.Example]:
        table, folder = root / TEST_TRUTH, root / TEST_INPUT
        if not table.is_file() or not folder.is_dir():
            lost = TEST_INPUT if table.is_file() else TEST_TRUTH
            raise api.DataMissing(f"the ISIC 2018 test set is not there: no {lost} in {root}; get it from {self.home}")
        _, rows = read_table(table, ("image", *TEST_COLUMNS), problems)
        rows = [row for row in rows if _named(row, ("image",), TEST_TRUTH, problems)]
        rows = repeated(rows, "image", TEST_TRUTH, problems)
        files = _image_files([folder], self._roots(), problems)
        _match([row["image"] for row in rows], files, TEST_TRUTH, problems, missing)
        found = []
        for row in sorted(rows, key=lambda row: row["image"]):
            hot = [column for column in TEST_COLUMNS if row[column] in ("1", "1.0")]
            cold = [column for column in TEST_COLUMNS if row[column] in ("0", "0.0")]
            if len(hot) != 1 or len(hot) + len(cold) != len(TEST_COLUMNS):
                cells = ",".join(row[column] for column in TEST_COLUMNS)
                problems.append(f"{TEST_TRUTH}, line {row.line}: not exactly one 1 among 0s: {cells}")
                continue
            found.append(
                api.Example(
                    id=row["image"],
                    # The challenge names no lesions of its test images, so each image is its own.
                    group=row["image"],
                    split="test",
                    label=hot[0].lower(),
                    source=files.get(row["image"], folder / f"{row['image']}.jpg"),
                    attributes={"age": None, "sex": None, "localization": None, "dx_type": None},
                )
            )
        return found


def _named(row: Row, columns: Sequence[str], name: str, problems: list[str]) -> bool:
    """Whether the ids of a row can be ids; names never become paths, so they may not look like ones."""
    wrong = []
    for column in columns:
        text = row[column]
        if not text:
            wrong.append(f"{name}, line {row.line}: empty {column}")
        elif text.startswith(".") or not text.isprintable() or not set("/\\:").isdisjoint(text):
            wrong.append(f"{name}, line {row.line}: {column} {text!r} is no name")
    problems += wrong
    return not wrong


def _image_files(folders: Sequence[Path], roots: Sequence[Path], problems: list[str]) -> dict[str, Path]:
    """Image id -> file, over the folders that exist; hidden files are not images, links stay inside `roots`."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        if folder.is_dir():
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                    found[file.stem].append(file)
                    if file.is_symlink() and (why := api.leads_out(file, roots)) is not None:
                        problems.append(f"{folder.name}/{file.name}: {why}")
    for stem, files in sorted(found.items()):
        if len(files) > 1:
            places = ", ".join(f"{file.parent.name}/{file.name}" for file in files)
            problems.append(f"{stem} has {len(files)} image files: {places}")
    return {stem: files[0] for stem, files in found.items()}


def _match(ids: Sequence[str], files: dict[str, Path], name: str, problems: list[str], missing: list[str]) -> None:
    missing += [f"{image} is in {name} but has no image file" for image in sorted(set(ids) - set(files))]
    problems += [f"{files[image].name} has no row in {name}" for image in sorted(set(files) - set(ids))]


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    """Names that a suite may use."""
    return {"ham10000": HAM10000}
