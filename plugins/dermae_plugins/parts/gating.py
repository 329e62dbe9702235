"""The gate of Class-N-Diff: which latents its classifier sees, the clean ones or those that the diffusion denoised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from dermae_bench import api
from dermae_plugins.parts.draws import own_draws


@dataclass(frozen=True, kw_only=True)
class GatingConfig:
    """How often the classifier sees x0-hat, and what for.

    The paper says that gamma "controls the input to the classification model; either the latent from the original
    image or the reconstructed image", starts at 0 and is "increased periodically" (section III-B); it gives neither
    the size of a rise nor its period.
    """

    gating: Literal["constant", "rising"] = "constant"
    """`constant` is gamma from the first step of the classifier on (setting 2 of Table I, and the released code),
    `rising` goes up to gamma in steps (settings 3 to 5)."""
    gamma: Annotated[float, api.Between(0, 1)] = 0.25
    """Probability that the classifier sees the denoised latent in place of the clean one; with `rising` the value
    where the rise ends. 0.25 is the only value in the paper."""
    gamma_start: Annotated[float, api.Between(0, 1)] = 0.0
    """Value at the start of the budget; `rising` only. 0 in the paper."""
    gamma_increment: Annotated[float, api.Between(0, 1)] = 0.05
    """What a period adds; `rising` only. Ours: with the default period 0.25 is reached in the middle of the budget."""
    gamma_period: Annotated[float, api.Between(0.0001, 1)] = 0.1
    """Share of the budget between two rises; `rising` only. Ours."""
    gate_by: Literal["batch", "image"] = "batch"
    """One draw a batch (the released code), or one for each image."""
    gate_until: Annotated[float, api.Between(0, 1)] = 1.0
    """Share of the noise levels, from the clean end, at which x0-hat may be seen; 1 is all, as in the paper. With
    `prediction: eps` x0-hat and its gradient are divided by alpha, which is 0.006 at the noisy end of 1,000 linear
    steps; a lower share keeps them in range."""
    learns_from: Literal["both", "clean"] = "both"
    """Latents that the classifier itself is trained on: clean and denoised ones (the paper's text), or clean ones
    alone, so that denoised ones train only the diffusion (the released code). A batch of both (`gate_by: image`) passes
    as one, and its normalisation sees both."""

    def gamma_at(self, progress: float) -> float:
        """Gamma at this share of the budget, 0 <= progress < 1."""
        if self.gating == "constant":
            return self.gamma
        # a tiny bit more, since 3 x 0.1 > 0.3 in floating point
        rises = math.floor(progress / self.gamma_period + 1e-9)
        return min(self.gamma, self.gamma_start + rises * self.gamma_increment)

    def gates(self, gamma: float, count: int) -> Tensor:
        """bool (B,) on the CPU, so that nothing waits for a GPU: which images' denoised latents are seen."""
        with own_draws("gate"):
            drawn = torch.rand(count if self.gate_by == "image" else 1)
        return (drawn < gamma).expand(count)
