"""What every stage needs: its spec, its inputs, image sets and models."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.durable import write_text
from dermae_bench.errors import UserError
from dermae_bench.execute.logs import LOGS
from dermae_bench.faults import point
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.images import ImageSet, Part
from dermae_bench.plugin.loading import load_plugin
from dermae_bench.plugin.params import build
from dermae_bench.scoring.choosing import chosen
from dermae_bench.scoring.labels import map_labels, task_of
from dermae_bench.store import fences
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest
from dermae_bench.store.refusals import FULL

if TYPE_CHECKING:
    import torch

    from dermae_bench.plugin.contracts import Model


@dataclass
class StageContext:
    """One attempt at one stage: where it reads, where it writes, what it was asked."""

    folder: Path
    """Survives kills: checkpoints and shards lie here until the stage is finished."""
    spec: Mapping[str, Any]
    """{kind, key, name, work, parts, inputs, plugins, store, environment, fence}."""
    out: Path
    """Files put here become the artifact."""
    phase: str = "start"
    """Where it is, for the failure record."""
    stop: Callable[[], bool] = lambda: False
    _checked: dict[str, tuple[Path, Manifest]] = field(default_factory=dict)
    _last_status: float = 0.0

    @property
    def work(self) -> Mapping[str, Any]:
        """What the plan asks for, with real paths."""
        work: Mapping[str, Any] = self.spec["work"]
        return work

    def input(self, role: str) -> tuple[Path, Manifest]:
        """Folder and manifest of an input; its files' digests are checked on first use.

        Raises:
            Damaged: a file differs from its manifest.
        """
        if role not in self._checked:
            self.sign()
            about = self.spec["inputs"][role]
            self._checked[role] = Store(Path(self.spec["store"])).checked(about["kind"], about["key"])
        return self._checked[role]

    def status(self, done: int, total: int, unit: str, loss: float | None = None) -> None:
        """Tell the progress display, at most twice a second."""
        now = time.monotonic()
        if now - self._last_status < 0.5 and done < total:
            return
        self._last_status = now
        self._tell({"step": done, "steps": total, "unit": unit, "loss": loss})

    def sign(self) -> None:
        """Give a sign of life where no steps are counted, at most twice a second."""
        now = time.monotonic()
        if now - self._last_status >= 0.5:
            self._last_status = now
            self._tell({})

    def _tell(self, about: Mapping[str, Any]) -> None:
        words = {**about, "phase": self.phase, "time": time.time()}
        try:
            write_text(self.folder / "status.json", json.dumps(words), durable=False)
        except OSError as error:
            if error.errno not in FULL:
                raise
            # a fit is worth more than a note about it; the log's time needs no room, and is a sign of life, too
            with contextlib.suppress(OSError):
                os.utime(self.folder / LOGS[0])

    def hold(self, what: str) -> None:
        """Go on only while nobody else has taken over the stage; asked before anything is put down for later attempts.

        Raises:
            Superseded: somebody has, and `what` is not written.
        """
        if "fence" in self.spec:
            fences.hold(self.folder, self.spec["fence"], what)

    def plugin(self, name: str) -> type[Any]:
        """Import the class behind a plugin's name."""
        reference = self.spec["plugins"][name]
        return load_plugin(reference["name"], reference["module"], reference["file"])[1]

    def configured(self, name: str, params: Mapping[str, Any]) -> Any:
        """A plugin without weights (dataset, metric, extractor), built from checked params."""
        self.sign()
        cls = self.plugin(name)
        return cls(build(cls.Config, params))


def pick_device() -> torch.device:
    """CUDA where there is one, unless `DERMAE_BENCH_DEVICE` says otherwise. Never part of a key."""
    import torch

    asked = os.environ.get("DERMAE_BENCH_DEVICE", "auto")
    if asked != "auto":
        return torch.device(asked)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_threads(count: int) -> None:
    """CPU threads of this process; part of the key of every stage that computes with floats."""
    import torch

    torch.set_num_threads(count)


def build_model(context: StageContext, about: Mapping[str, Any]) -> Model:
    """A model as its config describes it, with random weights."""
    cls = context.plugin(about["plugin"])
    model: Model = cls(build(cls.Config, about["params"]), task_of(about["task"]))
    return model


def load_model(context: StageContext, about: Mapping[str, Any], role: str, device: torch.device) -> Model:
    """A fitted model in eval mode, with the weights of input `role`."""
    from safetensors.torch import load_file

    folder, _ = context.input(role)
    model = build_model(context, about)
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    return model.to(device).eval()


