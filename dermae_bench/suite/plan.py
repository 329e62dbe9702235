"""Suite -> stages, in an order in which they can run; equal work is one stage, whoever asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dermae_bench.plugin.catalog import Card, Catalog
from dermae_bench.store.contents import Contents
from dermae_bench.suite.captioning import captions_of
from dermae_bench.suite.drawing import Counts, Drawing
from dermae_bench.suite.keys import Identities
from dermae_bench.suite.missing import Missing, missing_paths
from dermae_bench.suite.parts import Parts as Parts
from dermae_bench.suite.parts import SeedContext as SeedContext
from dermae_bench.suite.parts import sample_batch as sample_batch
from dermae_bench.suite.parts import set_name as set_name
from dermae_bench.suite.places import SPLITS
from dermae_bench.suite.roster import Roster
from dermae_bench.suite.spec import ClassifierSpec, RealSpec, SamplesSpec, Suite
from dermae_bench.suite.stage import Stage, key_of
from dermae_bench.suite.teaching import Helpers, helpers_of, taught

COST_METRICS = ("compute", "parameters")
"""Counted for every model without being asked for."""


class Planner:
    """Makes the stages of one suite; `stages` holds each once, inputs before those who read them.

    Args:
        suite: the checked suite, with normalised params.
        catalog: cards of the plugins it names.
        contents: digests of the user's paths.
        tasks: the dataset's tasks by name, or None where the data that tell them are missing.
        counts: images of each class by split, or None where there are no data to count.
        other_tasks: name of a set under `evaluate_on` -> its tasks by name; without those whose data are missing.
    """

    def __init__(
        self,
        suite: Suite,
        catalog: Catalog,
        contents: Contents,
        tasks: Mapping[str, Mapping[str, Any]] | None,
        counts: Counts | None = None,
        other_tasks: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    ) -> None:
        self.suite = suite
        self.catalog = catalog
        self.identities = Identities(catalog, contents)
        self.roster = Roster(suite, catalog)
        self.tasks = tasks
        self.other_tasks = other_tasks or {}
        self.absent: list[Missing] = []
        """What is not there, in the order in which it is needed; the same may stand twice."""
        self.stages: list[Stage] = []
        self._by_key: dict[str, Stage] = {}
        self._prepared: Stage | None = None
        self.image_size = int(suite.dataset.params["image_size"])
        self.drawing = Drawing(self, counts)
        self.fitted: dict[tuple[str, str], None] = {}
        """(classifier, task) of every fit, in the order of planning."""
        self.encoders: dict[str, None] = {}
        """Names of the encoders that are pretrained."""

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
        scratch_bytes: int = 0,
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
            scratch_bytes=scratch_bytes,
            steps=steps,
            key=key,
        )
        self._by_key[identity] = stage
        self.stages.append(stage)
        return stage

    def move_to_front(self, *kinds: str) -> None:
        """Let stages of these kinds come before all others, in the order of the kinds; they must read no others."""
        order = {kind: number for number, kind in enumerate(kinds)}
        self.stages.sort(key=lambda stage: order.get(stage.kind, len(order)))

    def hashed(self, value: Mapping[str, Any], card: Card) -> dict[str, Any] | None:
        """Params with digests for paths; None, with what is not there kept in `absent`, where any of it is missing."""
        if found := missing_paths(value, card, self.identities.contents):
            self.absent += found
            return None
        return self.identities.params(value, card.params)

    @property
    def missing(self) -> str | None:
        """Everything that is not there, in one line; None where nothing is missing."""
        return "; ".join(dict.fromkeys(missing.reason for missing in self.absent)) or None

    # -- data --------------------------------------------------------------------------------------------------

    def prepare_other(self, name: str) -> Stage:
        """Decode and resize the test images of a set under `evaluate_on`."""
        spec = self.suite.evaluate_on[name]
        card = self.catalog.card("dataset", spec.plugin)
        hashed = self.hashed(spec.params, card)
        work = {"plugin": card.name, "params": self.identities.absolute(spec.params, card.params), "only": "test"}
        known = None if hashed is None else {"plugin": card.name, "params": hashed, "only": "test"}
        return self.add("prepare", f"prepare/{name}", work, known, [card])

    def prepare(self) -> Stage:
        """Decode and resize every image once."""
        if self._prepared is not None:
            return self._prepared
        spec = self.suite.dataset
        card = self.catalog.card("dataset", spec.plugin)
        hashed = self.hashed(spec.params, card)
        work = {"plugin": card.name, "params": self.identities.absolute(spec.params, card.params)}
        pixels = sum(self.drawing.size(split) for split in SPLITS) * 3 * self.image_size**2
        self._prepared = self.add(
            "prepare",
            f"prepare/{card.name}",
            work,
            None if hashed is None else {"plugin": card.name, "params": hashed},
            [card],
            disk_bytes=pixels,
            scratch_bytes=pixels,
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
        asking: list[tuple[str, str | None]] = []

        def walk(item: Any) -> None:
            if isinstance(item, SamplesSpec):
                role = f"samples{len(samples)}"
                spec.append({"samples": role})
                samples.append((role, self.drawing.samples(item, seeds)))
                if item.labels == "teacher":
                    asking.append((role, self.suite.generators[item.samples].task))
            elif isinstance(item, RealSpec):
                asked = {name: value for name, value in asdict(item).items() if name != "from_"}
                spec.append({"split": item.from_, "choose": asked})
            elif not isinstance(item, str):
                for inner in item:
                    walk(inner)
            elif item in ("train", "val", "test"):
                spec.append({"split": item})
            else:
                walk(self.suite.image_sets[item])

        walk(names)
        return Parts(tuple(spec), tuple(samples), tuple(asking))

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
        budget_name: str | None,
        parts: Parts,
        seed: int,
        images: Sequence[Mapping[str, Any]] | None = None,
        helpers: Helpers | None = None,
    ) -> Stage:
        assert budget_name is not None
        work, hashed, card = model
        budget = {**asdict(self.suite.budgets[budget_name]), "phases": dict(self.suite.budgets[budget_name].phases)}
        cards = list(helpers.cards) if helpers else []
        if budget["select"].startswith("best:"):
            cards.append(self.catalog.card("metric", budget["select"].removeprefix("best:")))
            budget["select"] = f"best:{cards[-1].name}"
        common = {
            "images": list(images or parts.spec),
            "seed": seed,
            "precision": self.suite.precision,
            "threads": self.suite.threads,
            **(helpers.work if helpers else {}),
        }
        # how often a checkpoint is written changes no result
        budget_key = {name: value for name, value in budget.items() if name != "checkpoint"}
        return self.add(
            "train",
            name,
            {"model": work, "budget": budget, **common},
            None
            if hashed is None
            else {"model": hashed, "budget": budget_key, **common, **(helpers.hashed if helpers else {})},
            [card, *cards],
            {**self.inputs(parts), **(helpers.inputs if helpers else {})},
            steps=budget["steps"],
        )

    def generator(self, name: str, seeds: SeedContext) -> Stage:
        """A generator fitted once per seed, whatever the number of rows."""
        spec = self.suite.generators[name]
        parts = self.image_parts(spec.images, seeds)
        model = self.model("generator", spec.plugin, spec.params, spec.task)
        label = f"train/generator/{name}/seed={seeds.generator}"
        helpers = None
        if (said := captions_of(self, name)) is not None:
            helpers = Helpers(work={"captions": said[0]}, hashed={"captions": said[1]})
            # without its captions nobody knows what it learns
            model = model if said[1] is not None else (model[0], None, model[2])
        return self._train(label, model, spec.budget, parts, seeds.generator, None, helpers)

    def pretrained(self, name: str, seeds: SeedContext) -> Stage:
        """An encoder pretrained once per seed."""
        self.encoders[name] = None
        spec = self.suite.pretrained[name]
        parts = self.image_parts(spec.images, seeds)
        model = self.model("pretrainer", spec.plugin, spec.params, None)
        seed = f"seed={seeds.pretrain}" + (f",generator-seed={seeds.generator}" if parts.generated else "")
        return self._train(f"train/pretrainer/{name}/{seed}", model, spec.budget, parts, seeds.pretrain)

    def classifier(self, name: str, train: str | Sequence[str] | SamplesSpec, task: str, seeds: SeedContext) -> Stage:
        """A classifier fitted on one training set for one task; the teacher is the row of its name."""
        spec = self.suite.classifiers[name]
        if spec.from_ is not None:
            return self.generator(spec.from_.generator, seeds)
        assert spec.plugin is not None
        self.fitted[name, task] = None
        parts = self.image_parts(train, seeds)
        helpers = helpers_of(self, spec, parts, task, seeds)
        model = self.model("classifier", spec.plugin, spec.params, task)
        roles = self.roster.seed_roles(name, train)
        words = [f"seed={seeds.classifier}"]
        words += [f"{role}-seed={getattr(seeds, role)}" for role in ("generator", "pretrain") if role in roles]
        which = parts.samples[0][1].name if isinstance(train, SamplesSpec) else set_name(train)
        label = f"train/classifier/{name}/{which}/{task}/{','.join(words)}"
        images = taught(parts, task, self.tasks)
        return self._train(label, model, spec.budget, parts, seeds.classifier, images, helpers)

    def classifier_model(self, name: str, task: str) -> tuple[dict[str, Any], dict[str, Any] | None, Card]:
        """How to build the model behind a classifier's name."""
        spec: ClassifierSpec = self.suite.classifiers[name]
        if spec.from_ is not None:
            generator = self.suite.generators[spec.from_.generator]
            return self.model("generator", generator.plugin, generator.params, generator.task)
        assert spec.plugin is not None
        return self.model("classifier", spec.plugin, spec.params, task)
