"""Grids of samples (DerMAE, Fig. 2): a band a generator, a line a class, one starting noise a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.report.records import Figure
from dermae_bench.store.manifests import Manifest
from dermae_bench.suite.parts import FigurePlan
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.report.collect import Collector

Band = tuple[str, str, Stage, Manifest]
"""Generator, its sampling in words, its finished sample stage."""


def grids(collector: Collector) -> Iterator[Figure]:
    """The figures of the suite; a generator that is not finished is named in the caption instead of shown."""
    for plan in collector.figures:
        finished: list[Band] = []
        missing = []
        for generator, sampling, stage in plan.rows:
            manifest = collector.manifest(stage)
            if manifest is None:
                missing.append(f"{generator} ({collector.why(stage) or 'pending'})")
            else:
                finished.append((generator, sampling, stage, manifest))
        if finished:
            yield _grid(collector, plan, finished, missing)


def _grid(collector: Collector, plan: FigurePlan, finished: Sequence[Band], missing: Sequence[str]) -> Figure:
    lines, bands = [], []
    names = [generator for generator, *_ in finished]
    for generator, sampling, stage, _ in finished:
        # the same generator may stand twice, sampled in two ways
        band = f"{generator} ({sampling})" if names.count(generator) > 1 else generator
        images = _images(collector, stage, plan.columns)
        classes = stage.work["model"]["task"]["classes"]
        for number, name in enumerate(classes or [""]):
            lines.append((f"{band}: {name}" if name else band, images[number]))
            bands.append(band)
    return Figure(
        name=plan.name,
        title=plan.name,
        caption=" ".join(_caption(plan, finished, missing)),
        rows=tuple(lines),
        bands=tuple(bands),
    )


def _images(collector: Collector, stage: Stage, columns: int) -> NDArray[np.uint8]:
    """uint8 (classes or 1, columns, 3, S, S)."""
    folder, _ = collector.store.checked(stage.kind, stage.key)
    found = np.concatenate([np.load(path) for path in sorted(folder.glob("images-*.npy"))])
    lines = max(1, len(stage.work["model"]["task"]["classes"]))
    if len(found) != lines * columns:
        raise InvalidOutput(f"{stage.name} holds {len(found)} images, not {lines} lines of {columns}")
    return found.reshape(lines, columns, *found.shape[1:])


def _caption(plan: FigurePlan, finished: Sequence[Band], missing: Sequence[str]) -> Iterator[str]:
    drawn = []
    for generator, sampling, stage, _ in finished:
        seed = stage.work["seed"]
        drawn.append(f"{generator} ({sampling + ', ' if sampling else ''}seed {seed})")
    yield f"{plan.columns} columns; from top to bottom: {'; '.join(drawn)}."
    conditional = [generator for generator, _, stage, _ in finished if stage.work["model"]["task"]["classes"]]
    if conditional:
        yield f"{_listed(conditional)}: one line a class asked for, from the same starting noise down each column."
    yield from _noise(finished)
    yield "Every image is generated; none was chosen."
    if missing:
        yield f"Not drawn yet: {'; '.join(missing)}."


def _noise(finished: Sequence[Band]) -> Iterator[str]:
    """Who starts from the same noise: networks of equal input shape under equal seeds."""
    starts: dict[tuple[Any, ...], list[str]] = {}
    unknown = []
    for generator, _, stage, manifest in finished:
        shape = manifest.summary.get("starting_shape")
        if shape is None:
            unknown.append(generator)
        else:
            starts.setdefault((tuple(shape), stage.work["seed"]), []).append(generator)
    for (shape, _), names in starts.items():
        size = " x ".join(map(str, shape))
        if len(names) > 1:
            yield f"Down each column {_listed(names)} start from the same noise ({size})."
        elif len(finished) > 1:
            yield f"{names[0]} starts from noise of its own ({size}): its columns are not those of the others."
    if unknown and len(finished) > 1:
        yield f"What {_listed(unknown)} start{'s' if len(unknown) == 1 else ''} from is not stated: no common noise."


def _listed(names: Sequence[str]) -> str:
    found = list(dict.fromkeys(names))
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
