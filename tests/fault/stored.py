"""Entries for tests of the store: made through its own interface, then harmed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import MANIFEST, Manifest, describe_files
from dermae_bench.suite.stage import Stage
from tests.large_store import sealed

Entry = tuple[str, str]
"""Kind and key."""


def put(store: Store, number: int, kind: str = "train", files: int = 3, fence: str | None = None) -> Entry:
    """Commit an entry whose files differ from those of every other number."""
    parts = {"kind": kind, "number": number}
    key = digest_of(parts)[:32]
    work = store.attempt_folder(key) / "out"
    work.mkdir(parents=True, exist_ok=True)
    chance = random.Random(f"{kind} {number}")
    for position in range(files):
        (work / f"file-{position}.bin").write_bytes(chance.randbytes(200 + 50 * position))
    about: dict[str, Any] = {"kind": kind, "key": key, "name": f"{kind}/{number}", "parts": parts}
    store.commit(work, Manifest(**about, files=describe_files(work), summary={"number": number}), fence=fence)
    return kind, key


def commit(store: Store, done: Stage, **summary: Any) -> Path:
    """Commit the entry of a stage and give its folder."""
    out = store.attempt_folder(done.key) / "out"
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.txt").write_text(done.name)
    about = {"kind": done.kind, "key": done.key, "name": done.name, "parts": done.parts, "summary": summary}
    store.commit(out, Manifest(**about, files=describe_files(out)))
    return store.folder(done.kind, done.key)


# -- what can happen to an entry: (folder of it, folder of another one, chance) ------------------------------------


def flip(folder: Path, other: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(folder.iterdir()))
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def truncate(folder: Path, other: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(folder.iterdir()))
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def lengthen(folder: Path, other: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(folder.iterdir()))
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.randrange(1, 9)))


def delete(folder: Path, other: Path, chance: random.Random) -> None:
    chance.choice(sorted(folder.iterdir())).unlink()


def add(folder: Path, other: Path, chance: random.Random) -> None:
    (folder / chance.choice([".hidden", "images-00001.npy", "file-9.bin", "manifest.json~"])).write_bytes(b"")


def swap_files(folder: Path, other: Path, chance: random.Random) -> None:
    one, two = chance.sample([path for path in sorted(folder.iterdir()) if path.name != MANIFEST], 2)
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def link(folder: Path, other: Path, chance: random.Random) -> None:
    """A link to the very same bytes, which may change later where nobody looks."""
    path = chance.choice([path for path in sorted(folder.iterdir()) if path.name != MANIFEST])
    elsewhere = folder.parent.parent / "elsewhere"
    shutil.copyfile(path, elsewhere)
    path.unlink()
    path.symlink_to(elsewhere)


def empty_manifest(folder: Path, other: Path, chance: random.Random) -> None:
    (folder / MANIFEST).write_bytes(b"")


def swap_manifests(folder: Path, other: Path, chance: random.Random) -> None:
    kept = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
    (other / MANIFEST).write_bytes(kept)


def forge_parts(folder: Path, other: Path, chance: random.Random) -> None:
    """Right in itself, but not what the key says."""
    fields = json.loads((folder / MANIFEST).read_bytes())
    fields["parts"]["number"] += 1 + chance.randrange(100)
    (folder / MANIFEST).write_text(sealed(fields))


def forge_key(folder: Path, other: Path, chance: random.Random) -> None:
    """Right in itself, with the key of the other entry."""
    fields = json.loads((folder / MANIFEST).read_bytes())
    fields["key"] = other.name
    (folder / MANIFEST).write_text(sealed(fields))


def forge_summary(folder: Path, other: Path, chance: random.Random) -> None:
    """A better number, and the digest as it was."""
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"summary":{"number":', '"summary":{"number":9'))


def other_bytes(folder: Path, other: Path, chance: random.Random) -> None:
    """The right manifest over another entry's files."""
    for path in sorted(other.iterdir()):
        if path.name != MANIFEST:
            shutil.copyfile(path, folder / path.name)


MUTATIONS: tuple[Callable[[Path, Path, random.Random], None], ...] = (
    flip, truncate, lengthen, delete, add, swap_files, link, empty_manifest, swap_manifests, forge_parts, forge_key,
    forge_summary, other_bytes,
)  # fmt: skip
