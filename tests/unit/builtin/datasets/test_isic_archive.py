"""Exports of the ISIC Archive: today's five levels of diagnosis, the older two columns, patients and lesions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.isic import ISIC, ISICConfig
from dermae_bench.plugin.splits import divided_groups
from tests.unit.builtin.datasets.layouts import assert_decodable, holds, pictures, problems, table

TODAY = (
    "isic_id", "attribution", "copyright_license", "age_approx", "anatom_site_general", "diagnosis_1", "diagnosis_2",
    "diagnosis_3", "diagnosis_4", "diagnosis_confirm_type", "fitzpatrick_skin_type", "lesion_id", "patient_id", "sex",
)  # fmt: skip
BEFORE = ("isic_id", "attribution", "age_approx", "benign_malignant", "diagnosis", "sex")
MELANOMA = ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma, NOS", "")
NEVUS = ("Benign", "Benign melanocytic proliferations", "Nevus", "Nevus, Atypical, Dysplastic, or Clark")
OPEN = ("Indeterminate", "Indeterminate melanocytic proliferations", "", "")


def image(number: int) -> str:
    return f"ISIC_{number:07d}"


def row(number: int, levels: tuple[str, str, str, str] = NEVUS, **changes: Any) -> dict[str, Any]:
    told = dict(zip((f"diagnosis_{level}" for level in range(1, 5)), levels, strict=True))
    held = {"isic_id": image(number), "copyright_license": "CC-BY", "age_approx": 40, "sex": "female"}
    return dict.fromkeys(TODAY, "") | held | told | changes


def before(number: int, malignancy: str = "benign", diagnosis: str = "nevus") -> list[Any]:
    return [image(number), "somebody", 40, malignancy, diagnosis, "male"]


def lay(root: Path, rows: list[Any], columns: tuple[str, ...] = TODAY, *, folder: str = ".") -> Path:
    table(root / "metadata.csv", columns, rows)
    pictures(root / folder, [f"{r['isic_id'] if isinstance(r, dict) else r[0]}.jpg" for r in rows])
    return root


def dataset(root: Path, **params: Any) -> ISIC:
    return ISIC(ISICConfig(root=api.Folder(root), **params))


@pytest.mark.parametrize("folder", ["images", "."])
def test_an_export_of_today(tmp_path: Path, folder: str) -> None:
    first = row(0, MELANOMA, anatom_site_general="head/neck", diagnosis_confirm_type="histopathology")
    found = dataset(lay(tmp_path, [row(1, fitzpatrick_skin_type="III"), first], folder=folder))
    examples = found.examples()
    assert [(e.id, e.label) for e in examples] == [(image(0), "Melanoma, NOS"), (image(1), "Nevus")]
    assert examples[0].attributes == {
        "age": 40.0, "sex": "female", "localization": "head/neck", "dx_type": "histopathology", "skin_type": None,
        "skin_tone": None,
    }  # fmt: skip
    assert (examples[1].attributes["skin_type"], examples[1].attributes["skin_tone"]) == ("III", "III-IV")
    diagnosis, malignancy = ISIC.tasks(found.config)
    assert diagnosis.classes == ("Melanoma, NOS", "Nevus")
    assert malignancy.mapping == {"Melanoma, NOS": "malignant", "Nevus": "benign"}
    assert_decodable(examples)


@pytest.mark.parametrize(
    ("level", "labels"),
    [
        (1, ["Malignant", "Benign"]),
        (2, ["Malignant melanocytic proliferations (Melanoma)", "Benign melanocytic proliferations"]),
        (4, ["Melanoma, NOS", "Nevus, Atypical, Dysplastic, or Clark"]),
        (5, ["Melanoma, NOS", "Nevus, Atypical, Dysplastic, or Clark"]),
    ],
)
def test_the_level_names_the_classes(tmp_path: Path, level: int, labels: list[str]) -> None:
    found = dataset(lay(tmp_path, [row(0, MELANOMA), row(1)]), level=level)
    assert [e.label for e in found.examples()] == labels
    assert ISIC.tasks(found.config)[0].classes == tuple(sorted(labels))


def test_indeterminate_images_are_refused_or_left_out(tmp_path: Path) -> None:
    root = lay(tmp_path, [row(0, MELANOMA), row(1), row(2, OPEN), row(3, ("", "", "", ""))])
    holds(
        problems(dataset(root)),
        "metadata.csv, line 4: ISIC_0000002 has no answer: diagnosis_1 is 'Indeterminate' (see `unlabelled`)",
        "metadata.csv, line 5: ISIC_0000003 has no answer: diagnosis_1 is ''",
    )
    found = dataset(root, unlabelled="leave-out", split="all-test")
    assert [e.id for e in found.examples()] == [image(0), image(1)]
    assert found.split_rule == "all-test, every image is test; 2 left out: no answer"
    assert ISIC.tasks(found.config)[0].classes == ("Melanoma, NOS", "Nevus")


def test_an_older_export(tmp_path: Path) -> None:
    rows = [before(0), before(1, "malignant", "melanoma"), before(2, "benign", ""), before(3, "indeterminate/benign")]
    root = lay(tmp_path, rows, BEFORE)
    holds(problems(dataset(root)), "line 5: ISIC_0000003 has no answer: benign_malignant is 'indeterminate/benign'")
    found = dataset(root, unlabelled="leave-out")
    assert [e.label for e in found.examples()] == ["nevus", "melanoma", "benign"]
    assert ISIC.tasks(found.config)[1].mapping == {"benign": "benign", "melanoma": "malignant", "nevus": "benign"}
    binary = dataset(root, unlabelled="leave-out", labels="malignancy")
    assert [e.label for e in binary.examples()] == ["benign", "malignant", "benign"]


def test_a_diagnosis_that_is_both_is_refused_as_a_class(tmp_path: Path) -> None:
    root = lay(tmp_path, [before(0), before(1, "malignant")], BEFORE)
    with pytest.raises(api.DataError) as caught:
        ISIC.tasks(dataset(root).config)
    holds(str(caught.value), "line 3: malignancy of 'nevus' is 'malignant' here and 'benign' on line 2", "`labels:")
    assert [e.label for e in dataset(root, labels="malignancy").examples()] == ["benign", "malignant"]


def test_groups_are_patients_then_lesions_then_images(tmp_path: Path) -> None:
    rows = [
        row(0, patient_id="IP_1", lesion_id="IL_1"),
        row(1, lesion_id="IL_1"),
        row(2, patient_id="IP_1"),
        row(3, lesion_id="IL_2"),
        row(4),
    ]
    root = lay(tmp_path, rows)
    assert [e.group for e in dataset(root).examples()] == ["IP_1", "IP_1", "IP_1", "IL_2", image(4)]
    by_lesion = dataset(root, group="lesion").examples()
    assert [e.group for e in by_lesion] == ["IL_1", "IL_1", image(2), "IL_2", image(4)]


@pytest.mark.parametrize("group", ["patient", "lesion"])
def test_groups_are_never_divided(tmp_path: Path, group: str) -> None:
    rows = [row(n, patient_id=f"IP_{n // 6}" if n % 4 else "", lesion_id=f"IL_{n // 2}") for n in range(180)]
    examples = dataset(lay(tmp_path, rows), group=group).examples()
    assert not divided_groups(examples)
    assert {e.split for e in examples} == {"train", "val", "test"}
    splits = {e.id: e.split for e in examples}
    assert all(splits[image(n)] == splits[image(n + 1)] for n in range(0, 180, 2)), "a lesion is divided"


def test_damage_is_named_at_once(tmp_path: Path) -> None:
    rows = [
        row(0),
        row(1, ("Perhaps", "", "", "")),
        row(2, age_approx="old"),
        row(0, MELANOMA),
        row(3, sex="nan"),
        row(4, patient_id="A", lesion_id="L"),
        row(5, patient_id="B", lesion_id="L"),
    ]
    root = lay(tmp_path, rows)
    (root / f"{image(2)}.jpg").unlink()
    (root / f"{image(3)}.png").write_bytes(b"x")
    text = problems(dataset(root))
    holds(
        text,
        "line 3: unknown diagnosis_1 'Perhaps', not one of benign, indeterminate",
        "line 4: age 'old' is no number from 0 to 120",
        "line 5: 'ISIC_0000000' stands on line 2 already, and contradicts it in diagnosis_1",
        "line 6: sex is 'nan', which says that there is none",
        "line 8: lesion L is of patient B here and of A on line 7",
        "metadata.csv, line 4: ISIC_0000002 has no image file",
        "ISIC_0000003 has 2 image files: ",
    )
    assert "has no answer" not in text
    table(root / "metadata.csv", ["isic_id", "sex"], [[image(0), "male"]])
    with pytest.raises(api.DataError, match="column 'benign_malignant' is missing"):
        dataset(root).examples()


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    root = lay(tmp_path / "export", [row(0), row(1, MELANOMA)])
    (tmp_path / "other.jpg").write_bytes(b"x")
    (root / f"{image(0)}.jpg").unlink()
    (root / f"{image(0)}.jpg").symlink_to(tmp_path / "other.jpg")
    holds(problems(dataset(root)), "is a link that leads to")
