"""Checkpoints of a stage in progress: safetensors and JSON, atomic, two kept, digests checked on load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dermae_bench.durable import (
    canonical,
    digest_file,
    digest_of,
    remove_tree,
    rename,
    sync_file,
    sync_folder,
    write_text,
)
from dermae_bench.faults import point

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Everything a fit needs to go on from `step` as if it had never stopped."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one stage, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one and drop all but the newest two."""
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        work = self.folder / "new"
        remove_tree(work)
        point("write", work)
        work.mkdir()
        # clones: safetensors refuses tensors that share memory (tied weights)
        save_file(
            {name: t.detach().cpu().clone().contiguous() for name, t in checkpoint.tensors.items()},
            work / "state.safetensors",
        )
        sync_file(work / "state.safetensors")
        about = {"tensors": digest_file(work / "state.safetensors"), "facts": checkpoint.facts}
        write_text(work / "state.json", canonical({**about, "sha256": digest_of(about)}))
        target = self.folder / f"step-{checkpoint.step:010d}"
        remove_tree(target)
        rename(work, target)
        sync_folder(self.folder)
        for old in self._all()[:-KEPT]:
            remove_tree(old)

    def load(self) -> Checkpoint | None:
        """The newest one whose digest is right; None when there is none."""
        from safetensors.torch import load_file

        for folder in reversed(self._all()):
            try:
                about = json.loads((folder / "state.json").read_bytes())
                if about.pop("sha256") != digest_of(about):
                    raise ValueError("digest of state.json differs")
                if digest_file(folder / "state.safetensors") != about["tensors"]:
                    raise ValueError("digest of state.safetensors differs")
                tensors: dict[str, Tensor] = load_file(folder / "state.safetensors")
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                print(f"checkpoint {folder.name} is damaged ({error}); falling back to the one before", flush=True)  # noqa: T201 (the attempt's log)
                continue
            facts = about["facts"]
            return Checkpoint(int(facts["step"]), tensors, facts)
        return None

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []
