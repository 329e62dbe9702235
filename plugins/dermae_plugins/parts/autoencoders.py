"""Autoencoders from given weights: AutoencoderTiny (TAESD) and AutoencoderKL (Stable Diffusion) of diffusers."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from torch import Tensor, nn

from dermae_bench import api
from dermae_plugins.parts import trunks

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, AutoencoderTiny

STABLE_DIFFUSION_1: Mapping[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 256,
    "scaling_factor": 0.18215,
}
"""What a bare file for `kl` is taken for: the autoencoder of Stable Diffusion 1 and 2."""
WEIGHTS = "diffusion_pytorch_model.safetensors"
RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Layers of the attention in older files of AutoencoderKL."""


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """Where the diffusion happens, and with which autoencoder."""

    space: Literal["pixel", "latent"] = "pixel"
    """Pixels, or the latents of a frozen autoencoder, which have an eighth of the side."""
    autoencoder: Literal["tiny", "kl"] = "tiny"
    """`tiny` is AutoencoderTiny (TAESD; deterministic), `kl` is AutoencoderKL (Rombach et al. 2022; each step draws
    from the posterior). Latent space only."""
    autoencoder_weights: api.File | None = None
    """Its weights in one file of diffusers' names, for the architecture of TAESD or of Stable Diffusion 1; or the
    encoder's half of TAESD's own pair of files."""
    autoencoder_decoder: api.File | None = None
    """The decoder's half of a pair of files."""
    autoencoder_folder: api.Folder | None = None
    """Instead of files: a folder with config.json and diffusion_pytorch_model.safetensors, for any architecture."""
    latents_gib: Annotated[float, api.Between(0)] = 2.0
    """Memory in GiB that the encoded training set may take. It is encoded once and kept as float16 (mirror images
    too, with `flip`); a set that needs more is encoded anew at every step. 0 always does that."""

    def __post_init__(self) -> None:
        given = [self.autoencoder_weights, self.autoencoder_decoder, self.autoencoder_folder]
        if self.space == "pixel":
            if any(path is not None for path in given):
                raise ValueError("an autoencoder needs space: latent")
        elif (self.autoencoder_weights is None) == (self.autoencoder_folder is None):
            raise ValueError("space: latent needs autoencoder_weights or autoencoder_folder, and not both")
        elif self.autoencoder_decoder is not None and (self.autoencoder_folder is not None or self.autoencoder == "kl"):
            raise ValueError("autoencoder_decoder belongs to a pair of files for autoencoder: tiny")


def load(config: SpaceConfig) -> AutoencoderTiny | AutoencoderKL:
    """The autoencoder that the options describe, with its weights; every name and shape must fit.

    Raises:
        DataMissing: a file is not there.
        PluginError: the folder is of another autoencoder, or the weights do not fit.
    """
    from diffusers import AutoencoderKL, AutoencoderTiny

    cls: Any = {"tiny": AutoencoderTiny, "kl": AutoencoderKL}[config.autoencoder]
    if config.autoencoder_folder is not None:
        folder = Path(config.autoencoder_folder)
        with _quiet():
            net = cls.from_config(_read_config(folder, cls.__name__))
        state, what = api.load_weights(folder / WEIGHTS), "autoencoder_folder"
    else:
        assert config.autoencoder_weights is not None
        net = cls(**STABLE_DIFFUSION_1) if config.autoencoder == "kl" else cls()
        state, what = _named(api.load_weights(config.autoencoder_weights), half="encoder"), "autoencoder_weights"
        if config.autoencoder_decoder is not None:
            state |= _named(api.load_weights(config.autoencoder_decoder), half="decoder")
    trunks.load_strictly(net, {_modern(name): tensor for name, tensor in state.items()}, what=what)
    return net


def _read_config(folder: Path, wanted: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise api.DataMissing(f"autoencoder_folder has no config.json: {folder}")
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise api.PluginError(f"config.json of autoencoder_folder is no JSON: {error}") from error
    found = values.get("_class_name") if isinstance(values, dict) else None
    if found != wanted:
        raise api.PluginError(f"autoencoder_folder holds {found}, not {wanted}", hint="choose another `autoencoder:`")
    if values.get("latents_mean") is not None or values.get("latents_std") is not None:
        raise api.PluginError("autoencoder_folder normalises each channel of its latents: this is not supported")
    return dict(values)


def _named(state: Mapping[str, Tensor], half: Literal["encoder", "decoder"]) -> dict[str, Tensor]:
    """TAESD's own names as those of diffusers; those of diffusers as they are.

    TAESD's decoder starts with a layer without weights, which diffusers does not count.
    """
    if any(name.startswith(("encoder.", "decoder.")) for name in state):
        return dict(state)
    shift = 1 if half == "decoder" else 0
    split = [(name.partition("."), tensor) for name, tensor in state.items()]
    return {
        f"{half}.layers.{int(number) - shift}.{rest}" if number.isdecimal() else f"{number}.{rest}": tensor
        for (number, _, rest), tensor in split
    }


def _modern(name: str) -> str:
    before, _, layer = name.rpartition(".")
    path, _, last = before.rpartition(".")
    return f"{path}.{RENAMED[last]}.{layer}" if ".attentions." in f".{path}." and last in RENAMED else name


@contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' remarks about fields that another version wrote."""
    log = logging.getLogger("diffusers.configuration_utils")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


class Encoder(nn.Module):
    """float images (B, 3, S, S) in -1..1 -> means of the latents (`tiny`), or means and log variances (`kl`)."""

    def __init__(self, net: AutoencoderTiny | AutoencoderKL) -> None:
        super().__init__()
        self.net = net.encoder
        self.after = getattr(net, "quant_conv", None) or nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        moments: Tensor = self.after(self.net(images))
        return moments


class Decoder(nn.Module):
    """The autoencoder's own latents (B, C, h, w) -> float images (B, 3, S, S), about -1..1."""

    def __init__(self, net: AutoencoderTiny | AutoencoderKL) -> None:
        super().__init__()
        self.before = getattr(net, "post_quant_conv", None) or nn.Identity()
        self.net = net.decoder

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.net(self.before(latents))
        return images
