"""The official layout is read as it lies; everything wrong with it is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.ham10000 import CLASSES, HAM10000, HAM10000Config, dermae_datasets

HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"


def row(number: int, dx: str = "nv", **changes: str) -> str:
    cells = {"lesion": f"HAM_{number // 2:07d}", "image": f"ISIC_{number:07d}", "dx": dx, "type": "histo"}
    cells |= {"age": "45.0", "sex": "male", "site": "back"} | changes
    return ",".join(cells.values())


def lay(root: Path, rows: list[str], *, images: int, folder: str = "HAM10000_images_part_1", end: str = "\n") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(images):
        (root / folder / f"ISIC_{number:07d}.jpg").write_bytes(b"pixels are not read here")
    (root / "HAM10000_metadata.csv").write_text(end.join([HEADER, *rows, ""]), encoding="utf-8", newline="")
    return root


def read(root: Path, **params: object) -> list[api.Example]:
    return list(HAM10000(HAM10000Config(root=api.Folder(root), **params)).examples())  # type: ignore[arg-type]


def problems(root: Path, **params: object) -> tuple[str, ...]:
    with pytest.raises(api.DataError) as caught:
        read(root, **params)
    assert not isinstance(caught.value, api.DataMissing)
    return caught.value.names


def official(root: Path, rows: list[str], images: list[str]) -> api.Folder:
    folder = root / "ISIC2018_Task3_Test_Input"
    folder.mkdir(parents=True)
    for name in images:
        (folder / f"{name}.jpg").write_bytes(b"x")
    (folder / "ATTRIBUTION.txt").write_text("not an image")
    header = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"
    (root / "ISIC2018_Task3_Test_GroundTruth.csv").write_text("\n".join([header, *rows, ""]))
    return api.Folder(root)


TEN = [row(i, CLASSES[(i // 2) % 7]) for i in range(40)]


def test_the_name_the_tasks_and_the_home() -> None:
    assert dermae_datasets() == {"ham10000": HAM10000}
    diagnosis, malignancy = HAM10000.tasks(HAM10000Config(root=api.Folder("nowhere")))
    assert diagnosis.classes == CLASSES
    assert [malignancy.mapping[name] for name in ("mel", "bcc", "akiec", "nv")] == ["malignant"] * 3 + ["benign"]
    assert "10.7910/DVN/DBW86T" in HAM10000.home
    assert "CC BY-NC 4.0" in HAM10000.home


def test_examples_carry_lesion_label_file_and_facts(tmp_path: Path) -> None:
    rows = [row(1, "mel", age="", sex="unknown", site="unknown"), row(0, "mel")]
    first, second = read(lay(tmp_path, rows, images=2))
    assert (first.id, first.group, first.label) == ("ISIC_0000000", "HAM_0000000", "mel")
    assert first.source == tmp_path / "HAM10000_images_part_1" / "ISIC_0000000.jpg"
    assert first.attributes == {"age": 45.0, "sex": "male", "localization": "back", "dx_type": "histo"}
    assert second.attributes == {"age": None, "sex": None, "localization": None, "dx_type": "histo"}
    assert first.split == second.split == api.lesion_grouped("HAM_0000000")


@pytest.mark.parametrize("folder", ["HAM10000_images_part_2", "HAM10000_images", "images", "."])
def test_other_places_of_the_images(tmp_path: Path, folder: str) -> None:
    assert len(read(lay(tmp_path, TEN, images=40, folder=folder))) == 40


def test_both_part_folders_together_and_files_that_do_not_belong(tmp_path: Path) -> None:
    lay(tmp_path, TEN, images=20)
    (tmp_path / "HAM10000_images_part_2").mkdir()
    for number in range(20, 40):
        (tmp_path / "HAM10000_images_part_2" / f"ISIC_{number:07d}.JPG").write_bytes(b"x")
    for name in ("sources.csv", "SHA256SUMS", "HAM10000_images_part_1/._ISIC_0000001.jpg"):
        (tmp_path / name).write_text("ignored")
    assert len(read(tmp_path)) == 40


def test_bom_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    lay(tmp_path, TEN, images=40, end="\r\n")
    table = tmp_path / "HAM10000_metadata.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(read(tmp_path)) == 40


def test_the_order_does_not_depend_on_the_rows(tmp_path: Path) -> None:
    assert read(lay(tmp_path, TEN, images=40)) == read(lay(tmp_path, TEN[::-1], images=40))


def test_missing_data_say_in_one_line_where_to_get_them(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(api.DataMissing) as caught:
            read(root)
        assert "\n" not in str(caught.value)
        assert "10.7910/DVN/DBW86T" in str(caught.value)
    with pytest.raises(api.DataMissing, match="no images"):
        read(lay(tmp_path / "empty", TEN, images=0))


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    rows = [
        *TEN[:6],
        "HAM_1,ISIC_x,nv",
        row(6, "naevus"),
        TEN[0],
        row(2, "vasc"),
        row(8, lesion=""),
        row(9, image="../../etc/passwd"),
        row(10, age="old"),
        row(11, "mel", lesion="HAM_0000005"),
        row(77),
    ]
    found = "\n".join(problems(lay(tmp_path, rows, images=14)))
    for words in (
        "line 8: 3 cells instead of 7",
        "line 9: unknown dx 'naevus'",
        "line 10: 'ISIC_0000000' stands on line 2 already, with the same content",
        "line 11: 'ISIC_0000002' stands on line 4 already, and contradicts it in dx",
        "line 12: empty lesion_id",
        "line 13: image_id '../../etc/passwd' is no name",
        "line 14: age 'old' is no number",
        "lesion HAM_0000005 is 'mel' here and 'nv' on line 14",
        "ISIC_0000077 is in HAM10000_metadata.csv but has no image file",
        "ISIC_0000013.jpg has no row",
    ):
        assert words in found


def test_two_files_of_one_image_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, TEN, images=40)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "ISIC_0000003.png").write_bytes(b"x")
    assert problems(tmp_path) == (
        "ISIC_0000003 has 2 image files: HAM10000_images_part_1/ISIC_0000003.jpg, images/ISIC_0000003.png",
    )


def test_missing_images_up_to_the_stated_skip_are_left_to_the_decoder(tmp_path: Path) -> None:
    lay(tmp_path, TEN, images=38)
    assert len(problems(tmp_path, skip=1)) == 2
    examples = read(tmp_path, skip=2)
    assert len(examples) == 40
    assert sum(not example.source.is_file() for example in examples if example.source) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"lesion_id;image_id;dx\n", "separate columns by commas"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (HEADER.encode() + b"\na\0b\n", "NUL"),
        (HEADER.encode() + b",dx\n", "stands 2 times"),
        (HEADER.encode() + b'\n"unclosed\n', "unexpected end of data"),
        (HEADER.encode() + b"\n", "no rows below the header"),
    ],
)
def test_unusable_tables(tmp_path: Path, content: bytes, words: str) -> None:
    lay(tmp_path, TEN, images=1)
    (tmp_path / "HAM10000_metadata.csv").write_bytes(content)
    with pytest.raises(api.DataError) as caught:
        read(tmp_path)
    assert words in str(caught.value)


def test_with_the_official_test_set_val_stays_and_the_old_test_lesions_train(tmp_path: Path) -> None:
    rows = [row(i) for i in range(200)]
    root = lay(tmp_path / "ham", rows, images=200)
    alone = {e.id: e.split for e in read(root)}
    assert set(alone.values()) == {"train", "val", "test"}
    test_root = official(
        tmp_path / "isic", ["ISIC_9,1.0,0.0,0.0,0.0,0.0,0.0,0.0", "ISIC_8,0,0,0,0,0,0,1"], ["ISIC_8", "ISIC_9"]
    )
    dataset = HAM10000(HAM10000Config(root=api.Folder(root), test_root=test_root))
    examples = dataset.examples()
    assert [(e.id, e.label, e.group) for e in examples if e.split == "test"] == [
        ("ISIC_8", "vasc", "ISIC_8"),
        ("ISIC_9", "mel", "ISIC_9"),
    ]
    assert {e.id for e in examples if e.split == "val"} == {name for name, split in alone.items() if split == "val"}
    assert len({tuple(e.attributes) for e in examples}) == 1
    assert dataset.split_rule != HAM10000(HAM10000Config(root=api.Folder(root))).split_rule


def test_problems_of_the_official_test_set(tmp_path: Path) -> None:
    root = lay(tmp_path / "ham", TEN, images=40)
    rows = [
        "A,1,0,0,0,0,0,1",
        "B,0,0,0,0,0,0,0",
        "C,2,0,0,0,0,0,0",
        "D,0.5,1,0,0,0,0,0",
        "ISIC_0000003,1,0,0,0,0,0,0",
        "E,1,0",
    ]
    test_root = official(tmp_path / "isic", rows, ["A", "B", "C", "D", "X", "ISIC_0000003"])
    found = problems(root, test_root=test_root)
    assert sum("not exactly one 1" in one for one in found) == 4
    text = "\n".join(found)
    assert "ISIC_0000003 is in the test set and in HAM10000_metadata.csv" in text
    assert "X.jpg has no row in ISIC2018_Task3_Test_GroundTruth.csv" in text
    assert "line 7: 3 cells instead of 8" in text


def test_a_missing_official_test_set(tmp_path: Path) -> None:
    root = lay(tmp_path, TEN, images=40)
    with pytest.raises(api.DataMissing, match="no ISIC2018_Task3_Test_GroundTruth"):
        read(root, test_root=api.Folder(tmp_path / "nowhere"))
