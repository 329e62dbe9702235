"""Weights files: read without running anything, known by their digest."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dermae_bench.errors import DataMissing, UserError
from dermae_bench.plugin import weights
from dermae_bench.plugin.weights import load_weights, state_digest

STATE = {"a": torch.arange(6.0).view(2, 3), "b.c": torch.ones(2, dtype=torch.int64)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return list(sorted(found)) == sorted(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_a_plain_dict_of_tensors_is_read_and_unwrapped(tmp_path: Path, suffix: str, wrap: str | None) -> None:
    path = tmp_path / f"w{suffix}"
    torch.save(STATE if wrap is None else {wrap: STATE, "epoch": 3}, path)
    assert same(load_weights(path))
    assert same(load_weights(str(path)))


def test_safetensors_is_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert same(load_weights(tmp_path / "w.safetensors"))


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch touched",)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "new.pt")
    torch.save({"a": Evil()}, "old.pt", _use_new_zipfile_serialization=False)
    Path("plain.bin").write_bytes(pickle.dumps(Evil()))
    for name in ("new.pt", "old.pt", "plain.bin"):
        with pytest.raises(UserError, match="holds more than tensors, or is damaged"):
            load_weights(name)
    assert not Path("touched").exists()


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("data", [b"", b"not weights", b"PK\x03\x04broken", b"\x80\x02"])
def test_damaged_files_are_errors_with_a_name(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
        load_weights(tmp_path / name)


def test_truncated_files_are_errors(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "w.pt")
    save_file({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.pt", tmp_path / "w.safetensors"):
        path.write_bytes(path.read_bytes()[:-700])
        with pytest.raises(UserError, match="damaged"):
            load_weights(path)


def test_what_is_no_dict_of_tensors_is_an_error(tmp_path: Path) -> None:
    for value in ([torch.zeros(1)], {"a": 3}, {"state_dict": {"a": "text"}}, torch.zeros(2)):
        torch.save(value, tmp_path / "w.pt")
        with pytest.raises(UserError, match="is not a dict of tensors"):
            load_weights(tmp_path / "w.pt")


def test_missing_unknown_and_huge_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataMissing, match=r"lost\.pt is not there"):
        load_weights(tmp_path / "lost.pt")
    (tmp_path / "w.h5").write_bytes(b"1")
    with pytest.raises(UserError, match="no known suffix"):
        load_weights(tmp_path / "w.h5")
    monkeypatch.setattr(weights, "LIMIT", 0)
    with pytest.raises(UserError, match="larger than"):
        load_weights(tmp_path / "w.h5")


def test_a_digest_tells_names_types_shapes_and_bits() -> None:
    digest = state_digest(STATE)
    assert len(digest) == 64
    assert state_digest(dict(reversed(STATE.items()))) == digest
    others = [
        {**STATE, "a": STATE["a"] + 2**-20},
        {**STATE, "a": STATE["a"].view(3, 2)},
        {**STATE, "a": STATE["a"].double()},
        {"x": STATE["a"], "b.c": STATE["b.c"]},
        {**STATE, "new": torch.zeros(0)},
    ]
    assert len({digest, *map(state_digest, others)}) == 6
    assert state_digest({"a": STATE["a"].t().contiguous().t()}) == state_digest({"a": STATE["a"]})
    assert state_digest({"a": torch.zeros((), dtype=torch.bfloat16)})
