"""Tables of strangers: metadata, label files, splits, published numbers. Each is read or refused in one line."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import hostile
import pytest

from dermae_bench.builtin.datasets.ham10000 import HAM10000, HAM10000Config
from dermae_bench.builtin.datasets.image_folder import ImageFolder, ImageFolderConfig
from dermae_bench.errors import DataError
from dermae_bench.plugin.params import Folder
from dermae_bench.report.audit.audit import audit
from dermae_bench.report.audit.table import read_paper_table
from dermae_bench.report.reference import reference_rows
from tests.counting import record_count

HAM_HEAD = "lesion_id,image_id,dx,dx_type,age,sex,localization"
HAM = "\n".join([HAM_HEAD, *(f"HAM_{i // 2},ISIC_{i},{('nv', 'mel')[i // 2 % 2]},histo,{40 + i},male,back"
                             for i in range(12)), ""])  # fmt: skip
OWN_HEAD = "path,label,group,split"
OWN = "\n".join([OWN_HEAD, *(f"i/{i}.png,{('nv', 'mel')[i % 2]},g{i},{('train', 'val', 'test')[i // 4]}"
                             for i in range(12)), ""])  # fmt: skip
SPLIT_HEAD = "id,split"
SPLIT = "\n".join([SPLIT_HEAD, *(f"i/{i}.png,{('train', 'val', 'test')[i // 4]}" for i in range(12)), ""])
REFERENCE_HEAD = "board,name,detail,task,metric,value,n,source"
REFERENCE = f"{REFERENCE_HEAD}\nclassifiers,vit,train,diagnosis,accuracy,0.75,100,a table\n"
PAPER_HEAD = "system,n,accuracy,f1"
PAPER = f"{PAPER_HEAD}\nvit,100,0.75,0.7\ncnn,100,0.71,0.66\n"


def read_ham(folder: Path, data: bytes) -> object:
    (folder / "HAM10000_metadata.csv").write_bytes(data)
    return HAM10000(HAM10000Config(root=Folder(folder))).examples()


def read_own(folder: Path, data: bytes) -> object:
    (folder / "own.csv").write_bytes(data)
    config = ImageFolderConfig(root=folder, csv=folder / "own.csv")  # type: ignore[arg-type]
    return ImageFolder.tasks(config), ImageFolder(config).examples()


def read_split(folder: Path, data: bytes) -> object:
    (folder / "own.csv").write_text(OWN)
    (folder / "split.csv").write_bytes(data)
    config = ImageFolderConfig(root=folder, csv=folder / "own.csv", split="csv", split_csv=folder / "split.csv")  # type: ignore[arg-type]
    return ImageFolder(config).examples()


def read_reference(folder: Path, data: bytes) -> object:
    (folder / "reference.csv").write_bytes(data)
    return reference_rows(folder / "reference.csv")


def read_paper(folder: Path, data: bytes) -> object:
    (folder / "paper.csv").write_bytes(data)
    return audit(read_paper_table(folder / "paper.csv"))


READERS: dict[str, tuple[Callable[[Path, bytes], object], str, str]] = {
    "ham10000": (read_ham, HAM, HAM_HEAD),
    "image-folder": (read_own, OWN, OWN_HEAD),
    "split": (read_split, SPLIT, SPLIT_HEAD),
    "reference": (read_reference, REFERENCE, REFERENCE_HEAD),
    "audit": (read_paper, PAPER, PAPER_HEAD),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that the good tables name; only their names are looked at here."""
    place = tmp_path_factory.mktemp("tables")
    for inner in ("images", "i"):
        (place / inner).mkdir()
    for number in range(12):
        (place / "images" / f"ISIC_{number}.jpg").write_bytes(b"")
        (place / "i" / f"{number}.png").write_bytes(b"")
    return place


def wide(text: str) -> bytes:
    head, _, rest = text.partition("\n")
    return f"{head}{',x' * 3000}\n{rest}".encode()


