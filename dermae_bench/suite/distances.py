"""Score stages that compare generated images with real ones, and the features that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dermae_bench.plugin.catalog import Card
from dermae_bench.suite.known import BY_CLASS
from dermae_bench.suite.measuring import PLANNED
from dermae_bench.suite.parts import SeedContext
from dermae_bench.suite.spec import MetricSpec, SubgroupSpec
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.plan import Planner


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What a row of the generators' board compares."""

    generated: tuple[Mapping[str, Any], ...]
    """{"samples": role}, {"held_out": splits} or {"noise": name}."""
    against: str
    samples: Stage | None = None
    training: tuple[Mapping[str, Any], ...] = ()
    """Real images that the generator was fitted on."""
    held_out: str = ""
    """Splits it never saw, joined by +."""
    task: str | None = None
    limit: int | None = None
    protocol: str = ""
    """What sets such rows apart: `external` for images that were made elsewhere."""

    @property
    def noise(self) -> bool:
        return "noise" in self.generated[0]

    @property
    def label(self) -> str:
        return _label(self.generated, self.samples) + (f"/n={self.limit}" if self.limit else "")


class Distances:
    """Adds to a planner what sample metrics need."""

    def __init__(self, plan: Planner) -> None:
        self.plan = plan
        self.suite = plan.suite

    def of(self, sides: Sides) -> list[Stage]:
        """One score stage an extractor, and one for the metrics that look at pixels."""
        extractors = dict.fromkeys(m.extractor for m in self.suite.sample_metrics if m.metric not in PLANNED)
        return [score for extractor in extractors if (score := self._distance(extractor, sides)) is not None]

    def _distance(self, extractor: str | None, sides: Sides) -> Stage | None:
        asked = [m for m in self.suite.sample_metrics if m.metric not in PLANNED and m.extractor == extractor]
        cards = [self.plan.catalog.card("metric", m.metric) for m in asked]
        pairs = [(m, card) for m, card in zip(asked, cards, strict=True) if _applies(m, card, sides)]
        if not pairs:
            return None
        reads = {role for _, card in pairs for role in card.flags["reads"]}
        labelled = sides.task is not None and (
            "labels" in reads or any(isinstance(m.by, str) and m.by == BY_CLASS for m, _ in pairs)
        )
        about: dict[str, dict[str, Any]] = {
            "generated": {"images": list(sides.generated), "limit": sides.limit, "labelled": labelled},
            "real": {"images": [{"split": sides.against}], "limit": None, "labelled": labelled},
        }
        if "training" in reads:
            about["training"] = {"images": list(sides.training), "limit": None, "labelled": False}
        if "held_out" in reads:
            about["held_out"] = {"images": [{"held_out": sides.held_out}], "limit": None, "labelled": False}
        drawn = {"samples0": sides.samples} if sides.samples is not None else {}
        inputs: dict[str, Stage] = {"prepare": self.plan.prepare(), **drawn}
        if extractor is not None:
            for role, its in about.items():
                its_inputs = drawn if role == "generated" else {}
                inputs[role] = self.extract(extractor, its["images"], its_inputs, its["limit"])
        common = {
            "of": "samples",
            "suffix": f"[{extractor}]" if extractor is not None else "",
            "sides": about,
            "task": self.plan.task(sides.task) if labelled else None,
            "facts": {
                "against": sides.against,
                "precision": self.suite.precision,
                **({"training": sides.protocol} if sides.protocol else {}),
            },
            "seed": 0,
        }
        mine = [card for _, card in pairs]
        by = [None if m.by is None else subgroup(m.by) for m, _ in pairs]
        hashed = [self.plan.hashed(m.params, card) for m, card in pairs]
        absolute = [self.plan.identities.absolute(m.params, card.params) for m, card in pairs]
        known = None not in hashed and not (labelled and common["task"] is None)
        work = {**common, "metrics": named(mine, absolute, by)}
        what = (extractor or "pixels") + "/" + sides.label
        return self.plan.add(
            "score",
            f"score/{what}/against={sides.against}",
            work,
            {**common, "metrics": named(mine, hashed, by)} if known else None,
            mine,
            inputs,
        )

    def extract(
        self, extractor: str, spec: Sequence[Mapping[str, Any]], inputs: Mapping[str, Stage], limit: int | None
    ) -> Stage:
        """Features of one image set; those of whole splits keep their mean and covariance ready."""
        ready = limit is None and all("split" in item for item in spec)
        common = {"images": list(spec), "limit": limit, "threads": self.suite.threads, "moments": ready}
        about = self.suite.extractors[extractor]
        inputs = {"prepare": self.plan.prepare(), **inputs}
        name = f"extract/{extractor}/{_label(spec, inputs.get('samples0'))}" + (f"/n={limit}" if limit else "")
        if about.from_ is not None:
            task = about.from_.task or self.suite.tasks[0]
            seeds = SeedContext(classifier=self.suite.seeds.classifier[0], pretrain=self.suite.seeds.pretrain[0])
            inputs["train"] = self.plan.classifier(about.from_.classifier, about.from_.train, task, seeds)
            model, hashed, card = self.plan.classifier_model(about.from_.classifier, task)
            parts = None if hashed is None else {"extractor": {"model": hashed}, **common}
            return self.plan.add("extract", name, {"extractor": {"model": model}, **common}, parts, [card], inputs)
        assert about.plugin is not None
        card = self.plan.catalog.card("extractor", about.plugin)
        hashed = self.plan.hashed(about.params, card)
        params = self.plan.identities.absolute(about.params, card.params)
        known = None if hashed is None else {"extractor": {"plugin": card.name, "params": hashed}, **common}
        work = {"extractor": {"plugin": card.name, "params": params}, **common}
        return self.plan.add("extract", name, work, known, [card], inputs)


def _applies(metric: MetricSpec, card: Card, sides: Sides) -> bool:
    """Whether these images can give what a metric reads."""
    reads = card.flags["reads"]
    by_class = isinstance(metric.by, str) and metric.by == BY_CLASS
    if sides.noise:
        # without names, labels or pixels of its own
        return not reads and metric.by is None and card.flags["over"] == "features"
    if "training" in reads and not sides.training:
        return False
    if "held_out" in reads and not sides.held_out:
        return False
    return sides.task is not None or not ("labels" in reads or by_class)


def _label(spec: Sequence[Mapping[str, Any]], samples: Stage | None) -> str:
    if samples is not None:
        return samples.name.removeprefix("sample/")
    return "+".join(str(item.get("split") or item.get("held_out") or item.get("noise")) for item in spec)


def named(
    cards: Sequence[Card], params: Sequence[Any], by: Sequence[Mapping[str, Any] | None] | None = None
) -> list[dict[str, Any]]:
    """Metrics as score stages read them."""
    found = [{"metric": card.name, "params": value} for card, value in zip(cards, params, strict=True)]
    return found if by is None else [{**item, "by": part} for item, part in zip(found, by, strict=True)]


def subgroup(item: str | SubgroupSpec) -> dict[str, Any]:
    """An attribute, by name or with bands, as score stages read it."""
    if isinstance(item, str):
        return {"attribute": item, "bands": None, "join": {}}
    bands = list(item.bands) if item.bands is not None else None
    return {"attribute": item.attribute, "bands": bands, "join": {name: list(v) for name, v in item.join.items()}}
