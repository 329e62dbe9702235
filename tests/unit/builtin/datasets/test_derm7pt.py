"""Derm7pt: one view of every case, the official index files, and whatever is wrong with them named by line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.derm7pt import CRITERIA, GROUPS, Derm7pt, Derm7ptConfig, dermae_datasets
from dermae_bench.plugin.splits import divided_groups
from tests.unit.builtin.datasets.layouts import assert_decodable, holds, missing, pictures, problems, table

COLUMNS = (
    "case_num", "diagnosis", "seven_point_score", *CRITERIA, "level_of_diagnostic_difficulty", "elevation", "location",
    "sex", "management", "clinic", "derm", "case_id", "notes",
)  # fmt: skip
SPLITS = ("train", "valid", "test")


def case(number: int, diagnosis: str = "clark nevus", **changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS, "") | dict.fromkeys(CRITERIA, "absent")
    row |= {"case_num": number, "diagnosis": diagnosis, "sex": "female", "location": "back", "elevation": "flat"}
    return row | {"clinic": f"NEL/NEL{number:03d}.JPG", "derm": f"NEL/Nel{number + 1:03d}.jpg"} | changes


SIX = [
    case(1, "melanoma (in situ)", pigment_network="atypical"),
    case(2),
    case(10, "basal cell carcinoma", sex="male"),
    case(4, "melanoma metastasis", location="acral"),
    case(5, "vascular lesion"),
    case(6, "seborrheic keratosis"),
]


def lay(root: Path, rows: list[Any], indexes: tuple[list[Any], ...] = ([0, 3], [1], [2, 4, 5])) -> Path:
    table(root / "meta" / "meta.csv", COLUMNS, rows)
    for name, numbers in zip(SPLITS, indexes, strict=True):
        table(root / "meta" / f"{name}_indexes.csv", ["indexes"], [[number] for number in numbers])
    pictures(root / "images", [r[view] for r in rows if isinstance(r, dict) for view in ("derm", "clinic")])
    return root


def dataset(root: Path, **params: Any) -> Derm7pt:
    return Derm7pt(Derm7ptConfig(root=api.Folder(root), **params))


def test_the_dermoscopic_view_in_the_official_split(tmp_path: Path) -> None:
    assert dermae_datasets() == {"derm7pt": Derm7pt}
    found = dataset(lay(tmp_path, SIX))
    examples = found.examples()
    assert [(e.id, e.group, e.label, e.split) for e in examples] == [
        ("1-derm", "1", "melanoma (in situ)", "train"),
        ("10-derm", "10", "basal cell carcinoma", "test"),
        ("2-derm", "2", "clark nevus", "val"),
        ("4-derm", "4", "melanoma metastasis", "train"),
        ("5-derm", "5", "vascular lesion", "test"),
        ("6-derm", "6", "seborrheic keratosis", "test"),
    ]
    assert found.split_rule == "official split of Derm7pt, by case"
    assert found.leaky is None
    assert not divided_groups(examples)
    first, tenth = examples[0], examples[1]
    assert first.source == tmp_path / "images" / "NEL" / "Nel002.jpg"
    assert first.attributes["pigment_network"] == "atypical"
    assert (tenth.attributes["sex"], tenth.attributes["localization"]) == ("male", "back")
    assert_decodable(examples)


def test_the_clinical_view_as_a_test_set(tmp_path: Path) -> None:
    root = lay(tmp_path, SIX)
    for name in SPLITS:
        (root / "meta" / f"{name}_indexes.csv").unlink()
    found = dataset(root, view="clinic", split="all-test")
    examples = found.examples()
    assert {e.split for e in examples} == {"test"}
    assert examples[0].id == "1-clinic"
    assert examples[0].source == root / "images" / "NEL" / "NEL001.JPG"
    assert found.split_rule == "all-test, every image is test"


def test_the_counts_of_the_whole_set(tmp_path: Path) -> None:
    """1,011 cases, 252 of them melanoma; the groups of the authors' paper."""
    held = {"basal cell carcinoma": 42, "clark nevus": 575, "melanoma": 252, "lentigo": 97, "seborrheic keratosis": 45}
    told = [name for name, count in held.items() for _ in range(count)]
    rows = [case(number, name) for number, name in enumerate(told)]
    table(tmp_path / "meta" / "meta.csv", COLUMNS, rows)
    pictures(tmp_path / "images", [r["derm"] for r in rows], real=False)
    found = dataset(tmp_path, split="all-test")
    _, groups, malignancy = Derm7pt.tasks(found.config)
    examples = found.examples()
    assert len(examples) == 1011
    assert Counter(malignancy.mapping[e.label] for e in examples) == {"malignant": 252, "benign": 759}
    assert Counter(groups.mapping[e.label] for e in examples)["miscellaneous"] == 97


def test_a_folder_without_any_of_the_images_is_told_once(tmp_path: Path) -> None:
    root = lay(tmp_path, SIX)
    (root / "images").rename(root / "elsewhere")
    (root / "images").mkdir()
    (told,) = problems(dataset(root)).splitlines()
    assert told.startswith(
        "none of the 6 images is there: is `root` right? The first one: meta/meta.csv, line 2: no such"
    )


