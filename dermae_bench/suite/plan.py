"""Suite -> stages, in an order in which they can run; equal work is one stage, whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dermae_bench.errors import DataMissing
from dermae_bench.plugin.catalog import Card, Catalog
from dermae_bench.plugin.checking import check
from dermae_bench.store.contents import Contents
from dermae_bench.suite.keys import Identities
from dermae_bench.suite.parts import Parts as Parts
from dermae_bench.suite.parts import SeedContext as SeedContext
from dermae_bench.suite.parts import sample_batch as sample_batch
from dermae_bench.suite.parts import set_name as set_name
from dermae_bench.suite.parts import where_to_get
from dermae_bench.suite.spec import ClassifierSpec, SamplesSpec, Suite
from dermae_bench.suite.stage import Stage, key_of

SHARD = 1024
"""Images of a sample shard: what a killed sampling stage loses at most."""
COST_METRICS = ("compute", "parameters")
"""Counted for every model without being asked for."""


class Planner:
    """Makes the stages of one suite; `stages` holds each once, inputs before those who read them.

    Args:
        suite: the checked suite, with normalised params.
        catalog: cards of the plugins it names.
        contents: digests of the user's paths.
        tasks: the dataset's tasks by name, or None where the data that tell them are missing.
    """

    def __init__(
        self, suite: Suite, catalog: Catalog, contents: Contents, tasks: Mapping[str, Mapping[str, Any]] | None
    ) -> None:
        self.suite = suite
        self.catalog = catalog
        self.identities = Identities(catalog, contents)
        self.tasks = tasks
        self.missing: str | None = None
        self.stages: list[Stage] = []
        self._by_key: dict[str, Stage] = {}
        self._prepared: Stage | None = None
        self.image_size = int(suite.dataset.params["image_size"])

    # -- one stage ---------------------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        name: str,
        work: Mapping[str, Any],
        hashed: Mapping[str, Any] | None,
        cards: Iterable[Card] = (),
        inputs: Mapping[str, Stage] | None = None,
        *,
        disk_bytes: int = 0,
        steps: int = 0,
    ) -> Stage:
        """Make a stage, or find the one with the same key; `hashed` is None while data are missing."""
        inputs = inputs or {}
        cards = list(cards)
        known = hashed is not None and all(stage.key for stage in inputs.values())
        parts: Mapping[str, Any] = {}
        key = ""
        if known and hashed is not None:
            parts = self.identities.parts(kind, hashed, cards, {role: stage.key for role, stage in inputs.items()})
            key = key_of(parts)
        identity = key or f"?{kind}/{name}"
        if identity in self._by_key:
            return self._by_key[identity]
        plugins = {card.name: dict(vars(self.catalog.reference(card.name))) for card in cards}
        stage = Stage(
            kind=kind,
            name=name,
            work=work,
            parts=parts,
            inputs=inputs,
            plugins=plugins,
            disk_bytes=disk_bytes,
            steps=steps,
            key=key,
        )
        self._by_key[identity] = stage
        self.stages.append(stage)
        return stage

    def hashed(self, value: Mapping[str, Any], card: Card) -> dict[str, Any] | None:
        """Params with digests for paths; None, with the reason kept in `missing`, where the data are absent."""
        try:
            return self.identities.params(value, card.params)
        except DataMissing as error:
            self.missing = self.missing or where_to_get(error, card)
            return None

    # -- data --------------------------------------------------------------------------------------------------

    def prepare(self) -> Stage:
        """Decode and resize every image once."""
        if self._prepared is not None:
            return self._prepared
        spec = self.suite.dataset
        card = self.catalog.card("dataset", spec.plugin)
        hashed = self.hashed(spec.params, card)
        work = {"plugin": card.name, "params": self.identities.absolute(spec.params, card.params)}
        self._prepared = self.add(
            "prepare",
            f"prepare/{card.name}",
            work,
            None if hashed is None else {"plugin": card.name, "params": hashed},
            [card],
        )
        return self._prepared

    def task(self, name: str | None) -> dict[str, Any] | None:
        """A task as models receive it: with the prepared image size; None while the data are missing."""
        if name is None:
            return {
                "name": "",
                "classes": [],
                "positive": None,
                "parent": None,
                "mapping": {},
                "image_size": self.image_size,
            }
        if self.tasks is None:
            return None
        return {**self.tasks[name], "image_size": self.image_size}

    def image_parts(self, names: str | Sequence[Any] | SamplesSpec, seeds: SeedContext) -> Parts:
        """Flatten an image set: names are looked up, samples become sample stages."""
        spec: list[Mapping[str, Any]] = []
        samples: list[tuple[str, Stage]] = []

        def walk(item: Any) -> None:
            if isinstance(item, SamplesSpec):
                role = f"samples{len(samples)}"
                spec.append({"samples": role})
                samples.append((role, self.samples(item, seeds)))
            elif not isinstance(item, str):
                for inner in item:
                    walk(inner)
            elif item in ("train", "val", "test"):
                spec.append({"split": item})
            else:
                walk(self.suite.image_sets[item])

        walk(names)
        return Parts(tuple(spec), tuple(samples))

    def generated(self, names: Any) -> bool:
        """Whether an image set holds generated images, without planning any."""
        if isinstance(names, SamplesSpec):
            return True
        if not isinstance(names, str):
            return any(self.generated(inner) for inner in names)
        return names not in ("train", "val", "test") and self.generated(self.suite.image_sets[names])

    def inputs(self, parts: Parts) -> dict[str, Stage]:
        """What a stage over an image set reads."""
        return {"prepare": self.prepare(), **dict(parts.samples)}

    # -- models ------------------------------------------------------------------------------------------------

    def model(
        self, role: str, plugin: str, params: Mapping[str, Any], task: str | None
    ) -> tuple[dict[str, Any], dict[str, Any] | None, Card]:
        """(work, hashed work, card) of a model: what it takes to build it."""
        card = self.catalog.card(role, plugin)
        described = self.task(task)
        hashed = self.hashed(params, card)
        base = {"role": role, "plugin": card.name, "task": described}
        known = hashed is not None and described is not None
        return (
            {**base, "params": self.identities.absolute(params, card.params)},
            {**base, "params": hashed} if known else None,
            card,
        )

    def _train(
        self,
        name: str,
        model: tuple[dict[str, Any], dict[str, Any] | None, Card],
        budget_name: str,
        parts: Parts,
        seed: int,
        extra: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Stage] | None = None,
        cards: Sequence[Card] = (),
        hashed_extra: Mapping[str, Any] | None = None,
    ) -> Stage:
        work, hashed, card = model
        budget = {**asdict(self.suite.budgets[budget_name]), "phases": dict(self.suite.budgets[budget_name].phases)}
        cards = list(cards)
        if budget["select"].startswith("best:"):
            cards.append(self.catalog.card("metric", budget["select"].removeprefix("best:")))
            budget["select"] = f"best:{cards[-1].name}"
        common = {
            "images": list(parts.spec),
            "seed": seed,
            "precision": self.suite.precision,
            "threads": self.suite.threads,
            **(extra or {}),
        }
        # how often a checkpoint is written changes no result
        budget_key = {name: value for name, value in budget.items() if name != "checkpoint"}
        return self.add(
            "train",
            name,
            {"model": work, "budget": budget, **common},
            None if hashed is None else {"model": hashed, "budget": budget_key, **common, **(hashed_extra or {})},
            [card, *cards],
            {**self.inputs(parts), **(inputs or {})},
            steps=budget["steps"],
        )

    def generator(self, name: str, seeds: SeedContext) -> Stage:
        """A generator fitted once per seed, whatever the number of rows."""
        spec = self.suite.generators[name]
        parts = self.image_parts(spec.images, seeds)
        model = self.model("generator", spec.plugin, spec.params, spec.task)
        return self._train(f"train/generator/{name}/seed={seeds.generator}", model, spec.budget, parts, seeds.generator)

    def sampling(self, name: str, own: Mapping[str, Any] | None) -> dict[str, Any]:
        """Normalised sampling of a generator: the image set's own words, else the generator's."""
        spec = self.suite.generators[name]
        card = self.catalog.card("generator", spec.plugin)
        value, _ = check(dict(own if own is not None else spec.sampling), card.sampling or {})
        return dict(value)

    def describe_sampling(self, name: str, own: Mapping[str, Any] | None) -> str:
        """Sampling in words: its first two fields and what differs from the plugin's defaults."""
        card = self.catalog.card("generator", self.suite.generators[name].plugin)
        defaults, _ = check({}, card.sampling or {})
        values = self.sampling(name, own)
        shown = [field for i, field in enumerate(values) if i < 2 or values[field] != defaults.get(field)]
        return " ".join(f"{field}={values[field]}" for field in shown)

    def samples(self, spec: SamplesSpec, seeds: SeedContext) -> Stage:
        """Images drawn from a generator, once per (generator, seed, sampling, amount)."""
        generator = self.suite.generators[spec.samples]
        train = self.generator(spec.samples, seeds)
        work, hashed, card = self.model("generator", generator.plugin, generator.params, generator.task)
        sampling = self.sampling(spec.samples, spec.sampling)
        common = {
            "sampling": sampling,
            "count": spec.count,
            "per_class": spec.per_class,
            "seed": seeds.generator,
            "shard": SHARD,
            "batch": sample_batch(self.image_size),
            "precision": self.suite.precision,
            "threads": self.suite.threads,
        }
        classes = len(work["task"]["classes"]) if work["task"] else 0
        # what `balance` comes to is known when the data are prepared
        amount_known = spec.count or (spec.per_class * classes if isinstance(spec.per_class, int) else 0)
        amount = f"count={spec.count}" if spec.count else f"per-class={spec.per_class}"
        how = self.describe_sampling(spec.samples, spec.sampling).replace(" ", ",")
        return self.add(
            "sample",
            f"sample/{spec.samples}/{how}{',' if how else ''}{amount}/seed={seeds.generator}",
            {"model": work, **common},
            None if hashed is None else {"model": hashed, **common},
            [card],
            {"train": train, "prepare": self.prepare()},
            disk_bytes=amount_known * 3 * self.image_size**2,
            steps=amount_known,
        )

    def pretrained(self, name: str, seeds: SeedContext) -> Stage:
        """An encoder pretrained once per seed."""
        spec = self.suite.pretrained[name]
        parts = self.image_parts(spec.images, seeds)
        model = self.model("pretrainer", spec.plugin, spec.params, None)
        seed = f"seed={seeds.pretrain}" + (f".{seeds.generator}" if parts.generated else "")
        return self._train(f"train/pretrainer/{name}/{seed}", model, spec.budget, parts, seeds.pretrain)

    def classifier(self, name: str, train: str | Sequence[str], task: str, seeds: SeedContext) -> Stage:
        """A classifier fitted on one training set for one task; the teacher is the row of its name."""
        spec = self.suite.classifiers[name]
        if spec.from_ is not None:
            return self.generator(spec.from_.generator, seeds)
        assert spec.plugin is not None and spec.budget is not None
        parts = self.image_parts(train, seeds)
        inputs: dict[str, Stage] = {}
        cards: list[Card] = []
        extra: dict[str, Any] = {"init": spec.init is not None, "teacher": None}
        hashed_extra: dict[str, Any] = {}
        if spec.init is not None:
            inputs["init"] = self.pretrained(spec.init, seeds)
            pretrainer = self.suite.pretrained[spec.init]
            work, hashed, card = self.model("pretrainer", pretrainer.plugin, pretrainer.params, None)
            extra["init"] = work
            hashed_extra["init"] = hashed
            cards.append(card)
        if spec.teacher is not None:
            inputs["teacher"] = self.classifier(spec.teacher.classifier, spec.teacher.train, task, seeds)
            work, hashed, card = self.classifier_model(spec.teacher.classifier, task)
            extra["teacher"] = work
            hashed_extra["teacher"] = hashed
            cards.append(card)
        model = self.model("classifier", spec.plugin, spec.params, task)
        words = [f"seed={seeds.classifier}"]
        if parts.generated:
            words.append(f"generator-seed={seeds.generator}")
        if spec.init is not None:
            words.append(f"pretrain-seed={seeds.pretrain}")
        label = f"train/classifier/{name}/{set_name(train)}/{task}/{','.join(words)}"
        return self._train(label, model, spec.budget, parts, seeds.classifier, extra, inputs, cards, hashed_extra)

    def classifier_model(self, name: str, task: str) -> tuple[dict[str, Any], dict[str, Any] | None, Card]:
        """How to build the model behind a classifier's name."""
        spec: ClassifierSpec = self.suite.classifiers[name]
        if spec.from_ is not None:
            generator = self.suite.generators[spec.from_.generator]
            return self.model("generator", generator.plugin, generator.params, generator.task)
        assert spec.plugin is not None
        return self.model("classifier", spec.plugin, spec.params, task)
