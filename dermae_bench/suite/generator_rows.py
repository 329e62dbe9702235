"""Rows of the generators' board: distances to real images, floors, and what a judge sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import UserError
from dermae_bench.suite.behind import behind_extractor, behind_generator
from dermae_bench.suite.distances import Distances, Sides
from dermae_bench.suite.given import EXTERNAL, TRAINED
from dermae_bench.suite.parts import Cell, RowPlan, SeedContext, names_of, row_id
from dermae_bench.suite.places import SPLITS
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
        self.distances = Distances(rows.plan)

    def costs(self) -> Iterator[tuple[Any, Stage]]:
        """(generator, sampling) -> its cost stage."""
        for line in self.suite.generator_rows:
            for name, sampling in product(names_of(line.samples), _samplings(line)):
                if not self.plan.roster.fitted_generator(name):
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
            fitted = self.plan.roster.fitted_generator(name)
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
        fitted = self.plan.roster.fitted_generator(name)
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
            protocol="" if fitted else EXTERNAL,
        )
        scores = self.distances.of(sides)
        if limit is not None:
            # what a judge says of some of the images is what it says of all, less surely
            return Cell(seeds={"generator": seed} if fitted else {}, scores=tuple(scores), samples=samples)
        how, metrics = sides.protocol, self.suite.sample_metrics
        scores += [score for metric in metrics if (score := self._agreement(metric, task, samples, how))]
        scores += [score for metric in metrics if (score := self._cas(metric, task, spec, seeds, how))]
        if not fitted:
            return Cell(seeds={}, scores=tuple(scores), samples=samples)
        model = self.plan.generator(name, seeds)
        return Cell(seeds={"generator": seed}, scores=tuple(scores), models=(model,), samples=samples)

    # -- what classifiers say --------------------------------------------------------------------------------------

    def _agreement(self, metric: MetricSpec, task: str | None, samples: Stage, protocol: str) -> Stage | None:
        """How often a judge that never saw the generator sees the class asked for, as mean over the classes.

        None for unconditional generators.
        """
        if metric.judge is None or task is None:
            return None
        return self._judged(metric.judge, task, {"samples": "samples0"}, {"samples0": samples}, protocol)

    def _judged(
        self,
        judge: TeacherSpec,
        task: str,
        images: Mapping[str, str],
        extra: Mapping[str, Stage],
        protocol: str = "",
    ) -> Stage:
        """What the judge says of some images; who it is stands in the identity."""
        if self.plan.roster.generated(judge.train):
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
        facts = {"judge": who, "resize": None, "leaky": None, **_apart(protocol)}
        return self.classifiers.score_predictions(
            predictions, task, task, rename=AGREEMENT, images="generated", facts=facts
        )

    def _cas(
        self, metric: MetricSpec, task: str | None, train: Any, seeds: SeedContext, protocol: str = ""
    ) -> Stage | None:
        """Classification accuracy score (Ravuri and Vinyals 2019): trained on samples alone, scored on real images.

        None for unconditional generators, whose samples have no labels to learn.
        """
        if metric.classifier is None or task is None:
            return None
        context = replace(seeds, classifier=self.suite.seeds.classifier[0])
        model = self.plan.classifier(metric.classifier, train, task, context)
        predictions = self.classifiers.predict(metric.classifier, model, task, {"split": "test"}, {})
        # the more images it learnt from, the better it is: rows of unlike counts are not one ranking
        learnt = train.count if isinstance(train, SamplesSpec) else f"all of {train}"
        facts = {"classifier": metric.classifier, "learnt_from": learnt, **_apart(protocol)}
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
            # asked in this order: what is planned is fitted, and nobody fits on `test`
            elif against != "test" and (score := self._cas(metric, task, against, SeedContext())) is not None:
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
                scores = self.distances.of(sides)
                scores += self._of_real_images(against, count) if sides.held_out else []
                how = f"held out: {held_out}" if sides.held_out else ""
                who = "real images" if sides.held_out else "uniform noise"
                names = {"generator": who, "sampling": how, "against": against, "n": str(count)}
                cells = (Cell(seeds={}, scores=tuple(scores)),)
                if scores:
                    yield RowPlan(board="generators", row=row_id(names), names=names, kind="floor", cells=cells)


def _apart(protocol: str) -> dict[str, str]:
    """What sets the numbers of images that were made elsewhere apart from those of generators that were fitted here."""
    return {"training": protocol} if protocol else {}


def _samplings(line: GeneratorRow) -> list[Mapping[str, Any] | None]:
    """The samplings of an entry: its own, several, or None for the generators' own."""
    return list(line.sampling) if isinstance(line.sampling, tuple) else [line.sampling]


def _amounts(line: GeneratorRow) -> list[int]:
    """How many images the rows of an entry are scored over."""
    return list(dict.fromkeys((*sorted(line.subsets), line.count)))


def _unseen(seen: AbstractSet[str]) -> list[str]:
    return [split for split in SPLITS if split not in seen]
