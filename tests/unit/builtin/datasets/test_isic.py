"""ISIC 2019 and 2020: both tables of a layout, groups never divided, and damage named by line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.isic import ISIC, ISICConfig, dermae_datasets
from dermae_bench.builtin.datasets.isic_tables import CLASSES_2020
from dermae_bench.plugin.splits import divided_groups
from tests.unit.builtin.datasets.layouts import assert_decodable, holds, missing, pictures, problems, table

TRUTH = ("image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
METADATA = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
KAGGLE = (
    "image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis", "benign_malignant",
    "target",
)  # fmt: skip


def image(number: int) -> str:
    return f"ISIC_{number:07d}"


def truth(number: int, label: str = "NV") -> list[Any]:
    return [image(number), *(float(column == label) for column in TRUTH[1:])]


def fact(number: int, lesion: str | None = None, **changes: Any) -> dict[str, Any]:
    lesion = f"BCN_{number // 2:07d}" if lesion is None else lesion
    return dict(zip(METADATA, (image(number), 45.0, "anterior torso", lesion, "male"), strict=True)) | changes


def lay_2019(root: Path, labels: list[str], *, part: str = "Training", folder: str = "") -> Path:
    columns = METADATA if part == "Training" else [name for name in METADATA if name != "lesion_id"]
    table(root / f"ISIC_2019_{part}_GroundTruth.csv", TRUTH, [truth(n, label) for n, label in enumerate(labels)])
    table(root / f"ISIC_2019_{part}_Metadata.csv", columns, [fact(n) for n in range(len(labels))])
    pictures(root / (folder or f"ISIC_2019_{part}_Input"), [f"{image(n)}.jpg" for n in range(len(labels))])
    return root


def row(number: int, diagnosis: str = "unknown", patient: str | None = None, **changes: Any) -> dict[str, Any]:
    malignant = diagnosis == "melanoma"
    told = (image(number), f"IP_{number // 3:07d}" if patient is None else patient, "female", 50.0, "torso", diagnosis)
    return dict(zip(KAGGLE, (*told, "malignant" if malignant else "benign", int(malignant)), strict=True)) | changes


def lay_2020(root: Path, rows: list[Any], *, name: str = "train.csv", folder: str = "jpeg/train") -> Path:
    table(root / name, [*KAGGLE, "lesion_id"] if "v2" in name else KAGGLE, rows)
    pictures(root / folder, [f"{r['image_name']}.jpg" for r in rows if isinstance(r, dict)])
    return root


def dataset(root: Path, **params: Any) -> ISIC:
    return ISIC(ISICConfig(root=api.Folder(root), **params))


# -- 2019 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "images", "."])
def test_2019_joins_its_two_tables(tmp_path: Path, folder: str) -> None:
    assert dermae_datasets() == {"isic": ISIC}
    root = lay_2019(tmp_path, ["MEL", "MEL", "SCC"], folder=folder)
    facts = [fact(2, "", age_approx="", sex="", anatom_site_general=""), fact(1), fact(0)]
    table(root / "ISIC_2019_Training_Metadata.csv", METADATA, facts)
    examples = dataset(root).examples()
    assert [(e.id, e.group, e.label) for e in examples] == [
        (image(0), "BCN_0000000", "mel"),
        (image(1), "BCN_0000000", "mel"),
        (image(2), image(2), "scc"),
    ]
    assert examples[0].attributes == {"age": 45.0, "sex": "male", "localization": "anterior torso", "dx_type": None}
    assert set(examples[2].attributes.values()) == {None}
    assert all(e.split == api.lesion_grouped(e.group) for e in examples)
    assert_decodable(examples)


def test_2019_tasks_and_which_classes_are_malignant(tmp_path: Path) -> None:
    config = ISICConfig(root=api.Folder("nowhere"), layout="2019")
    diagnosis, malignancy = ISIC.tasks(config)
    assert diagnosis.classes == ("mel", "nv", "bcc", "ak", "bkl", "df", "vasc", "scc")
    assert (malignancy.classes, malignancy.positive, malignancy.parent) == (
        ("benign", "malignant"), "malignant", "diagnosis",
    )  # fmt: skip
    told = {name for name, answer in malignancy.mapping.items() if answer == "malignant"}
    assert told == {"mel", "bcc", "ak", "scc"}
    root = lay_2019(tmp_path, ["MEL", "BCC", "NV", "AK"])
    paper = dataset(root, malignant=("mel",), labels="malignancy")
    assert [task.name for task in ISIC.tasks(paper.config)] == ["malignancy"]
    assert [e.label for e in paper.examples()] == ["malignant", "benign", "benign", "benign"]
    with pytest.raises(ValueError, match="every image of ISIC 2019 would be benign"):
        ISICConfig(root=api.Folder(root), malignant=())


def test_2019_test_set_leaves_out_what_is_of_no_class(tmp_path: Path) -> None:
    root = lay_2019(tmp_path, ["MEL", "UNK", "NV", "UNK"], part="Test")
    held = (*TRUTH, "score_weight", "validation_weight")
    rows = [[*truth(n, label), 1.0, 0.0] for n, label in enumerate(["MEL", "UNK", "NV", "UNK"])]
    table(root / "ISIC_2019_Test_GroundTruth.csv", held, rows)
    holds(
        problems(dataset(root, part="test", split="all-test")),
        "ISIC_2019_Test_GroundTruth.csv, line 3: ISIC_0000001 has no answer: UNK (see `unlabelled`)",
        "line 5: ISIC_0000003 has no answer",
    )
    found = dataset(root, part="test", split="all-test", unlabelled="leave-out")
    assert [(e.label, e.group, e.split) for e in found.examples()] == [
        ("mel", image(0), "test"),
        ("nv", image(2), "test"),
    ]
    assert found.split_rule == "all-test, every image is test; 2 left out: no answer"
    with pytest.raises(ValueError, match="has one part alone"):
        ISICConfig(root=api.Folder(root), layout="2020", part="test")


def test_2019_lesions_are_never_divided(tmp_path: Path) -> None:
    found = dataset(lay_2019(tmp_path, ["NV"] * 120))
    examples = found.examples()
    assert Counter(Counter(e.group for e in examples).values()) == {2: 60}
    assert not divided_groups(examples)
    assert {e.split for e in examples} == {"train", "val", "test"}
    by_image = dataset(tmp_path, split="paper-random-80-20")
    assert divided_groups(by_image.examples())
    assert by_image.leaky is not None
    assert by_image.split_rule.startswith("paper-random-80-20")


def test_2019_damage_is_named_at_once(tmp_path: Path) -> None:
    root = lay_2019(tmp_path, ["NV"] * 4)
    rows = [
        truth(0),
        truth(1, "none"),
        truth(0, "MEL"),
        [image(2), *"110000000"],
        truth(7),
        ["../x", *"100000000"],
        ["a"],
    ]
    table(root / "ISIC_2019_Training_GroundTruth.csv", TRUTH, rows)
    facts = [fact(0, age_approx="old"), fact(1, sex="NA"), fact(2), fact(3), fact(3)]
    table(root / "ISIC_2019_Training_Metadata.csv", METADATA, facts)
    text = problems(dataset(root))
    holds(
        text,
        "GroundTruth.csv, line 3: not exactly one 1 among 0s: 0.0,0.0",
        "GroundTruth.csv, line 4: 'ISIC_0000000' stands on line 2 already, and contradicts it in MEL, NV",
        "GroundTruth.csv, line 5: not exactly one 1 among 0s: 1,1,0",
        "GroundTruth.csv, line 7: image '../x' is no name",
        "GroundTruth.csv, line 8: 1 cells instead of 10",
        "Metadata.csv, line 2: age 'old' is no number from 0 to 120",
        "Metadata.csv, line 3: sex is 'NA', which says that there is none",
        "Metadata.csv, line 6: 'ISIC_0000003' stands on line 5 already, with the same content",
        "ISIC_0000007 is in ISIC_2019_Training_GroundTruth.csv but not in ISIC_2019_Training_Metadata.csv",
        "ISIC_0000003 is in ISIC_2019_Training_Metadata.csv but not in ISIC_2019_Training_GroundTruth.csv",
        ": ISIC_0000007 has no image file",
        "ISIC_0000003.jpg has no row in ISIC_2019_Training_GroundTruth.csv",
    )
    assert "has no answer" not in text, "a row that is wrong is told once"


def test_2019_without_the_images_of_another_set(tmp_path: Path) -> None:
    root = lay_2019(tmp_path / "isic", ["NV", "NV", "MEL", "MEL"])
    table(tmp_path / "HAM10000_metadata.csv", ["lesion_id", "image_id"], [["a", image(1)], ["b", "ISIC_9999999"]])
    found = dataset(root, without=api.File(tmp_path / "HAM10000_metadata.csv"))
    assert [e.id for e in found.examples()] == [image(0), image(2), image(3)]
    assert found.split_rule.endswith("; 1 left out: named in HAM10000_metadata.csv")
    table(tmp_path / "other.csv", ["name"], [["a"]])
    with pytest.raises(api.DataError, match=r"other.csv names no images"):
        dataset(root, without=api.File(tmp_path / "other.csv")).examples()
    with pytest.raises(api.DataMissing, match="`without` names a table"):
        dataset(root, without=api.File(tmp_path / "nowhere.csv")).examples()


def test_files_of_images_that_are_left_out_need_not_be_there(tmp_path: Path) -> None:
    root = lay_2019(tmp_path / "isic", ["NV", "NV", "MEL", "UNK"])
    table(tmp_path / "HAM10000_metadata.csv", ["lesion_id", "image_id"], [["a", image(1)]])
    options = {"without": api.File(tmp_path / "HAM10000_metadata.csv"), "unlabelled": "leave-out"}
    before = [e.id for e in dataset(root, **options).examples()]
    for number in (1, 3):
        (path,) = root.rglob(f"{image(number)}.jpg")
        path.unlink()
    assert [e.id for e in dataset(root, **options).examples()] == before == [image(0), image(2)]
    # which is no excuse for the others
    assert "ISIC_0000003 has no image file" in problems(dataset(root, without=options["without"]))
    (path,) = root.rglob(f"{image(0)}.jpg")
    path.unlink()
    assert "ISIC_0000000 has no image file" in problems(dataset(root, **options))


# -- 2020 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("train.csv", "jpeg/train"),
        ("ISIC_2020_Training_GroundTruth.csv", "train"),
        ("ISIC_2020_Training_GroundTruth.csv", "ISIC_2020_Training_JPEG/train"),
    ],
)
def test_2020_is_grouped_by_patient(tmp_path: Path, name: str, folder: str) -> None:
    rows = [row(0, "melanoma"), row(1), row(2, "nevus", sex="", age_approx=""), row(3)]
    found = dataset(lay_2020(tmp_path, rows, name=name, folder=folder))
    examples = found.examples()
    assert [(e.group, e.label) for e in examples] == [
        ("IP_0000000", "melanoma"), ("IP_0000000", "unknown"), ("IP_0000000", "nevus"), ("IP_0000001", "unknown"),
    ]  # fmt: skip
    assert examples[0].attributes == {"age": 50.0, "sex": "female", "localization": "torso", "dx_type": None}
    assert examples[2].attributes["age"] is None
    diagnosis, malignancy = ISIC.tasks(found.config)
    assert diagnosis.classes == CLASSES_2020
    assert [name for name, answer in malignancy.mapping.items() if answer == "malignant"] == ["melanoma"]
    assert_decodable(examples)


def test_2020_by_lesion_and_without_its_duplicates(tmp_path: Path) -> None:
    rows = [row(n, patient="IP_1", lesion_id=f"IL_{n // 2}") for n in range(4)]
    root = lay_2020(tmp_path / "isic", rows, name="ISIC_2020_Training_GroundTruth_v2.csv")
    duplicates = tmp_path / "ISIC_2020_Training_Duplicates.csv"
    table(duplicates, ["image_name_1", "image_name_2"], [[image(0), image(1)]])
    found = dataset(root, group="lesion", without=api.File(duplicates))
    assert [(e.id, e.group) for e in found.examples()] == [
        (image(0), "IL_0"),
        (image(2), "IL_1"),
        (image(3), "IL_1"),
    ]
    assert {e.group for e in dataset(root).examples()} == {"IP_1"}


def test_2020_damage_is_named_at_once(tmp_path: Path) -> None:
    rows: list[Any] = [
        row(0),
        row(1, "mole"),
        row(2, "melanoma", target=0),
        row(3, benign_malignant="malignant"),
        row(4, "melanoma", benign_malignant="benign", target=0),
        row(5, target=""),
        row(6, patient=""),
        row(0, "nevus"),
        row(7, age_approx=130),
        row(8, diagnosis="nan"),
        [image(9)],
    ]
    root = lay_2020(tmp_path, rows)
    (root / "jpeg" / "train" / f"{image(0)}.jpg").unlink()
    (root / "jpeg" / "train" / "stray.jpg").write_bytes(b"x")
    holds(
        problems(dataset(root)),
        "line 3: unknown diagnosis 'mole', not one of atypical melanocytic proliferation",
        "line 4: diagnosis 'melanoma', benign_malignant 'malignant' and target '0' contradict each other",
        "line 5: diagnosis 'unknown', benign_malignant 'malignant' and target '0' contradict each other",
        "line 6: diagnosis 'melanoma', benign_malignant 'benign' and target '0' contradict each other",
        "line 7: diagnosis 'unknown', benign_malignant 'benign' and target '' contradict each other",
        "line 8: empty patient_id",
        "line 9: 'ISIC_0000000' stands on line 2 already, and contradicts it in diagnosis",
        "line 10: age '130' is no number",
        "line 11: diagnosis is 'nan'",
        "line 12: 1 cells instead of 8",
        "train.csv, line 2: ISIC_0000000 has no image file",
        "stray.jpg has no row in train.csv",
    )


def test_2020_a_lesion_of_two_patients(tmp_path: Path) -> None:
    rows = [row(0, patient="A", lesion_id="IL_1"), row(1, patient="B", lesion_id="IL_1")]
    root = lay_2020(tmp_path, rows, name="ISIC_2020_Training_GroundTruth_v2.csv")
    holds(problems(dataset(root)), "line 3: lesion IL_1 is of patient B here and of A on line 2")


# -- which layout --------------------------------------------------------------------------------------------------


def test_the_layout_is_found_or_asked_for(tmp_path: Path) -> None:
    text = missing(dataset(tmp_path))
    holds(
        text, "ISIC_2019_Training_GroundTruth.csv or ISIC_2020_Training_GroundTruth_v2.csv", "train.csv or metadata.csv"
    )
    lay_2019(tmp_path, ["NV", "MEL"])
    assert dataset(tmp_path).layout() == "2019"
    lay_2020(tmp_path, [row(0), row(1)])
    holds(problems(dataset(tmp_path)), "2019: ISIC_2019_Training_GroundTruth.csv", "2020: train.csv")
    with pytest.raises(api.DataError, match="say which one: `layout: 2019`"):
        ISIC.tasks(dataset(tmp_path).config)
    assert [e.label for e in dataset(tmp_path, layout="2019").examples()] == ["nv", "mel"]
    (tmp_path / "ISIC_2019_Training_Metadata.csv").unlink()
    assert "no ISIC_2019_Training_Metadata.csv" in missing(dataset(tmp_path, layout="2019"))


def test_missing_images_up_to_the_stated_skip(tmp_path: Path) -> None:
    root = lay_2019(tmp_path, ["NV"] * 5)
    for number in (1, 2):
        (root / "ISIC_2019_Training_Input" / f"{image(number)}.jpg").unlink()
    assert problems(dataset(root, skip=1)).count("has no image file") == 2
    assert len(dataset(root, skip=2).examples()) == 5
    (root / "ISIC_2019_Training_Input").rename(root / "elsewhere")
    assert "no images" in missing(dataset(root, skip=5))
