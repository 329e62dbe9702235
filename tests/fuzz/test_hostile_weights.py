"""Hostile files of weights: one clear line each, no code of theirs run, no memory or time lost on them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_weights import hostile, saved, sound_safetensors

from dermae_bench.errors import UserError
from dermae_bench.plugin.weights import load_weights
from tests.counting import record_count
from tests.fuzz.forked_reader import fork_readers

SECONDS = 2.0


def refusal(path: Path) -> str:
    """What the user reads, without the path."""
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        load_weights(path)
    assert time.process_time() - began < SECONDS
    text = str(caught.value)
    assert path.name in text
    assert "Traceback" not in text
    assert len(text) < 900
    return text.partition(str(path))[2]


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that no hostile pickle may make; children are forked, and their cache is this test's."""
    fork_readers(monkeypatch)
    monkeypatch.setenv("DERMAE_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "canary"


WORDS = {
    "reduce.pt": "asks for posix.system",
    "legacy.pt": "asks for posix.system",
    "bomb.pt": "compressed",
    "view.pt": "expands to more than",
    "second-record.pt": "twice",
    "nan.safetensors": "not finite, in a",
    "twice.safetensors": "a name stands twice",
    "many.safetensors": "more than 20000",
    "claimed-header.safetensors": "shorter than its header says",
    "great-header.safetensors": "header of more than 16 MiB",
}


@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "all"])
def test_hostile_weights_are_refused_by_one_clear_line(tmp_path: Path, canary: Path, many: bool) -> None:
    files = hostile(canary)
    assert len(files) >= 40
    if not many:
        files = {name: files[name] for name in {*WORDS, *list(files)[::7]}}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert WORDS.get(name, " ") in refusal(tmp_path / name), name
        assert not canary.exists(), name
    record_count("hostile weight files refused", len(files))


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    (tmp_path / "device.pt").symlink_to("/dev/zero")
    for name in ("pipe.pt", "folder.pt", "device.pt"):
        assert "is not a file" in refusal(tmp_path / name)
    assert "cannot be opened" in refusal(tmp_path / "loop.pt")


def test_a_child_that_dies_is_a_reason(tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pt").write_bytes(saved({"a": torch.zeros(3)}))
    with monkeypatch.context() as patch:
        patch.setattr("dermae_bench.plugin.unpickling.convert", lambda *_, **__: os.kill(os.getpid(), 9))
        assert "its reader ended with signal 9" in refusal(tmp_path / "w.pt")
    with monkeypatch.context() as patch:
        # no fault of the file, and it is not blamed for it
        patch.setattr("dermae_bench.plugin.unpickling.convert", lambda *_, **__: 1 / 0)
        told = refusal(tmp_path / "w.pt")
        assert "its reader failed with exit code 1: ZeroDivisionError: division by zero" in told
        assert "more than tensors" not in told
    with monkeypatch.context() as patch:
        patch.setattr("dermae_bench.plugin.conversions.SECONDS", 1)
        patch.setattr("dermae_bench.plugin.unpickling.convert", lambda *_, **__: time.sleep(30))
        assert "was not read within 1 s" in refusal(tmp_path / "w.pt")
    assert torch.equal(load_weights(tmp_path / "w.pt")["a"], torch.zeros(3))


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: flipped bits, a changed byte, a cut, a piece left out, a piece doubled, zeros."""
    found = bytearray(data)
    place, length = int(rng.integers(len(found))), int(rng.integers(1, 64))
    match int(rng.integers(6)):
        case 0:
            for at in rng.integers(len(found), size=length):
                found[at] ^= 1 << int(rng.integers(8))
        case 1:
            found[place] = int(rng.integers(256))
        case 2:
            del found[place:]
        case 3:
            del found[place : place + length]
        case 4:
            found[place:place] = found[place : place + length]
        case _:
            found[place : place + length] = bytes(length)
    return bytes(found)


def survive(path: Path, data: bytes, count: int) -> int:
    """Read `count` mutations; returns how many were refused, each by one line."""
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(count):
        path.write_bytes(mutated(data, rng))
        began = time.process_time()
        try:
            state = load_weights(path)
        except UserError as error:
            refused += 1
            assert len(str(error)) < 900
        else:
            # a flipped bit of a number cannot be noticed here; the key of a stage holds the file's digest
            assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
        assert time.process_time() - began < SECONDS
    return refused


def test_damaged_safetensors_lead_to_nothing_else(tmp_path: Path) -> None:
    assert survive(tmp_path / "w.safetensors", sound_safetensors(tmp_path), 200) > 100


def test_damaged_pickles_lead_to_nothing_else(tmp_path: Path, canary: Path) -> None:
    assert survive(tmp_path / "w.pt", saved({"a": torch.arange(12.0)}), 10) >= 3


@pytest.mark.slow
def test_ten_thousand_damaged_safetensors(tmp_path: Path) -> None:
    assert survive(tmp_path / "w.safetensors", sound_safetensors(tmp_path), 10_000) > 5_000
    record_count("damaged weight files read", 10_000)


@pytest.mark.slow
def test_a_thousand_damaged_pickles(tmp_path: Path, canary: Path) -> None:
    assert survive(tmp_path / "w.pt", saved({"a": torch.arange(12.0)}), 500) > 150
    assert survive(tmp_path / "w.pt", saved({"a": torch.arange(12.0)}, _use_new_zipfile_serialization=False), 500) > 150
    record_count("damaged weight files read", 1_000)
    assert not canary.exists()
