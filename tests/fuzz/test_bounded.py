"""Files of strangers: pipes, devices and endless files are refused at once; JSON and tables are bounded."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dermae_bench.bounded import tables, texts
from dermae_bench.bounded.files import Unreadable, read_bytes
from dermae_bench.bounded.tables import read_parquet
from dermae_bench.bounded.texts import parse_json, read_csv, read_json, read_json_lines
from dermae_bench.commands.auditing import audit_table
from dermae_bench.errors import BenchError, DataMissing
from dermae_bench.report.compare.policy import load_policy
from dermae_bench.suite.yaml import read_file


def _socket(path: Path) -> None:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.close()


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe"),
    "socket": (_socket, "it cannot be read"),
    "folder": (Path.mkdir, "it is a folder"),
    "zeros": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "terminal": (lambda path: path.symlink_to("/dev/tty"), ""),
    "nothing": (lambda path: path.symlink_to("/dev/null"), "it is a device"),
    "endless": (lambda path: path.symlink_to("/proc/self/pagemap"), ""),
    "says it is empty": (lambda path: path.symlink_to("/proc/self/environ"), "more bytes than it says"),
    "leads nowhere": (lambda path: path.symlink_to("nowhere"), "is not there"),
    "leads to itself": (lambda path: path.symlink_to(path.name), "it cannot be read"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_no_plain_file_is_refused_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a socket's name may not be long
    monkeypatch.chdir(tmp_path)
    make, words = NO_FILES[name]
    path = Path("x.csv")
    make(path)
    readers: list[Callable[[Path], object]] = [
        read_bytes, read_csv, read_json, lambda p: list(read_json_lines(p)), read_parquet, audit_table,
        load_policy, lambda p: _problems(read_file(p)),
    ]  # fmt: skip
    for read in readers:
        with hostile.bounded(), pytest.raises(BenchError) as caught:
            read(path)
        if read is readers[0]:
            assert words in str(caught.value)
        assert "\n" not in caught.value.message
        assert caught.value.exit_code == 2


def _problems(found: tuple[Any, Any]) -> None:
    raise BenchErrorOf(found)


class BenchErrorOf(BenchError):
    """What reading a suite told, as an error."""

    exit_code = 2

    def __init__(self, found: tuple[Any, Any]) -> None:
        assert found[0] is None
        super().__init__(found[1][0].message)


def test_size_is_looked_at_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "sparse.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for read in (read_bytes, read_csv, read_json, read_parquet):
        with hostile.bounded(), pytest.raises(Unreadable, match="1,099,511,627,776 bytes; at most"):
            read(path)  # type: ignore[operator]
    with pytest.raises(DataMissing):
        read_bytes(tmp_path / "none")
    with pytest.raises(Unreadable, match="cannot be read"):
        read_bytes(tmp_path / "a\0b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "NaN is no JSON"),
        ("[Infinity]", "Infinity is no JSON"),
        ("[1e400]", "1e400 is larger than any float"),
        ("[-1e400]", "larger than any float"),
        ("9" * 100_000, "a number of 100000 digits"),
        ("0." + "9" * 100_000, "a number of 100002 digits"),
        ('{"a": 1, "a": 2}', "the name 'a' stands twice"),
        ('{"b": [{"x": 1, "y": {"z": 1, "z": 1}}]}', "the name 'z' stands twice"),
        ("[" * 100_000, "nested deeper than 60 levels"),
        ("[" * 70 + "]" * 70, "nested deeper than 60 levels"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested deeper than 60 levels"),
        ('["\\ud800"]', "half of a character"),
        ("[" + "1," * 4_000_001 + "1]", "values; at most 4,000,000 are read"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("[1] x", "Extra data"),
    ],
)
def test_json_that_is_refused(text: str, words: str) -> None:
    with hostile.bounded(), pytest.raises(ValueError, match=words):
        parse_json(text)


def test_json_that_is_read(tmp_path: Path) -> None:
    text = '{"a": [1, 2.5, -0.0, null, true, "\\ud83e\\udda0"], "b": ' + "[" * 50 + "]" * 50 + "}"
    assert parse_json(text) == json.loads(text)
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_json(tmp_path / "x.json") == json.loads(text)
    (tmp_path / "x.json").write_text('{"a": 1,\n"b" 2}')
    with pytest.raises(Unreadable, match=r"x\.json:2:5: no JSON: Expecting ':'"):
        read_json(tmp_path / "x.json")


def test_json_lines_name_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": NaN}\n')
    lines = read_json_lines(path)
    assert next(lines) == (1, {"a": 1})
    with pytest.raises(Unreadable, match=r"x\.jsonl:2: no JSON: NaN"):
        next(lines)
    monkeypatch.setattr(texts, "LONGEST_RECORD", 5)
    with pytest.raises(Unreadable, match=r"x\.jsonl:1: a line of more than 5 bytes"):
        list(read_json_lines(path))


def table(rows: int = 4) -> pa.Table:
    ids = [f"image-{number}" for number in range(rows)]
    logits = pa.array([[0.5, -1.0]] * rows, pa.list_(pa.float32()))
    return pa.table({"id": ids, "label": pa.array(range(rows), pa.int64()), "logits": logits})


KINDS: Any = {"id": "text", "label": "whole", "logits": "numbers"}


def _write(found: pa.Table) -> Callable[[Path], None]:
    return lambda path: pq.write_table(found, path)


def _encrypted(path: Path) -> None:
    pq.write_table(table(), path)
    data = path.read_bytes()
    path.write_bytes(b"PARE" + data[4:-4] + b"PARE")


def _bomb(path: Path) -> None:
    """Two kilobytes that unpack to gigabytes: one long text, in every row."""
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 70_000, pa.int32()), pa.array(["x" * 100_000]))
    pq.write_table(table(70_000).set_column(0, "id", long), path, compression="zstd")


TABLES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (lambda path: path.write_bytes(b"") and None, "no parquet table"),
    "noise": (lambda path: path.write_bytes(random.Random(0).randbytes(5_000)) and None, "no parquet table"),
    "a zip": (lambda path: path.write_bytes(b"PK\3\4" + b"\0" * 100) and None, "no parquet table"),
    "encrypted": (_encrypted, "no parquet table"),
    "missing column": (_write(table().drop_columns("label")), "it has no column 'label'"),
    "column twice": (_write(pa.table([[1], [2]], names=["id", "id"])), "column 'id' stands 2 times"),
    "wrong type": (_write(table().set_column(1, "label", [["a"] * 4])), "column 'label' holds .*, not whole numbers"),
    "missing value": (_write(table().set_column(1, "label", [[1, None, 2, 3]])), "column 'label' has 1 missing values"),
    "nested": (_write(pa.table({"id": [{"a": {"b": 1}}]})), "column 'id' holds struct"),
    "lists of lists": (_write(pa.table({"logits": [[[1.0]]]})), "column 'logits' holds list"),
    "binary": (_write(pa.table({"id": [b"\xff"]})), "column 'id' holds binary"),
    "bomb of one text": (_bomb, "column 'id' holds a text of 100,000 bytes"),
    "one endless text": (_write(table(1).set_column(0, "id", [["x" * 20_000_000]])), "bytes in 1 texts"),
    "bomb of rows": (_write(pa.table({"a": np.zeros(300_000, np.int8)})), "300,000 rows; at most 100,000"),
    "wide": (_write(pa.table({f"c{n}": [1] for n in range(2_001)})), "2,001 columns"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_parquet_that_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_ROWS", 100_000)
    make, words = TABLES[name]
    path = tmp_path / "x.parquet"
    make(path)
    with hostile.bounded(), pytest.raises(Unreadable, match=words) as caught:
        read_parquet(path, KINDS)
    assert str(path) in caught.value.message


def test_parquet_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "AT_ONCE", 100)
    pq.write_table(table(1_000), tmp_path / "x.parquet", row_group_size=300)
    assert read_parquet(tmp_path / "x.parquet", KINDS).to_pydict() == table(1_000).to_pydict()


LOGITS = pa.list_(pa.float32())


def repeated(rows: int, more: int = 0) -> pa.Table:
    """Answers that are the same in every row, and columns nobody asks for."""
    logits = pa.FixedSizeListArray.from_arrays(pa.repeat(pa.scalar(0.5, pa.float32()), 2 * rows), 2)
    columns = {
        "id": pa.repeat("an image", rows),
        "label": pa.repeat(1, rows),
        "logits": logits.cast(LOGITS),
    }
    return pa.table({**columns, **{f"x{n}": pa.repeat(7, rows) for n in range(more)}})


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A million equal rows, in some kilobytes."""
    pq.write_table(repeated(1_000_000, more=4), tmp_path / "x.parquet", compression="zstd")
    return tmp_path / "x.parquet"


