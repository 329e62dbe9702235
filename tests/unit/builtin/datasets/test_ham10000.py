"""The official layout is read as it lies; everything wrong with it is named at once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.ham10000 import CLASSES, HAM10000, HAM10000Config, dermae_datasets
from dermae_bench.plugin.splits import divided_groups, summarise

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
        (b"\xff\xfe\x00", "it is UTF-16"),
        (b"caf\xe9", "csv:1:4: byte 0xe9 is not UTF-8"),
        (HEADER.encode() + b"\na\0b\n", "NUL"),
        (HEADER.encode() + b",dx\n", "stands 2 times"),
        (HEADER.encode() + b'\n"unclosed\n', "csv:2: a quote is opened and never closed"),
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
    dataset = HAM10000(HAM10000Config(root=api.Folder(root), test_root=test_root, split="official-test"))
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
    found = problems(root, test_root=test_root, split="official-test")
    assert sum("not exactly one 1" in one for one in found) == 4
    text = "\n".join(found)
    assert "ISIC_0000003 is in the test set and in HAM10000_metadata.csv" in text
    assert "X.jpg has no row in ISIC2018_Task3_Test_GroundTruth.csv" in text
    assert "line 7: 3 cells instead of 8" in text


def test_a_missing_official_test_set(tmp_path: Path) -> None:
    root = lay(tmp_path, TEN, images=40)
    with pytest.raises(api.DataMissing, match="no ISIC2018_Task3_Test_GroundTruth"):
        read(root, test_root=api.Folder(tmp_path / "nowhere"), split="official-test")


# -- splits ------------------------------------------------------------------------------------------------------


def dataset(root: Path, **params: Any) -> HAM10000:
    return HAM10000(HAM10000Config(root=api.Folder(root), **params))


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, api.Folder]:
    """200 images of 100 lesions, and an official test set of three."""
    root = lay(tmp_path_factory.mktemp("ham"), [row(i) for i in range(200)], images=200)
    rows = [f"ISIC_9{i},1,0,0,0,0,0,0" for i in range(3)]
    return root, official(tmp_path_factory.mktemp("isic"), rows, [f"ISIC_9{i}" for i in range(3)])


def test_the_papers_split_is_by_image_and_says_that_it_leaks(two_hundred: tuple[Path, api.Folder]) -> None:
    root, test_root = two_hundred
    alone, beside = (dataset(root, split="paper-random-80-20", test_root=given) for given in (None, test_root))
    assert Counter(e.split for e in alone.examples()) == {"train": 144, "val": 16, "test": 40}
    assert Counter(e.split for e in beside.examples()) == {"train": 160, "val": 40, "test": 3}
    for one in (alone, beside):
        assert divided_groups(one.examples())
        assert one.leaky is not None and "photographs of one lesion fall on both sides" in one.leaky
    assert alone.split_rule != beside.split_rule
    assert dataset(root).leaky is dataset(root, split="official-test", test_root=test_root).leaky is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"split": "official-test"}, "`split: official-test` needs `test_root`"),
        ({"test_root": "isic"}, "`split: lesion-grouped` does not use `test_root`"),
        ({"split": "csv"}, "`split: csv` needs `split_csv`"),
        ({"split_csv": "mine.csv"}, "`split_csv` is used by `split: csv` alone"),
        ({"leaky": "why"}, "`split: lesion-grouped` reads none"),
        ({"split": "paper-random-80-20", "leaky": "why"}, "`split: paper-random-80-20` reads none"),
        ({"split": "csv", "split_csv": "mine.csv", "leaky": " "}, "`leaky` states no reason"),
    ],
)
def test_params_that_do_not_fit_together(tmp_path: Path, params: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dataset(tmp_path, **params)
    with pytest.raises(ValueError, match=r"needs `split_csv`.*; .*states no reason"):
        dataset(tmp_path, split="csv", leaky="")


def own(tmp_path: Path, lines: list[str]) -> api.File:
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(lines) + "\n")
    return api.File(table)


def test_a_csv_of_your_own_places_every_image_and_may_join_lesions(
    two_hundred: tuple[Path, api.Folder], tmp_path: Path
) -> None:
    root, test_root = two_hundred
    words = ["train"] * 100 + ["val"] * 40 + ["test"] * 60
    lines = ["id,split", *(f"ISIC_{i:07d},{split}" for i, split in enumerate(words))]
    given = dataset(root, split="csv", split_csv=own(tmp_path, lines))
    assert [e.split for e in given.examples()] == words
    assert (given.split_rule, given.leaky) == ("as given in the CSV", None)
    # with the official test set, its images are named too
    with pytest.raises(api.DataError) as caught:
        dataset(root, split="csv", test_root=test_root, split_csv=own(tmp_path, lines)).examples()
    assert caught.value.names == tuple(f"mine.csv: ISIC_9{i} is not in it" for i in range(3))
    # lesions 0 and 1 are of one patient
    grouped = ["id,split,group", *(f"{line},{'P1' if i < 4 else ''}" for i, line in enumerate(lines[1:]))]
    examples = dataset(root, split="csv", split_csv=own(tmp_path, grouped)).examples()
    assert [e.group for e in examples[:6]] == ["P1"] * 4 + ["HAM_0000002"] * 2


def test_all_problems_of_a_csv_of_splits_at_once(two_hundred: tuple[Path, api.Folder], tmp_path: Path) -> None:
    root, _ = two_hundred
    lines = [
        "id,split,fold",
        "ISIC_0000000,train,1",
        "ISIC_0000001,test,1",
        "ISIC_0000002,training,1",
        "ISIC_0000002,train,1",
        "ISIC_0000003.jpg,train,1",
        "ISIC_99,train,1",
        ",train,1",
        *(f"ISIC_{i:07d},train,1" for i in range(4, 199)),
    ]
    found = problems(root, split="csv", split_csv=own(tmp_path, lines))
    assert found == (
        "mine.csv: unknown column 'fold', not one of id split group",
        "mine.csv, line 4: unknown split 'training', not one of train val test",
        "mine.csv, line 8: empty id",
        "mine.csv, line 5: 'ISIC_0000002' stands on line 4 already, and contradicts it in split",
        "mine.csv, line 6: the dataset has no image 'ISIC_0000003.jpg'; write 'ISIC_0000003', without a suffix",
        "mine.csv, line 7: the dataset has no image 'ISIC_99'",
        "mine.csv: ISIC_0000003 is not in it",
        "mine.csv: ISIC_0000199 is not in it",
        "mine.csv: no image is in val",
        "mine.csv: group 'HAM_0000000' lies in test and train (state why in `leaky`, if it must)",
    )
    with pytest.raises(api.DataMissing, match="`split_csv` names the table"):
        read(root, split="csv", split_csv=api.File(tmp_path / "nowhere.csv"))


def test_a_csv_may_divide_lesions_only_for_a_reason_and_cannot_rename_them_away(
    two_hundred: tuple[Path, api.Folder], tmp_path: Path
) -> None:
    root, _ = two_hundred
    words = ["train", "test", "val"] + ["train"] * 197
    renamed = ["id,split,group", *(f"ISIC_{i:07d},{split},image-{i}" for i, split in enumerate(words))]
    (first, second) = problems(root, split="csv", split_csv=own(tmp_path, renamed))
    assert first == "mine.csv: 'HAM_0000000', a group of the dataset, lies in test and train (state why in `leaky`)"
    assert "HAM_0000001" in second
    stated = dataset(root, split="csv", split_csv=own(tmp_path, renamed), leaky="the published folds")
    assert len(stated.examples()) == 200
    assert stated.leaky == "the published folds"


FULL = os.environ.get("DERMAE_BENCH_HAM10000", "")


@pytest.mark.weights
@pytest.mark.skipif(not FULL, reason="DERMAE_BENCH_HAM10000 names no folder with the metadata of all 10,015 images")
def test_the_digests_of_all_rules_on_the_whole_of_ham10000_are_those_of_the_document(tmp_path: Path) -> None:
    names = ("HAM10000_metadata.csv", "HAM10000_metadata_full.csv")
    tables = [Path(FULL, name).read_text() for name in names if Path(FULL, name).is_file()]
    (table,) = [text for text in tables if len(text.splitlines()) == 10_016][:1]
    (tmp_path / names[0]).write_text(table)
    for line in table.splitlines()[1:]:
        (tmp_path / f"{line.split(',')[1]}.jpg").touch()
    test_root = official(tmp_path / "isic", ["ISIC_9,1,0,0,0,0,0,0"], ["ISIC_9"])
    lines = []
    for split, given in (
        ("lesion-grouped", None),
        ("official-test", test_root),
        ("paper-random-80-20", None),
        ("paper-random-80-20", test_root),
    ):
        one = dataset(tmp_path, split=split, test_root=given)
        # the official images are not part of the metadata, and so of no pin
        found = summarise([e for e in one.examples() if e.id != "ISIC_9"], one.split_rule, one.leaky, CLASSES)
        cells = [split, "yes" if given else "no", *(" / ".join(f"{n:,}" for n in counts.values())
                 for counts in (found.images, found.groups)), f"{found.divided:,}", f"`{found.digest}`"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    document = Path(__file__).parents[4] / "docs" / "splits.md"
    assert [line for line in document.read_text().splitlines() if line.count("|") == 7][2:] == lines
