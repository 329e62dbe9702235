"""Rows of the generators' board: distances to real images, floors, and what a judge sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Card
from dermae_bench.suite.behind import behind_extractor, behind_generator
from dermae_bench.suite.given import EXTERNAL, TRAINED
from dermae_bench.suite.known import BY_CLASS
from dermae_bench.suite.measuring import PLANNED
from dermae_bench.suite.parts import Cell, RowPlan, SeedContext, names_of, row_id
from dermae_bench.suite.places import SPLITS
from dermae_bench.suite.spec import GeneratorRow, MetricSpec, SamplesSpec, SubgroupSpec, TeacherSpec
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.rows import RowPlanner


AGREEMENT = {"balanced-accuracy": "class-agreement"}
"""Mean over the classes asked for, so that always answering the most frequent one gives chance: 1 / classes."""


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

    @property
    def noise(self) -> bool:
        return "noise" in self.generated[0]

    @property
    def label(self) -> str:
        return _label(self.generated, self.samples) + (f"/n={self.limit}" if self.limit else "")


class GeneratorRows:
    """Adds to a planner what the generators' board needs.

    Args:
        rows: plans the classifiers' board, whose predictions and costs are made the same way.
    """

    def __init__(self, rows: RowPlanner) -> None:
        self.classifiers = rows
        self.plan = rows.plan
        self.suite = rows.suite

    def costs(self) -> Iterator[tuple[Any, Stage]]:
        """(generator, sampling) -> its cost stage."""
        for line in self.suite.generator_rows:
            for name, sampling in product(names_of(line.samples), _samplings(line)):
                if not self.plan.fitted_generator(name):
                    continue
                yield (name, self.plan.drawing.describe(name, sampling)), self.classifiers.sample_cost(name, sampling)

    def rows(self, costs: Mapping[Any, Stage]) -> Iterator[RowPlan]:
        """Every row, then the floors."""
        for line in self.suite.generator_rows:
            yield from self._generator_rows(line, costs)
        yield from self._generator_floors()

    def _generator_rows(self, line: GeneratorRow, costs: Mapping[Any, Stage]) -> Iterator[RowPlan]:
        for name, own in product(names_of(line.samples), _samplings(line)):
            sampling = self.plan.drawing.describe(name, own)
            spec = SamplesSpec(samples=name, count=line.count, sampling=own, captions=line.captions)
            fitted = self.plan.fitted_generator(name)
            seeds = self.suite.seeds.generator if fitted else self.suite.seeds.generator[:1]
            for n in _amounts(line):
                limit = None if n == line.count else n
                names = {"generator": name, "sampling": sampling, "against": line.against, "n": str(n)}
                names |= {"captions": line.captions} if line.captions is not None else {}
                yield RowPlan(
                    board="generators",
                    row=row_id(names),
                    names=names,
                    kind="measured",
                    cells=tuple(self._generator_cell(name, spec, line.against, seed, limit) for seed in seeds),
                    cost=costs.get((name, sampling)),
                    protocol=TRAINED if fitted else EXTERNAL,
                )

    def _generator_cell(self, name: str, spec: SamplesSpec, against: str, seed: int, limit: int | None) -> Cell:
        fitted = self.plan.fitted_generator(name)
        seeds = SeedContext(generator=seed)
        samples = self.plan.drawing.samples(spec, seeds)
        task = self.suite.generators[name].task
        seen = behind_generator(self.classifiers.resolved, name)[0]
        sides = Sides(
            generated=({"samples": "samples0"},),
            samples=samples,
            against=against,
            training=tuple({"split": split} for split in SPLITS if split in seen),
            held_out="+".join(_unseen(seen | {against})),
            task=task,
            limit=limit,
        )
        scores = self.distances(sides)
        if limit is not None:
            # what a judge says of some of the images is what it says of all, less surely
            return Cell(seeds={"generator": seed} if fitted else {}, scores=tuple(scores), samples=samples)
        scores += [score for metric in self.suite.sample_metrics if (score := self._agreement(metric, task, samples))]
        scores += [score for metric in self.suite.sample_metrics if (score := self._cas(metric, task, spec, seeds))]
        if not fitted:
            return Cell(seeds={}, scores=tuple(scores), samples=samples)
        model = self.plan.generator(name, seeds)
        return Cell(seeds={"generator": seed}, scores=tuple(scores), models=(model,), samples=samples)

    # -- distances -------------------------------------------------------------------------------------------------

    def distances(self, sides: Sides) -> list[Stage]:
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
            "facts": {"against": sides.against, "precision": self.suite.precision},
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

    # -- what classifiers say --------------------------------------------------------------------------------------

    def _agreement(self, metric: MetricSpec, task: str | None, samples: Stage) -> Stage | None:
        """How often a judge that never saw the generator sees the class asked for, as mean over the classes.

        None for unconditional generators.
        """
        if metric.judge is None or task is None:
            return None
        return self._judged(metric.judge, task, {"samples": "samples0"}, {"samples0": samples})

    def _judged(self, judge: TeacherSpec, task: str, images: Mapping[str, str], extra: Mapping[str, Stage]) -> Stage:
        """What the judge says of some images; who it is stands in the identity."""
        if self.plan.generated(judge.train):
            raise UserError(
                f"the judge {judge.classifier!r} of class-agreement is trained on {judge.train!r}, "
                "which holds generated images",
                hint="a judge may only have seen real images: name a training set without samples",
            )
        context = SeedContext(classifier=self.suite.seeds.classifier[0], pretrain=self.suite.seeds.pretrain[0])
        model = self.plan.classifier(judge.classifier, judge.train, task, context)
        predictions = self.classifiers.predict(judge.classifier, model, task, images, extra)
        who = {"classifier": judge.classifier, "train": judge.train, "model": model.key}
        # generated images have no resize and no lesions of their own; what counts is who judged them
        facts = {"judge": who, "resize": None, "leaky": None}
        return self.classifiers.score_predictions(
            predictions, task, task, rename=AGREEMENT, images="generated", facts=facts
        )

    def _cas(self, metric: MetricSpec, task: str | None, train: Any, seeds: SeedContext) -> Stage | None:
        """Classification accuracy score (Ravuri and Vinyals 2019): trained on samples alone, scored on real images.

        None for unconditional generators, whose samples have no labels to learn.
        """
        if metric.classifier is None or task is None:
            return None
        context = replace(seeds, classifier=self.suite.seeds.classifier[0])
        model = self.plan.classifier(metric.classifier, train, task, context)
        predictions = self.classifiers.predict(metric.classifier, model, task, {"split": "test"}, {})
        facts = {"classifier": metric.classifier}
        rename = {"balanced-accuracy": f"cas[{metric.classifier}]"}
        return self.classifiers.score_predictions(predictions, task, task, rename=rename, facts=facts)

    def _of_real_images(self, against: str, count: int) -> list[Stage]:
        """What judge and `cas` say of real images: what they are for images that are what they say."""
        task = self._one_task(against, count)
        if task is None:
            # of several tasks that share a column, no one number stands beside all
            return []
        found = []
        for metric in self.suite.sample_metrics:
            if metric.judge is not None:
                found.append(self._judged(metric.judge, task, {"split": "test"}, {}))
            elif (score := self._cas(metric, task, against, SeedContext())) is not None and against != "test":
                found.append(score)
        return found

    def _held_out(self, against: str, count: int) -> list[str]:
        """Splits that neither the generators of these rows nor the reference have seen; with none there is no floor.

        Nor has an extractor learnt from them: it would recognise these images, and none of the others.
        """
        resolved = self.classifiers.resolved
        asked = {metric.extractor for metric in self.suite.sample_metrics if metric.extractor is not None}
        seen = {against}.union(*(behind_extractor(resolved, name)[0] for name in asked))
        for line in self.suite.generator_rows:
            if line.against == against and count in _amounts(line):
                for name in names_of(line.samples):
                    seen |= behind_generator(resolved, name)[0]
        return _unseen(seen)

    def _one_task(self, against: str, count: int) -> str | None:
        """The task of the conditional generators of these rows; None where they have none, or several."""
        lines = [line for line in self.suite.generator_rows if line.against == against and count in _amounts(line)]
        tasks = {self.suite.generators[name].task for line in lines for name in names_of(line.samples)} - {None}
        return tasks.pop() if len(tasks) == 1 else None

    def _generator_floors(self) -> Iterator[RowPlan]:
        """Real images the generators never saw, and uniform noise: between them a distance has a meaning."""
        if not self.suite.sample_metrics:
            return
        wanted = [(line.against, n) for line in self.suite.generator_rows for n in _amounts(line)]
        for against, count in dict.fromkeys(wanted):
            held_out = "+".join(self._held_out(against, count))
            floors = [Sides(generated=({"noise": "uniform"},), against=against, limit=count)]
            if held_out:
                real = Sides(
                    generated=({"held_out": held_out},),
                    against=against,
                    limit=count,
                    training=({"split": against},),
                    held_out=held_out,
                    task=self._one_task(against, count),
                )
                floors.insert(0, real)
            for sides in floors:
                scores = self.distances(sides)
                scores += self._of_real_images(against, count) if sides.held_out else []
                how = f"held out: {held_out}" if sides.held_out else ""
                who = "real images" if sides.held_out else "uniform noise"
                names = {"generator": who, "sampling": how, "against": against, "n": str(count)}
                cells = (Cell(seeds={}, scores=tuple(scores)),)
                if scores:
                    yield RowPlan(board="generators", row=row_id(names), names=names, kind="floor", cells=cells)


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


def _samplings(line: GeneratorRow) -> list[Mapping[str, Any] | None]:
    """The samplings of an entry: its own, several, or None for the generators' own."""
    return list(line.sampling) if isinstance(line.sampling, tuple) else [line.sampling]


def _amounts(line: GeneratorRow) -> list[int]:
    """How many images the rows of an entry are scored over."""
    return list(dict.fromkeys((*sorted(line.subsets), line.count)))


def _unseen(seen: AbstractSet[str]) -> list[str]:
    return [split for split in SPLITS if split not in seen]


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
