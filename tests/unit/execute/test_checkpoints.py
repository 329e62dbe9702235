"""Checkpoints: atomic, two kept, damage found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dermae_bench.execute import checkpoints as module
from dermae_bench.execute.checkpoints import Checkpoint, Checkpoints


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


@pytest.mark.parametrize("dies_in", ["sync_file", "write_text", "digest_file"])
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


def test_a_step_may_be_written_twice(kept: Checkpoints) -> None:
    kept.save(Checkpoint(10, {"x": torch.zeros(1)}, {"step": 10, "again": True}))
    found = kept.load()
    assert found is not None
    assert found.facts["again"]


def test_shared_strided_and_low_precision_tensors_are_kept(tmp_path: Path) -> None:
    shared = torch.arange(6.0).view(2, 3)
    tensors = {"a": shared, "b": shared, "c": shared.t(), "d": torch.ones(2, dtype=torch.bfloat16), "e": shared[0]}
    Checkpoints(tmp_path).save(Checkpoint(1, tensors, {"step": 1}))
    found = Checkpoints(tmp_path).load()
    assert found is not None
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