def test_tasks_and_what_counts_as_malignant() -> None:
    diagnosis, groups, malignancy = Derm7pt.tasks(Derm7ptConfig(root=api.Folder("nowhere")))
    assert diagnosis.classes == tuple(GROUPS) and len(GROUPS) == 20
    assert groups.classes == ("basal cell carcinoma", "melanoma", "miscellaneous", "nevus", "seborrheic keratosis")
    assert (malignancy.name, malignancy.classes, malignancy.positive) == (
        "malignancy", ("benign", "malignant"), "malignant",
    )  # fmt: skip
    positives = {name for name, answer in malignancy.mapping.items() if answer == "malignant"}
    assert len(positives) == 6 and all(name.startswith("melanoma") for name in positives)
    with_bcc = Derm7ptConfig(root=api.Folder("nowhere"), malignant=("melanoma", "basal cell carcinoma"))
    assert Derm7pt.tasks(with_bcc)[2].mapping["basal cell carcinoma"] == "malignant"
    with pytest.raises(ValueError, match="every case would be benign"):
        Derm7ptConfig(root=api.Folder("nowhere"), malignant=())


def test_every_kind_of_damage_is_named_at_once(tmp_path: Path) -> None:
    rows: list[Any] = [
        case(1, "melanom"),
        case(2, derm="../../secret.jpg"),
        case(3, derm=""),
        case(4, derm="NEL/.hidden.jpg"),
        case(5, derm="NEL\\Nel006.jpg"),
        case(6),
        case(7, derm="NEL/Nel007.jpg"),
        case(6, "blue nevus"),
        case(99, case_num="", derm="NEL/a.jpg"),
        case(8, sex="nan"),
        ["9", "clark nevus"],
    ]
    lay(tmp_path, SIX, ([0, 1, 2], [3, 4, 1], [5, 6, 99, "x", -1, "9" * 5000]))
    table(tmp_path / "meta" / "meta.csv", COLUMNS, rows)
    holds(
        problems(dataset(tmp_path)),
        "line 2: unknown diagnosis 'melanom'",
        "line 3: '../../secret.jpg' is no relative path below images",
        "line 4: empty derm",
        "line 5: 'NEL/.hidden.jpg' is no relative path",
        "line 6: 'NEL\\\\Nel006.jpg' is no relative path",
        "line 8: 'NEL/Nel007.jpg' stands on line 7 already",
        "line 9: '6' stands on line 7 already, and contradicts it in diagnosis",
        "line 10: empty case_num",
        "line 11: sex is 'nan', which says that there is none",
        "line 11: no such file NEL/Nel009.jpg",
        "line 12: 2 cells instead of 19",
        "meta/valid_indexes.csv, line 4: row 1 stands in meta/train_indexes.csv, line 3 already",
        "meta/test_indexes.csv, line 4: '99' is no row of meta/meta.csv, which has 0 to 9",
        "meta/test_indexes.csv, line 5: 'x' is no row",
        "meta/test_indexes.csv, line 6: '-1' is no row",
        "meta/test_indexes.csv, line 7: '99999999999999999999' is no row",
        "meta/meta.csv: row 7 stands in no index file",
        "meta/meta.csv: row 9 stands in no index file",
    )


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "release_v0", SIX)
    (tmp_path / "other.jpg").write_bytes(b"x")
    (root / "images" / "NEL" / "Nel002.jpg").unlink()
    (root / "images" / "NEL" / "Nel002.jpg").symlink_to(tmp_path / "other.jpg")
    holds(problems(dataset(root)), "meta/meta.csv, line 2: NEL/Nel002.jpg is a link that leads to")


def test_missing_images_and_missing_data(tmp_path: Path) -> None:
    root = lay(tmp_path / "release_v0", SIX)
    for number in (2, 3):
        (root / "images" / "NEL" / f"Nel{number:03d}.jpg").unlink()
    assert problems(dataset(root, skip=1)).count("no such file") == 2
    assert len(dataset(root, skip=2).examples()) == 6
    assert len(dataset(root, view="clinic").examples()) == 6
    (root / "meta" / "valid_indexes.csv").unlink()
    assert "no meta/valid_indexes.csv" in missing(dataset(root))
    (root / "images").rename(root / "pictures")
    assert "no images" in missing(dataset(root))
    assert "no meta/meta.csv" in missing(dataset(tmp_path))


def test_a_csv_may_not_divide_a_case_that_it_joins(tmp_path: Path) -> None:
    root = lay(tmp_path / "release_v0", SIX)
    splits = tmp_path / "splits.csv"
    rows = ["1,train,a", "10,test,a", "2,val,", "4,train,", "5,test,", "6,test,"]
    splits.write_text("id,split,group\n" + "".join(line.replace(",", "-derm,", 1) + "\n" for line in rows))
    holds(problems(dataset(root, split="csv", split_csv=api.File(splits))), "group 'a' lies in test and train")