# -- image sets --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Per-image facts of a prepared dataset or a sample set, column by column."""

    columns: Mapping[str, Sequence[Any]]

    @staticmethod
    def read(path: Path) -> Table:
        """Read a parquet table."""
        import pyarrow.parquet as pq

        # no thread pool: a small table is read faster without one
        table = pq.read_table(path, use_threads=False)
        return Table({name: table.column(name).to_pylist() for name in table.column_names})

    @staticmethod
    def write(path: Path, columns: Mapping[str, Any]) -> None:
        """Write a parquet table; equal columns give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        point("write", path)
        pq.write_table(pa.table(dict(columns)), path, compression="zstd")


def dataset_tasks(manifest: Manifest) -> dict[str, Task]:
    """The tasks of a prepared dataset, by name; the first is the root."""
    return {about["name"]: task_of(about) for about in manifest.summary["tasks"]}


def image_set(
    context: StageContext,
    spec: Sequence[Mapping[str, Any]],
    task: Task | None,
    teacher: Mapping[int, NDArray[np.float32]] | None = None,
    prepared: str = "prepare",
) -> ImageSet:
    """Join splits and sample sets; labelled for `task` (None or a task without classes: unlabelled).

    Args:
        teacher: number of the part -> logits (n, C) of its images, where the set is for a student. A part that asks
            for it (`labels: teacher`) gets the most probable class of each image as its label.
        prepared: role of the input that holds the real images.
    """
    folder, manifest = context.input(prepared)
    tasks = dataset_tasks(manifest)
    wanted = task if task is not None and task.classes else None
    pieces: list[ImageSet] = []
    for number, item in enumerate(spec):
        said = teacher[number] if teacher else None
        if "split" in item:
            piece = _split(folder, tasks, item["split"], wanted)
            if "choose" in item:
                piece = _chosen(piece, folder, tasks, item)
        elif item.get("labels") == "teacher" and said is not None:
            bare = _samples(context, item["samples"], tasks, None)
            piece = replace(bare, task=wanted, labels=said.argmax(axis=1).astype(np.int64))
        else:
            piece = _samples(context, item["samples"], tasks, wanted)
        pieces.append(piece if said is None else replace(piece, teacher_logits=said))
    return _joined(pieces, wanted)


def _split(folder: Path, tasks: Mapping[str, Task], split: str, wanted: Task | None) -> ImageSet:
    table = Table.read(folder / "table.parquet").columns
    rows = np.flatnonzero(np.array(table["split"]) == split)
    members = rows.tolist()
    root = next(iter(tasks.values()))
    pixels = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.array(table["label"], dtype=np.int64)[rows]
    facts = {
        name.removeprefix("attribute."): [values[i] for i in members]
        for name, values in table.items()
        if name.startswith("attribute.")
    }
    captions = [table["caption"][i] for i in members] if "caption" in table else None
    return ImageSet(
        parts=[Part([pixels], rows)],
        ids=[table["id"][i] for i in members],
        groups=[table["group"][i] for i in members],
        task=wanted,
        labels=map_labels(labels, root, wanted, tasks) if wanted is not None else None,
        captions=captions,
        attributes=facts,
    )


def _chosen(piece: ImageSet, folder: Path, tasks: Mapping[str, Task], item: Mapping[str, Any]) -> ImageSet:
    asked = item["choose"]
    task = tasks[asked["task"]] if asked["task"] is not None else None
    labels = _split(folder, tasks, item["split"], task).labels if task is not None else None
    classes = task.classes if task is not None else ()
    return piece.take(chosen(piece.ids, piece.groups, asked, labels, classes, item["split"]))


def _samples(context: StageContext, role: str, tasks: Mapping[str, Task], wanted: Task | None) -> ImageSet:
    folder, manifest = context.input(role)
    table = Table.read(folder / "table.parquet").columns
    shards = [np.load(folder / name, mmap_mode="r") for name in sorted(manifest.files) if name.startswith("images-")]
    count = len(table["id"])
    labels = None
    if wanted is not None:
        source = manifest.summary["task"]
        if source is None:
            raise UserError(f"{manifest.name} has no labels, but a set labelled for {wanted.name!r} is needed")
        labels = map_labels(np.array(table["label"], dtype=np.int64), tasks[source], wanted, tasks)
    return ImageSet(
        parts=[Part(shards, np.arange(count))] if count else [],
        ids=table["id"],
        groups=table["id"],
        task=wanted,
        labels=labels,
        captions=table.get("caption"),
    )


def _joined(pieces: Sequence[ImageSet], task: Task | None) -> ImageSet:
    if len(pieces) == 1:
        return pieces[0]
    captions = None
    if all(piece.captions is not None for piece in pieces):
        captions = [caption for piece in pieces for caption in piece.captions or ()]
    labels = None
    if task is not None:
        labels = np.concatenate([piece.labels for piece in pieces if piece.labels is not None])
    said = [piece.teacher_logits for piece in pieces if piece.teacher_logits is not None]
    shared = set.intersection(*(set(piece.attributes) for piece in pieces))
    return ImageSet(
        parts=[part for piece in pieces for part in piece.parts],
        ids=[name for piece in pieces for name in piece.ids],
        groups=[name for piece in pieces for name in piece.groups],
        task=task,
        labels=labels,
        captions=captions,
        teacher_logits=np.concatenate(said) if said else None,
        attributes={name: [value for piece in pieces for value in piece.attributes[name]] for name in sorted(shared)},
    )
