"""Stores of many entries, written without flushing: only their number matters."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from dermae_bench.durable import canonical, digest_of
from dermae_bench.store.artifacts import KINDS

SHARE = {"score": 5, "predict": 3, "train": 1, "sample": 1}
"""Kind -> tenths of the entries."""


def sealed(fields: dict[str, Any]) -> str:
    """A manifest's text with the digest that a reader will compute."""
    rest = {name: value for name, value in fields.items() if name != "sha256"}
    return canonical({**rest, "sha256": hashlib.sha256(canonical(rest).encode()).hexdigest()})


def fill(root: Path, count: int) -> None:
    """Make `count` entries below `root`, each with a manifest of a usual size."""
    kinds = [kind for kind in KINDS for _ in range(SHARE.get(kind, 0))]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        parts = {"kind": kind, "number": number, "work": {f"param-{i}": [i] * 10 for i in range(20)}}
        key = digest_of(parts)[:32]
        folder = root / kind / key
        folder.mkdir(parents=True)
        files = {f"file-{i}.bin": {"bytes": 1000, "sha256": "0" * 64} for i in range(5)}
        about = {"kind": kind, "key": key, "name": f"{kind}/{number // 2}", "parts": parts, "files": files}
        rest = {"summary": {}, "seconds": 1.0, "max_rss_mb": 1, "environment": {}, "version": 1}
        (folder / "manifest.json").write_text(sealed({**about, **rest}))
