"""`import-weights`: tensors of somebody's pickle as safetensors; running the pickle only where that was asked for."""

from __future__ import annotations

import collections
import fcntl
import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dermae_bench.commands import importing
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


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_others_may_read_it_where_the_umask_lets_them(tmp_path: Path, umask: int, mode: int) -> None:
    source = tmp_path / "w.pt"
    torch.save({"a": torch.ones(3)}, source)
    source.chmod(0o600)
    before = os.umask(umask)
    try:
        assert import_weights_file(source, tmp_path / "w.safetensors", trusted=False) == 0
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"w.pt": 0o600, "w.safetensors": mode, "w.safetensors.json": mode}


def test_relative_places_are_imported_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is a process of its own, which stands in another folder."""
    torch.save({"a": torch.ones(3)}, tmp_path / "w.pth")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    assert import_weights_file(Path("w.pth"), Path("w.safetensors"), trusted=False) == 0
    assert import_weights_file(Path("w.pth"), Path("sub/w.safetensors"), trusted=False) == 0
    assert torch.equal(load_file("sub/w.safetensors")["a"], torch.ones(3))


def test_a_file_beyond_all_bounds_is_refused_before_its_digest_is_taken(tmp_path: Path) -> None:
    source = tmp_path / "w.pt"
    with source.open("wb") as stream:
        stream.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe.pt")
    begun = time.monotonic()
    for trusted in (True, False):
        with pytest.raises(UserError, match="is larger than 64 GiB"):
            import_weights_file(source, tmp_path / "w.safetensors", trusted=trusted)
        with pytest.raises(UserError, match="is not a file"):
            import_weights_file(tmp_path / "pipe.pt", tmp_path / "w.safetensors", trusted=trusted)
    assert time.monotonic() - begun < 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe.pt", "w.pt"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def stopped(file: Path, folder: Path, *, trusted: bool) -> None:
        (folder / "state.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), number)
        pytest.fail("it goes on")

    source, out, before = tmp_path / "w.pt", tmp_path / "w.safetensors", signal.getsignal(number)
    torch.save({"a": torch.ones(2)}, source)
    monkeypatch.setattr("dermae_bench.plugin.weights.import_weights", stopped)
    assert import_weights_file(source, out, trusted=False) == 128 + number
    assert capsys.readouterr().err == f"stopped by {number.name}: {out} was not made\n"
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]
    assert signal.getsignal(number) is before


def test_what_a_killed_import_left_goes_with_the_next_one_unless_it_is_held(tmp_path: Path) -> None:
    source = tmp_path / "w.pt"
    torch.save({"a": torch.ones(2)}, source)
    child = os.fork()
    if child == 0:
        with importing._place(tmp_path) as folder:
            (folder / "state.safetensors").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = tmp_path.glob(".import-*")
    strange = tmp_path / ".import-strange"
    strange.mkdir()
    (strange / "mine.txt").write_text("no lock: who knows whose it is")
    (tmp_path / ".import-empty").mkdir()
    (tmp_path / ".import-link").symlink_to(strange)
    with importing._place(tmp_path) as held:
        assert not left.exists() and not (tmp_path / ".import-empty").exists()
        assert import_weights_file(source, tmp_path / "w.safetensors", trusted=False) == 0
        assert (held / importing.LOCK).exists()
    assert not held.exists()
    assert (strange / "mine.txt").exists() and (tmp_path / ".import-link").is_symlink()
    assert len(list(tmp_path.glob(".import-*"))) == 2


def test_a_folder_that_is_taken_for_a_left_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its making and its lock, another import may find it unlocked and remove it."""
    flock, seen = fcntl.flock, list[Path]()

    def late(handle: int, kind: int) -> None:
        (folder,) = tmp_path.glob(".import-*")
        if not seen:
            (folder / importing.LOCK).unlink()
            folder.rmdir()
        seen.append(folder)
        flock(handle, kind)

    monkeypatch.setattr(importing.fcntl, "flock", late)
    with importing._place(tmp_path) as folder:
        assert len(seen) == 2 and seen[0] != folder == seen[1]
        assert (folder / importing.LOCK).exists()
    assert not list(tmp_path.iterdir())
