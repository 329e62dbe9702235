"""A conditional diffusion model that is told the labels of other images: it learns lesions, but no class."""

from __future__ import annotations

from dataclasses import replace

import torch
from dermae_plugins.generators.ddpm_conditional import ConditionalDDPM

from dermae_bench import api


class Shuffled(ConditionalDDPM):
    """The same network, budget and classes, with the training labels permuted once."""

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        assert train.labels is not None
        other = torch.randperm(len(train), generator=run.rng("labels")).numpy()
        super().fit(replace(train, labels=train.labels[other]), run)


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"shuffled": Shuffled}
