"""A FLUX.1-dev of a few thousand weights in exactly its official layout, as diffusers itself writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast
from transformers.utils.logging import disable_progress_bar

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_PIECES = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
CLIP_WORDS = {piece: number for number, piece in enumerate(_PIECES)}
SCHEDULER = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}


def write(folder: Path, *, guidance_embeds: bool = True) -> Path:
    """Write a pipeline with random weights: latents have half the side, captions 12 tokens of CLIP."""
    torch.manual_seed(0)
    disable_progress_bar()
    tokenizer = _clip_tokenizer()
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(base_image_seq_len=256, max_image_seq_len=4096, **SCHEDULER),
        vae=_autoencoder(),
        text_encoder=_clip(),
        tokenizer=tokenizer,
        text_encoder_2=_t5(),
        tokenizer_2=_t5_tokenizer(),
        transformer=_transformer(guidance_embeds),
    )
    pipe.save_pretrained(folder)
    # as released: transformer and T5 in several files with an index, CLIP under older names, its words in two lists
    _rewrite(
        folder / "transformer",
        lambda: pipe.transformer.save_pretrained(folder / "transformer", False, max_shard_size="40KB"),
    )
    _rewrite(
        folder / "text_encoder_2",
        lambda: pipe.text_encoder_2.save_pretrained(folder / "text_encoder_2", max_shard_size="8KB"),
    )
    clip = folder / "text_encoder/model.safetensors"
    state = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in load_file(clip).items()}
    save_file(state, clip, metadata={"format": "pt"})
    (folder / "tokenizer/tokenizer.json").unlink()
    (folder / "tokenizer/vocab.json").write_text(json.dumps(CLIP_WORDS))
    (folder / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    return folder


def _rewrite(folder: Path, save: Callable[[], None]) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    save()
    assert len(list(folder.glob("*-of-*.safetensors"))) > 1
    assert list(folder.glob("*.safetensors.index.json"))


def _transformer(guidance_embeds: bool) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=12,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 2, 2),
    )


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def _clip() -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(CLIP_WORDS),
        hidden_size=12,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=12,
        bos_token_id=2 * len(LETTERS),
        eos_token_id=2 * len(LETTERS) + 1,
        pad_token_id=2 * len(LETTERS) + 1,
    )
    return CLIPTextModel(config)


def _clip_tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab=CLIP_WORDS, merges=[], model_max_length=12)


def _t5() -> T5EncoderModel:
    config = T5Config(
        vocab_size=48, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return T5EncoderModel(config)


def _t5_tokenizer() -> T5TokenizerFast:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=512)
