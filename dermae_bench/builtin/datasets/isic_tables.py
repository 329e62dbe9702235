"""The tables of ISIC 2019, of ISIC 2020 and of exports of the ISIC Archive, each read into the same `Photo`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermae_bench import api
from dermae_bench.builtin.datasets.external import (
    BENIGN,
    MALIGNANT,
    SKIN_TONES,
    Found,
    check_present,
    image_files,
    match,
    one_hot,
    sound_ids,
)
from dermae_bench.builtin.datasets.tables import Row, age, known, read_table, repeated

COLUMNS_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
CLASSES_2019 = tuple(column.lower() for column in COLUMNS_2019 if column != "UNK")
FACTS_2019 = ("age_approx", "anatom_site_general", "sex")

TABLES_2020 = ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_GroundTruth.csv", "train.csv")
"""The first that is there is read; v2 names the lesions too."""
COLUMNS_2020 = (
    "image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis", "benign_malignant",
    "target",
)  # fmt: skip
CLASSES_2020 = (
    "atypical melanocytic proliferation", "cafe-au-lait macule", "lentigo NOS", "lichenoid keratosis", "melanoma",
    "nevus", "seborrheic keratosis", "solar lentigo", "unknown",
)  # fmt: skip
"""27,124 of the 33,126 are `unknown`: of no named diagnosis, and benign."""
TARGETS = {"0": BENIGN, "1": MALIGNANT, "0.0": BENIGN, "1.0": MALIGNANT}

ARCHIVE_TABLE = "metadata.csv"
LEVELS = tuple(f"diagnosis_{level}" for level in range(1, 6))
ANSWERS = {BENIGN: BENIGN, MALIGNANT: MALIGNANT}
UNDECIDED = frozenset({"", "unknown", "indeterminate", "indeterminate/benign", "indeterminate/malignant"})
"""What an export says of images that are neither: they have no answer."""
ARCHIVE_FACTS = ("age_approx", "sex", "anatom_site_general", "diagnosis_confirm_type", "fitzpatrick_skin_type")

EXCLUDING = ("image_name_2", "image_id", "isic_id", "image_name", "image")
"""Columns of a table of images to leave out; the first that is there counts."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A row of a table, whatever its layout."""

    image: str
    line: int
    patient: str | None
    lesion: str | None
    diagnosis: str | None
    answer: str | None
    """benign or malignant; None where the table does not say."""
    why: str = ""
    """What stands in place of an answer."""
    faulty: bool = False
    """Whether the answer is missing because the row is wrong, which is told already."""
    attributes: Mapping[str, str | float | None]


def truth_2019(part: str) -> str:
    """Name of the one-hot table."""
    return f"ISIC_2019_{part.title()}_GroundTruth.csv"


def needed(layout: str, root: Path, part: str) -> tuple[str, ...]:
    """Names of the tables that a layout consists of; the first one has a row an image."""
    if layout == "2019":
        return truth_2019(part), f"ISIC_2019_{part.title()}_Metadata.csv"
    if layout == "2020":
        return (next((name for name in TABLES_2020 if (root / name).is_file()), TABLES_2020[0]),)
    return (ARCHIVE_TABLE,)


def files_of(layout: str, root: Path, part: str, found: Found) -> dict[str, Path]:
    """Image id -> file."""
    places = {
        "2019": (f"ISIC_2019_{part.title()}_Input", "images", "."),
        "2020": ("train", "jpeg/train", "ISIC_2020_Training_JPEG/train", "images", "."),
        "archive": ("images", "."),
    }
    return image_files([root / place for place in places[layout]], root, found.problems)


def match_files(photos: Sequence[Photo], files: Mapping[str, Path], name: str, found: Found) -> None:
    """Every row has a file, every file a row."""
    match({photo.image: photo.line for photo in photos}, files, name, found)


# -- 2019 ----------------------------------------------------------------------------------------------------------


def photos_2019(root: Path, part: str, malignant: Collection[str], found: Found) -> list[Photo]:
    """The rows of the one-hot table, joined by image with those of the metadata."""
    truth, metadata = needed("2019", root, part)
    lesions = ("lesion_id",) if part == "training" else ()
    rows = _rows(root / truth, "image", COLUMNS_2019, found)
    facts = {row["image"]: row for row in _rows(root / metadata, "image", (*FACTS_2019, *lesions), found)}
    ids = {row["image"] for row in rows}
    found.problems += [f"{image} is in {truth} but not in {metadata}" for image in sorted(ids - facts.keys())]
    found.problems += [f"{image} is in {metadata} but not in {truth}" for image in sorted(facts.keys() - ids)]
    photos = []
    for row in rows:
        hot = one_hot(row, COLUMNS_2019, truth, found.problems)
        fact = facts.get(row["image"])
        label = None if hot is None or hot == "UNK" else hot.lower()
        photos.append(
            Photo(
                image=row["image"],
                line=row.line,
                patient=None,
                lesion=fact["lesion_id"] or None if fact is not None and lesions else None,
                diagnosis=label,
                answer=None if label is None else MALIGNANT if label in malignant else BENIGN,
                why="UNK",
                faulty=hot is None,
                attributes=_facts(fact, metadata, found, site="anatom_site_general"),
            )
        )
    return photos


# -- 2020 ----------------------------------------------------------------------------------------------------------


