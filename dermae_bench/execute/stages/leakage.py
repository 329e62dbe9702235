"""Lints of the prepared data, of one sample set beside val and test, of another data set, or of captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.execute.stages.caption_leakage import caption_leakage
from dermae_bench.execute.stages.common import StageContext, dataset_tasks, image_set
from dermae_bench.leakage.captions import SURE
from dermae_bench.leakage.features import Reach, reach_of
from dermae_bench.leakage.findings import KINDS, Finding, Tally
from dermae_bench.leakage.fingerprints import Fingerprints, fingerprints
from dermae_bench.leakage.lints import SPLITS, Images, lint_generated, lint_real
from dermae_bench.leakage.others import lint_other
from dermae_bench.leakage.pairs import CORRELATION, HAMMING
from dermae_bench.leakage.wording import LEAST, PRECISION
from dermae_bench.plugin.images import ImageSet

HELD_OUT = ("val", "test")
LEARNT = ("train", "val")
"""What fits and choices read."""
NAMED = 3
"""Phrases that a warning names."""


def leakage(context: StageContext) -> dict[str, Any]:
    """Findings in the summary; no files.

    `work` has `extractor`, its name or None, and `what`: `real`; `samples`, of images that were made elsewhere with
    `others`, names of sets; `other`, with `set`, its name; or `captions`, with `captions` and `tasks`.

    Inputs: `prepare`; of samples `samples0`, and the images of such sets as `other-NAME`; of another set its images as
    `other`; with an extractor its features of each split, and of the samples under `generated`.
    """
    what = context.work["what"]
    _, prepared = context.input("prepare")
    reach: Reach | None = None
    if what == "captions":
        linted = caption_leakage(context)
        count, tally, more = linted.n, linted.found.tally, linted.found.summary()
    else:
        if what == "other":
            count, tally = _other(context)
        else:
            count, tally, reach = _own(context)
        more = tally.summary()
    return {
        "of": "leakage",
        "what": what,
        "n": count,
        "leaky": prepared.summary["leaky"],
        "rules": _rules(context, reach),
        "records": [],
        "warnings": warnings_of(tally, context.spec["name"].removeprefix("score/leakage/")),
        **more,
    }


def _own(context: StageContext) -> tuple[int, Tally, Reach | None]:
    """The suite's own images, or a sample set beside those of val and test."""
    if context.work["what"] == "real":
        real = _real(context, SPLITS)
        reach = _reach(real)
        return len(real.ids), lint_real(real, reach), reach
    real = _real(context, HELD_OUT)
    reach = _reach(real)
    drawn = image_set(context, [{"samples": "samples0"}], None)
    features = _features(context, "generated")
    generated = Images(ids=drawn.ids, prints=_prints(context, drawn), features=features)
    # images that were made elsewhere may have come from anywhere
    others = [_named(_real(context, ("test",), f"other-{name}"), name) for name in context.work.get("others", ())]
    return len(drawn), lint_generated(generated, real, None if features is None else reach, others), reach


def _named(images: Images, name: str) -> Images:
    return replace(images, splits=[name] * len(images.ids))


def _reach(real: Images) -> Reach | None:
    return None if real.features is None else reach_of(real.features, real.groups, real.ids)


def _other(context: StageContext) -> tuple[int, Tally]:
    """The test images of another set beside what the suite learns from; pixels alone are compared."""
    other = _real(context, ("test",), "other")
    return len(other.ids), lint_other(_real(context, LEARNT), other, context.work["set"])


def warnings_of(tally: Tally, who: str) -> list[str]:
    """One line for each kind of finding that a reader of the boards has to know."""
    found = []
    for kind, count in tally.counts.items():
        if KINDS[kind].severity != "warning":
            continue
        in_place: dict[str, set[str]] = {}
        for where, ids in sorted(tally.touched.get(kind, {}).items()):
            if not where.endswith(">samples"):
                in_place.setdefault(where.partition(">")[2], set()).update(ids)
        places = ", ".join(f"{len(ids)} in {place}" for place, ids in in_place.items())
        images = f" (images: {places})" if places else ""
        some = [told(finding) for finding in tally.findings if finding.kind == kind and finding.task][:NAMED]
        first = f", first {'; '.join(some)}" if some else ""
        found.append(
            f"data ({who}): {count} {KINDS[kind].words}{images}{first}; `dermae-bench validate --data` lists them"
        )
    return found


def told(finding: Finding) -> str:
    """What tells a class, in words: "lakes" for vasc of diagnosis, 79 of 79 captions."""
    of = f"{finding.labels[0]} of {finding.task}" if finding.labels else finding.task
    name = f'"{finding.phrase}" for {of}' if finding.phrase else of
    return f"{name}, {finding.count} of {finding.among} captions"


def _rules(context: StageContext, reach: Reach | None) -> Mapping[str, Any]:
    if context.work["what"] == "captions":
        return {"precision": PRECISION, "lesions": LEAST, "sure": SURE}
    return {
        "hamming": HAMMING,
        "correlation": CORRELATION,
        "extractor": context.work["extractor"],
        "distances": asdict(reach) if reach is not None else None,
    }


def _real(context: StageContext, splits: tuple[str, ...], source: str = "prepare") -> Images:
    """Real images of some splits; `source` is the input that holds them."""
    root = next(iter(dataset_tasks(context.input(source)[1]).values()))
    pieces = [image_set(context, [{"split": split}], root, prepared=source) for split in splits]
    images = image_set(context, [{"split": split} for split in splits], root, prepared=source)
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
