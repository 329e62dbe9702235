"""What `show` tells of a stage that was begun and has not ended: where it stands, and what it printed last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dermae_bench.bounded.texts import read_json
from dermae_bench.errors import DataError
from dermae_bench.execute.endings import tail
from dermae_bench.execute.watching import kept, read_status, where
from dermae_bench.store.artifacts import Store
from dermae_bench.store.index import KEY
from dermae_bench.store.leases import is_locked
from dermae_bench.store.strangers import LEASE


def begun(store: Store, beginning: str) -> list[str]:
    """Keys with this beginning of stages that somebody has begun."""
    return sorted(path.name for path in (store.root / "attempts").glob(f"{beginning}*") if KEY.fullmatch(path.name))


def under_way(store: Store, key: str) -> dict[str, Any]:
    """State, last sign, what it left to go on from, and the end of its logs.

    Plugins can write into the folder, so only texts are taken over, and what cannot be read is left out.
    """
    folder = store.attempt_folder(key)
    try:
        spec = read_json(folder / "spec.json")
    except DataError:
        spec = None
    told = spec if isinstance(spec, Mapping) else {}
    about: dict[str, Any] = {
        "status": "running" if is_locked(folder / LEASE) else "broken off; the same `run` goes on with it",
        "key": key,
        **{word: told[word] for word in ("kind", "name") if isinstance(told.get(word), str)},
        "last sign": where(read_status(folder)) or "none",
        "goes on from": kept(folder) or "its beginning",
        "folder": str(folder),
    }
    about["printed"] = "".join(tail(folder / name) for name in ("stdout.log", "stderr.log"))
    return about