def test_rows_that_cost_nothing_are_refused_before_they_are_unpacked(
    bomb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ALWAYS_READ", 1 << 24)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("it is unpacked"))
    assert bomb.stat().st_size < 200_000
    # 4 of the text, 8 of the label, 4 + 2 x 8 of the logits, and 4 x 8 of the other columns
    for kinds, size in ((KINDS, "32,000,000"), (None, "64,000,000")):
        with (
            hostile.bounded(),
            pytest.raises(Unreadable, match=f"declares {size} bytes; at most 16,777,216 are") as told,
        ):
            read_parquet(bomb, kinds)
        assert "\n" not in str(told.value)


def test_only_columns_that_are_asked_for_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(repeated(1_000, more=5), path)
    assert read_parquet(path, KINDS).equals(repeated(1_000).cast(read_parquet(path, KINDS).schema))
    assert read_parquet(path, {"label": "whole"}, beginning="x").column_names == ["label", "x0", "x1", "x2", "x3", "x4"]
    assert read_parquet(path).num_columns == 8


def test_texts_count_in_every_row_while_batches_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ALWAYS_READ", 1 << 26)
    path = tmp_path / "x.parquet"
    long = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), 70_000), ["x" * 4_000])
    pq.write_table(pa.table({"id": long}), path)
    with hostile.bounded(), pytest.raises(Unreadable, match="unpacks to more than the 67,108,864 bytes"):
        read_parquet(path)
    monkeypatch.setattr(tables, "ALWAYS_READ", 1 << 29)
    assert read_parquet(path).num_rows == 70_000


def test_a_large_file_may_unpack_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a trained model take some bytes a row, whatever repeats beside them."""
    monkeypatch.setattr(tables, "ALWAYS_READ", 1)
    path, rows = tmp_path / "x.parquet", 20_000
    logits = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    pq.write_table(repeated(rows).set_column(2, "logits", pa.array(list(logits), LOGITS)), path)
    assert read_parquet(path, KINDS).num_rows == rows


def changed_tables(path: Path, count: int) -> int:
    pq.write_table(table(50), path)
    whole, chance, wrong = path.read_bytes(), random.Random(1), 0
    for _ in range(count):
        path.write_bytes(hostile.mutated(whole, chance))
        with hostile.bounded():
            try:
                read_parquet(path, KINDS)
            except Unreadable:
                wrong += 1
    return wrong


def test_changed_parquet_is_read_or_refused(tmp_path: Path) -> None:
    assert changed_tables(tmp_path / "x.parquet", 60) > 20