EVERYWHERE: dict[str, tuple[Callable[[str], bytes], str]] = {
    "empty": (lambda text: b"", "it is empty"),
    "blank lines": (lambda text: b"\n\r\n\n", "it is empty"),
    "mark alone": (lambda text: b"\xef\xbb\xbf", "it is empty"),
    "utf-16": (lambda text: text.encode("utf-16"), "it is UTF-16"),
    "utf-16 unmarked": (lambda text: text.encode("utf-16-le"), ":1:2: a NUL byte"),
    "latin-1": (lambda text: text.encode() + b"caf\xe9", "byte 0xe9 is not UTF-8"),
    "nul": (lambda text: text.encode() + b"a\0b\n", "a NUL byte"),
    "open quote": (lambda text: text.encode() + b'"never closed\n', "a quote is opened and never closed"),
    "broken quote": (lambda text: text.encode() + b'"a"b,c\n', "a quote is closed in the middle of a cell"),
    "long line": (lambda text: text.encode() + b"x" * (1 << 21), "a line of more than 1,048,576 bytes"),
    "long cell": (lambda text: text.encode() + b'"' + b"x" * 140_000 + b'"', "a cell is longer than 131,072"),
    "semicolons": (lambda text: text.replace(",", ";").encode(), "';'"),
    "tabs": (lambda text: text.replace(",", "\t").encode(), "'\\t'"),
    "bars": (lambda text: text.replace(",", "|").encode(), "'|'"),
    "header alone": (lambda text: text.partition("\n")[0].encode(), ""),
    "too many columns": (wide, "3,0"),
    "an image": (lambda text: b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "is not UTF-8"),
}
"""What is wrong with any table, and the words of the refusal; some fit only those tables that have such a cell."""
HERE: list[tuple[str, str, str]] = [
    ("ham10000", HAM.replace("ISIC_3", "ISIC_2"), "line 5: 'ISIC_2' stands on line 4 already"),
    ("ham10000", HAM.replace("HAM_0,ISIC_1,nv", "HAM_0,ISIC_1,mel"), "line 3: lesion HAM_0 is 'mel' here and 'nv' on"),
    ("ham10000", HAM.replace(",nv,", ",naevus,", 1), "line 2: unknown dx 'naevus'"),
    ("ham10000", HAM.replace(",nv,", ",nan,", 1), "line 2: dx is 'nan', which says that there is none"),
    ("ham10000", HAM.replace(",nv,", ",,", 1), "line 2: unknown dx ''"),
    ("ham10000", HAM.replace(",male,back", "", 1), "line 2: 5 cells instead of 7"),
    ("ham10000", HAM.replace(",40,", ",1e400,"), "line 2: age '1e400' is no number"),
    ("ham10000", HAM.replace(",40,", ",NaN,"), "line 2: age is 'NaN', which says that there is none"),
    ("ham10000", HAM.replace("ISIC_0,", "../ISIC_0,"), "line 2: image_id '../ISIC_0' is no name"),
    ("ham10000", HAM.replace("ISIC_0,", "ISIC_99,"), "ISIC_99 is in HAM10000_metadata.csv but has no image file"),
    ("image-folder", OWN.replace("i/1.png", "i/0.png"), "line 3: 'i/0.png' stands on line 2 already"),
    ("image-folder", OWN.replace(",g11,", ",g0,"), "group 'g0' lies in"),
    ("image-folder", OWN.replace("i/9.png", "i/0.png"), "contradicts it in label, group, split"),
    ("image-folder", OWN.replace(",nv,", ",NaN,", 1), "line 2: label is 'NaN', which says that there is none"),
    ("image-folder", OWN.replace(",nv,", ",,", 1), "line 2: empty label"),
    ("image-folder", OWN.replace(",train\n", ",training\n", 1), "line 2: unknown split 'training'"),
    ("image-folder", OWN.replace("i/0.png", "/etc/passwd"), "line 2: path '/etc/passwd' leads out of the folder"),
    ("image-folder", OWN.replace("i/0.png", "i/0.png\u202e"), "is no relative path"),
    ("image-folder", OWN.replace("i/0.png", f"i/{'0' * 300}.png"), "000.png: no such file"),
    ("image-folder", OWN.replace(",train\n", ",train,\n", 1), "line 2: 5 cells instead of 4"),
    ("split", SPLIT.replace("i/1.png", "i/0.png"), "line 3: 'i/0.png' stands on line 2 already"),
    ("split", SPLIT.replace("i/1.png", "i/77.png"), "line 3: the dataset has no image 'i/77.png'"),
    ("split", SPLIT.replace("i/1.png,train\n", ""), "split.csv: i/1.png is not in it"),
    ("split", SPLIT.replace(",test", ",train"), "no image is in test"),
    ("split", SPLIT.replace(",val", ",nan", 1), "split is 'nan', which says that there is none"),
    ("reference", REFERENCE.replace("0.75", "1e999"), "line 2: value '1e999' is not a finite number"),
    ("reference", REFERENCE.replace("0.75", "nan"), "line 2: value 'nan' is not a finite number"),
    ("reference", REFERENCE.replace("0.75", ""), "line 2: value '' is not a finite number"),
    ("reference", REFERENCE.replace(",100,", f",{'9' * 100_000},"), "line 2: n must be a number of images"),
    ("reference", REFERENCE.replace("classifiers,", "others,"), "line 2: board must be one of"),
    ("reference", REFERENCE + REFERENCE.partition("\n")[2], "line 3: accuracy of"),
    ("reference", REFERENCE + "\n\nclassifiers,b\n", "line 5: 2 cells instead of 8"),
    ("audit", PAPER.replace("0.75", "75"), "line 2: accuracy"),
    ("audit", PAPER.replace("0.75", "1e999"), "line 2: accuracy"),
    ("audit", PAPER.replace("cnn", "vit"), "line 3: 'vit' stands on line 2 already"),
    ("audit", PAPER.replace(",100,", f",{'9' * 5000},", 1), "line 2: n must be a number of images"),
    ("audit", PAPER.replace("accuracy", "acuracy"), "line 1: unknown metric 'acuracy'"),
]  # fmt: skip


