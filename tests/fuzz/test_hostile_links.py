"""Links in data: followed inside what the suite names and declared roots, refused elsewhere; swaps are noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dermae_bench.errors import DataError
from dermae_bench.plugin.links import ROOTS, declare_roots, leads_out
from dermae_bench.store import contents
from dermae_bench.store.contents import Contents
from tests.counting import record_count


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(ROOTS, raising=False)
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1.png").write_bytes(b"pixels")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "2.png").write_bytes(b"others")
    (tmp_path / "data-of-others").mkdir()
    return folder


def digest(folder: Path, *roots: Path) -> str:
    return Contents(folder.parent / "memo.json").folder(folder, roots)


def _chain(data: Path, end: Path, length: int) -> None:
    last = end
    for number in range(length):
        link = data / f"link-{number:02d}"
        link.symlink_to(last)
        last = link


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "password": (lambda d: (d / "a.png").symlink_to("/etc/passwd"), "a.png: is a link that leads to 'passwd'"),
    "system": (lambda d: (d / "etc").symlink_to("/etc"), "etc: is a link that leads to 'etc'"),
    "root": (lambda d: (d / "r").symlink_to("/"), "r: is a link that leads to '/'"),
    "parent": (lambda d: (d / "up").symlink_to(".."), "up: is a link that leads to"),
    "other": (lambda d: (d / "o").symlink_to(d.parent / "other"), "o: is a link that leads to 'other'"),
    "file": (lambda d: (d / "f.png").symlink_to("../other/2.png"), "f.png: is a link that leads to '2.png'"),
    "twin": (lambda d: (d / "t").symlink_to("../data-of-others"), "t: is a link that leads to 'data-of-others'"),
    "inside-out": (lambda d: (d / "images" / "x").symlink_to("../../other"), "images/x: is a link"),
    "through": (lambda d: (d / "x").symlink_to("images/../../other/2.png"), "x: is a link that leads to '2.png'"),
    "device": (lambda d: (d / "z").symlink_to("/dev/zero"), "z: is a link that leads to 'zero'"),
    "dangling": (lambda d: (d / "lost").symlink_to("nowhere"), "lost: No such file or directory"),
    "itself": (lambda d: (d / "me").symlink_to("me"), "me: Too many levels of symbolic links"),
    "pair": (lambda d: [(d / a).symlink_to(b) for a, b in ("pq", "qp")], "p: Too many levels"),
    "chain-50": (lambda d: _chain(d, d / "images" / "1.png", 50), "link-49: Too many levels"),
    "chain-out": (lambda d: _chain(d, d.parent / "other" / "2.png", 5), "link-04: is a link that leads to '2.png'"),
    "pipe": (lambda d: [os.mkfifo(d / "pipe"), (d / "p").symlink_to("pipe")], "p: neither a file nor a folder"),
    "escape": (lambda d: (d / "e").symlink_to("/tmp/\x1b[2J"), "e: No such file or directory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_links_out_of_the_data_are_refused_by_name(data: Path, name: str) -> None:
    make, word = REFUSED[name]
    make(data)
    with pytest.raises(DataError) as caught:
        digest(data)
    assert word in str(caught.value)
    assert str(caught.value).count("\n") <= 60
    assert "is a link" not in word or "--data-root DIR" in str(caught.value)
    record_count("hostile links refused", 1)


FOLLOWED: dict[str, Callable[[Path], object]] = {
    "file": lambda d: (d / "again.png").symlink_to("images/1.png"),
    "folder": lambda d: (d / "again").symlink_to("images"),
    "loop": lambda d: (d / "images" / "up").symlink_to(".."),
    "chain": lambda d: _chain(d, d / "images" / "1.png", 20),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_links_inside_the_data_are_followed_and_loops_end(data: Path, name: str) -> None:
    before = digest(data)
    FOLLOWED[name](data)
    assert digest(data) != before


def test_the_named_folder_may_be_a_link_and_others_may_be_declared(data: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(data)
    assert digest(tmp_path / "named") == digest(data)
    (data / "o").symlink_to(tmp_path / "other")
    with pytest.raises(DataError):
        digest(data, tmp_path / "data-of-others")
    found = digest(data, tmp_path / "other")
    assert digest(data, tmp_path / "other" / "2.png", tmp_path) == found
    declare_roots([tmp_path / "data-of-others", tmp_path / "other"])
    assert digest(data) == found
    assert leads_out(data / "o" / "2.png", (data,)) is None
    assert leads_out("/etc/passwd", (data,)) is not None


def test_a_swap_between_digest_and_reading_is_noticed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "SETTLED_NS", 0)
    memo = data.parent / "memo.json"
    planned = Contents(memo)
    given = {"root": str(data), "size": 8, "more": [{"table": str(data / "images" / "1.png")}]}
    hashed = {
        "root": {"sha256": planned.folder(data)},
        "size": 8,
        "more": [{"table": {"sha256": planned.file(data / "images" / "1.png")}}],
    }
    planned.save()
    read = []
    with monkeypatch.context() as patch:
        patch.setattr(contents, "digest_file", lambda path: read.append(path) or "")
        assert Contents(memo).changed(given, hashed) == []
    assert read == []
    about = (data / "images" / "1.png").stat()
    (data / "images" / "new").write_bytes(b"pixelz")
    os.utime(data / "images" / "new", ns=(about.st_atime_ns, about.st_mtime_ns))
    (data / "images" / "new").rename(data / "images" / "1.png")
    assert Contents(memo).changed(given, hashed) == ["data changed after its digest was taken",
                                                     "1.png changed after its digest was taken"]  # fmt: skip
    (data / "images" / "1.png").unlink()
    (data / "images" / "1.png").symlink_to("/etc/passwd")
    assert len(Contents(memo).changed(given, hashed)) == 2
    (told,) = Contents(memo).changed({"root": given["root"]}, hashed)
    assert "cannot be read whole" in told


def test_a_file_of_this_very_moment_is_not_remembered(data: Path) -> None:
    memo = Contents(data.parent / "memo.json")
    before = memo.folder(data)
    about = (data / "images" / "1.png").stat()
    (data / "images" / "1.png").write_bytes(b"pixelz")
    os.utime(data / "images" / "1.png", ns=(about.st_atime_ns, about.st_mtime_ns))
    assert memo.folder(data) != before


@pytest.mark.parametrize(("start", "kind"), [(b"PK\x03\x04", "ZIP"), (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2")])
def test_an_archive_is_no_folder(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "data.x").write_bytes(start + bytes(100))
    with pytest.raises(DataError, match=rf"data\.x is a {kind} archive, not a folder\n  unpack it first"):
        Contents(tmp_path / "memo").folder(tmp_path / "data.x")
