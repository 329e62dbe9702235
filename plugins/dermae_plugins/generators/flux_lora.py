"""Text to image by FLUX: low-rank adapters over FLUX.1-dev, as DermaFlux has them, or a small FLUX of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api
from dermae_plugins.parts import flow, flux_net, flux_text, flux_weights, lora, samplers, trunks
from dermae_plugins.parts.autoencoders import SpaceConfig
from dermae_plugins.parts.flux_options import FluxOptions, FluxSampling
from dermae_plugins.parts.latents import build_space
from dermae_plugins.parts.optimisation import optimizer_for, set_learning_rate

DISTILLED_GUIDANCE = 3.5
"""What FLUX.1-dev is drawn with, in the demo of DermaFlux and in FluxPipeline."""


class FluxLora(api.Generator):
    """A rectified flow between noise and image, told by a caption (DermaFlux, section 2.2; Esser et al. 2024).

    There are three ways to use it:

    - `weights: FLUX.1-dev` adapts FLUX.1-dev from a local folder. Transformer, autoencoder, CLIP and T5 are frozen;
      the adapters alone are trained and saved. Needs `pip install 'dermae-bench[text]'` (peft and transformers).
    - `train: all` trains a small FLUX from nothing, with a text encoder and a vocabulary from the training captions.
    - `backbone: weights.safetensors` adapts such a small FLUX, given the same options; needs peft.

    The weights of an adapted row are a file that diffusers loads:
    `pipe.load_lora_weights("results/store/train/KEY", weight_name="weights.safetensors")`. `export_adapter` writes the
    same adapter under diffusers' usual name, with peft's settings in it.

    DermaFlux trains five epochs at three resolutions; a suite has one image size, and its budget says the steps.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(FluxOptions):
        """What is trained, over which weights; network, text, space, adapters, times and optimiser."""

    Sampling = FluxSampling
    conditional = True
    captioned = True
    tiny: ClassVar[Mapping[str, Any]] = {
        "train": "all",
        "layers": 1,
        "single_layers": 1,
        "heads": 2,
        "head_dim": 8,
        "patch": 8,
        "text_layers": 1,
        "text_width": 16,
        "text_heads": 2,
        "words": 8,
        "vocabulary": 16,
        "p_uncond": 0.1,
        "lr": 1e-3,
    }
    tiny_sampling: ClassVar[Mapping[str, Any]] = {"steps": 4}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.scheduler = flux_net.FLUX_SCHEDULER
        space: SpaceConfig = config
        if config.weights is not None:
            folder = Path(config.weights)
            flux_weights.check_layout(folder)
            about = flux_weights.read_json(folder / flux_weights.SCHEDULER)
            self.scheduler = flux_net.scheduler_settings(about)
            vae = api.Folder(str(folder / "vae"))
            space = SpaceConfig(
                space="latent", autoencoder="kl", autoencoder_folder=vae, latents_gib=config.latents_gib
            )
        self.space = build_space(self, space, task.image_size)
        self._build(config)
        self.patches = flux_net.Patches(self.space.shape, config.patch, self._net.config.in_channels)
        shift = flux_net.shift_of(self.scheduler, self.patches.count) if config.shift is None else config.shift
        self.times = flow.TimesConfig(
            times=config.times, logit_mean=config.logit_mean, logit_scale=config.logit_scale, shift=shift
        )
        if config.checkpointing:
            self._net.enable_gradient_checkpointing()

    def _build(self, config: Config) -> None:
        """Transformer and text encoder. The one that answers is `_net`, whose trained part is `transformer`."""
        if config.weights is not None:
            folder = Path(config.weights)
            text: flux_text.Text
            net, text = flux_weights.pair(folder, config.precision, config.t5_tokens)
        else:
            net = flux_net.build_net(config, self.space.shape[0], config.text_width)
            text = flux_text.SmallText(config)
        if config.train == "all":
            self.transformer, self.text = net, text
        else:
            if config.backbone is not None:
                _load(net, text, config.backbone)
            self.frozen("backbone", net)
            self.frozen("text", text)
            adapted = lora.Adapted(net, config)
            self._adapted, self.transformer, net = adapted, adapted.layers, adapted.net
        # a part of this model already, or frozen: it must not be one twice
        object.__setattr__(self, "_net", net)

    # -- training ----------------------------------------------------------------------------------------------------

    def fit(self, train: api.ImageSet, run: api.Run) -> None:
        config = self.config
        if train.captions is None:
            raise api.PluginError("flux-lora needs to be told what each training image shows", hint="name `captions:`")
        if config.train == "all":
            self.text.learn_words(train.captions)
        optimizer = optimizer_for("adamw", self.parameters(), config.lr, config.weight_decay)
        run.optimizers(optimizer)
        clean = self.space.clean(train, config.flip, run.device)
        encode = self.text.encode if config.train == "all" else self._remembered()
        for batch in run.batches(train):
            assert batch.captions is not None
            set_learning_rate(optimizer, config.decay, config.warmup, run.progress)
            run.step(self.loss(clean(batch), encode(self.left_out(batch.captions))), optimizer)

    def _remembered(self) -> flux_text.Encode:
        return flux_text.Remembered(self.text, int(self.config.captions_gib * 2**30))

    def left_out(self, captions: Sequence[str]) -> tuple[str, ...]:
        """Captions, a share of `p_uncond` of them empty."""
        hidden = (torch.rand(len(captions)) < self.config.p_uncond).tolist()
        return tuple("" if out else caption for out, caption in zip(hidden, captions, strict=True))

    def loss(self, x0: Tensor, said: flux_text.Said) -> Tensor:
        """Mean squared error of the velocity eps - x0, for float x0 (B, C, h, w)."""
        t, eps = flow.draw_times(self.times, len(x0), x0.device), torch.randn_like(x0)
        return F.mse_loss(
            self.velocity(flow.noised(x0, eps, t), t, said, self.config.trained_guidance), flow.velocity(x0, eps)
        )

    def velocity(self, x_t: Tensor, t: Tensor, said: flux_text.Said, guidance: float) -> Tensor:
        """What the transformer says of the velocity at x_t (B, C, h, w) and t (B,) in 0..1, float32."""
        out = self._net(**self._asked(x_t, t, said, guidance))[0]
        return self.patches.unpack(out.float())

    def _asked(self, x_t: Tensor, t: Tensor, said: flux_text.Said, guidance: float) -> dict[str, Any]:
        # that of the network's own weights: adapters may be wider
        dtype = next(self.frozen_modules.get("backbone", self._net).parameters()).dtype
        sequence, pooled = said
        distilled = self._net.config.guidance_embeds
        return {
            "hidden_states": self.patches.pack(x_t).to(dtype),
            "encoder_hidden_states": sequence.to(dtype),
            "pooled_projections": pooled.to(dtype),
            "timestep": t,
            "img_ids": self.patches.positions(x_t.device),
            "txt_ids": torch.zeros(sequence.shape[1], 3, device=x_t.device),
            "guidance": torch.full_like(t, guidance) if distilled else None,
            "return_dict": False,
        }

    # -- drawing -----------------------------------------------------------------------------------------------------

    def sample(self, conditions: api.Conditions, sampling: FluxSampling, noise: api.Noise) -> Tensor:
        if conditions.captions is None:
            raise api.PluginError("flux-lora needs to be told what each image shall show", hint="name `captions:`")
        scale, weight = self.distilled_guidance(sampling), self.guidance(sampling)
        encode = self._remembered() if self.config.train == "lora" else self.text.encode
        with torch.no_grad():
            said = encode(conditions.captions)
            nothing = tuple(part.expand(len(conditions), *part.shape[1:]) for part in encode([""])) if weight else said
            network = samplers.guided(
                lambda x, t: self.velocity(x, t, said, scale), lambda x, t: self.velocity(x, t, nothing, scale), weight
            )
            x = flow.euler(network, self._drawing_times(sampling), noise.normal(self.space.shape))
            return self.space.pixels(x)

    def _drawing_times(self, sampling: FluxSampling) -> list[float]:
        if sampling.shift is not None:
            return flow.times(sampling.steps, sampling.shift)
        return flux_net.drawing_times(self.scheduler, sampling.steps, self.patches.count)

    def guidance(self, sampling: FluxSampling) -> float:
        """The weight of classifier-free guidance.

        Raises:
            PluginError: it is above 0, but a network of our own never saw an image without its caption.
        """
        if sampling.guidance and not self.config.p_uncond and self.config.weights is None:
            raise api.PluginError("guidance needs a network that was trained with p_uncond above 0")
        return sampling.guidance

    def distilled_guidance(self, sampling: FluxSampling) -> float:
        """The guidance scale that the transformer is told.

        Raises:
            PluginError: one was asked for, but this transformer has no guidance embedding.
        """
        if sampling.distilled_guidance is not None and not self._net.config.guidance_embeds:
            raise api.PluginError(
                "this transformer is not told a guidance scale", hint="`guidance` guides it by its captions"
            )
        return DISTILLED_GUIDANCE if sampling.distilled_guidance is None else sampling.distilled_guidance

    # -- cost --------------------------------------------------------------------------------------------------------

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        passes = 2 if self.guidance(sampling) else 1
        told = [unit for unit in self.text.cost(trained=False) for _ in range(passes)]
        return [self._pass(calls=sampling.steps * passes), *told, *self.space.sampling_cost()]

    def training_cost(self) -> Iterable[api.CostUnit]:
        config = self.config
        again = [self._pass(backward="none")] if config.checkpointing else []
        if config.train == "all":
            own = [self._pass(), *self.text.cost(trained=True)]
        else:
            own = [self._pass(backward="inputs"), *self._adapted.layer_units(self.patches.count, self.text.length)]
            # encoded once, unless nothing may be remembered
            own += [] if config.captions_gib else self.text.cost(trained=False)
        return [*own, *again, *self.space.training_cost()]

    def _pass(self, calls: int = 1, backward: Literal["none", "inputs", "all"] = "all") -> api.CostUnit:
        """The transformer, on one image."""
        about, device = self._net.config, next(self._net.parameters()).device
        x, t = torch.zeros(1, *self.space.shape, device=device), torch.zeros(1, device=device)
        sequence = torch.zeros(1, self.text.length, about.joint_attention_dim, device=device)
        pooled = torch.zeros(1, about.pooled_projection_dim, device=device)
        asked = self._asked(x, t, (sequence, pooled), self.config.trained_guidance)
        return api.CostUnit(self._net, (), calls, {k: v for k, v in asked.items() if v is not None}, backward)

    # -- the adapter, for others -------------------------------------------------------------------------------------

    def export_adapter(self, folder: str | Path) -> Path:
        """Write `pytorch_lora_weights.safetensors`, which `FluxPipeline.load_lora_weights(folder)` reads.

        Raises:
            PluginError: there are no adapters, because everything was trained.
        """
        if self.config.train == "all":
            raise api.PluginError("a row with train: all has no adapter", hint="its weights are the whole network")
        return lora.export(self._net, Path(folder))


def _load(net: torch.nn.Module, text: torch.nn.Module, file: str) -> None:
    """Fill transformer and text encoder from the weights of a row with `train: all`."""
    state = api.load_weights(file)
    parts = torch.nn.ModuleDict({"transformer": net, "text": text})
    trunks.load_strictly(parts, state, what="the weights of `backbone`")


@api.hookimpl
def dermae_generators() -> dict[str, type[api.Generator]]:
    return {"flux-lora": FluxLora}
