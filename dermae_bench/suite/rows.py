"""The rows of the two leaderboards, and the score stages that fill them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from dermae_bench.errors import UserError
from dermae_bench.suite.lineage import row_tasks
from dermae_bench.suite.plan import COST_METRICS, Planner, SeedContext, sample_batch, set_name
from dermae_bench.suite.spec import GeneratorRow, MetricSpec, Row, SamplesSpec
from dermae_bench.suite.stage import Stage

RESAMPLES = 2000
"""Bootstrap replicates of an interval."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row under one choice of seeds."""

    seeds: Mapping[str, int]
    scores: tuple[Stage, ...]
    models: tuple[Stage, ...] = ()
    """Train stages whose curves belong to the row."""
    samples: Stage | None = None
    predictions: Mapping[str, Stage] = field(default_factory=dict)
    """Split -> predict stage."""


@dataclass(frozen=True, kw_only=True)
class RowPlan:
    """One line of a leaderboard."""

    board: Literal["classifiers", "generators"]
    row: str
    """Stable id: the names joined by ` | `."""
    names: Mapping[str, str]
    kind: Literal["measured", "floor"]
    cells: tuple[Cell, ...]
    cost: Stage | None = None
    marks: tuple[str, ...] = ()


class RowPlanner:
    """Adds to a planner everything that the rows of its suite need.

    Args:
        planner: of the same suite.
        resolved: the suite as normalised JSON, for what its image sets have labels of.
    """

    def __init__(self, planner: Planner, resolved: Mapping[str, Any]) -> None:
        self.plan = planner
        self.suite = planner.suite
        self.resolved = resolved

    def rows(self) -> list[RowPlan]:
        """Every row of both boards, floors included; costs are planned first, since they need no training."""
        costs = dict(self._all_costs())
        rows: list[RowPlan] = []
        for line in self.suite.generator_rows:
            rows += self._generator_rows(line, costs)
        rows += self._generator_floors()
        for entry in self.suite.rows:
            rows += self._classifier_rows(entry, costs)
        rows += self._classifier_floors()
        return _merged(rows)

    # -- costs -------------------------------------------------------------------------------------------------

    def _all_costs(self) -> Iterator[tuple[Any, Stage]]:
        for line in self.suite.generator_rows:
            for name in _names(line.samples):
                yield (
                    ("generator", name, self.plan.describe_sampling(name, line.sampling)),
                    self._sample_cost(name, line.sampling),
                )
        for entry in self.suite.rows:
            for name, task in self._lines(entry):
                yield ("classifier", name, task), self._predict_cost(name, self._trained_task(name, task))

    def _cost(
        self, label: str, model: tuple[dict[str, Any], dict[str, Any] | None, Any], of: str, sampling: Any
    ) -> Stage:
        work, hashed, card = model
        cards = [card, *(self.plan.catalog.card("metric", name) for name in COST_METRICS)]
        common = {"of": of, "sampling": sampling, "metrics": list(COST_METRICS)}
        return self.plan.add(
            "cost",
            f"cost/{label}",
            {"model": work, **common},
            None if hashed is None else {"model": hashed, **common},
            cards,
        )

    def _sample_cost(self, name: str, own: Mapping[str, Any] | None) -> Stage:
        spec = self.suite.generators[name]
        sampling = self.plan.sampling(name, own)
        model = self.plan.model("generator", spec.plugin, spec.params, spec.task)
        how = self.plan.describe_sampling(name, own).replace(" ", ",")
        return self._cost(f"{name}/{how}" if how else name, model, "sample", sampling)

    def _predict_cost(self, name: str, task: str) -> Stage:
        return self._cost(f"{name}/{task}", self.plan.classifier_model(name, task), "predict", None)

    # -- classifiers -------------------------------------------------------------------------------------------

    def _lines(self, entry: Row) -> Iterator[tuple[str, str]]:
        """(classifier, task) of an entry; a task that its training set has no labels of makes no row."""
        for name in _names(entry.classifiers):
            known = self.plan.tasks
            labelled = self.suite.tasks if known is None else row_tasks(self.resolved, known, name, entry.train)
            for task in labelled:
                yield name, task

    def _trained_task(self, name: str, task: str) -> str:
        spec = self.suite.classifiers[name]
        if spec.from_ is not None:
            return self.suite.generators[spec.from_.generator].task or task
        return spec.derive or task

    def _classifier_rows(self, entry: Row, costs: Mapping[Any, Stage]) -> Iterator[RowPlan]:
        for name, task in self._lines(entry):
            trained = self._trained_task(name, task)
            names = {"classifier": name, "train": set_name(entry.train), "task": task}
            cells = tuple(
                self._classifier_cell(name, entry.train, task, trained, seeds)
                for seeds in self._contexts(name, entry.train)
            )
            marks = (f"derived from {trained}",) if trained != task else ()
            yield RowPlan(
                board="classifiers",
                row=_row_id(names),
                names=names,
                kind="measured",
                cells=cells,
                cost=costs.get(("classifier", name, task)),
                marks=marks,
            )

    def _classifier_cell(
        self, name: str, train: str | tuple[str, ...], task: str, trained: str, seeds: SeedContext
    ) -> Cell:
        model = self.plan.classifier(name, train, trained, seeds)
        predictions = {split: self.predict(name, model, trained, {"split": split}) for split in ("val", "test")}
        score = self.score_predictions(predictions["test"], trained, task)
        return Cell(seeds=self._used(name, train, seeds), scores=(score,), models=(model,), predictions=predictions)

    def predict(
        self, name: str, model: Stage, task: str, images: Mapping[str, str], extra: Mapping[str, Stage] | None = None
    ) -> Stage:
        """Logits of one classifier on one image set."""
        work, hashed, card = self.plan.classifier_model(name, task)
        common = {
            "images": [dict(images)],
            "batch": sample_batch(self.plan.image_size),
            "precision": self.suite.precision,
            "threads": self.suite.threads,
        }
        where = images.get("split") or (extra or {})["samples0"].name
        label = f"predict/{model.name.removeprefix('train/')}/{where}"
        inputs = {"train": model, "prepare": self.plan.prepare(), **(extra or {})}
        return self.plan.add(
            "predict",
            label,
            {"model": work, **common},
            None if hashed is None else {"model": hashed, **common},
            [card],
            inputs,
        )

    def score_predictions(
        self, predictions: Stage, trained: str, task: str, rename: Mapping[str, str] | None = None
    ) -> Stage:
        """Every prediction metric of the suite (or those of `rename`, under new names) on one set of predictions."""
        names = list(rename) if rename else list(self.suite.prediction_metrics)
        cards = [self.plan.catalog.card("metric", name) for name in names]
        work = {
            "of": "predictions",
            "metrics": names,
            "rename": dict(rename or {}),
            "trained": self.plan.task(trained),
            "task": self.plan.task(task),
            "resamples": RESAMPLES,
        }
        label = f"score/{predictions.name.removeprefix('predict/')}/{task}"
        known = work["trained"] is not None and work["task"] is not None
        inputs = {"predictions": predictions, "prepare": self.plan.prepare()}
        return self.plan.add("score", label, work, work if known else None, cards, inputs)

    def _classifier_floors(self) -> Iterator[RowPlan]:
        """The row that always answers with the most frequent class of `train`: what a score must beat."""
        if not self.suite.rows:
            return
        for task in self.suite.tasks:
            described = self.plan.task(task)
            work = {"model": {"role": "majority", "task": described}, "images": [{"split": "test"}]}
            inputs = {"prepare": self.plan.prepare()}
            predictions = self.plan.add(
                "predict", f"predict/majority/{task}/test", work, None if described is None else work, (), inputs
            )
            score = self.score_predictions(predictions, task, task)
            names = {"classifier": "majority class", "train": "train", "task": task}
            cell = Cell(seeds={}, scores=(score,), predictions={"test": predictions})
            yield RowPlan(board="classifiers", row=_row_id(names), names=names, kind="floor", cells=(cell,))

    # -- generators --------------------------------------------------------------------------------------------

    def _generator_rows(self, line: GeneratorRow, costs: Mapping[Any, Stage]) -> Iterator[RowPlan]:
        for name in _names(line.samples):
            sampling = self.plan.describe_sampling(name, line.sampling)
            names = {"generator": name, "sampling": sampling, "against": line.against, "n": str(line.count)}
            cells = []
            for seed in self.suite.seeds.generator:
                seeds = SeedContext(generator=seed)
                spec = SamplesSpec(samples=name, count=line.count, sampling=line.sampling)
                samples = self.plan.samples(spec, seeds)
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
            cost = costs.get(("generator", name, sampling))
            yield RowPlan(
                board="generators", row=_row_id(names), names=names, kind="measured", cells=tuple(cells), cost=cost
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
            "extractor": {"plugin": named.plugin, "params": self.plan.identities.absolute(named.params, card.params)},
            **common,
        }
        known = None if hashed is None else {"extractor": {"plugin": named.plugin, "params": hashed}, **common}
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
        work = {
            "of": "samples",
            "extractor": extractor,
            "metrics": [{"metric": m.metric, "params": m.params} for m in metrics],
            "against": against,
            "seed": 0,
        }
        label = f"score/{generated.name.removeprefix('extract/')}/against={against}"
        return self.plan.add("score", label, work, work, cards, {"generated": generated, "real": real})

    def _agreement(self, metric: MetricSpec, generator: str, samples: Stage, seeds: SeedContext) -> Stage | None:
        """How often a judge that never saw the generator sees the class asked for; None for unconditional ones."""
        task = self.suite.generators[generator].task
        if metric.judge is None or task is None:
            return None
        judge = metric.judge
        if self.plan.generated(judge.train):
            raise UserError(
                f"the judge {judge.classifier!r} of class-agreement is trained on {judge.train!r}, "
                "which holds generated images",
                hint="a judge may only have seen real images: name a training set without samples",
            )
        context = SeedContext(classifier=self.suite.seeds.classifier[0], pretrain=self.suite.seeds.pretrain[0])
        model = self.plan.classifier(judge.classifier, judge.train, task, context)
        predictions = self.predict(judge.classifier, model, task, {"samples": "samples0"}, {"samples0": samples})
        return self.score_predictions(predictions, task, task, {"accuracy": "class-agreement"})

    def _generator_floors(self) -> Iterator[RowPlan]:
        """Real images the generators never saw, and uniform noise: between them a distance has a meaning."""
        if not self._extractors():
            return
        for against, count in dict.fromkeys((line.against, line.count) for line in self.suite.generator_rows):
            for name, spec in (("real images", {"held_out": "val+test"}), ("uniform noise", {"noise": "uniform"})):
                scores = tuple(self._distance(e, [spec], {}, against, count) for e in self._extractors())
                names = {"generator": name, "sampling": "", "against": against, "n": str(count)}
                yield RowPlan(
                    board="generators",
                    row=_row_id(names),
                    names=names,
                    kind="floor",
                    cells=(Cell(seeds={}, scores=scores),),
                )

    # -- seeds -------------------------------------------------------------------------------------------------

    def _roles(self, name: str, train: str | Sequence[Any]) -> set[str]:
        """Roles whose seeds a classifier row depends on."""
        spec = self.suite.classifiers[name]
        if spec.from_ is not None:
            return {"generator"}
        roles = {"classifier"}
        if self.plan.generated(train):
            roles.add("generator")
        if spec.init is not None:
            roles.add("pretrain")
            if self.plan.generated(self.suite.pretrained[spec.init].images):
                roles.add("generator")
        if spec.teacher is not None:
            roles |= self._roles(spec.teacher.classifier, spec.teacher.train)
        return roles

    def _contexts(self, name: str, train: str | Sequence[Any]) -> list[SeedContext]:
        seeds, roles = self.suite.seeds, self._roles(name, train)
        axes = [getattr(seeds, role) if role in roles else (0,) for role in ("generator", "pretrain", "classifier")]
        return [SeedContext(*choice) for choice in product(*axes)]

    def _used(self, name: str, train: str | Sequence[Any], context: SeedContext) -> dict[str, int]:
        roles = self._roles(name, train)
        return {role: getattr(context, role) for role in ("generator", "pretrain", "classifier") if role in roles}


def _names(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _row_id(names: Mapping[str, str]) -> str:
    return " | ".join(value for value in names.values() if value)


def _merged(rows: Sequence[RowPlan]) -> list[RowPlan]:
    """Rows that two entries of the suite ask for stand once."""
    return list({(row.board, row.row): row for row in rows}.values())
