"""Fitzpatrick17k: skin types, partitions, images that are no longer to be had, and damage named by line."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.fitzpatrick17k import (
    NINE,
    Fitzpatrick17k,
    Fitzpatrick17kConfig,
    dermae_datasets,
)
from tests.unit.builtin.datasets.layouts import assert_decodable, holds, missing, pictures, problems, table

COLUMNS = (
    "md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label", "nine_partition_label", "three_partition_label",
    "qc", "url", "url_alphanum",
)  # fmt: skip


def name(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def row(number: int, label: str = "psoriasis", nine: str = "inflammatory", **changes: Any) -> dict[str, Any]:
    values = (name(number), 2, 3, label, nine, NINE.get(nine, "?"), "", "https://example.org/a.jpg", "httpsa.jpg")
    return dict(zip(COLUMNS, values, strict=True)) | changes


SIX = [
    row(0, fitzpatrick_scale=-1, fitzpatrick_centaur=-1),
    row(1, "melanoma", "malignant melanoma", fitzpatrick_scale=6),
    row(2, "dermatofibroma", "benign dermal", qc="3 Wrongly labelled"),
    row(3, "psoriasis", qc="1 Diagnostic", fitzpatrick_scale=4),
    row(4, "neurofibromatosis", "genodermatoses"),
    row(5, "kaposi sarcoma", "malignant dermal"),
]


def lay(root: Path, rows: list[Any], *, folder: str = "images") -> Path:
    table(root / "fitzpatrick17k.csv", COLUMNS, rows)
    pictures(root / folder, [f"{r['md5hash']}.jpg" for r in rows if isinstance(r, dict)])
    return root


def dataset(root: Path, **params: Any) -> Fitzpatrick17k:
    return Fitzpatrick17k(Fitzpatrick17kConfig(root=api.Folder(root), **params))


@pytest.mark.parametrize("folder", ["images", "finalfitz17k", "data/finalfitz17k", "."])
def test_the_layout_is_read_as_it_lies(tmp_path: Path, folder: str) -> None:
    assert dermae_datasets() == {"fitzpatrick17k": Fitzpatrick17k}
    found = dataset(lay(tmp_path, SIX, folder=folder))
    examples = {e.id: e for e in found.examples()}
    assert list(examples) == sorted(name(number) for number in range(6))
    told = [(e.label, e.group, e.split, e.attributes) for e in (examples[name(0)], examples[name(1)])]
    assert told == [
        ("psoriasis", name(0), "test", {"skin_type": None, "skin_tone": None}),
        ("melanoma", name(1), "test", {"skin_type": "VI", "skin_tone": "V-VI"}),
    ]
    assert found.split_rule == "all-test, every image is test"
    assert_decodable(list(examples.values()))


def test_the_other_annotators(tmp_path: Path) -> None:
    found = dataset(lay(tmp_path, SIX), scale="fitzpatrick_centaur").examples()
    assert Counter(e.attributes["skin_type"] for e in found) == {None: 1, "III": 5}


def test_tasks_follow_from_the_labels(tmp_path: Path) -> None:
    root = lay(tmp_path, SIX)
    diagnosis, nine, three, malignancy = Fitzpatrick17k.tasks(dataset(root).config)
    assert diagnosis.classes == ("dermatofibroma", "kaposi sarcoma", "melanoma", "neurofibromatosis", "psoriasis")
    assert nine.classes == tuple(NINE) and nine.parent == "diagnosis"
    assert nine.mapping["psoriasis"] == "inflammatory"
    assert three.classes == ("benign", "malignant", "non-neoplastic")
    assert three.mapping["neurofibromatosis"] == "non-neoplastic"
    assert (malignancy.classes, malignancy.positive) == (("benign", "malignant"), "malignant")
    assert malignancy.mapping == {
        "dermatofibroma": "benign", "kaposi sarcoma": "malignant", "melanoma": "malignant",
        "neurofibromatosis": "benign", "psoriasis": "benign",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "names", "first"),
    [
        ("nine-partition", ["nine-partition", "three-partition", "malignancy"], "inflammatory"),
        ("three-partition", ["three-partition", "malignancy"], "non-neoplastic"),
        ("malignancy", ["malignancy"], "benign"),
    ],
)
def test_coarser_labels_need_no_table(tmp_path: Path, labels: Any, names: list[str], first: str) -> None:
    tasks = Fitzpatrick17k.tasks(Fitzpatrick17kConfig(root=api.Folder("nowhere"), labels=labels))
    assert [task.name for task in tasks] == names
    assert tasks[-1].classes == ("benign", "malignant") and tasks[-1].positive == "malignant"
    found = {e.id: e.label for e in dataset(lay(tmp_path, SIX), labels=labels).examples()}
    assert found[name(0)] == first
    assert set(found.values()) <= set(tasks[0].classes)
    for task in tasks[1:]:
        assert task.mapping.keys() == set(tasks[0].classes)


def test_what_is_left_out_is_stated_and_counted(tmp_path: Path) -> None:
    root = lay(tmp_path, SIX)
    (root / "images" / f"{name(0)}.jpg").unlink()  # of an image that nobody asks for
    found = dataset(root, non_neoplastic="leave-out", exclude_qc=(3,))
    assert found.split_rule == (
        "all-test, every image is test; 3 left out: non-neoplastic; 1 left out: qc 3 Wrongly labelled"
    )
    assert sorted(e.label for e in found.examples()) == ["kaposi sarcoma", "melanoma"]
    diagnosis, nine, three, _ = Fitzpatrick17k.tasks(found.config)
    assert diagnosis.classes == ("kaposi sarcoma", "melanoma")
    assert "inflammatory" not in nine.classes
    assert three.classes == ("benign", "malignant")


def test_a_condition_in_two_partitions_is_refused_as_a_class(tmp_path: Path) -> None:
    root = lay(tmp_path, [*SIX, row(6, "melanoma", "benign melanocyte")])
    with pytest.raises(api.DataError) as caught:
        Fitzpatrick17k.tasks(dataset(root).config)
    holds(str(caught.value), "line 8: nine_partition_label of 'melanoma' is 'benign melanocyte' here and 'malignant")
    assert len(dataset(root, labels="malignancy").examples()) == 7


def test_every_kind_of_damage_is_named_at_once(tmp_path: Path) -> None:
    rows = [
        *SIX,
        row(6, "x", "cosmetic"),
        row(7, three_partition_label="benign"),
        row(8, three_partition_label="unsure"),
        row(9, fitzpatrick_scale=7),
        row(10, fitzpatrick_centaur=""),
        row(11, qc="wrong"),
        row(12, ""),
        row(0, "acne"),
        row(13, md5hash="a/b"),
        row(14, "nan"),
        ["too", "short"],
    ]
    lay(tmp_path, rows)
    (tmp_path / "images" / f"{name(1)}.jpg").unlink()
    (tmp_path / "images" / "stray.jpg").write_bytes(b"x")
    holds(
        problems(dataset(tmp_path)),
        "line 8: unknown nine_partition_label 'cosmetic'",
        "line 9: 'inflammatory' is 'non-neoplastic', not 'benign'",
        "line 10: unknown three_partition_label 'unsure'",
        "line 11: fitzpatrick_scale '7' is none of -1, 1, 2, 3, 4, 5, 6",
        "line 12: fitzpatrick_centaur '' is none of",
        "line 13: qc 'wrong' begins with none of 1, 2, 3, 4, 5",
        "line 14: empty label",
        f"line 15: '{name(0)}' stands on line 2 already, and contradicts it in fitzpatrick_scale",
        "line 16: md5hash 'a/b' is no name",
        "line 17: label is 'nan'",
        "line 18: 2 cells instead of 9",
        f"fitzpatrick17k.csv, line 3: {name(1)} has no image file",
        "stray.jpg has no row in fitzpatrick17k.csv",
    )


def test_dead_addresses_up_to_the_stated_number(tmp_path: Path) -> None:
    root = lay(tmp_path, SIX)
    for number in (1, 2):
        (root / "images" / f"{name(number)}.jpg").unlink()
    assert problems(dataset(root, skip=1)).count("has no image file") == 2
    assert len(dataset(root, skip=2).examples()) == 6


def test_missing_data_and_a_missing_column(tmp_path: Path) -> None:
    assert "no fitzpatrick17k.csv" in missing(dataset(tmp_path))
    table(tmp_path / "fitzpatrick17k.csv", COLUMNS, SIX)
    assert "no images" in missing(dataset(tmp_path))
    without_qc = [column for column in COLUMNS if column != "qc"]
    root = lay(tmp_path / "other", SIX)
    table(root / "fitzpatrick17k.csv", without_qc, SIX)
    assert len(dataset(root).examples()) == 6
    holds(problems(dataset(root, exclude_qc=(3,))), "no column qc, which `exclude_qc` reads")


def test_a_split_to_train_on(tmp_path: Path) -> None:
    root = lay(tmp_path, [row(number) for number in range(100)])
    found = dataset(root, split="lesion-grouped")
    assert all(e.split == api.lesion_grouped(e.id) for e in found.examples())
    assert found.split_rule == "lesion-grouped 70/10/20 by sha256 of the group id"
