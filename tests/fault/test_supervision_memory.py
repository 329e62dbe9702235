"""Attempts under `ulimit -v`: whoever says that there is no more memory, it is recorded as that."""

from __future__ import annotations

import json
import mmap
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dermae_bench.execute.stages import prepare
from tests.unit.execute.attempts import Bench

ROOM = 64 << 20
"""Bytes of address space that an attempt has beside what it began with."""
TOO_MUCH = 1 << 30
LARGE = "large.safetensors"


def held() -> int:
    """Bytes of address space of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def by_python(folder: Path) -> Any:
    return bytearray(TOO_MUCH)


def by_a_list(folder: Path) -> Any:
    return [b"x" * 1000 + str(number).encode() for number in range(TOO_MUCH // 1000)]


def by_numpy(folder: Path) -> Any:
    return np.ones(TOO_MUCH, dtype=np.uint8)


def by_torch(folder: Path) -> Any:
    return torch.ones(TOO_MUCH, dtype=torch.uint8)


def by_a_map(folder: Path) -> Any:
    return mmap.mmap(-1, TOO_MUCH)


def by_weights(folder: Path) -> Any:
    return load_file(folder.parents[1] / LARGE)


WAYS: tuple[Callable[[Path], Any], ...] = (by_python, by_a_list, by_numpy, by_torch, by_a_map, by_weights)


def sparse_weights(path: Path) -> None:
    """Zeros that take no room on the disk."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [TOO_MUCH], "data_offsets": [0, TOO_MUCH]}}).encode()
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + TOO_MUCH)


def limited(root: Path, way: Callable[[Path], Any]) -> dict[str, Any]:
    """What an attempt says that takes more memory than there is."""
    bench = Bench(root)
    bench.store.root.mkdir(parents=True)
    if way is by_weights:
        sparse_weights(bench.store.root / LARGE)
    child = os.fork()
    if child == 0:
        try:
            most = held() + ROOM
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            prepare.prepare = lambda context: {"n": len(way(context.folder))}  # type: ignore[assignment]
            _, result = bench.try_("prepare", {"how": way.__name__})
            (root / "said.json").write_text(json.dumps(result))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said: dict[str, Any] = json.loads((root / "said.json").read_text())
    return said


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_more_memory_is_recorded_as_that(tmp_path: Path, way: Callable[[Path], Any]) -> None:
    said = limited(tmp_path, way)
    assert (said["ok"], said["category"]) == (False, "oom"), said