def refused(name: str, folder: Path, data: bytes) -> str:
    with hostile.bounded(), pytest.raises(DataError) as caught:
        READERS[name][0](folder, data)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", READERS)
def test_a_good_table_is_read(name: str, folder: Path) -> None:
    read, text, _ = READERS[name]
    assert read(folder, text.encode())
    marked = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    assert read(folder, marked) == read(folder, text.encode()) == read(folder, text.replace("\n", "\r").encode())


@pytest.mark.parametrize("harm", EVERYWHERE)
def test_what_is_wrong_with_any_table(harm: str, folder: Path) -> None:
    make, words = EVERYWHERE[harm]
    for name, (_, text, _) in READERS.items():
        assert words in refused(name, folder, make(text))
    record_count("inputs fuzzed: tables", len(READERS))


@pytest.mark.parametrize(("name", "text", "words"), HERE)
def test_what_is_wrong_with_this_table(name: str, text: str, words: str, folder: Path) -> None:
    assert words in refused(name, folder, text.encode())
    record_count("inputs fuzzed: tables", 1)


def _changed(folder: Path, count: int, seed: int) -> int:
    chance, wrong = random.Random(seed), 0
    for number in range(count):
        read, text, _ = list(READERS.values())[number % len(READERS)]
        with hostile.bounded():
            try:
                read(folder, hostile.mutated(text.encode(), chance))
            except DataError as error:
                wrong += 1
                assert error.message
    return wrong


def test_some_changed_tables_are_read_or_refused(folder: Path) -> None:
    assert _changed(folder, 40, 0) > 10


@pytest.mark.slow
def test_many_changed_tables_are_read_or_refused(folder: Path) -> None:
    assert _changed(folder, 2_000, 1) > 500
    record_count("inputs fuzzed: tables", 2_000)
