"""Digests of data: links, what cannot be read, names that are no text, changes under an old time, hidden files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dermae_bench import api
from dermae_bench.builtin.datasets.image_folder import ImageFolder, ImageFolderConfig
from dermae_bench.errors import DataError
from dermae_bench.store.contents import Contents


def digest(tmp_path: Path, folder: Path) -> str:
    return Contents(tmp_path / "memo.json").folder(folder, [tmp_path])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"pixels")
    return folder


def test_what_lies_behind_any_link_belongs_to_the_digest(tmp_path: Path, data: Path) -> None:
    disk = tmp_path / "disk" / "deep"
    disk.mkdir(parents=True)
    (disk / "2.png").write_bytes(b"one")
    (data / "a").symlink_to(disk.parent)
    (data / "b").symlink_to(disk)
    before = digest(tmp_path, data)
    assert digest(tmp_path, data) == before
    (disk / "2.png").write_bytes(b"two")
    after = digest(tmp_path, data)
    assert after != before
    (data / "b").unlink()
    assert digest(tmp_path, data) != after


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path.name),
        os.mkfifo,
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, data: Path, make: Callable[[Path], None]) -> None:
    make(data / "odd.png")
    with pytest.raises(DataError, match=r"odd\.png"):
        digest(tmp_path, data)


def test_names_that_are_no_text_are_listed(tmp_path: Path, data: Path) -> None:
    (data / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        digest(tmp_path, data)
    assert "bad\\udcff.png" in str(caught.value).encode().decode()


def test_a_file_changed_under_its_old_time_is_read_again(tmp_path: Path, data: Path) -> None:
    memo = Contents(tmp_path / "memo.json")
    before, about = memo.folder(data), (data / "1.png").stat()
    (data / "1.png").write_bytes(b"pixelz")
    os.utime(data / "1.png", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert memo.folder(data) != before


def test_the_image_folder_reads_nothing_hidden(tmp_path: Path, data: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("path,label\n.hidden/1.png,a\n./1.png,b\n")
    folder = ImageFolder(ImageFolderConfig(root=api.Folder(str(data)), csv=api.File(str(table))))
    with pytest.raises(DataError) as caught:
        folder.examples()
    assert [problem for problem in caught.value.names if "hidden" in problem]
    assert not [problem for problem in caught.value.names if "line 3" in problem]
