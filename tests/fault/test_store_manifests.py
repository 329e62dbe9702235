"""Manifests that were forged or do not fit, entries that changed, and leases whose folder goes meanwhile."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from stored import commit

from dermae_bench.errors import StorageError
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST, Damaged
from tests.large_store import sealed
from tests.unit.execute.walks import DATA


def test_a_changed_number_in_a_manifest_is_damage(store: Store) -> None:
    path = commit(store, DATA, value=0.25) / MANIFEST
    assert store.manifest(DATA.kind, DATA.key).summary == {"value": 0.25}
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(Damaged, match="no readable manifest"):
        store.manifest(DATA.kind, DATA.key)


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {"name": "other"}},
        {"files": {"../x": {"bytes": 1, "sha256": ""}}},
        {"files": {"result.txt": 3}},
        {"files": []},
        {"summary": None},
        {"seconds": "long"},
        {"name": 3},
        {"version": 99},
    ],
)
def test_a_manifest_that_does_not_fit_is_damage_though_its_digest_is_right(
    store: Store, change: dict[str, Any]
) -> None:
    path = commit(store, DATA) / MANIFEST
    path.write_text(sealed({**json.loads(path.read_text()), **change}))
    with pytest.raises(Damaged, match=DATA.key):
        store.manifest(DATA.kind, DATA.key)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "null", '{"sha256": NaN}', "\udcff"])
def test_what_is_no_manifest_does_not_stand_in_the_way(store: Store, text: str) -> None:
    folder = commit(store, DATA)
    (folder / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    commit(store, DATA)
    assert store.checked(DATA.kind, DATA.key)
    assert len(list((store.root / "quarantine").iterdir())) == 1


def test_a_glance_sees_sizes_and_strangers_and_reads_no_file(store: Store) -> None:
    path = commit(store, DATA) / "result.txt"
    path.write_text("x" * path.stat().st_size)
    store.glanced(DATA.kind, DATA.key)
    (path.parent / "more").mkdir()
    with pytest.raises(Damaged, match="more"):
        store.glanced(DATA.kind, DATA.key)
    assert not store.has(DATA.kind, DATA.key)


def test_a_vanished_place_is_told_as_such(store: Store) -> None:
    with pytest.raises(StorageError, match="cannot use gone"), store.writable():
        raise OSError(errno.ENOENT, "", "gone")


def test_a_lease_is_taken_though_its_folder_goes_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.stay()
    real, refusals = Path.mkdir, [FileNotFoundError(), FileExistsError()]

    def mkdir(path: Path, *words: Any, **more: Any) -> None:
        if refusals:
            raise refusals.pop()
        real(path, *words, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert store.lease(DATA.key).take()
