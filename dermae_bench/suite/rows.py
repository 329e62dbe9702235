"""The rows of the two leaderboards, and the score stages that fill them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from dermae_bench.suite.behind import behind_classifier
from dermae_bench.suite.distances import named, subgroup
from dermae_bench.suite.generator_rows import GeneratorRows
from dermae_bench.suite.given import ELSEWHERE, TRAINED
from dermae_bench.suite.handed_on import handed_on
from dermae_bench.suite.leakage import leakage_stages
from dermae_bench.suite.lineage import Lineage, row_tasks
from dermae_bench.suite.other_sets import OtherSets
from dermae_bench.suite.parts import Cell as Cell
from dermae_bench.suite.parts import FigurePlan as FigurePlan
from dermae_bench.suite.parts import RowPlan as RowPlan
from dermae_bench.suite.parts import names_of, row_id, set_name
from dermae_bench.suite.plan import COST_METRICS, Planner, SeedContext
from dermae_bench.suite.spec import PredictionMetricSpec, Row
from dermae_bench.suite.stage import Stage
from dermae_bench.suite.teaching import predict

RESAMPLES = 2000
"""Bootstrap replicates of an interval."""
UNVALIDATED = "no threshold: the model has learnt from val, itself or through others, so val cannot choose one"
"""Why a row has no number whose threshold is frozen on `val`."""
FLOORS = {"majority": "majority class", "random": "random"}
"""Role of a predict stage -> the row that adds itself: always the most frequent class of `train`, and a fair die."""


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
        self.others = OtherSets(planner)
        self.figures: list[FigurePlan] = []
        """Filled by `rows`."""

    def rows(self) -> list[RowPlan]:
        """Every row of both boards, floors included; costs are planned first, since they need no training."""
        # first, so that missing or broken data are seen before anything is spent
        self.plan.prepare()
        generators = GeneratorRows(self)
        generator_costs = dict(generators.costs())
        costs = dict(self._all_costs())
        rows = list(generators.rows(generator_costs))
        for entry in self.suite.rows:
            rows += self._classifier_rows(entry, costs)
        rows += self._classifier_floors()
        leakage_stages(generators)
        self.figures = self.plan.drawing.figures()
        self._other_costs()
        self.plan.move_to_front("prepare", "cost")
        return _merged(rows)

    # -- costs -------------------------------------------------------------------------------------------------

    def _all_costs(self) -> Iterator[tuple[Any, Stage]]:
        for entry in self.suite.rows:
            for name, task in self._lines(entry):
                if self.plan.roster.fitted_classifier(name):
                    yield (name, task), self._predict_cost(name, self._trained_task(name, task))

    def _other_costs(self) -> None:
        """Of models without a row: encoders, teachers, and generators drawn from in another way than their rows."""
        for name in self.plan.encoders:
            spec = self.suite.pretrained[name]
            self.cost(name, self.plan.model("pretrainer", spec.plugin, spec.params, None), "train", None)
        for name, task in self.plan.fitted:
            self._predict_cost(name, task)
        for (name, _), own in self.plan.drawing.drawn.items():
            self.sample_cost(name, own)

    def sample_cost(self, name: str, own: Mapping[str, Any] | None) -> Stage:
        """What drawing one image costs, under the generator's own sampling or another."""
        spec = self.suite.generators[name]
        sampling = self.plan.drawing.sampling(name, own)
        model = self.plan.model("generator", spec.plugin, spec.params, spec.task)
        how = self.plan.drawing.describe(name, own).replace(" ", ",")
        return self.cost(f"{name}/{how}" if how else name, model, "sample", sampling)

    def cost(
        self, label: str, model: tuple[dict[str, Any], dict[str, Any] | None, Any], of: str, sampling: Any
    ) -> Stage:
        """What one image costs, of `sample` or `predict`; needs no training and no data."""
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

    def _predict_cost(self, name: str, task: str) -> Stage:
        return self.cost(f"{name}/{task}", self.plan.classifier_model(name, task), "predict", None)

    # -- classifiers -------------------------------------------------------------------------------------------

    def _lines(self, entry: Row) -> Iterator[tuple[str, str]]:
        """(classifier, task) of an entry; a task that its training set has no labels of makes no row."""
        for name in names_of(entry.classifiers):
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
            fitted = self.plan.roster.fitted_classifier(name)
            marks = (
                *((f"derived from {trained}",) if trained != task else ()),
                *self._labelled_by_teacher(name, entry.train, trained),
                *(handed_on(self.resolved, entry.train) if fitted else ()),
            )
            for on in (None, *self.others.answering(task)):
                if on is not None and not fitted:
                    # answers were given for the images of the suite's own data set alone
                    continue
                names = {"classifier": name, "train": set_name(entry.train) if fitted else ELSEWHERE, "task": task}
                names |= {} if on is None else {"test": on}
                cells = tuple(
                    self._classifier_cell(name, entry.train, task, trained, seeds, on)
                    for seeds in self._contexts(name, entry.train)
                )
                yield RowPlan(
                    board="classifiers",
                    row=row_id(names | dict(entry.point)),
                    names=names | dict(entry.point),
                    kind="measured",
                    cells=cells,
                    cost=costs.get((name, task)),
                    marks=marks,
                    protocol=self.plan.roster.protocol(name),
                    prepare=None if on is None else self.plan.prepare_other(on),
                )

    def _labelled_by_teacher(self, name: str, train: str | tuple[str, ...], task: str) -> tuple[str, ...]:
        """A mark for rows whose training set has labels that a teacher gave."""
        teacher = self.suite.classifiers[name].teacher
        if teacher is None or self.plan.tasks is None:
            return ()
        names = [train] if isinstance(train, str) else list(train)
        generators = Lineage(self.resolved).labelled_by_teacher(names, task, self.plan.tasks)
        who = f"{teacher.classifier} ({teacher.train})"
        return tuple(f"samples of {generator} labelled by teacher {who}" for generator in generators)

    def _classifier_cell(
        self, name: str, train: str | tuple[str, ...], task: str, trained: str, seeds: SeedContext, on: str | None
    ) -> Cell:
        model = self.plan.classifier(name, train, trained, seeds) if self.plan.roster.fitted_classifier(name) else None
        predictions = {"val": self.predict(name, model, trained, {"split": "val"})}
        if on is None:
            predictions["test"] = self.predict(name, model, trained, {"split": "test"})
        else:
            predictions["test"] = self.others.predict(name, model, trained, task, on)
        validation = None if self._learned_from_val(name, train) else predictions["val"]
        facts = {} if (protocol := self.plan.roster.protocol(name)) == TRAINED else {"training": protocol}
        score = self.score_predictions(predictions["test"], trained, task, validation=validation, facts=facts, on=on)
        models = () if model is None else (model,)
        return Cell(seeds=self._used(name, train, seeds), scores=(score,), models=models, predictions=predictions)

    def predict(
        self,
        name: str,
        model: Stage | None,
        task: str,
        images: Mapping[str, str],
        extra: Mapping[str, Stage] | None = None,
    ) -> Stage:
        """Logits of one classifier on one image set."""
        return predict(self.plan, name, model, task, images, extra or {})

    def _learned_from_val(self, name: str, train: str | Sequence[str]) -> bool:
        """Whether a classifier has seen `val`, itself or through others: then no threshold can be frozen on it."""
        return "val" in behind_classifier(self.resolved, name, train)[0]

    def score_predictions(
        self,
        predictions: Stage,
        trained: str,
        task: str,
        *,
        validation: Stage | None = None,
        rename: Mapping[str, str] | None = None,
        images: str = "test",
        facts: Mapping[str, Any] | None = None,
        on: str | None = None,
    ) -> Stage:
        """Every prediction metric of the suite (or those of `rename`, under new names) on one set of predictions.

        Args:
            validation: what the same classifier says about `val`, where thresholds are frozen.
            images: what was predicted, as the identity says it.
            facts: further parts of the identity, e.g. who judged.
            on: a set under `evaluate_on` that was predicted; thresholds stay those of the suite's own `val`.
        """
        described = self.plan.task(task)
        asked = [PredictionMetricSpec(metric=name) for name in rename] if rename else self._metrics(described)
        cards = [self.plan.catalog.card("metric", item.metric) for item in asked]
        hashed = [self.plan.hashed(item.params, card) for item, card in zip(asked, cards, strict=True)]
        common: dict[str, Any] = {
            "of": "predictions",
            "rename": dict(rename or {}),
            "images": images,
            "facts": {"precision": self.suite.precision, **(facts or {})},
            "trained": self.plan.task(trained),
            "task": described,
            "resamples": RESAMPLES,
            "subgroups": [] if rename else [subgroup(item) for item in self.others.subgroups(on)],
            "unvalidated": None if validation is not None else UNVALIDATED,
        }
        if on is not None:
            # the other set may have other maps: those between the two tasks are the suite's own
            common["other"] = self.others.between()
        work = {**common, "metrics": named(cards, [item.params for item in asked])}
        known = None not in (common["trained"], described, *hashed)
        label = f"score/{predictions.name.removeprefix('predict/')}/{task}"
        if rename:
            label += f"/{'+'.join(rename.values())}"
        inputs = {"predictions": predictions, "prepare": self.others.prepare(on)}
        if validation is not None:
            inputs["validation"] = validation
        parts = {**common, "metrics": named(cards, hashed)} if known else None
        return self.plan.add("score", label, work, parts, cards, inputs)

    def _metrics(self, task: Mapping[str, Any] | None) -> list[PredictionMetricSpec]:
        """Metrics of the suite that exist for a task: those of a positive class need a task that has one."""
        asked = [item if isinstance(item, PredictionMetricSpec) else PredictionMetricSpec(metric=item)
                 for item in self.suite.prediction_metrics]  # fmt: skip
        if task is None or task["positive"] is not None:
            return asked
        cards = {item.metric: self.plan.catalog.card("metric", item.metric) for item in asked}
        return [item for item in asked if not any(column["positive"] for column in cards[item.metric].columns)]

    def _classifier_floors(self) -> Iterator[RowPlan]:
        """Rows that look at no image: what a score must beat."""
        if not self.suite.rows:
            return
        for task, (role, name) in product(self.suite.tasks, FLOORS.items()):
            for on in (None, *self.others.answering(task)):
                predictions = {"val": self._floor(role, task, "val", None), "test": self._floor(role, task, "test", on)}
                score = self.score_predictions(predictions["test"], task, task, validation=predictions["val"], on=on)
                names = {"classifier": name, "train": "train" if role == "majority" else "nothing", "task": task}
                names |= {} if on is None else {"test": on}
                cell = Cell(seeds={}, scores=(score,), predictions=predictions)
                prepare = None if on is None else self.plan.prepare_other(on)
                yield RowPlan(
                    board="classifiers", row=row_id(names), names=names, kind="floor", cells=(cell,), prepare=prepare
                )

    def _floor(self, role: str, task: str, split: str, on: str | None) -> Stage:
        """What a row that looks at no image says of a split of the suite's own data, or of a set beside it."""
        described = self.plan.task(task)
        work: dict[str, Any] = {"model": {"role": role, "task": described}, "images": [{"split": split}]}
        inputs = {"prepare": self.others.prepare(on)}
        if on is not None:
            work |= {"answers": described, "between": self.others.between()}
            inputs["training"] = self.plan.prepare()
        where = split if on is None else f"{on}:{split}"
        known = None if described is None else work
        return self.plan.add("predict", f"predict/{role}/{task}/{where}", work, known, (), inputs)

    # -- seeds -------------------------------------------------------------------------------------------------

    def _contexts(self, name: str, train: str | Sequence[Any]) -> list[SeedContext]:
        seeds, roles = self.suite.seeds, self.plan.roster.seed_roles(name, train)
        axes = [getattr(seeds, role) if role in roles else (0,) for role in ("generator", "pretrain", "classifier")]
        return [SeedContext(*choice) for choice in product(*axes)]

    def _used(self, name: str, train: str | Sequence[Any], context: SeedContext) -> dict[str, int]:
        roles = self.plan.roster.seed_roles(name, train)
        return {role: getattr(context, role) for role in ("generator", "pretrain", "classifier") if role in roles}


def _merged(rows: Sequence[RowPlan]) -> list[RowPlan]:
    """Rows that two entries of the suite ask for stand once."""
    return list({(row.board, row.row): row for row in rows}.values())
