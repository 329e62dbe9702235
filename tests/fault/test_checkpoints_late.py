"""An attempt that somebody else has taken over leaves nothing behind; one on a full disk goes on."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermae_bench import faults
from dermae_bench.execute import attempt as module
from dermae_bench.execute.blocks import Block, Blocks
from dermae_bench.execute.checkpoints import Checkpoint, Checkpoints
from dermae_bench.execute.logs import LOGS, Log
from dermae_bench.execute.stages.common import StageContext
from dermae_bench.store import fences
from dermae_bench.store.fences import Superseded
from tests.unit.execute.attempts import DATA, Bench


def context(folder: Path) -> StageContext:
    """What an attempt that begins now is given."""
    folder.mkdir(parents=True, exist_ok=True)
    return StageContext(folder=folder, spec={"fence": fences.begin(folder)}, out=folder / "out")


def at(step: int) -> Checkpoint:
    return Checkpoint(step, {"w": torch.full((4,), float(step))}, {"step": step})


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_late_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "attempt"
    first = Checkpoints(folder / "checkpoints", "key", context(folder).hold)
    first.save(at(1))
    second = Checkpoints(folder / "checkpoints", "key", context(folder).hold)
    second.save(at(2))
    second.save(at(3))
    # what the second one is about to write
    (folder / "checkpoints" / "new").mkdir()
    before = listing(folder)
    with pytest.raises(Superseded, match=r"a checkpoint of start 1 .* too late: start 2 followed"):
        first.save(at(9))
    assert listing(folder) == before
    assert (folder / "checkpoints" / "new").is_dir()
    found = second.load()
    assert found is not None and found.step == 3


def test_one_that_comes_late_while_it_is_written_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "attempt"
    kept = Checkpoints(folder / "checkpoints", "key", context(folder).hold)
    kept.save(at(1))
    real = Checkpoints._write

    def write(self: Checkpoints, checkpoint: Checkpoint, work: Path) -> None:
        real(self, checkpoint, work)
        fences.begin(folder)

    monkeypatch.setattr(Checkpoints, "_write", write)
    with pytest.raises(Superseded):
        kept.save(at(2))
    assert sorted(path.name for path in (folder / "checkpoints").glob("step-*")) == ["step-0000000001"]


@pytest.mark.parametrize("taken_over", [0, 3, 6, 11])
def test_a_late_block_is_refused(tmp_path: Path, taken_over: int) -> None:
    """Another attempt begins before row `taken_over` of 12; it makes other numbers, so that a mixture would show."""
    folder = tmp_path / "attempt"

    def blocks(held: StageContext) -> Blocks:
        return Blocks(
            folder / "blocks", "x", "key", rows=12, size=6, row=(1,), dtype=np.float32, stop=lambda: False,
            hold=held.hold,
        )  # fmt: skip

    def rows(block: Block, first: int, value: float) -> Iterator[NDArray[np.float32]]:
        yield from (np.full((1, 1), value, np.float32) for _ in range(first, block.last))

    def slow(block: Block, first: int) -> Iterator[NDArray[np.float32]]:
        for row in range(first, block.last):
            if row == taken_over:
                blocks(context(folder)).fill(lambda block, first: rows(block, first, 2.0))
            yield np.full((1, 1), 1.0, np.float32)

    with pytest.raises(Superseded, match="a block of start 1"):
        blocks(context(folder)).fill(slow)
    made = blocks(context(folder))
    made.fill(lambda block, first: rows(block, first, 3.0))
    # blocks that were finished before are taken; the late one has left no row in the others
    assert made.whole().ravel().tolist() == [1.0] * (taken_over // 6 * 6) + [2.0] * (12 - taken_over // 6 * 6)


def test_an_attempt_that_was_taken_over_commits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    folders: list[Path] = []

    def hold(self: StageContext, what: str) -> None:
        if not folders:
            folders.append(self.folder)
            fences.begin(self.folder)
        fences.hold(self.folder, self.spec["fence"], what)

    monkeypatch.setattr(StageContext, "hold", hold)
    with pytest.raises(Superseded):
        bench.try_("prepare", {"plugin": "phantom", "params": DATA}, None, "phantom")
    (folder,) = folders
    assert not (folder / "result.json").exists()
    assert not list(bench.store.root.glob("prepare/*"))
    assert not list(folder.glob("blocks/*.json"))


# -- a full disk -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["enospc", "edquot"])
def test_a_note_of_progress_is_not_worth_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str) -> None:
    about = context(tmp_path)
    log = tmp_path / LOGS[0]
    log.touch()
    os.utime(log, (1, 1))
    monkeypatch.setenv("DERMAE_FAULT", f"{refusal}@1+")
    faults.arm()
    try:
        about.status(1, 10, "steps")
    finally:
        monkeypatch.delenv("DERMAE_FAULT")
        faults.arm()
    assert not (tmp_path / "status.json").exists()
    # no silence, for all that
    assert log.stat().st_mtime > 1
    assert log.read_bytes() == b""
    about.status(10, 10, "steps")
    assert json.loads((tmp_path / "status.json").read_bytes())["step"] == 10


def test_a_broken_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = context(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("dermae_bench.execute.stages.common.write_text", refuse)
    with pytest.raises(OSError, match="Input/output"):
        about.status(1, 10, "steps")


# -- another user ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_logs_have_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        log = Log(tmp_path / LOGS[0])
    finally:
        os.umask(before)
    log.close_writer()
    log.close()
    assert stat.S_IMODE((tmp_path / LOGS[0]).stat().st_mode) == mode


def test_stages_without_paths_read_no_memo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Contents", None)
    module._check_unchanged({"work": {"a": [{"b": 1}]}, "parts": {"work": {"a": [{"b": 1}], "weights": None}}})
