"""A folder of FLUX.1 that is wrong is refused in one sentence, before anything is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from dermae_plugins.generators.flux_lora import FluxLora

from dermae_bench import api
from dermae_bench.testing import models

pytest.importorskip("peft", reason="pip install 'dermae-bench[text]'")
pytest.importorskip("transformers", reason="pip install 'dermae-bench[text]'")
import flux_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flux_folder.write(tmp_path_factory.mktemp("FLUX.1-dev"))


def made(folder: Path) -> FluxLora:
    return FluxLora(FluxLora.Config(weights=api.Folder(str(folder)), precision="float32"), models.TASK)


def broken(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def told(folder: Path) -> str:
    """The one sentence that a wrong folder is refused with."""
    with pytest.raises(api.BenchError) as caught:
        made(folder)
    return str(caught.value)


def edited(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_missing_parts_are_named_all_at_once(folder: Path, tmp_path: Path) -> None:
    copy = broken(folder, tmp_path)
    (copy / "scheduler/scheduler_config.json").unlink()
    shutil.rmtree(copy / "tokenizer_2")
    assert "it has no scheduler/scheduler_config.json, tokenizer_2" in told(copy)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "holds StableDiffusionPipeline, not FluxPipeline"),
    ("scheduler/scheduler_config.json", {"stochastic_sampling": True}, "stochastic sampling"),
    ("scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}, "DDIMScheduler"),
    ("transformer/config.json", {"_class_name": "SD3Transformer2DModel"}, "SD3Transformer2DModel"),
    ("transformer/config.json", {"num_layers": 2}, "transformer_blocks.1.attn.add_k_proj.bias is missing"),
    ("transformer/config.json", {"num_layers": "many"}, "transformer/config.json of `weights` cannot be built"),
    ("text_encoder_2/config.json", {"num_layers": 2}, "encoder.block.1.layer.0.SelfAttention.k.weight is missing"),
    ("text_encoder_2/config.json", {"d_ff": 8}, "is (16, 16), not (8, 16)"),
    ("text_encoder_2/config.json", {"quantization_config": {}}, "is quantised"),
    ("tokenizer/vocab.json", {"more": 74}, "tokenizer/ of `weights` has 75 tokens, but its encoder knows 74"),
    ("text_encoder/config.json", {"num_hidden_layers": 2}, "CLIPTextModel: encoder.layers.1"),
]


@pytest.mark.parametrize(("file", "values", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_part_that_does_not_fit_is_told_in_a_sentence(
    folder: Path, tmp_path: Path, file: str, values: dict[str, Any], words: str
) -> None:
    copy = broken(folder, tmp_path)
    edited(copy / file, **values)
    said = told(copy)
    assert words in said
    assert "\n" not in said.split("hint:")[0].strip()


@pytest.mark.parametrize("place", ["../outside.safetensors", "/etc/passwd", "weights.bin"])
def test_an_index_leads_nowhere_else(folder: Path, tmp_path: Path, place: str) -> None:
    copy = broken(folder, tmp_path)
    index = copy / "transformer/diffusion_pytorch_model.safetensors.index.json"
    edited(index, weight_map={**json.loads(index.read_text())["weight_map"], "x_embedder.bias": place})
    assert f"{place!r}, which is no safetensors file beside it" in told(copy)


def test_an_index_and_its_files_must_agree(folder: Path, tmp_path: Path) -> None:
    copy = broken(folder, tmp_path)
    index = copy / "transformer/diffusion_pytorch_model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    other = next(place for place in places.values() if place != places["x_embedder.bias"])
    edited(index, weight_map={**places, "x_embedder.bias": other})
    assert "disagree about x_embedder.bias" in told(copy)


def test_a_damaged_tokenizer_is_told(folder: Path, tmp_path: Path) -> None:
    copy = broken(folder, tmp_path)
    (copy / "tokenizer_2/tokenizer.json").write_text("{")
    assert "tokenizer_2/ of `weights` is no T5Tokenizer: " in told(copy)
