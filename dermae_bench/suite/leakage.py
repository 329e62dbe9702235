"""Stages that lint data: one over the real images, one for each sample set. Nothing waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from dermae_bench.durable import digest_file
from dermae_bench.suite.keys import PACKAGE
from dermae_bench.suite.places import SPLITS
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.generator_rows import GeneratorRows

NAME = "score/leakage/"
"""Beginning of the names of these stages."""


def leakage_stages(generators: GeneratorRows, samples: Sequence[Stage] | None = None) -> list[Stage]:
    """Add the lints to a plan, after everything that they look at.

    Features come from the first extractor of the suite. Those of a sample set are used where a row has them
    extracted anyway, and are never asked for: a set may hold 600,000 images.

    Args:
        generators: whose planner gets the stages.
        samples: sample stages to compare with val and test; all of the plan but the grids of figures by default.
    """
    plan = generators.plan
    extractor = next(iter(plan.suite.extractors), None)
    if samples is None:
        samples = [stage for stage in plan.stages if stage.kind == "sample" and stage.work["columns"] is None]
    prepare = plan.prepare()
    features: dict[str, Stage] = {}
    if extractor is not None:
        features = {split: generators.extract(extractor, [{"split": split}], {}, None) for split in SPLITS}
    found = [_stage(generators, "real", extractor, {"prepare": prepare, **features})]
    for stage in samples:
        own = _extracted(plan.stages, extractor, stage)
        inputs = {"prepare": prepare, "samples0": stage}
        if own is not None:
            inputs |= {split: features[split] for split in SPLITS if split != "train"} | {"generated": own}
        found.append(_stage(generators, "samples", extractor if own is not None else None, inputs))
    return found


def is_leakage(stage: Stage) -> bool:
    """Whether a stage of a plan is one of these."""
    return stage.kind == "score" and stage.work.get("of") == "leakage"


def _stage(generators: GeneratorRows, what: str, extractor: str | None, inputs: dict[str, Stage]) -> Stage:
    work = {"of": "leakage", "what": what, "extractor": extractor}
    label = inputs["samples0"].name.removeprefix("sample/") if "samples0" in inputs else "real"
    known = {**work, "sources": _sources()}
    return generators.plan.add("score", NAME + label, work, known, (), inputs)


def _extracted(stages: Sequence[Stage], extractor: str | None, samples: Stage) -> Stage | None:
    """Features of all images of a sample set, if the plan has them."""
    for stage in stages:
        mine = stage.kind == "extract" and stage.inputs.get("samples0") is samples and stage.work["limit"] is None
        if mine and stage.name.startswith(f"extract/{extractor}/"):
            return stage
    return None


@cache
def _sources() -> dict[str, str]:
    """File -> digest of what decides a lint; in its own key, so that an edit there leaves the scores alone."""
    files = [*sorted((PACKAGE / "leakage").glob("*.py")), PACKAGE / "execute" / "stages" / "leakage.py"]
    return {path.relative_to(PACKAGE).as_posix(): digest_file(path)[:16] for path in files}
