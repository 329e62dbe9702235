"""`import-weights`: tensors of somebody's pickle as safetensors; running the pickle only where that was asked for."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dermae_bench.commands.importing import import_weights_file
from dermae_bench.durable import digest_file
from dermae_bench.errors import UserError
from tests.fuzz.forked_reader import fork_readers


class Touching:
    """Makes a file when it is unpickled, and is a name without a tensor afterwards."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    fork_readers(monkeypatch)


def test_plain_weights_of_any_suffix_are_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "epoch=3.ckpt", tmp_path / "w.safetensors"
    torch.save({"state_dict": collections.OrderedDict(a=torch.arange(3.0)), "epoch": 3}, source)
    assert import_weights_file(source, out, trusted=False) == 0
    assert torch.equal(load_file(out)["a"], torch.arange(3.0))
    told = json.loads((tmp_path / "w.safetensors.json").read_text())
    assert told["source"] == {"name": source.name, "sha256": digest_file(source), "bytes": source.stat().st_size}
    assert told["sha256"] == digest_file(out)
    assert (told["tensors"], told["trusted_pickle"], told["left_out"]) == (1, False, [])
    assert set(told["versions"]) == {"dermae-bench", "torch", "safetensors"}
    assert "RUNS" not in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name, "w.safetensors", "w.safetensors.json"]


def test_a_pickle_runs_only_where_it_is_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, canary = tmp_path / "w.pt", tmp_path / "w.safetensors", tmp_path / "canary"
    torch.save({"a": torch.ones(2), "extra": Touching(canary)}, source)
    with pytest.raises(UserError, match="asks for ") as caught:
        import_weights_file(source, out, trusted=False)
    assert "--trust-pickle" in str(caught.value)
    assert not canary.exists() and not out.exists()
    assert import_weights_file(source, out, trusted=True) == 0
    assert canary.exists()
    assert list(load_file(out)) == ["a"]
    told = json.loads((tmp_path / "w.safetensors.json").read_text())
    assert (told["trusted_pickle"], told["left_out"]) == (True, ["extra"])
    err = capsys.readouterr().err
    assert "--trust-pickle RUNS THE FILE" in err
    assert digest_file(source) in err
    assert "left out, since they are no tensors: extra" in err


@pytest.mark.parametrize(
    ("file", "out", "word"),
    [
        ("lost.pt", "w.safetensors", "is not there"),
        ("w.pt", "w.pt2", "does not end in"),
        ("w.safetensors", "x.safetensors", "already"),
        ("w.pt", "there.safetensors", "is there already"),
        ("w.pt", "nowhere/w.safetensors", "no folder"),
        ("w.pt", "w.safetensors", "was not written by torch.save"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path: Path, file: str, out: str, word: str) -> None:
    (tmp_path / "w.pt").write_bytes(b"nothing")
    (tmp_path / "there.safetensors").write_bytes(b"")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=word) as caught:
        import_weights_file(tmp_path / file, tmp_path / out, trusted=False)
    assert caught.value.exit_code == 2
    assert sorted(tmp_path.iterdir()) == before


def test_relative_places_are_imported_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is a process of its own, which stands in another folder."""
    torch.save({"a": torch.ones(3)}, tmp_path / "w.pth")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    assert import_weights_file(Path("w.pth"), Path("w.safetensors"), trusted=False) == 0
    assert import_weights_file(Path("w.pth"), Path("sub/w.safetensors"), trusted=False) == 0
    assert torch.equal(load_file("sub/w.safetensors")["a"], torch.ones(3))
