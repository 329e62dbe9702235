"""Stages that draw images from a generator: sample sets of image sets and rows, and the grids of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import UserError
from dermae_bench.plugin.checking import check
from dermae_bench.suite.captioning import captions_of
from dermae_bench.suite.keys import harness_digests
from dermae_bench.suite.lineage import reaches
from dermae_bench.suite.parts import FigurePlan, SeedContext, names_of, sample_batch
from dermae_bench.suite.spec import SamplesSpec
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.suite.plan import Planner

SHARD = 1024
"""Images of a sample shard: what a killed sampling stage loses at most."""

Counts = Mapping[str, Mapping[str, int]]
"""Split -> class of the root task -> images."""


class Drawing:
    """Adds sample stages to a planner.

    Args:
        plan: whose generators are drawn from.
        counts: images of each class, where the data are there to be counted.
    """

    def __init__(self, plan: Planner, counts: Counts | None) -> None:
        self.plan = plan
        self.suite = plan.suite
        self.counts = counts
        self.drawn: dict[tuple[str, str], Mapping[str, Any] | None] = {}
        """(generator, its sampling in words) of every sample set -> the sampling as the suite gives it."""

    def sampling(self, name: str, own: Mapping[str, Any] | None) -> dict[str, Any]:
        """Normalised sampling of a generator: the image set's own words, else the generator's."""
        spec = self.suite.generators[name]
        card = self.plan.catalog.card("generator", spec.plugin)
        value, _ = check(dict(own if own is not None else spec.sampling), card.sampling or {})
        return dict(value)

    def describe(self, name: str, own: Mapping[str, Any] | None) -> str:
        """Sampling in words: its first two fields and what differs from the plugin's defaults."""
        card = self.plan.catalog.card("generator", self.suite.generators[name].plugin)
        defaults, _ = check({}, card.sampling or {})
        values = self.sampling(name, own)
        shown = [field for i, field in enumerate(values) if i < 2 or values[field] != defaults.get(field)]
        return " ".join(f"{field}={values[field]}" for field in shown)

    def samples(self, spec: SamplesSpec, seeds: SeedContext) -> Stage:
        """Images drawn from a generator, once per (generator, seed, sampling, amount)."""
        # a share of `train` is a number like any other: whoever asks for it in another way gets the same images
        count = self.amount(spec) if spec.ratio is not None else spec.count
        if spec.ratio is not None and self.counts is not None and not count:
            raise UserError(f"{spec.ratio} images of {spec.samples!r} for each of `train` are none")
        amount = f"count={count}" if spec.per_class is None else f"per-class={spec.per_class}"
        if spec.per_class is not None:
            self._refuse_unseen(spec.samples)
        if spec.per_class == "balance" and self.counts is not None and self.amount(spec) == 0:
            raise UserError(
                f"there is nothing to sample from {spec.samples!r}: every class is already as frequent as the largest",
                hint="remove `per_class: balance`, or write how many of each class",
            )
        asked: dict[str, Any] = {"count": count, "per_class": spec.per_class, "columns": None}
        if spec.even:
            asked["even"] = True
            amount += ",even"
            self._refuse_unseen(spec.samples)
        return self._sample(spec.samples, spec.sampling, seeds, asked, amount, self.amount(spec), spec.captions)

    def figures(self) -> list[FigurePlan]:
        """The grids of the suite, from the first generator seed."""
        seeds = SeedContext(generator=self.suite.seeds.generator[0])
        found = []
        for name, spec in self.suite.figures.items():
            rows = []
            for generator in names_of(spec.samples):
                self._refuse_unseen(generator)
                lines = len(self.classes(generator)) or 1
                asked = {"count": None, "per_class": None, "columns": spec.columns}
                amount = f"columns={spec.columns}"
                total = lines * spec.columns
                stage = self._sample(generator, spec.sampling, seeds, asked, amount, total, spec.captions)
                rows.append((generator, self.describe(generator, spec.sampling), stage))
            found.append(FigurePlan(name=name, columns=spec.columns, rows=tuple(rows)))
        return found

    def classes(self, generator: str) -> list[str]:
        """Classes that a generator can be asked for; none if it is unconditional or the tasks are not known."""
        task = self.suite.generators[generator].task
        return [] if task is None or self.plan.tasks is None else list(self.plan.tasks[task]["classes"])

    def amount(self, spec: SamplesSpec) -> int:
        """Images of a sample set; 0 while it cannot be known (`balance` without the data)."""
        if spec.count is not None:
            return spec.count
        if spec.ratio is not None:
            return round(spec.ratio * self.size("train"))
        classes = self.classes(spec.samples)
        if isinstance(spec.per_class, int):
            return spec.per_class * len(classes)
        have = self._train_counts(self.suite.generators[spec.samples].task)
        return sum(max(have.values()) - have[name] for name in classes) if have else 0

    def _refuse_unseen(self, generator: str) -> None:
        """Raise if a class asked for by name has no image in `train`: its samples would be noise with a label.

        What was made elsewhere has learnt nothing from `train`. Of a part of `train` nobody knows the classes before it
        is chosen: the stage that draws says the same of it.
        """
        if not self.plan.roster.fitted_generator(generator):
            return
        have = self._train_counts(self.suite.generators[generator].task)
        absent = [name for name, count in have.items() if count == 0]
        if absent:
            raise UserError(
                f"{generator!r} cannot have learnt {', '.join(absent)}: `train` has no such image",
                hint="`count` follows the shares of the classes in `train` and asks for none of these",
            )

    def size(self, split: str) -> int:
        """Images of a real split; 0 while it cannot be known."""
        return sum((self.counts or {}).get(split, {}).values())

    def _train_counts(self, task: str | None) -> dict[str, int]:
        """Images of each class of a task in `train`."""
        tasks = self.plan.tasks
        if self.counts is None or task is None or tasks is None:
            return {}
        chain = [task]
        while (parent := tasks[chain[-1]].get("parent")) is not None:
            chain.append(parent)
        if not reaches(tasks, chain[-1], task):
            return {}
        found = dict.fromkeys(tasks[task]["classes"], 0)
        for root, count in self.counts.get("train", {}).items():
            label = root
            for lower in reversed(chain[:-1]):
                label = tasks[lower]["mapping"][label]
            found[label] += count
        return found

    def _sample(
        self,
        name: str,
        own: Mapping[str, Any] | None,
        seeds: SeedContext,
        asked: Mapping[str, Any],
        words: str,
        amount: int,
        captions: str | None = None,
    ) -> Stage:
        generator = self.suite.generators[name]
        fitted = self.plan.roster.fitted_generator(name)
        if fitted:
            self.drawn.setdefault((name, self.describe(name, own)), own)
        else:
            # images that were made elsewhere are the same under every seed
            seeds = SeedContext(generator=self.suite.seeds.generator[0])
        inputs = {"train": self.plan.generator(name, seeds)} if fitted else {}
        learnt = _learnt(inputs["train"].work["images"]) if fitted else None
        said = captions_of(self.plan, name, captions)
        words += f",captions={captions}" if captions is not None else ""
        work, hashed, card = self.plan.model("generator", generator.plugin, generator.params, generator.task)
        common = {
            "sampling": self.sampling(name, own),
            **asked,
            **({} if learnt is None else {"learnt": learnt}),
            "seed": seeds.generator,
            "shard": SHARD,
            "batch": sample_batch(self.plan.image_size),
            "precision": self.suite.precision,
            "threads": self.suite.threads,
        }
        if not fitted:
            # their pixels are decoded and resized where they are asked for
            common["decoding"] = dict(harness_digests("prepare"))
        how = self.describe(name, own).replace(" ", ",")
        return self.plan.add(
            "sample",
            f"sample/{name}/{how}{',' if how else ''}{words}/seed={seeds.generator}",
            {"model": work, **common, **({"captions": said[0]} if said else {})},
            None
            if hashed is None or (said is not None and said[1] is None)
            else {"model": hashed, **common, **({"captions": said[1]} if said else {})},
            [card],
            {**inputs, "prepare": self.plan.prepare()},
            disk_bytes=amount * 3 * self.plan.image_size**2,
            steps=amount,
        )


def _learnt(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a generator is asked for where it has not learnt from all of `train`: the rest is unknown to it.

    Returns:
        {"real": parts of real splits, "more": whether it has learnt from generated images, too}; None where it has
        learnt from all of `train` and nothing else, or from generated images alone.
    """
    real = [dict(part) for part in parts if "split" in part]
    return None if not real or list(parts) == [{"split": "train"}] else {"real": real, "more": len(real) < len(parts)}
