"""The parts of FLUX.1 from a local folder in its official layout; nothing is ever fetched.

::

    FLUX.1-dev/
      model_index.json
      scheduler/scheduler_config.json
      transformer/config.json       diffusion_pytorch_model.safetensors, or several files and their .index.json
      vae/config.json               diffusion_pytorch_model.safetensors
      text_encoder/config.json      model.safetensors (CLIP)
      text_encoder_2/config.json    model.safetensors, or several files and their .index.json (T5)
      tokenizer/  tokenizer_2/      files of CLIPTokenizer and T5TokenizerFast

Weights are read by `api.load_weights` alone, and every name and shape must fit.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from dermae_bench import api
from dermae_plugins.parts import flux_text, trunks

if TYPE_CHECKING:
    from diffusers import FluxTransformer2DModel

Precision = Literal["float32", "bfloat16"]
SCHEDULER = "scheduler/scheduler_config.json"
NEEDED = (
    "model_index.json",
    SCHEDULER,
    "transformer/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "text_encoder_2/config.json",
    "tokenizer",
    "tokenizer_2",
)
TRANSFORMER_STEM, TEXT_STEM = "diffusion_pytorch_model", "model"
EXTRA = "pip install 'dermae-bench[text]'"


def check_layout(folder: Path) -> None:
    """Raises DataMissing: parts are not there, all of them named; PluginError: it is another pipeline."""
    missing = [name for name in NEEDED if not (folder / name).exists()]
    if missing:
        raise api.DataMissing(
            f"`weights` is no folder of FLUX.1: it has no {', '.join(missing)}: {folder}",
            hint="give the whole folder of FLUX.1-dev, as `hf download --local-dir` makes it",
        )
    found = read_json(folder / "model_index.json").get("_class_name")
    if found != "FluxPipeline":
        raise api.PluginError(f"`weights` holds {found}, not FluxPipeline: {folder}")


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a file of JSON. Raises PluginError: it is none; DataMissing: there is no file."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise api.DataMissing(f"`weights` has no {path.parent.name}/{path.name}: {path}") from None
    except (ValueError, RecursionError) as error:
        raise api.PluginError(f"{path} is no JSON: {str(error)[:100]}") from None
    if not isinstance(values, dict):
        raise api.PluginError(f"{path} is no mapping")
    return values


def read_state(folder: Path, stem: str) -> dict[str, Tensor]:
    """The state dict of `stem`.safetensors, or of the files that `stem`.safetensors.index.json names.

    Raises:
        DataMissing: neither is there, or a named file is not.
        PluginError: the index and the files disagree.
    """
    index = folder / f"{stem}.safetensors.index.json"
    if not index.is_file():
        return api.load_weights(folder / f"{stem}.safetensors")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for pair in places.items() for name in pair):
        raise api.PluginError(f"{index} has no weight_map of names to files")
    files = sorted(set(places.values()))
    for file in files:
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise api.PluginError(f"{index} names {file!r}, which is no safetensors file beside it")
    state: dict[str, Tensor] = {}
    for file in files:
        part = api.load_weights(folder / file)
        wanted = {name for name, place in places.items() if place == file}
        if set(part) != wanted:
            odd = ", ".join(sorted(set(part) ^ wanted)[:4])
            raise api.PluginError(f"{folder / file} and {index.name} disagree about {odd}")
        state |= part
    return state


def pair(folder: Path, precision: Precision, length: int) -> tuple[FluxTransformer2DModel, flux_text.GivenText]:
    """Transformer and text encoders. Raises PluginError: the one wants other embeddings than the others give."""
    net, told = transformer(folder, precision), text(folder, precision, length)
    wanted = int(net.config.joint_attention_dim), int(net.config.pooled_projection_dim)
    if told.widths != wanted:
        raise api.PluginError(
            f"`weights`: the transformer wants embeddings of {wanted[0]} (T5) and {wanted[1]} (CLIP) numbers, "
            f"the text encoders give {told.widths[0]} and {told.widths[1]}"
        )
    return net, told


def transformer(folder: Path, precision: Precision) -> FluxTransformer2DModel:
    """The transformer of the folder; while costs are counted (on the meta device) its weights are not read."""
    from diffusers import FluxTransformer2DModel

    about = read_json(folder / "transformer/config.json")
    if about.get("_class_name") != FluxTransformer2DModel.__name__:
        raise api.PluginError(f"transformer/ of `weights` holds {about.get('_class_name')}, not FluxTransformer2DModel")
    if int(about.get("patch_size", 1)) != 1:
        raise api.PluginError("transformer/ of `weights` has a patch_size: FLUX.1 has its patches in the tokens")
    return _filled(
        lambda: _made("transformer", lambda: FluxTransformer2DModel.from_config(about)),
        lambda: read_state(folder / "transformer", TRANSFORMER_STEM),
        precision,
        "transformer/ of `weights`",
    )


def text(folder: Path, precision: Precision, length: int) -> flux_text.GivenText:
    """CLIP and T5 with their tokenizers. Raises PluginError: transformers is not installed, or a part does not fit."""
    try:
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast
    except ImportError:
        raise api.PluginError("flux-lora with `weights` needs transformers for its text encoders", hint=EXTRA) from None
    clip = _encoder(folder / "text_encoder", CLIPTextModel, CLIPTextConfig, precision)
    t5 = _encoder(folder / "text_encoder_2", T5EncoderModel, T5Config, precision)
    clip_tokenizer = _tokenizer(folder / "tokenizer", CLIPTokenizer)
    t5_tokenizer = _tokenizer(folder / "tokenizer_2", T5TokenizerFast)
    for encoder, tokenizer, name in ((clip, clip_tokenizer, "tokenizer"), (t5, t5_tokenizer, "tokenizer_2")):
        known: Any = encoder.config
        if len(tokenizer) > int(known.vocab_size):
            raise api.PluginError(
                f"{name}/ of `weights` has {len(tokenizer)} tokens, but its encoder knows {known.vocab_size}"
            )
    return flux_text.GivenText(clip, clip_tokenizer, t5, t5_tokenizer, length)


def _encoder(folder: Path, cls: Any, about: Any, precision: Precision) -> nn.Module:
    values = read_json(folder / "config.json")
    if "quantization_config" in values:
        raise api.PluginError(f"{folder.name}/ of `weights` is quantised: this is not supported")
    # a config may name code to be fetched: what is computed is chosen here
    told = {name: value for name, value in values.items() if "attn_implementation" not in name and name != "auto_map"}
    config = _made(folder.name, lambda: about.from_dict(told))
    config._attn_implementation = "eager"
    dtype = getattr(torch, precision)
    if _without_numbers():
        return _made(folder.name, lambda: cls(config)).to(dtype)
    state = read_state(folder, TEXT_STEM)
    with _quiet():
        # transformers itself knows which names of older files are which layers now
        net, notes = _made(
            folder.name,
            lambda: cls.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=dtype,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            ),
        )
    wrong = [f"{name} is missing" for name in sorted(notes["missing_keys"])]
    # buffers that older versions saved
    wrong += [f"{name} is unknown" for name in sorted(notes["unexpected_keys"]) if not name.endswith("position_ids")]
    wrong += [f"{name} is {tuple(given)}, not {tuple(own)}" for name, given, own in sorted(notes["mismatched_keys"])]
    if wrong:
        more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise api.PluginError(f"{folder.name}/ of `weights` does not fit {cls.__name__}: {'; '.join(wrong[:4])}{more}")
    return net


def _made(part: str, build: Callable[[], Any]) -> Any:
    """What `build` gives. Raises PluginError: the library refuses the part's config.json."""
    try:
        return build()
    except (TypeError, ValueError, ImportError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise api.PluginError(f"{part}/config.json of `weights` cannot be built: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars, and its own table of what does not fit."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _tokenizer(folder: Path, cls: Any) -> Any:
    try:
        return cls.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).split("\n")[0][:200]
        raise api.PluginError(f"{folder.name}/ of `weights` is no {cls.__name__}: {reason}") from error


def _without_numbers() -> bool:
    """Whether models are being built on the meta device, to count costs."""
    return torch.empty(0).device.type == "meta"


def _filled(build: Callable[[], Any], read: Callable[[], Mapping[str, Tensor]], precision: Precision, what: str) -> Any:
    """A module with the weights that were read, which are not copied: 12 billion of them are 24 GB."""
    dtype = getattr(torch, precision)
    if _without_numbers():
        # diffusers' own `to` warns of what only matters with numbers
        return nn.Module.to(build(), dtype)
    with torch.device("meta"):
        net = build()
    state = {name: tensor.to(dtype) for name, tensor in read().items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
        trunks.load_strictly(net, state, what=what)
    net.load_state_dict(state, assign=True)
    return net
