"""Rows of the generators' board: distances to real images, floors, and what a judge sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import UserError
from dermae_bench.plugin.catalog import Card
from dermae_bench.suite.lineage import Lineage
from dermae_bench.suite.parts import Cell, RowPlan, SeedContext, names_of, row_id
from dermae_bench.suite.spec import GeneratorRow, MetricSpec, SamplesSpec, TeacherSpec
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.rows import RowPlanner


AGREEMENT = {"balanced-accuracy": "class-agreement"}
"""Mean over the classes asked for, so that always answering the most frequent one gives chance: 1 / classes."""


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
                yield (name, self.plan.drawing.describe(name, sampling)), self.classifiers.sample_cost(name, sampling)

    def rows(self, costs: Mapping[Any, Stage]) -> Iterator[RowPlan]:
        """Every row, then the floors."""
        for line in self.suite.generator_rows:
            yield from self._generator_rows(line, costs)
        yield from self._generator_floors()

    def _generator_rows(self, line: GeneratorRow, costs: Mapping[Any, Stage]) -> Iterator[RowPlan]:
        for name, own in product(names_of(line.samples), _samplings(line)):
            sampling = self.plan.drawing.describe(name, own)
            names = {"generator": name, "sampling": sampling, "against": line.against, "n": str(line.count)}
            cells = []
            for seed in self.suite.seeds.generator:
                seeds = SeedContext(generator=seed)
                spec = SamplesSpec(samples=name, count=line.count, sampling=own)
                samples = self.plan.drawing.samples(spec, seeds)
                scores = [
                    self._distance(extractor, [{"samples": "samples0"}], {"samples0": samples}, line.against, None)
                    for extractor in self._extractors()
                ]
                scores += [
                    score
                    for metric in self.suite.sample_metrics
                    if (score := self._agreement(metric, name, samples, seeds))
                ]
                cells.append(
                    Cell(
                        seeds={"generator": seed},
                        scores=tuple(scores),
                        models=(self.plan.generator(name, seeds),),
                        samples=samples,
                    )
                )
            cost = costs.get((name, sampling))
            yield RowPlan(
                board="generators", row=row_id(names), names=names, kind="measured", cells=tuple(cells), cost=cost
            )

    def _extractors(self) -> list[str]:
        return list(dict.fromkeys(m.extractor for m in self.suite.sample_metrics if m.extractor is not None))

    def _extract(
        self, extractor: str, spec: Sequence[Mapping[str, Any]], inputs: Mapping[str, Stage], limit: int | None
    ) -> Stage:
        named = self.suite.extractors[extractor]
        card = self.plan.catalog.card("extractor", named.plugin)
        hashed = self.plan.hashed(named.params, card)
        common = {"images": list(spec), "limit": limit, "threads": self.suite.threads}
        source = spec[0]
        where = source.get("split") or source.get("held_out") or source.get("noise")
        label = inputs["samples0"].name.removeprefix("sample/") if "samples" in source else str(where)
        work = {
            "extractor": {"plugin": card.name, "params": self.plan.identities.absolute(named.params, card.params)},
            **common,
        }
        known = None if hashed is None else {"extractor": {"plugin": card.name, "params": hashed}, **common}
        name = f"extract/{extractor}/{label}" + (f"/n={limit}" if limit else "")
        return self.plan.add("extract", name, work, known, [card], {"prepare": self.plan.prepare(), **inputs})

    def _distance(
        self,
        extractor: str,
        spec: Sequence[Mapping[str, Any]],
        inputs: Mapping[str, Stage],
        against: str,
        limit: int | None,
    ) -> Stage:
        generated = self._extract(extractor, spec, inputs, limit)
        real = self._extract(extractor, [{"split": against}], {}, None)
        metrics = [m for m in self.suite.sample_metrics if m.extractor == extractor]
        cards = [self.plan.catalog.card("metric", m.metric) for m in metrics]
        common = {"of": "samples", "extractor": extractor, "against": against, "seed": 0}
        asked = list(zip(metrics, cards, strict=True))
        hashed = [self.plan.hashed(m.params, card) for m, card in asked]
        absolute = [self.plan.identities.absolute(m.params, card.params) for m, card in asked]
        work = {**common, "metrics": _named(cards, absolute)}
        known = None if None in hashed else {**common, "metrics": _named(cards, hashed)}
        label = f"score/{generated.name.removeprefix('extract/')}/against={against}"
        return self.plan.add("score", label, work, known, cards, {"generated": generated, "real": real})

    def _agreement(self, metric: MetricSpec, generator: str, samples: Stage, seeds: SeedContext) -> Stage | None:
        """How often a judge that never saw the generator sees the class asked for, as mean over the classes.

        None for unconditional generators.
        """
        task = self.suite.generators[generator].task
        if metric.judge is None or task is None:
            return None
        predictions, facts = self._judged(metric.judge, task, {"samples": "samples0"}, {"samples0": samples})
        return self.classifiers.score_predictions(predictions, task, task, AGREEMENT, facts)

    def _judged(
        self, judge: TeacherSpec, task: str, images: Mapping[str, str], extra: Mapping[str, Stage]
    ) -> tuple[Stage, dict[str, str]]:
        """What the judge says of some images, and who it is."""
        if self.plan.generated(judge.train):
            raise UserError(
                f"the judge {judge.classifier!r} of class-agreement is trained on {judge.train!r}, "
                "which holds generated images",
                hint="a judge may only have seen real images: name a training set without samples",
            )
        context = SeedContext(classifier=self.suite.seeds.classifier[0], pretrain=self.suite.seeds.pretrain[0])
        model = self.plan.classifier(judge.classifier, judge.train, task, context)
        predictions = self.classifiers.predict(judge.classifier, model, task, images, extra)
        return predictions, {"classifier": judge.classifier, "train": judge.train, "model": model.key}

    def _real_agreement(self, against: str, count: int) -> list[Stage]:
        """The judge on real test images: what class-agreement is for images that are what they say."""
        lines = [line for line in self.suite.generator_rows if (line.against, line.count) == (against, count)]
        tasks = {self.suite.generators[name].task for line in lines for name in names_of(line.samples)} - {None}
        found = []
        for metric in self.suite.sample_metrics:
            for task in sorted(task for task in tasks if task is not None) if metric.judge else ():
                assert metric.judge is not None
                predictions, facts = self._judged(metric.judge, task, {"split": "test"}, {})
                found.append(self.classifiers.score_predictions(predictions, task, task, AGREEMENT, facts))
        return found if len(tasks) == 1 else []

    def _held_out(self, lineage: Lineage, against: str, count: int) -> list[str]:
        """Splits that neither the generators of these rows nor the reference have seen; with none there is no floor."""
        seen = {against}
        for line in self.suite.generator_rows:
            if (line.against, line.count) == (against, count):
                for name in names_of(line.samples):
                    images = self.suite.generators[name].images
                    seen |= lineage.of([images] if isinstance(images, str) else list(images))[0]
        return _unseen(seen)

    def _generator_floors(self) -> Iterator[RowPlan]:
        """Real images the generators never saw, and uniform noise: between them a distance has a meaning."""
        if not self._extractors():
            return
        lineage = Lineage(self.classifiers.resolved)
        for against, count in dict.fromkeys((line.against, line.count) for line in self.suite.generator_rows):
            held_out = self._held_out(lineage, against, count)
            floors: list[tuple[str, str, dict[str, str]]] = [("uniform noise", "", {"noise": "uniform"})]
            if held_out:
                joined = "+".join(held_out)
                floors.insert(0, ("real images", f"held out: {joined}", {"held_out": joined}))
            for name, how, spec in floors:
                scores = [self._distance(e, [spec], {}, against, count) for e in self._extractors()]
                if "held_out" in spec:
                    scores += self._real_agreement(against, count)
                names = {"generator": name, "sampling": how, "against": against, "n": str(count)}
                yield RowPlan(
                    board="generators",
                    row=row_id(names),
                    names=names,
                    kind="floor",
                    cells=(Cell(seeds={}, scores=tuple(scores)),),
                )


def _samplings(line: GeneratorRow) -> list[Mapping[str, Any] | None]:
    """The samplings of an entry: its own, several, or None for the generators' own."""
    return list(line.sampling) if isinstance(line.sampling, tuple) else [line.sampling]


def _unseen(seen: set[str]) -> list[str]:
    return [split for split in ("train", "val", "test") if split not in seen]


def _named(cards: Sequence[Card], params: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"metric": card.name, "params": value} for card, value in zip(cards, params, strict=True)]
