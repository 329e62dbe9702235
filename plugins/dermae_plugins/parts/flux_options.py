"""The options of `flux-lora`: what is trained over which weights, and how pictures are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from dermae_bench import api
from dermae_plugins.parts import flux_net, flux_text, flux_weights, lora
from dermae_plugins.parts.autoencoders import SpaceConfig
from dermae_plugins.parts.optimisation import Decay


@dataclass(frozen=True, kw_only=True)
class FluxOptions(SpaceConfig, flux_net.NetConfig, flux_text.SmallTextConfig, lora.LoraConfig):
    """Start, network, text, space, adapters, times and optimiser."""

    train: Literal["lora", "all"] = "lora"
    """`lora` trains adapters over a frozen network, given by `weights` or `backbone`; `all` trains a network of
    one's own from nothing."""
    weights: api.Folder | None = None
    """Folder of FLUX.1-dev in its official layout (model_index.json, transformer, vae, text_encoder,
    text_encoder_2, tokenizer, tokenizer_2, scheduler). It says what network, text encoders and space are."""
    backbone: api.File | None = None
    """Instead: weights of a row with `train: all`, for the same network, text and space options."""
    precision: flux_weights.Precision = "bfloat16"
    """Of the frozen transformer and text encoders of `weights`; the adapters are float32."""
    t5_tokens: Annotated[int, api.Between(1)] = 512
    """Tokens of a caption that T5 reads (FluxPipeline: 512); `weights` only."""
    captions_gib: Annotated[float, api.Between(0)] = 2.0
    """Memory in GiB that embeddings of captions may take where the text encoder is frozen: each distinct caption
    is then encoded once. A caption of FLUX.1 takes 4 MiB; those without room are encoded at every step."""
    p_uncond: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of the training images whose caption is left out; `guidance` needs more than 0."""
    trained_guidance: Annotated[float, api.Between(0)] = 1.0
    """Guidance scale that a guidance-distilled transformer (FLUX.1-dev) is told in training: 1 in the command that
    diffusers gives for its DreamBooth script, whose own default is 3.5. DermaFlux does not say."""
    times: Literal["uniform", "logit-normal"] = "logit-normal"
    """Distribution of the training times before their shift: uniform in 0..1 (the default of diffusers' script),
    or the sigmoid of a normal number (Esser et al. 2024, section 3.1). DermaFlux does not say."""
    logit_mean: float = 0.0
    """Mean of that normal number. `logit-normal` only."""
    logit_scale: Annotated[float, api.Between(0.01)] = 1.0
    """Standard deviation of that normal number. `logit-normal` only."""
    shift: Annotated[float, api.Between(0.01)] | None = None
    """Shift s of the training times, s t / (1 + (s - 1) t). Null is that of drawing, which follows the number of
    tokens; 1 is none, as in diffusers' script."""
    lr: Annotated[float, api.Between(0)] = 1e-4
    """Learning rate of AdamW after warm-up; the default of diffusers' script, since DermaFlux does not say."""
    weight_decay: Annotated[float, api.Between(0)] = 1e-4
    """Decoupled weight decay; the default of diffusers' script."""
    warmup: Annotated[float, api.Between(0, 1)] = 0.0
    """Share of the budget over which the learning rate rises from 0."""
    decay: Decay = "constant"
    """What the learning rate does after warm-up: stays, or falls to 0 along half a cosine."""
    flip: bool = True
    """Mirror half of the training images left to right; no caption of ours tells left from right."""
    checkpointing: bool = False
    """Compute the blocks' activations again in the backward pass: a third more time, much less memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_net()
        self.check_text()
        given = [name for name in ("weights", "backbone") if getattr(self, name) is not None]
        if self.train == "all" and given:
            raise ValueError(f"{given[0]} belongs to train: lora")
        if self.train == "lora" and len(given) != 1:
            raise ValueError("train: lora needs weights or backbone, and not both; train: all needs neither")
        if self.weights is not None and self.space != "pixel":
            raise ValueError("space is left out with weights: their autoencoder is used")
        if self.weights is not None and self.patch != flux_net.FLUX_PATCH:
            raise ValueError("patch is left out with weights: FLUX.1 has patches of 2 x 2")
        if self.times == "uniform" and (self.logit_mean != 0.0 or self.logit_scale != 1.0):
            raise ValueError("logit_mean and logit_scale need times: logit-normal")


@dataclass(frozen=True, kw_only=True)
class FluxSampling:
    """FlowMatchEuler: deterministic, one network call a step (two with `guidance`)."""

    steps: Annotated[int, api.Between(1)] = 20
    """Steps from noise to image (DermaFlux, section 2.2: 20)."""
    guidance: Annotated[float, api.Between(0)] = 0.0
    """Weight w of classifier-free guidance on the velocity, v + w (v - u) with u the velocity without a caption; 0
    is none (DermaFlux's demo), else every step costs two passes. FluxPipeline's `true_cfg_scale` is 1 + w."""
    distilled_guidance: Annotated[float, api.Between(0)] | None = None
    """Guidance scale that a guidance-distilled transformer is told; null is 3.5 for those (FLUX.1-dev). Others are
    told none."""
    shift: Annotated[float, api.Between(0.01)] | None = None
    """Shift of the steps; null is the scheduler's, which follows the number of tokens."""
