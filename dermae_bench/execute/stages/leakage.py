"""Lints of the prepared data, or of one sample set beside val and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.execute.stages.common import StageContext, dataset_tasks, image_set
from dermae_bench.leakage.features import Reach, reach_of
from dermae_bench.leakage.findings import KINDS, Tally
from dermae_bench.leakage.fingerprints import Fingerprints, fingerprints
from dermae_bench.leakage.lints import SPLITS, Images, lint_generated, lint_real
from dermae_bench.leakage.pairs import CORRELATION, HAMMING
from dermae_bench.plugin.images import ImageSet

HELD_OUT = ("val", "test")


def leakage(context: StageContext) -> dict[str, Any]:
    """Findings in the summary; no files.

    `work` has `what` (`real` or `samples`) and `extractor`, its name or None. Inputs: `prepare`; of samples
    `samples0`; with an extractor its features of each split, and of the samples under `generated`.
    """
    what = context.work["what"]
    _, prepared = context.input("prepare")
    real = _real(context, SPLITS if what == "real" else HELD_OUT)
    reach = None if real.features is None else reach_of(real.features, real.groups, real.ids)
    if what == "real":
        count, tally = len(real.ids), lint_real(real, reach)
    else:
        drawn = image_set(context, [{"samples": "samples0"}], None)
        features = _features(context, "generated")
        generated = Images(ids=drawn.ids, prints=_prints(context, drawn), features=features)
        count, tally = len(drawn), lint_generated(generated, real, None if features is None else reach)
    return {
        "of": "leakage",
        "what": what,
        "n": count,
        "leaky": prepared.summary["leaky"],
        "rules": _rules(context, reach),
        "records": [],
        "warnings": warnings_of(tally, context.spec["name"].removeprefix("score/leakage/")),
        **tally.summary(),
    }


def warnings_of(tally: Tally, who: str) -> list[str]:
    """One line for each kind of finding that a reader of the boards has to know."""
    found = []
    for kind, count in tally.counts.items():
        if KINDS[kind].severity != "warning":
            continue
        places = ", ".join(
            f"{len(ids)} in {where.partition('>')[2]}"
            for where, ids in sorted(tally.touched.get(kind, {}).items())
            if not where.endswith(">samples")
        )
        images = f" (images: {places})" if places else ""
        found.append(f"data ({who}): {count} {KINDS[kind].words}{images}; `dermae-bench validate --data` lists them")
    return found


def _rules(context: StageContext, reach: Reach | None) -> Mapping[str, Any]:
    return {
        "hamming": HAMMING,
        "correlation": CORRELATION,
        "extractor": context.work["extractor"],
        "distances": asdict(reach) if reach is not None else None,
    }


def _real(context: StageContext, splits: tuple[str, ...]) -> Images:
    _, prepared = context.input("prepare")
    root = next(iter(dataset_tasks(prepared).values()))
    pieces = [image_set(context, [{"split": split}], root) for split in splits]
    images = image_set(context, [{"split": split} for split in splits], root)
    assert images.labels is not None
    features = [_features(context, split) for split in splits]
    known = [values for values in features if values is not None]
    return Images(
        ids=images.ids,
        prints=_prints(context, images),
        groups=images.groups,
        splits=[split for split, piece in zip(splits, pieces, strict=True) for _ in range(len(piece))],
        labels=[root.classes[label] for label in images.labels],
        features=np.concatenate(known) if len(known) == len(splits) else None,
    )


def _prints(context: StageContext, images: ImageSet) -> Fingerprints:
    context.phase = "fingerprints"
    return fingerprints(images.gather, len(images), lambda done: context.status(done, len(images), "images"))


def _features(context: StageContext, role: str) -> NDArray[np.float32] | None:
    """Of the extract stage in that role; None where the plan has none."""
    if role not in context.spec["inputs"]:
        return None
    values: NDArray[np.float32] = np.load(context.input(role)[0] / "features.npy", mmap_mode="r")
    return values
