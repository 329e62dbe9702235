"""Denoising diffusion of a class with a transformer: setting 1 of Class-N-Diff, and plain DiT with `adaln`."""

from __future__ import annotations

from dataclasses import dataclass

from dermae_bench import api
from dermae_plugins.parts.transformer_diffusion import TransformerDiffusion, TransformerDiffusionConfig


class DiT(TransformerDiffusion):
    """Class-conditional diffusion transformer (Peebles and Xie 2023), without a classifier."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformerDiffusionConfig):
        """Space, network, process, conditioning and optimiser."""

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        optimizer = self.optimizer()
        run.optimizers(optimizer)
        clean = self.space.clean(train, self.config.flip, run.device)
        for batch in run.batches(train):
            assert batch.labels is not None
            self.pace(optimizer, run.progress)
            run.step(self.guess(clean(batch), batch.labels).mse, optimizer)


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"dit": DiT}
