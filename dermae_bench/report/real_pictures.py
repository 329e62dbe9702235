"""Generated images beside their nearest training images.

Real photographs of skin never stand in the page, in `figures/` or in a committed folder: these pictures lie in
`real-images/`, which tells git to ignore it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.durable import digest_of
from dermae_bench.report.details import Nearest, name_of, nearest
from dermae_bench.report.drawing import drawn
from dermae_bench.report.listed import Written, write_listed
from dermae_bench.report.numbers import shown
from dermae_bench.report.records import Boards, Figure, published
from dermae_bench.suite.rows import RowPlan
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.report.collect import Collector

FOLDER = "real-images"
MOST = 20
"""Pairs of one picture."""
_IGNORED = "# real photographs: this folder never leaves the machine\n*\n"


def write_real_pictures(
    collector: Collector, boards: Boards, folder: Path, written: Written | None = None
) -> tuple[Path, ...]:
    """Write `real-images/` of a results folder: a picture for each list of nearest pairs, and its caption.

    Args:
        written: takes the digests of what was written.

    Returns:
        the files whose bytes changed. Nothing is written, and former pictures are removed, where there are no pairs.
    """
    contents: dict[str, bytes] = {}
    for figure in _figures(collector, boards):
        contents |= {f"{figure.name}{ending}": data for ending, data in drawn(figure).items()}
    if contents:
        contents[".gitignore"] = _IGNORED.encode()
    return write_listed(folder / FOLDER, contents, written)


def _figures(collector: Collector, boards: Boards) -> Iterator[Figure]:
    plans = {row.row: row for row in collector.rows}
    for its in nearest(published(boards)):
        samples = _samples(collector, plans[its.info.row], its.metric)
        if samples is not None and its.pairs and collector.prepared_stage is not None:
            yield _figure(collector, its, samples)


def _samples(collector: Collector, row: RowPlan, metric: str) -> Stage | None:
    """The sample stage that the details were taken from: that of the first seed that has them; None of floors."""
    for cell in row.cells:
        for score in cell.scores:
            manifest = collector.manifest(score)
            if manifest is not None and metric in manifest.summary.get("details", {}):
                return cell.samples
    return None


def _figure(collector: Collector, its: Nearest, samples: Stage) -> Figure:
    assert collector.prepared_stage is not None
    pairs = its.pairs[:MOST]
    generated = _generated(collector.store.checked("sample", samples.key)[0], [pair.generated for pair in pairs])
    prepared = collector.prepared_stage
    place, _ = collector.store.checked("prepare", prepared.key, ("images.npy", "table.parquet"))
    real = _real(place, [pair.training for pair in pairs])
    rows = []
    for pair, left, right in zip(pairs, generated, real, strict=True):
        copy = " NEAR COPY" if pair.near else ""
        numbers = f"{shown(pair.distance)} (held out {shown(pair.held_out_distance)}){copy}"
        rows.append((f"{numbers} {pair.training}", np.stack([left, right])))
    name = re.sub(r"[^a-z0-9]+", "-", f"{name_of(its.info)} {its.metric}".lower()).strip("-")[:60]
    return Figure(
        # two rows may be called alike once their names are cut
        name=f"nearest-{name}-{digest_of([its.info.row, its.metric])[:6]}",
        title=f"{name_of(its.info)}: generated images beside their nearest training images",
        caption=f"Left: generated. Right: the nearest training image, a REAL photograph: do not publish. By "
        f"{its.metric}: distance, and that of the same generated image to the nearest held-out image. Near copies lie "
        f"below {shown(its.reach)}; an honest generator has {its.expected:.2g} of its images there.",
        rows=tuple(rows),
    )


def _generated(folder: Path, ids: Sequence[str]) -> list[NDArray[np.uint8]]:
    place = _places(folder)
    shards = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("images-*.npy"))]
    starts = np.cumsum([0, *(len(shard) for shard in shards)])
    found = []
    for name in ids:
        row = place[name]
        shard = int(np.searchsorted(starts, row, side="right")) - 1
        found.append(np.array(shards[shard][row - starts[shard]]))
    return found


def _real(folder: Path, ids: Sequence[str]) -> list[NDArray[np.uint8]]:
    place, images = _places(folder), np.load(folder / "images.npy", mmap_mode="r")
    return [np.array(images[place[name]]) for name in ids]


def _places(folder: Path) -> dict[Any, int]:
    import pyarrow.parquet as pq

    names = pq.read_table(folder / "table.parquet", columns=["id"]).column("id").to_pylist()
    return {name: row for row, name in enumerate(names)}