def photos_2020(table: Path, found: Found) -> list[Photo]:
    """The rows of the table; diagnosis, benign_malignant and target must say the same."""
    rows = _rows(table, "image_name", COLUMNS_2020[1:], found)
    rows = sound_ids(rows, ("patient_id",), table.name, found.problems)
    photos = []
    for row in rows:
        where = f"{table.name}, line {row.line}"
        diagnosis, answer = row["diagnosis"], TARGETS.get(row["target"])
        sound = diagnosis in CLASSES_2020
        if not sound:
            found.problems.append(f"{where}: unknown diagnosis {diagnosis!r}, not one of {', '.join(CLASSES_2020)}")
        elif answer is None or row["benign_malignant"] != answer or (answer == MALIGNANT) != (diagnosis == "melanoma"):
            sound = False
            found.problems.append(
                f"{where}: diagnosis {diagnosis!r}, benign_malignant {row['benign_malignant']!r} and target "
                f"{row['target']!r} contradict each other"
            )
        photos.append(
            Photo(
                image=row["image_name"],
                line=row.line,
                patient=row["patient_id"],
                lesion=row.values.get("lesion_id") or None,
                diagnosis=diagnosis if sound else None,
                answer=answer if sound else None,
                faulty=not sound,
                attributes=_facts(row, table.name, found, site="anatom_site_general_challenge"),
            )
        )
    return photos


# -- archive -------------------------------------------------------------------------------------------------------


def photos_of_archive(table: Path, level: int, found: Found) -> list[Photo]:
    """The rows of an export: of today's columns diagnosis_1 to diagnosis_5, or of diagnosis and benign_malignant."""
    columns, _ = read_table(table, ("isic_id",), [])
    today = LEVELS[0] in columns
    naming = tuple(name for name in LEVELS[:level] if name in columns) if today else ("benign_malignant", "diagnosis")
    optional = [name for name in (*ARCHIVE_FACTS, "patient_id", "lesion_id") if name in columns]
    # Without malignancy there is nothing to ask; a diagnosis alone may be missing in old exports.
    if not today and "diagnosis" not in columns:
        naming = ("benign_malignant",)
    rows = _rows(table, "isic_id", naming, found)
    check_present(rows, optional, table.name, found.problems)
    photos = []
    for row in rows:
        skin_type = known(row.values.get("fitzpatrick_skin_type", ""))
        told = row[naming[0]].lower()
        answer = ANSWERS.get(told)
        faulty = answer is None and told not in UNDECIDED
        if faulty:
            valid = ", ".join(sorted([*ANSWERS, *UNDECIDED - {""}]))
            found.problems.append(
                f"{table.name}, line {row.line}: unknown {naming[0]} {row[naming[0]]!r}, not one of {valid}"
            )
        names = [row[name] for name in naming if row[name]]
        photos.append(
            Photo(
                image=row["isic_id"],
                line=row.line,
                patient=row.values.get("patient_id") or None,
                lesion=row.values.get("lesion_id") or None,
                diagnosis=names[-1] if names else None,
                answer=answer,
                why=f"{naming[0]} is {row[naming[0]]!r}",
                faulty=faulty,
                attributes=_facts(row, table.name, found, site="anatom_site_general")
                | {"skin_type": skin_type, "skin_tone": SKIN_TONES.get(skin_type or "")},
            )
        )
    return photos


# -- rows, facts, groups -------------------------------------------------------------------------------------------


def _rows(table: Path, key: str, columns: Sequence[str], found: Found) -> list[Row]:
    _, rows = read_table(table, (key, *columns), found.problems)
    rows = sound_ids(rows, (key,), table.name, found.problems)
    return repeated(rows, key, table.name, found.problems)


def _facts(row: Row | None, name: str, found: Found, *, site: str) -> dict[str, str | float | None]:
    """Attributes by the names of `ham10000`; None where the table has no such column."""
    values = {} if row is None else row.values
    where = f"{name}, line {row.line}" if row is not None else name
    return {
        "age": age(values.get("age_approx", ""), where, found.problems),
        "sex": known(values.get("sex", "")),
        "localization": known(values.get(site, "")),
        "dx_type": known(values.get("diagnosis_confirm_type", "")),
    }


def groups_of(photos: Sequence[Photo], by: str, name: str, found: Found) -> dict[str, str]:
    """Image -> what no split may divide. A lesion belongs to one patient, also where only some of its rows name one."""
    patients: dict[str, Photo] = {}
    for photo in photos:
        if photo.lesion is not None and photo.patient is not None:
            other = patients.setdefault(photo.lesion, photo)
            if other.patient != photo.patient:
                found.problems.append(
                    f"{name}, line {photo.line}: lesion {photo.lesion} is of patient {photo.patient} here "
                    f"and of {other.patient} on line {other.line}"
                )
    groups = {}
    for photo in photos:
        patient = photo.patient
        if patient is None and photo.lesion in patients:
            patient = patients[photo.lesion].patient
        groups[photo.image] = (patient if by == "patient" else None) or photo.lesion or photo.image
    return groups


def named_in(table: Path, found: Found) -> frozenset[str]:
    """Ids in a table of images to leave out.

    Raises:
        DataMissing: there is no such file.
        DataError: it has none of the columns.
    """
    if not table.is_file():
        raise api.DataMissing(f"there is no file {table}; `without` names a table of images to leave out")
    columns, rows = read_table(table, (), found.problems)
    column = next((name for name in EXCLUDING if name in columns), None)
    if column is None:
        raise api.DataError(f"{table.name} names no images", hint=f"it needs one of the columns {', '.join(EXCLUDING)}")
    return frozenset(row[column] for row in rows if row[column])
