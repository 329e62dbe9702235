"""Checkpoints of a stage in progress: safetensors and JSON, atomic, two kept, digests checked on load."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dermae_bench.durable import digest_file, let_others_read, remove_tree, rename, sync_file, sync_folder
from dermae_bench.execute.notes import Unsound, read_note, write_note
from dermae_bench.faults import point
from dermae_bench.store.refusals import FULL

FORMAT = 1
"""Of what lies in a checkpoint; one of another is not read."""
KEPT = 2
ROOM_TO_SPARE = 1 << 20
"""Bytes that are left free beyond those of the tensors: for the JSON, and for what the stage writes beside."""
DAMAGE = (Unsound, OSError, LookupError, TypeError, ValueError, AttributeError, OverflowError)
"""What reading and judging a checkpoint of unknown origin may raise."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything a fit needs to go on from `step` as if it had never stopped."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one stage, in a folder of its own.

    Args:
        key: of the stage; a checkpoint that another one left is never taken.
        hold: called with what is about to be put down; raises where somebody else has taken over the stage.
    """

    def __init__(self, folder: Path, key: str = "", hold: Callable[[str], None] = lambda what: None) -> None:
        self.folder = folder
        self.key = key
        self._hold = hold
        self._refused: set[str] = set()

    def save(self, checkpoint: Checkpoint) -> bool:
        """Write one and drop all but the newest two; whether it was written.

        Where the disk or the quota is full it is not, and the log says so: the fit is healthy, needs no checkpoint for
        its result, and room may be made while it goes on. Every other refusal of the system is raised, since a disk
        that cannot be written will not take the result either.

        Raises:
            OSError: it could not be written for another reason.
            Superseded: somebody else works on the stage now; nothing was written or dropped.
        """
        self._hold("a checkpoint")
        target = self.folder / f"step-{checkpoint.step:010d}"
        work = self.folder / "new"
        needed = sum(t.numel() * t.element_size() for t in checkpoint.tensors.values()) + ROOM_TO_SPARE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _discard(work)
            for name in self._refused:
                _discard(self.folder / name)
            self._refused.clear()
            # one that a full disk kept from being removed last time
            self._prune()
            if target.exists():
                if self._is_whole(target):
                    # the same step of the same stage: there is nothing to add, and taking it away first would risk it
                    return True
                _discard(target)
            free = shutil.disk_usage(self.folder).free
            if free < needed:
                raise OSError(errno.ENOSPC, "too little room", str(self.folder))
            self._write(checkpoint, work)
            self._hold("a checkpoint")
            rename(work, target)
            sync_folder(self.folder)
            self._prune()
        except OSError as error:
            if error.errno not in FULL:
                raise
            _discard(work)
            _say(
                f"no room for the checkpoint of step {checkpoint.step} in {self.folder} ({needed} bytes needed, "
                f"{shutil.disk_usage(self.folder).free} free); the fit goes on without it"
            )
            return False
        return True

    def load(self, judge: Callable[[Checkpoint], None] | None = None) -> Checkpoint | None:
        """The newest sound one; None when there is none. What is refused is named in the log, and goes with the next
        save.

        Args:
            judge: raises `Unsound` (or what a missing or odd fact raises) for one that does not fit the stage.
        """
        for folder in reversed(self._all()):
            try:
                found = self._read(folder)
                if judge is not None:
                    judge(found)
            except DAMAGE as error:
                why = str(error) if isinstance(error, Unsound) else f"{type(error).__name__}: {error}"
                _say(f"checkpoint {folder.name} is damaged ({why}); falling back to the one before")
                self._refused.add(folder.name)
                continue
            return found
        if self._refused:
            _say("no sound checkpoint is left; the fit begins anew")
        return None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _write(self, checkpoint: Checkpoint, work: Path) -> None:
        point("write", work)
        work.mkdir()
        path = work / "state.safetensors"
        # clones: safetensors refuses tensors that share memory (tied weights)
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in checkpoint.tensors.items()}
        save_tensors(tensors, path)
        sync_file(path)
        note = {
            "format": FORMAT,
            "key": self.key,
            "step": checkpoint.step,
            "bytes": path.stat().st_size,
            "sha256": digest_file(path),
            "facts": checkpoint.facts,
        }
        write_note(work / "state.json", note)

    def _note(self, folder: Path) -> dict[str, Any]:
        """The note of a checkpoint whose tensors are those that it speaks of."""
        note = read_note(folder / "state.json")
        if (note.get("format"), note.get("key")) != (FORMAT, self.key):
            raise Unsound("it is of another stage")
        if folder.name != f"step-{note['step']:010d}":
            raise Unsound(f"it is of step {note['step']}")
        path = folder / "state.safetensors"
        # the size first: hashing something huge takes long
        if path.stat().st_size != note["bytes"] or digest_file(path) != note["sha256"]:
            raise Unsound("digest of state.safetensors differs")
        return note

    def _is_whole(self, folder: Path) -> bool:
        try:
            self._note(folder)
        except DAMAGE:
            return False
        return True

    def _read(self, folder: Path) -> Checkpoint:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        note = self._note(folder)
        try:
            tensors: dict[str, Tensor] = load_file(folder / "state.safetensors")
        except SafetensorError as error:
            raise Unsound(f"state.safetensors: {error}") from None
        return Checkpoint(int(note["step"]), tensors, note["facts"])

    def _prune(self) -> None:
        for old in self._all()[:-KEPT]:
            _discard(old)

    def _all(self) -> list[Path]:
        """From the oldest to the newest; other names are none of ours."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if re.fullmatch(r"step-\d{10}", path.name))


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        OSError: what the operating system refused, which safetensors tells in words alone.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    point("write", path)
    try:
        save_file(dict(tensors), path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), str(error), str(path)) from None
    let_others_read(path)


def _discard(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        remove_tree(path)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (the attempt's log)
