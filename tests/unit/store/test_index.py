"""The index of a store is a speed-up and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.index import Index
from dermae_bench.store.manifests import MANIFEST, Manifest, describe_files


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, number: int, name: str = "train/x") -> str:
    parts = {"number": number}
    key = digest_of(parts)[:32]
    work = store.attempt_folder(key) / "out"
    work.mkdir(parents=True)
    (work / "a.txt").write_text("x" * number)
    store.commit(work, Manifest(kind="train", key=key, name=name, parts=parts, files=describe_files(work)))
    return key


def keys(store: Store, cache: Path) -> list[str]:
    index = Index(store, cache)
    found = [entry.key for entry in index.entries("train")]
    index.save()
    return found


def test_what_is_there_is_listed_newest_first(store: Store, tmp_path: Path) -> None:
    first, second = put(store, 1), put(store, 2)
    index = Index(store, tmp_path)
    assert [(e.key, e.name, e.bytes) for e in index.entries("train")] == [
        (second, "train/x", 2), (first, "train/x", 1),
    ]  # fmt: skip
    assert index.newest("train") == {"train/x": second}
    assert index.entries("score") == []


def test_no_manifest_is_read_twice(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = put(store, 1)
    assert keys(store, tmp_path) == [known]
    read: list[str] = []
    real = Store.read_manifest

    def noting(self: Store, kind: str, key: str) -> Any:
        read.append(key)
        return real(self, kind, key)

    monkeypatch.setattr(Store, "read_manifest", noting)
    assert keys(store, tmp_path) == [known]
    assert read == []
    new = put(store, 2)
    assert set(keys(store, tmp_path)) == {known, new}
    assert read == [new]


def test_what_was_removed_or_made_again_is_seen(store: Store, tmp_path: Path) -> None:
    first, second = put(store, 1), put(store, 2)
    assert len(keys(store, tmp_path)) == 2
    store.quarantine("train", first)
    assert keys(store, tmp_path) == [second]
    put(store, 1, "train/other")
    assert {entry.name for entry in Index(store, tmp_path).entries("train")} == {"train/other", "train/x"}
    (store.folder("train", second) / MANIFEST).unlink()
    assert keys(store, tmp_path) == [first]


@pytest.mark.parametrize("harm", [b"", b"\x00", b"[]", b'{"version": 1}'])
def test_a_damaged_index_costs_time_alone(store: Store, tmp_path: Path, harm: bytes) -> None:
    known = put(store, 1)
    assert keys(store, tmp_path) == [known]
    (path,) = (tmp_path / "stores").iterdir()
    path.write_bytes(harm)
    assert keys(store, tmp_path) == [known]
    # one changed digit would be believed, were it not for the digest
    path.write_bytes(path.read_bytes().replace(b'"train/x",1]', b'"train/x",9]'))
    assert Index(store, tmp_path).entries("train")[0].bytes == 1
    shutil.rmtree(path.parent)
    assert keys(store, tmp_path) == [known]


def test_nothing_of_it_lies_in_the_store(store: Store, tmp_path: Path) -> None:
    put(store, 1)
    before = sorted(store.root.rglob("*"))
    keys(store, tmp_path / "cache")
    assert sorted(store.root.rglob("*")) == before


def test_where_no_cache_can_be_written_it_works_all_the_same(store: Store, tmp_path: Path) -> None:
    known = put(store, 1)
    (tmp_path / "cache").write_text("no folder")
    assert keys(store, tmp_path / "cache") == [known]
