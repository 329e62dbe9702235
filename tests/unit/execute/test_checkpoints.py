"""Checkpoints: atomic, two kept, damage found."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dermae_bench import faults
from dermae_bench.execute import checkpoints as module
from dermae_bench.execute.checkpoints import Checkpoint, Checkpoints, save_tensors


def at(step: int) -> Checkpoint:
    tensors = {"model.weight": torch.full((3, 2), float(step)), "optimizer.0.0.step": torch.tensor(float(step))}
    return Checkpoint(step, tensors, {"step": step, "curves": [{"loss": 0.1 * step}], "best": None})


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    found = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2, 10):
        found.save(at(step))
    return found


def test_the_newest_comes_back_as_it_went_in(kept: Checkpoints) -> None:
    found = kept.load()
    assert found is not None
    assert found.step == 10
    assert found.facts == at(10).facts
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in at(10).tensors.items())


def test_two_are_kept(kept: Checkpoints) -> None:
    assert sorted(path.name for path in kept.folder.iterdir()) == ["step-0000000002", "step-0000000010"]


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere").load() is None
    (tmp_path / "step-0000000001").mkdir()
    assert Checkpoints(tmp_path).load() is None


def _flip(name: str) -> Callable[[Path], None]:
    def flip(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return flip


def _write(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "state.json").write_text(text) and None


@pytest.mark.parametrize(
    "damage",
    [
        _flip("state.safetensors"),
        _flip("state.json"),
        _write(""),
        _write("[]"),
        _write("{}"),
        _write("3"),
        lambda folder: (folder / "state.safetensors").unlink(),
        lambda folder: (folder / "state.json").unlink(),
        lambda folder: (folder / "state.safetensors").write_bytes(b""),
    ],
)
def test_a_damaged_one_is_named_and_the_one_before_is_taken(
    kept: Checkpoints, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(kept.folder / "step-0000000010")
    found = kept.load()
    assert found is not None
    assert found.step == 2
    assert "step-0000000010 is damaged" in capsys.readouterr().out


def test_a_changed_number_in_the_facts_is_damage(kept: Checkpoints) -> None:
    path = kept.folder / "step-0000000010" / "state.json"
    path.write_text(path.read_text().replace('"step":10', '"step":11'))
    found = kept.load()
    assert found is not None
    assert found.step == 2


@pytest.mark.parametrize("dies_in", ["sync_file", "write_note", "digest_file", "rename"])
def test_a_kill_while_writing_leaves_what_was_there(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, dies_in, die)
        with pytest.raises(KeyboardInterrupt):
            kept.save(at(11))
    found = kept.load()
    assert found is not None
    assert found.step == 10
    kept.save(at(11))
    assert sorted(path.name for path in kept.folder.iterdir()) == ["step-0000000010", "step-0000000011"]


def test_a_step_that_is_there_whole_is_not_written_again(kept: Checkpoints) -> None:
    before = (kept.folder / "step-0000000010" / "state.json").stat().st_ino
    assert kept.save(at(10))
    assert (kept.folder / "step-0000000010" / "state.json").stat().st_ino == before
    _flip("state.safetensors")(kept.folder / "step-0000000010")
    assert kept.save(at(10))
    found = kept.load()
    assert found is not None
    assert found.step == 10


def test_what_was_refused_makes_way_for_the_next(kept: Checkpoints) -> None:
    """Otherwise a damaged one of a later step would count as one of the two, and a sound one would go."""
    _flip("state.safetensors")(kept.folder / "step-0000000010")
    kept.load()
    kept.save(at(3))
    assert sorted(path.name for path in kept.folder.iterdir()) == ["step-0000000002", "step-0000000003"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Checkpoints(Path(), "another stage"), "of another stage"),
        (Checkpoints(Path()), "of step 11"),
    ],
)
def test_a_sound_one_from_elsewhere_is_refused(
    kept: Checkpoints, tmp_path: Path, other: Checkpoints, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = Checkpoints(tmp_path / "foreign", other.key)
    foreign.save(at(10 if other.key else 11))
    (source,) = foreign.folder.iterdir()
    shutil.rmtree(kept.folder / "step-0000000010")
    source.rename(kept.folder / "step-0000000010")
    found = kept.load()
    assert found is not None
    assert found.step == 2
    assert words in capsys.readouterr().out


def test_odd_things_among_them_do_no_harm(kept: Checkpoints) -> None:
    (kept.folder / "step-0000000020").write_text("a file")
    (kept.folder / "step-0000000021").symlink_to(kept.folder / "nowhere")
    (kept.folder / "step-later").mkdir()
    found = kept.load()
    assert found is not None
    assert found.step == 10
    kept.save(at(20))
    assert sorted(path.name for path in kept.folder.iterdir()) == ["step-0000000010", "step-0000000020", "step-later"]


@pytest.mark.parametrize("action", ["enospc", "edquot"])
def test_a_full_disk_costs_a_checkpoint_and_not_the_fit(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    number = 0
    while True:
        number += 1
        with monkeypatch.context() as patch:
            patch.setenv("DERMAE_FAULT", f"{action}@{number}")
            faults.arm()
            try:
                written = kept.save(at(10 + number))
            finally:
                patch.undo()
                faults.arm()
        if written and "no room" not in capsys.readouterr().out:
            break
        found = kept.load()
        assert found is not None
        assert len([path for path in kept.folder.iterdir() if path.name != "new"]) <= 3
    assert number > 8
    found = kept.load()
    assert found is not None
    assert found.step == 10 + number
    assert len(list(kept.folder.iterdir())) == 2


def test_too_little_room_is_seen_before_anything_is_written(
    kept: Checkpoints, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=module.ROOM_TO_SPARE))
    assert not kept.save(at(11))
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "no room for the checkpoint of step 11" in told
    assert sorted(path.name for path in kept.folder.iterdir()) == ["step-0000000002", "step-0000000010"]


def test_another_refusal_of_the_system_is_raised(kept: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMAE_FAULT", "erofs@1+")
    faults.arm()
    try:
        with pytest.raises(OSError, match="Read-only"):
            kept.save(at(11))
    finally:
        monkeypatch.undo()
        faults.arm()


def test_what_safetensors_tells_in_words_becomes_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        save_tensors({"x": torch.zeros(2)}, tmp_path / "taken")
    with pytest.raises(FileNotFoundError):
        save_tensors({"x": torch.zeros(2)}, tmp_path / "nowhere" / "x")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_weights_have_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    """The library writes a file for its owner alone, and a store may be shared."""
    before = os.umask(umask)
    try:
        save_tensors({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
        # one that replaces another, which had a mode of its own
        (tmp_path / "y.safetensors").touch(0o640)
        save_tensors({"x": torch.zeros(2)}, tmp_path / "y.safetensors")
        Checkpoints(tmp_path / "checkpoints").save(at(1))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}


def test_shared_strided_and_low_precision_tensors_are_kept(tmp_path: Path) -> None:
    shared = torch.arange(6.0).view(2, 3)
    tensors = {"a": shared, "b": shared, "c": shared.t(), "d": torch.ones(2, dtype=torch.bfloat16), "e": shared[0]}
    Checkpoints(tmp_path).save(Checkpoint(1, tensors, {"step": 1}))
    found = Checkpoints(tmp_path).load()
    assert found is not None
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
