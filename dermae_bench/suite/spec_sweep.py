"""What a suite says of sweeps: rows over amounts of real and generated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from dermae_bench.plugin.params import Between
from dermae_bench.suite.spec_images import Params


@dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """Training sets of growing size as an axis of rows; each point costs what no other point has made yet."""

    samples: str | tuple[str, ...]
    """Name of a generator, or several, each swept for itself."""
    real_n: tuple[Annotated[int, Between(1)] | Literal["all"], ...] = ("all",)
    """Real images of `train`: so many, by whole lesions (a larger choice holds every smaller one), or all."""
    ratio: tuple[Annotated[float, Between(0)], ...] = ()
    """Generated images for each real one; 0 is real images alone."""
    synthetic_n: tuple[Annotated[int, Between(1)], ...] = ()
    """So many generated images and no real one."""
    control: str | tuple[str, ...] = ()
    """Classifiers that see the same real images alone, for as many steps of as many images: what classical
    augmentation gives at the same price."""
    sampling: Params | None = None
    """Replaces the generators' own `sampling`."""
    captions: str | None = None
    """Name under `captions:` of what to ask for, in place of what the generators were fitted with."""
    balance: str | None = None
    """Task whose classes stand in equal numbers in every set, real and generated; the generators' own task."""
    seed: Annotated[int, Between(0)] = 0
    """Another seed chooses other real images."""
