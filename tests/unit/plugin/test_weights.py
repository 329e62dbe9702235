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
from dermae_bench.plugin import conversions, tensor_files
from dermae_bench.plugin.weights import load_weights, state_digest
from tests.fuzz.forked_reader import fork_readers

STATE = {"a": torch.arange(6.0).view(2, 3), "b.c": torch.ones(2, dtype=torch.int64)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return list(sorted(found)) == sorted(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_a_plain_dict_of_tensors_is_read_once_by_a_child_and_unwrapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMAE_BENCH_CACHE", str(tmp_path / "cache"))
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "w.pt")
    assert same(load_weights(tmp_path / "w.pt"))
    with monkeypatch.context() as patch:
        patch.setattr(conversions.subprocess, "Popen", None)
        (tmp_path / "w.pt").rename(tmp_path / "other.bin")
        assert list(load_weights(str(tmp_path / "other.bin"))) == ["a", "b.c"]
    (kept,) = (tmp_path / "cache" / "weights").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-1] + b"\x07")
    fork_readers(monkeypatch)
    assert same(load_weights(tmp_path / "other.bin"))


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize(("suffix", "wrap"), [(".pt", None), (".pth", "model"), (".bin", "state_dict")])
def test_all_that_torch_writes_is_read(
    tmp_path: Path, forked: None, suffix: str, wrap: str | None, options: dict[str, Any]
) -> None:
    torch.save(STATE if wrap is None else {wrap: STATE, "epoch": 3}, tmp_path / f"w{suffix}", **options)
    assert same(load_weights(tmp_path / f"w{suffix}"))


def test_order_views_and_tied_tensors_survive(tmp_path: Path, forked: None) -> None:
    tied = torch.arange(12.0).view(3, 4)
    state = {"z": tied, "y": tied.t(), "x": tied[:, :1], "w": torch.zeros(0), "v": torch.tensor(3)}
    torch.save(state, tmp_path / "w.pt")
    found = load_weights(tmp_path / "w.pt")
    assert list(found) == list(state)
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_conversions_are_bounded_and_a_cache_is_not_needed(
    tmp_path: Path, forked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        torch.save({"a": torch.full((1000,), float(number))}, tmp_path / f"{number}.pt")
    monkeypatch.setattr(conversions, "CACHE_LIMIT", 10_000)
    for number in range(4):
        load_weights(tmp_path / f"{number}.pt")
    assert len(list((tmp_path / "cache" / "weights").iterdir())) == 4  # two conversions and what is told of them
    monkeypatch.setenv("DERMAE_BENCH_CACHE", str(tmp_path / "0.pt"))
    assert load_weights(tmp_path / "3.pt")["a"][0] == 3


def test_safetensors_is_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert same(load_weights(tmp_path / "w.safetensors"))


@pytest.fixture
def forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are forked, not started anew, and conversions are kept in this test's folder."""
    fork_readers(monkeypatch)
    monkeypatch.setenv("DERMAE_BENCH_CACHE", str(tmp_path / "cache"))


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch touched",)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, forked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_damaged_files_are_errors_with_a_name(tmp_path: Path, forked: None, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
        load_weights(tmp_path / name)


def test_truncated_files_are_errors(tmp_path: Path, forked: None) -> None:
    torch.save({"a": torch.zeros(1000)}, tmp_path / "w.pt")
    save_file({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.pt", tmp_path / "w.safetensors"):
        path.write_bytes(path.read_bytes()[:-700])
        with pytest.raises(UserError, match="damaged"):
            load_weights(path)


def test_what_is_no_dict_of_tensors_is_an_error(tmp_path: Path, forked: None) -> None:
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
    monkeypatch.setattr(tensor_files, "LIMIT", 0)
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
