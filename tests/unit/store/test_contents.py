"""Digests of what a user's paths hold."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dermae_bench.errors import DataMissing
from dermae_bench.store import contents
from dermae_bench.store.contents import Contents


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "table.csv").write_text("id,label\n1,MEL\n")
    (folder / "images" / "1.png").write_bytes(b"pixels")
    return folder


def fresh(tmp_path: Path) -> Contents:
    return Contents(tmp_path / "memo.json")


def test_a_folder_may_move_and_be_linked_but_not_change(tmp_path: Path, data: Path) -> None:
    before = fresh(tmp_path).folder(data)
    moved = data.rename(tmp_path / "elsewhere")
    assert fresh(tmp_path).folder(moved) == before
    (tmp_path / "link").symlink_to(moved)
    assert fresh(tmp_path).folder(tmp_path / "link") == before
    (moved / ".DS_Store").write_text("hidden")
    assert fresh(tmp_path).folder(moved) == before
    (moved / "images" / "1.png").write_bytes(b"pixelz")
    assert fresh(tmp_path).folder(moved) != before


def test_names_belong_to_the_digest(tmp_path: Path, data: Path) -> None:
    before = fresh(tmp_path).folder(data)
    (data / "images" / "1.png").rename(data / "images" / "2.png")
    assert fresh(tmp_path).folder(data) != before


def test_folders_behind_links_are_looked_into(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh(tmp_path).folder(data)
    monkeypatch.setenv("DERMAE_BENCH_DATA_ROOTS", str(tmp_path / "big-disk"))
    (data / "images").rename(tmp_path / "big-disk")
    (data / "images").symlink_to(tmp_path / "big-disk")
    assert fresh(tmp_path).folder(data) == before
    (tmp_path / "big-disk" / "1.png").write_bytes(b"pixelz")
    assert fresh(tmp_path).folder(data) != before


def test_links_in_a_circle_end(tmp_path: Path, data: Path) -> None:
    (data / "images" / "up").symlink_to(data)
    (data / "images" / "here").symlink_to(data / "images")
    (data / "out").symlink_to(tmp_path)
    assert len(fresh(tmp_path).folder(data, [tmp_path])) == 64


def test_the_memo_saves_reading(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SETTLED_NS", 0)
    first = fresh(tmp_path)
    digest = first.folder(data)
    first.save()

    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    with monkeypatch.context() as patch:
        patch.setattr(contents, "digest_file", read)
        assert fresh(tmp_path).folder(data) == digest
    os.utime(data / "table.csv", ns=(1, 1))
    assert fresh(tmp_path).folder(data) == digest


@pytest.mark.parametrize("memo", ["", "[]", '{"a": 3}', '{"a": [1]}', "\x00", "null"])
def test_a_damaged_memo_costs_time_and_nothing_else(tmp_path: Path, data: Path, memo: str) -> None:
    expected = fresh(tmp_path).folder(data)
    (tmp_path / "memo.json").write_text(memo.replace('"a"', json.dumps(str(data / "table.csv"))))
    again = fresh(tmp_path)
    assert again.folder(data) == expected
    again.save()
    assert fresh(tmp_path).folder(data) == expected


def test_a_memo_that_cannot_be_written_is_no_error(tmp_path: Path, data: Path) -> None:
    (tmp_path / "file").write_text("")
    memo = Contents(tmp_path / "file" / "memo.json")
    memo.folder(data)
    memo.save()


def test_what_is_missing_is_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(DataMissing, match="nowhere is not there"):
        fresh(tmp_path).folder(tmp_path / "nowhere")
    with pytest.raises(DataMissing, match=r"file .*images is not there"):
        fresh(tmp_path).file(data / "images")
