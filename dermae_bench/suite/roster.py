"""What the cards say of the suite's models: which are fitted, how, and which seeds they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.suite.given import TRAINED, is_fitted, protocol_of
from dermae_bench.suite.places import SPLITS
from dermae_bench.suite.spec import RealSpec, SamplesSpec, Suite


class Roster:
    """The generators and classifiers of one suite, by name.

    Args:
        catalog: cards of the plugins it names.
    """

    def __init__(self, suite: Suite, catalog: Catalog) -> None:
        self.suite = suite
        self.catalog = catalog

    def fitted_generator(self, name: str) -> bool:
        """Whether a generator is fitted, or its images were made elsewhere."""
        return is_fitted(self.catalog.card("generator", self.suite.generators[name].plugin))

    def fitted_classifier(self, name: str) -> bool:
        """Whether a classifier is fitted, here or as part of a generator, or its answers were given elsewhere."""
        spec = self.suite.classifiers[name]
        return spec.plugin is None or is_fitted(self.catalog.card("classifier", spec.plugin))

    def protocol(self, name: str) -> str:
        """What a fit of a classifier is called on boards."""
        spec = self.suite.classifiers[name]
        return (
            TRAINED if spec.plugin is None else protocol_of(self.catalog.card("classifier", spec.plugin), spec.params)
        )

    def seed_roles(self, name: str, train: str | Sequence[Any] | SamplesSpec) -> set[str]:
        """Roles whose seeds a classifier depends on, through its images, its encoder or its teacher."""
        spec = self.suite.classifiers[name]
        if spec.from_ is not None:
            return {"generator"}
        if not self.fitted_classifier(name):
            return set()
        roles = {"classifier"}
        if self.seeded(train):
            roles.add("generator")
        if spec.init is not None:
            roles.add("pretrain")
            if self.seeded(self.suite.pretrained[spec.init].images):
                roles.add("generator")
        if spec.teacher is not None:
            roles |= self.seed_roles(spec.teacher.classifier, spec.teacher.train)
        return roles

    def generated(self, names: Any) -> bool:
        """Whether an image set holds generated images, without planning any."""
        return bool(self._drawn_from(names))

    def seeded(self, names: Any) -> bool:
        """Whether an image set holds images that depend on a generator's seed."""
        return any(self.fitted_generator(name) for name in self._drawn_from(names))

    def _drawn_from(self, names: Any) -> set[str]:
        if isinstance(names, SamplesSpec | RealSpec):
            return {names.samples} if isinstance(names, SamplesSpec) else set()
        if not isinstance(names, str):
            return set().union(*(self._drawn_from(inner) for inner in names))
        return set() if names in SPLITS else self._drawn_from(self.suite.image_sets[names])
