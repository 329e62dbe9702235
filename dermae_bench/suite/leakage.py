"""Stages that lint data: the real images, each sample set, each other data set, captions. Nothing waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.durable import digest_file
from dermae_bench.suite.captioning import captions_of
from dermae_bench.suite.keys import PACKAGE
from dermae_bench.suite.places import SPLITS
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.generator_rows import GeneratorRows
    from dermae_bench.suite.plan import Planner

NAME = "score/leakage/"
"""Beginning of the names of these stages."""
OTHER = "other-"
"""Beginning of the roles of other sets beside images that were made elsewhere."""
_OF_CAPTIONS = ("captions", "chance", "wording")
_STAGES_OF_CAPTIONS = ("leakage", "caption_leakage", "captions")


def leakage_stages(generators: GeneratorRows, samples: Sequence[Stage] | None = None) -> list[Stage]:
    """Add the lints to a plan, after everything that they look at.

    Features come from the first extractor of the suite. Those of a sample set are used where a row has them
    extracted anyway, and are never asked for: a set may hold 600,000 images.

    Args:
        generators: whose planner gets the stages.
        samples: sample stages to compare with val and test; all of the plan but the grids of figures by default.
    """
    plan = generators.plan
    # one that was fitted on these images recognises them, and finds no copy
    given = (name for name, spec in plan.suite.extractors.items() if spec.from_ is None)
    extractor = next(given, None)
    if samples is None:
        samples = [stage for stage in plan.stages if stage.kind == "sample" and stage.work["columns"] is None]
    prepare = plan.prepare()
    features: dict[str, Stage] = {}
    if extractor is not None:
        features = {split: generators.distances.extract(extractor, [{"split": split}], {}, None) for split in SPLITS}
    found = [_stage(generators, "real", extractor, {"prepare": prepare, **features})]
    for stage in samples:
        own = _extracted(plan.stages, extractor, stage)
        inputs = {"prepare": prepare, "samples0": stage}
        if own is not None:
            inputs |= {split: features[split] for split in SPLITS if split != "train"} | {"generated": own}
        if "train" not in stage.inputs:
            # nobody fitted their generator here, so its own data tell nothing of what is in them
            inputs |= {f"{OTHER}{name}": plan.prepare_other(name) for name in plan.suite.evaluate_on}
        found.append(_stage(generators, "samples", extractor if own is not None else None, inputs))
    found += [_other(plan, name) for name in plan.suite.evaluate_on]
    return [*found, *_captions(plan)]


def is_leakage(stage: Stage) -> bool:
    """Whether a stage of a plan is one of these."""
    return stage.kind == "score" and stage.work.get("of") == "leakage"


def _stage(generators: GeneratorRows, what: str, extractor: str | None, inputs: dict[str, Stage]) -> Stage:
    work: dict[str, Any] = {"of": "leakage", "what": what, "extractor": extractor}
    label = inputs["samples0"].name.removeprefix("sample/") if "samples0" in inputs else "real"
    if others := [role.removeprefix(OTHER) for role in inputs if role.startswith(OTHER)]:
        work["others"] = others
    known = {**work, "sources": _sources()}
    return generators.plan.add("score", NAME + label, work, known, (), inputs)


def _other(plan: Planner, name: str) -> Stage:
    """Train and val beside the test images of a set under `evaluate_on`, without features: it has none extracted."""
    work = {"of": "leakage", "what": "other", "extractor": None, "set": name}
    inputs = {"prepare": plan.prepare(), "other": plan.prepare_other(name)}
    return plan.add("score", f"{NAME}other/{name}", work, {**work, "sources": _sources()}, (), inputs)


def _captions(plan: Planner) -> Iterator[Stage]:
    """One for each entry under `captions` that a generator reads; several where generators differ in their task."""
    readers = {name: spec for name, spec in plan.suite.generators.items() if spec.captions is not None}
    meant: dict[tuple[str, str | None], str] = {}
    for name, spec in readers.items():
        own = plan.suite.captions[str(spec.captions)].task
        meant.setdefault((str(spec.captions), own or spec.task), name)
    entries = [entry for entry, _ in meant]
    for (entry, task), generator in meant.items():
        said = captions_of(plan, generator)
        assert said is not None
        asked = list(dict.fromkeys([*([task] if task is not None else []), *plan.suite.tasks]))
        common = {"of": "leakage", "what": "captions", "extractor": None, "tasks": asked}
        known = {**common, "captions": said[1], "sources": _sources_of_captions()}
        label = f"{entry}/{task or 'no task'}" if entries.count(entry) > 1 else entry
        work, inputs = {**common, "captions": said[0]}, {"prepare": plan.prepare()}
        yield plan.add("score", f"{NAME}captions/{label}", work, known, (), inputs)


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
    files = [path for path in sorted((PACKAGE / "leakage").glob("*.py")) if path.stem not in _OF_CAPTIONS]
    return _digests([*files, PACKAGE / "execute" / "stages" / "leakage.py"])


@cache
def _sources_of_captions() -> dict[str, str]:
    """The same of a lint of captions, which looks at no picture."""
    files = [PACKAGE / "leakage" / f"{name}.py" for name in ("findings", *_OF_CAPTIONS)]
    return _digests([*files, *(PACKAGE / "execute" / "stages" / f"{name}.py" for name in _STAGES_OF_CAPTIONS)])


def _digests(files: Iterable[Path]) -> dict[str, str]:
    return {path.relative_to(PACKAGE).as_posix(): digest_file(path)[:16] for path in files}
