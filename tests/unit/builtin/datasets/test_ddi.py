"""DDI: three groups of skin tones, every image test, and whatever is wrong with the table named by line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.ddi import DDI, DDIConfig, dermae_datasets
from tests.unit.builtin.datasets.layouts import assert_decodable, holds, missing, pictures, problems, table

COLUMNS = ("", "DDI_ID", "DDI_file", "skin_tone", "malignant", "disease")


def row(number: int, tone: Any = 12, malignant: Any = False, disease: str = "melanocytic-nevi") -> dict[str, Any]:
    values = (number, number + 1, f"{number + 1:06d}.png", tone, malignant, disease)
    return dict(zip(COLUMNS, values, strict=True))


ROWS = [row(0, 56, True, "mycosis-fungoides"), row(1, 12), row(2, 34, True, "melanoma-in-situ"), row(3, 56)]


def lay(root: Path, rows: list[Any], *, folder: str = "images", columns: tuple[str, ...] = COLUMNS) -> Path:
    table(root / "ddi_metadata.csv", columns, rows)
    pictures(root / folder, [r["DDI_file"] for r in rows if isinstance(r, dict)])
    return root


def dataset(root: Path, **params: Any) -> DDI:
    return DDI(DDIConfig(root=api.Folder(root), **params))


@pytest.mark.parametrize("folder", ["images", "."])
@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[1:]])
def test_the_layout_with_and_without_the_row_numbers_of_pandas(
    tmp_path: Path, folder: str, columns: tuple[str, ...]
) -> None:
    assert dermae_datasets() == {"ddi": DDI}
    found = dataset(lay(tmp_path, ROWS, folder=folder, columns=columns))
    examples = found.examples()
    assert [(e.id, e.group, e.label, e.split) for e in examples] == [
        ("000001", "000001", "malignant", "test"),
        ("000002", "000002", "benign", "test"),
        ("000003", "000003", "malignant", "test"),
        ("000004", "000004", "benign", "test"),
    ]
    assert [e.attributes["skin_tone"] for e in examples] == ["V-VI", "I-II", "III-IV", "V-VI"]
    assert examples[0].attributes["disease"] == "mycosis-fungoides"
    assert found.split_rule == "all-test, every image is test"
    assert_decodable(examples)


def test_the_counts_of_the_whole_set(tmp_path: Path) -> None:
    """656 images, 171 malignant; 208, 241 and 207 of the groups that Class-N-Diff calls A, B and C."""
    groups = [(12, 208, 49), (34, 241, 74), (56, 207, 48)]
    told = [(tone, index < positives) for tone, images, positives in groups for index in range(images)]
    rows = [row(number, tone, malignant) for number, (tone, malignant) in enumerate(told)]
    table(tmp_path / "ddi_metadata.csv", COLUMNS, rows)
    pictures(tmp_path, [r["DDI_file"] for r in rows], real=False)
    examples = dataset(tmp_path).examples()
    assert Counter(e.label for e in examples) == {"benign": 485, "malignant": 171}
    assert Counter(e.attributes["skin_tone"] for e in examples) == {"I-II": 208, "III-IV": 241, "V-VI": 207}
    assert {e.split for e in examples} == {"test"}


def test_tasks_by_malignancy_and_by_disease(tmp_path: Path) -> None:
    (task,) = DDI.tasks(DDIConfig(root=api.Folder("nowhere")))
    assert (task.name, task.classes, task.positive) == ("malignancy", ("benign", "malignant"), "malignant")
    by_disease = dataset(lay(tmp_path, ROWS), labels="diagnosis")
    diagnosis, malignancy = DDI.tasks(by_disease.config)
    assert diagnosis.classes == ("melanocytic-nevi", "melanoma-in-situ", "mycosis-fungoides")
    assert malignancy.classes == ("benign", "malignant")
    assert malignancy.mapping == {
        "melanocytic-nevi": "benign", "melanoma-in-situ": "malignant", "mycosis-fungoides": "malignant",
    }  # fmt: skip
    assert [e.label for e in by_disease.examples()][:2] == ["mycosis-fungoides", "melanocytic-nevi"]


def test_a_disease_that_is_both_is_refused_as_a_class(tmp_path: Path) -> None:
    root = lay(tmp_path, [*ROWS, row(4, 12, True)])
    with pytest.raises(api.DataError) as caught:
        DDI.tasks(DDIConfig(root=api.Folder(root), labels="diagnosis"))
    holds(str(caught.value), "line 6: malignancy of 'melanocytic-nevi' is 'malignant' here and 'benign' on line 3")
    holds(str(caught.value), "`labels: malignancy`")
    assert len(dataset(root).examples()) == 5


def test_every_kind_of_damage_is_named_at_once(tmp_path: Path) -> None:
    broken = [
        *ROWS,
        row(4, 78),
        row(5, 12, "perhaps"),
        row(6) | {"DDI_file": "../../secret.png"},
        row(7, disease=""),
        row(1, 34),
        row(8) | {"DDI_ID": "3"},
        row(9, "nan"),
        [10, 11, "000011.png"],
    ]
    table(tmp_path / "ddi_metadata.csv", COLUMNS, broken)
    pictures(tmp_path / "images", [*(f"{n:06d}.png" for n in (2, 3, 4, 5, 6, 8, 9, 10)), "stray.png"])
    (tmp_path / "images" / "000003.jpg").write_bytes(b"x")
    (tmp_path / "images" / ".000001.png").write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    holds(
        problems(dataset(tmp_path)),
        "line 6: unknown skin_tone '78', not one of 12 34 56",
        "line 7: malignant 'perhaps' is neither True nor False",
        "line 8: DDI_file '../../secret.png' is no name",
        "line 9: empty disease",
        "line 10: '000002.png' stands on line 3 already, and contradicts it in skin_tone",
        "line 11: '3' stands on line 4 already",
        "line 12: skin_tone is 'nan', which says that there is none",
        "line 13: 3 cells instead of 6",
        "ddi_metadata.csv, line 2: 000001 has no image file",
        "000003 has 2 image files",
        "stray.png has no row in ddi_metadata.csv",
    )


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "ddi", ROWS)
    (tmp_path / "other.png").write_bytes(b"x")
    (root / "images" / "000001.png").unlink()
    (root / "images" / "000001.png").symlink_to(tmp_path / "other.png")
    holds(problems(dataset(root)), "images/000001.png: is a link that leads to")


def test_missing_images_and_missing_data(tmp_path: Path) -> None:
    assert "no ddi_metadata.csv" in missing(dataset(tmp_path))
    table(tmp_path / "ddi_metadata.csv", COLUMNS, ROWS)
    assert "no images" in missing(dataset(tmp_path))
    pictures(tmp_path / "images", ["000001.png", "000002.png"])
    assert problems(dataset(tmp_path, skip=1)).count("has no image file") == 2
    assert len(dataset(tmp_path, skip=2).examples()) == 4


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("", "DDI_ID", "DDI_file", "skin_tone", "malignant"), "column 'disease' is missing"),
        (("DDI_ID", "DDI_file", "skin_tone", "malignant"), "column 'disease' is missing"),
        (("DDI_ID", "", "DDI_file", "skin_tone", "malignant", "disease"), "a column has no name"),
        (("", *COLUMNS, "disease"), "unusable header"),
    ],
)
def test_unusable_headers(tmp_path: Path, columns: tuple[str, ...], words: str) -> None:
    table(tmp_path / "ddi_metadata.csv", columns, [])
    with pytest.raises(api.DataError, match=words):
        dataset(tmp_path).examples()


def test_a_table_without_rows(tmp_path: Path) -> None:
    table(tmp_path / "ddi_metadata.csv", COLUMNS, [])
    holds(problems(dataset(tmp_path)), "ddi_metadata.csv: no rows below the header")


def test_splits_of_a_csv(tmp_path: Path) -> None:
    root = lay(tmp_path / "ddi", ROWS)
    splits = tmp_path / "splits.csv"
    splits.write_text("id,split\n000001,train\n000002,val\n000003,test\n000004,test\n")
    found = dataset(root, split="csv", split_csv=api.File(splits))
    assert [e.split for e in found.examples()] == ["train", "val", "test", "test"]
    assert found.split_rule == "as given in the CSV"
    with pytest.raises(ValueError, match="`split: csv` needs `split_csv`"):
        DDIConfig(root=api.Folder(root), split="csv")
    with pytest.raises(ValueError, match="`split: all-test` reads none"):
        DDIConfig(root=api.Folder(root), leaky="because")
