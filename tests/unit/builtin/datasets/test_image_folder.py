"""Anybody's images: sub-folders or a CSV, nothing outside the folder, nothing guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.image_folder import ImageFolder, ImageFolderConfig, dermae_datasets


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"pixels are not read here")
    return root


def dataset(root: Path, **params: object) -> ImageFolder:
    return ImageFolder(ImageFolderConfig(root=api.Folder(root), **params))  # type: ignore[arg-type]


def with_csv(root: Path, text: str, **params: object) -> ImageFolder:
    table = root.parent / f"{root.name}.csv"
    table.write_text(text, encoding="utf-8")
    return dataset(root, csv=api.File(table), **params)


def problems(wrong: ImageFolder) -> str:
    with pytest.raises(api.DataError) as caught:
        wrong.examples()
    return "\n".join(caught.value.names) or str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put(tmp_path / "images", "a/1.jpg", "a/deep/2.PNG", "b/3.jpg", "b/notes.txt", ".hidden/4.jpg", "a/.5.jpg")


def test_sub_folders_are_classes(root: Path) -> None:
    assert dermae_datasets() == {"image-folder": ImageFolder}
    found = dataset(root).examples()
    assert [(e.id, e.label, e.group) for e in found] == [
        ("a/1.jpg", "a", "a/1.jpg"),
        ("a/deep/2.PNG", "a", "a/deep/2.PNG"),
        ("b/3.jpg", "b", "b/3.jpg"),
    ]
    assert all(e.split == api.lesion_grouped(e.group) and e.source == root / e.id for e in found)
    (task,) = ImageFolder.tasks(ImageFolderConfig(root=api.Folder(root)))
    assert (task.name, task.classes, task.positive) == ("diagnosis", ("a", "b"), None)


def test_problems_of_sub_folders(root: Path) -> None:
    put(root, "stray.png")
    (root / "empty").mkdir()
    (root / "b" / "linked").symlink_to(root / "a")
    (root / "b" / "out.jpg").symlink_to(put(root.parent, "secret.jpg") / "secret.jpg")
    found = problems(dataset(root, classes=("b", "c")))
    for words in (
        "stray.png: lies in no class folder",
        "empty: a class folder without images",
        "b/linked: a link to a folder is not followed",
        "b/out.jpg: is a link that leads to",
        "a/1.jpg: unknown label 'a'",
    ):
        assert words in found


def test_formats_that_cannot_be_read_are_listed_and_not_dropped(root: Path) -> None:
    put(root, "a/scan.tif", "a/animation.gif")
    assert {"a/scan.tif", "a/animation.gif"} <= {e.id for e in dataset(root).examples()}


def test_csv_with_all_columns(root: Path) -> None:
    text = (
        "path,label,group,split,caption,age,site\n"
        "./a/1.jpg,x,L1,train,a lesion,40,back\n"
        'a/deep/2.PNG,y,L2,val,"one, two",,\n'
        "b/3.jpg,x,L3,test,,61.5,arm\n"
    )
    given = with_csv(root, text)
    one, two, three = given.examples()
    assert [e.split for e in (one, two, three)] == ["train", "val", "test"]
    assert (one.id, one.group, one.label, one.caption) == ("a/1.jpg", "L1", "x", "a lesion")
    assert two.caption == "one, two"
    assert three.caption is None
    assert one.attributes == {"age": 40.0, "site": "back"}
    assert two.attributes == {"age": None, "site": None}
    assert given.split_rule == "as given in the CSV"


def test_csv_without_split_is_split_by_group(root: Path) -> None:
    given = with_csv(root, "path,label,group\na/1.jpg,x,L1\na/deep/2.PNG,y,L1\nb/3.jpg,x,L2\n")
    assert [e.split for e in given.examples()] == [api.lesion_grouped(g) for g in ("L1", "L1", "L2")]
    assert "70/10/20" in given.split_rule
    assert "70/10/20" in dataset(root).split_rule


def test_all_problems_of_a_csv_at_once(root: Path) -> None:
    put(root.parent, "secret.jpg")
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")
    text = (
        "path,label,group,split\n"
        "a/1.jpg,x,L1,train\n"
        "../secret.jpg,x,L2,train\n"
        "/etc/passwd,x,L3,train\n"
        "a\\1.jpg,x,L4,train\n"
        "a/./1.jpg,y,L1,train\n"
        "b/3.jpg,,L5,test\n"
        "b/3.jpg,x,,test\n"
        "gone.jpg,x,L6,testing\n"
        "lost.jpg,x,L7,test\n"
        "link.jpg,x,L7,train\n"
        "b/3.jpg,x\n"
        "a/deep/2.PNG,y,L8,\n"
        ",,,\n"
    )
    found = problems(with_csv(root, text, classes=("x", "y")))
    for words in (
        "line 3: path '../secret.jpg' leads out of the folder",
        "line 4: path '/etc/passwd' leads out of the folder",
        "line 5: path 'a\\\\1.jpg' is no relative path",
        "line 6: 'a/1.jpg' stands on line 2 already, and contradicts it in label",
        "line 7: empty label",
        "line 8: empty group",
        "line 9: unknown split 'testing'",
        "images.csv, line 10: lost.jpg: no such file",
        "images.csv, line 11: link.jpg: is a link that leads to",
        "line 12: 2 cells instead of 4",
        "line 13: no split, though other rows have one",
        "line 14: empty path",
        "no image is in val",
        "group 'L7' lies in test and train",
    ):
        assert words in found


def test_a_group_may_lie_in_two_splits_only_for_a_stated_reason(root: Path) -> None:
    text = "path,label,group,split\na/1.jpg,x,L1,train\na/deep/2.PNG,y,L1,test\nb/3.jpg,x,L2,val\n"
    assert "state why in `leaky`" in problems(with_csv(root, text))
    stated = with_csv(root, text, leaky="published split by image")
    assert len(stated.examples()) == 3
    assert stated.leaky == "published split by image"
    assert dataset(root).leaky is None


def test_missing_images_up_to_the_stated_skip_are_left_to_the_decoder(root: Path) -> None:
    text = "path,label\na/1.jpg,x\nb/3.jpg,y\nlost.jpg,x\n"
    assert "lost.jpg: no such file" in problems(with_csv(root, text))
    assert len(with_csv(root, text, skip=1).examples()) == 3


def test_a_wrong_root_is_told_once(root: Path) -> None:
    text = "path,label\n" + "".join(f"images/{n}.jpg,x\n" for n in range(30))
    told = problems(with_csv(root, text)).splitlines()
    assert told == [
        "none of the 30 images is there: is `root` right? The first one: images.csv, line 2: images/0.jpg: no such file"
    ]
    # one that is there shows that the folder is the right one
    some = problems(with_csv(root, text + "a/1.jpg,x\n")).splitlines()
    assert len(some) == 30 and some[-1] == "images.csv, line 31: images/29.jpg: no such file"
    assert problems(with_csv(root, "path,label\nlost.jpg,x\n")) == "images.csv, line 2: lost.jpg: no such file"


def test_an_unknown_label_has_its_line(root: Path) -> None:
    text = "path,label\na/1.jpg,x\nb/3.jpg,y\na/deep/2.PNG,y\n"
    assert problems(with_csv(root, text, classes=("x", "z"))).splitlines() == [
        "images.csv, line 3: b/3.jpg: unknown label 'y'",
        "images.csv, line 4: a/deep/2.PNG: unknown label 'y'",
    ]


def test_a_label_without_answer_is_told_with_its_first_line(root: Path) -> None:
    text = "path,label\na/1.jpg,x\nb/3.jpg,z\na/deep/2.PNG,z\n"
    with pytest.raises(api.DataError) as caught:
        ImageFolder.tasks(with_csv(root, text, maps={"m": {"x": "1", "y": "2"}}).config)
    assert "maps.m: label 'z' has no answer (it stands first in images.csv, line 3)" in caught.value.names


def test_nan_is_a_word_not_a_number(root: Path) -> None:
    first, second = with_csv(root, "path,label,age\na/1.jpg,x,nan\nb/3.jpg,y,4\n").examples()
    assert (first.attributes["age"], second.attributes["age"]) == ("nan", "4")


def test_further_tasks_from_maps(root: Path) -> None:
    config = ImageFolderConfig(
        root=api.Folder(root),
        classes=("mel", "nv", "df"),
        task="kind",
        maps={"malignancy": {"mel": "malignant", "nv": "benign", "df": "benign"}},
        positive="malignant",
    )
    kind, malignancy = ImageFolder.tasks(config)
    assert (kind.name, kind.classes, kind.positive) == ("kind", ("mel", "nv", "df"), None)
    assert (malignancy.classes, malignancy.positive, malignancy.parent) == (
        ("benign", "malignant"),
        "malignant",
        "kind",
    )


def test_wrong_tasks_are_named_at_once(root: Path) -> None:
    config = ImageFolderConfig(
        root=api.Folder(root),
        classes=("mel", "nv", "nv"),
        maps={"m": {"mel": "yes", "df": "yes"}, "diagnosis": {"mel": "a", "nv": "b"}},
        positive="no",
    )
    with pytest.raises(api.DataError) as caught:
        ImageFolder.tasks(config)
    found = "\n".join(caught.value.names)
    for words in (
        "classes: 'nv' stands twice",
        "maps.m: label 'nv' has no answer",
        "maps.m: there is no label 'df'",
        "maps.m: fewer than two answers",
        "maps.diagnosis: this is the name",
        "positive: no task has an answer 'no'",
    ):
        assert words in found


def test_missing_folder_or_table(tmp_path: Path) -> None:
    with pytest.raises(api.DataMissing, match="there is no folder"):
        dataset(tmp_path / "nowhere").examples()
    with pytest.raises(api.DataMissing, match="there is no file"):
        dataset(tmp_path, csv=api.File(tmp_path / "no.csv")).examples()
    with pytest.raises(api.DataMissing, match="there is no folder"):
        ImageFolder.tasks(ImageFolderConfig(root=api.Folder(tmp_path / "nowhere")))


def test_fixed_classes_need_no_data_to_plan(tmp_path: Path) -> None:
    (task,) = ImageFolder.tasks(
        ImageFolderConfig(root=api.Folder(tmp_path / "nowhere"), classes=("a", "b"), positive="b")
    )
    assert task.positive == "b"


def test_rules_that_pass_over_the_column_of_splits(root: Path) -> None:
    text = "path,label,group,split\na/1.jpg,x,L1,train\na/deep/2.PNG,y,L1,test\nb/3.jpg,x,L2,val\n"
    grouped = with_csv(root, text, split="lesion-grouped")
    assert [e.split for e in grouped.examples()] == [api.lesion_grouped(g) for g in ("L1", "L1", "L2")]
    assert grouped.leaky is None
    paper = with_csv(root, text, split="paper-random-80-20")
    assert sorted(e.split for e in paper.examples()) == ["test", "train", "train"]
    assert paper.leaky is not None
    assert paper.split_rule.startswith("paper-random-80-20")


def test_splits_of_a_csv_of_their_own(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "folds.csv"
    table.write_text("id,split\na/1.jpg,train\na/deep/2.PNG,val\nb/3.jpg,test\n")
    given = dataset(root, split="csv", split_csv=api.File(table))
    assert [e.split for e in given.examples()] == ["train", "val", "test"]
    assert given.split_rule == "as given in the CSV"
    table.write_text("id,split\na/1.jpg,train\n")
    assert "folds.csv: b/3.jpg is not in it" in problems(given)


def test_a_reason_to_leak_without_a_table_that_could_is_refused(root: Path) -> None:
    assert "no split is given; remove it" in problems(dataset(root, leaky="because"))
    with pytest.raises(ValueError, match="`split: lesion-grouped` reads none"):
        dataset(root, split="lesion-grouped", leaky="because")


def test_a_set_to_measure_on_is_all_test(root: Path) -> None:
    found = dataset(root, split="all-test")
    assert {e.split for e in found.examples()} == {"test"}
    assert found.split_rule == "all-test, every image is test"
