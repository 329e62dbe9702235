"""A small FLUX of one's own: tokens, times and words as FLUX has them, and captions that are followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.flux_lora import FluxLora
from dermae_plugins.parts import flux_net, flux_text
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

from dermae_bench import api
from dermae_bench.plugin.images import ImageSet
from dermae_bench.plugin.noise import Noise
from dermae_bench.testing import models

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- tokens and times --------------------------------------------------------------------------------------------------


def test_tokens_and_positions_are_those_of_flux() -> None:
    x = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).float()
    patches = flux_net.Patches((3, 8, 8), 2, 12)
    # FluxPipeline._pack_latents
    theirs = x.view(2, 3, 4, 2, 4, 2).permute(0, 2, 4, 1, 3, 5).reshape(2, 16, 12)
    assert torch.equal(patches.pack(x), theirs)
    assert torch.equal(patches.unpack(theirs), x)
    # FluxPipeline._prepare_latent_image_ids
    ids = torch.zeros(4, 4, 3)
    ids[..., 1] += torch.arange(4)[:, None]
    ids[..., 2] += torch.arange(4)[None, :]
    assert torch.equal(patches.positions(CPU), ids.view(16, 3))


@pytest.mark.parametrize(("patch", "wanted", "words"), [(3, 27, "cannot be cut"), (2, 16, "wants tokens of 16")])
def test_a_patch_that_does_not_fit_is_told(patch: int, wanted: int, words: str) -> None:
    with pytest.raises(api.PluginError, match=words):
        flux_net.Patches((3, 8, 8), patch, wanted)


@pytest.mark.parametrize("tokens", [64, 256, 1024, 4096])
def test_times_are_shifted_with_the_number_of_tokens(tokens: int) -> None:
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    about = flux_net.FLUX_SCHEDULER
    mu = calculate_shift(tokens)
    assert flux_net.dynamic_mu(about, tokens) == pytest.approx(mu)
    scheduler = FlowMatchEulerDiscreteScheduler(**about)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 20, 20), mu=mu)
    found = flux_net.drawing_times(about, 20, tokens)
    assert found == pytest.approx(scheduler.sigmas.tolist())
    assert (found[0], found[-1], len(found)) == (1.0, 0.0, 21)
    shift = flux_net.shift_of(about, tokens)
    assert found[10] == pytest.approx(shift * 0.5 / (1 + (shift - 1) * 0.5), abs=1e-6)


def test_a_scheduler_without_dynamic_shifting_keeps_its_own() -> None:
    # FLUX.1-schnell
    about = flux_net.scheduler_settings({"use_dynamic_shifting": False, "shift": 2.0})
    assert flux_net.shift_of(about, 64) == 2.0
    assert flux_net.drawing_times(about, 2, 64) == pytest.approx([1.0, 2 / 3, 0.0])


@pytest.mark.parametrize("head", [8, 12, 16, 24, 32, 64, 128])
def test_rotary_axes_fill_every_head(head: int) -> None:
    config = FluxLora.Config(train="all", head_dim=head, heads=1, layers=1, single_layers=1)
    axes = flux_net.build_net(config, 3, 8).config.axes_dims_rope
    assert sum(axes) == head
    assert all(axis > 0 and axis % 2 == 0 for axis in axes)
    assert head != 128 or axes == (16, 56, 56)


# -- words -------------------------------------------------------------------------------------------------------------


def small_text(**options: Any) -> flux_text.SmallText:
    return flux_text.SmallText(flux_text.SmallTextConfig(text_width=8, text_heads=2, text_layers=1, **options))


def test_the_vocabulary_is_that_of_the_captions_and_travels_with_the_weights() -> None:
    text = small_text(words=4, vocabulary=3)
    text.learn_words(["A red lesion, blue-white veil", "a RED naevus", "a lesion"])
    assert text.vocabulary() == ["a", "lesion", "red"]
    a, lesion, red = range(3, 6)
    end, fill, unknown = flux_text.END, flux_text.FILL, flux_text.UNKNOWN
    tokens = text.tokens(["Red lesion", "", "a red veil red lesion"])
    assert tokens.tolist() == [[red, lesion, end, fill, fill], [end, *[fill] * 4], [a, red, unknown, red, end]]
    other = small_text(words=4, vocabulary=3)
    assert other.tokens(["red"]).tolist() == [[unknown, end, fill, fill, fill]]
    other.load_state_dict(text.state_dict())
    assert torch.equal(other.tokens(["Red lesion"]), tokens[:1])


def test_words_without_room_are_left_out_and_no_word_is_cut() -> None:
    text = small_text(vocabulary=2)
    text.learn_words(["zöliakie " * 3 + "x" * 40, "ab"])
    assert text.vocabulary() == ["zöliakie", "ab"]
    assert flux_text.words_of("One (1) blue-white veil.") == ["one", "(", "1", ")", "blue-white", "veil", "."]


def test_what_fills_a_caption_up_is_no_part_of_its_pooled_embedding() -> None:
    text = small_text(words=6, vocabulary=8)
    text.learn_words(["a red lesion"])
    sequence, pooled = text.encode(["a red"])
    assert torch.allclose(pooled, sequence[:, :3].mean(1), atol=1e-6)


# -- the model ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "train: lora needs weights or backbone"),
        ({"train": "all", "backbone": api.File("x")}, "backbone belongs to train: lora"),
        ({"weights": api.Folder("x"), "backbone": api.File("y")}, "not both"),
        ({"weights": api.Folder("x"), "patch": 4}, "patch is left out with weights"),
        ({"train": "all", "head_dim": 10}, "not a multiple of 4"),
        ({"train": "all", "text_heads": 3}, "not divisible by text_heads 3"),
        ({"train": "all", "times": "uniform", "logit_mean": 1.0}, "need times: logit-normal"),
    ],
)
def test_options_that_contradict_each_other_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FluxLora.Config(**options)


def test_captions_are_needed_to_learn_and_to_draw() -> None:
    model: Any = models.make(FluxLora)
    with pytest.raises(api.PluginError, match="needs to be told what each image shall show"):
        model.sample(api.Conditions(count=1), FluxLora.Sampling(), Noise(0, [0]))
    images = models.small_images(model.task)
    untold = ImageSet(parts=images.parts, ids=images.ids, groups=images.groups)
    with pytest.raises(api.PluginError, match="needs to be told what each training image shows"):
        model.fit(untold, None)


def test_guidance_that_nothing_was_trained_for_is_refused() -> None:
    config = FluxLora.Config(**{**FluxLora.tiny, "p_uncond": 0.0})
    model = FluxLora(config, models.TASK)
    with pytest.raises(api.PluginError, match="p_uncond above 0"):
        list(model.cost("sample", FluxLora.Sampling(guidance=1.0)))
    with pytest.raises(api.PluginError, match="not told a guidance scale"):
        model.distilled_guidance(FluxLora.Sampling(distilled_guidance=3.5))


def test_a_step_calls_the_transformer_once_or_twice_with_guidance() -> None:
    model: Any = models.make(FluxLora)
    plain, guided = (list(model.cost("sample", FluxLora.Sampling(guidance=w))) for w in (0.0, 1.0))
    assert (plain[0].calls, guided[0].calls) == (20, 40)
    assert [unit.module for unit in plain[1:]] == [model.text]
    assert [unit.module for unit in guided[1:]] == [model.text] * 2


@pytest.mark.parametrize(("options", "scale"), [({}, 1.0), ({"trained_guidance": 3.5}, 3.5)], ids=str)
def test_the_loss_of_a_network_that_knows_the_way_is_0(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], scale: float
) -> None:
    model: Any = models.made_as(FluxLora, FluxLora.Config(**FluxLora.tiny, **options))
    x0 = torch.rand(4, 3, 32, 32)
    scales = set()

    def knowing(x_t: torch.Tensor, t: torch.Tensor, said: Any, scale: float) -> torch.Tensor:
        scales.add(scale)
        # (x_t - x0) / t is eps - x0 on the straight path
        return (x_t - x0) / t.view(-1, 1, 1, 1)

    monkeypatch.setattr(model, "velocity", knowing)
    assert model.loss(x0, None) < 1e-6
    # diffusers launches its script with 1; the script's own default is 3.5
    assert scales == {scale}
    monkeypatch.setattr(model, "velocity", lambda x_t, t, said, scale: torch.zeros_like(x_t))
    assert model.loss(x0, None) > 0.5


def test_a_small_flux_is_adapted_over_its_own_weights(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="pip install 'dermae-bench[text]'")
    assert peft.LoraConfig
    first, _ = models.fit(FluxLora, tmp_path / "first")
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    size = {name: value for name, value in FluxLora.tiny.items() if name != "train"}

    class Here(FluxLora):
        tiny = {**size, "backbone": str(tmp_path / "weights.safetensors"), "rank": 4, "alpha": 4.0, "lr": 1e-2}

    model, _ = models.fit(Here, tmp_path / "second")
    assert isinstance(model, FluxLora)
    whole = first.state_dict()
    for name, part in {"transformer": "backbone", "text": "text"}.items():
        given = {key.partition(".")[2]: value for key, value in whole.items() if key.startswith(f"{name}.")}
        assert api.state_digest(model.frozen_modules[part].state_dict()) == api.state_digest(given)
    assert all(".lora_" in name or name.endswith(".alpha") for name in model.state_dict())
    assert model.text.vocabulary() == ["a", "kind", "lesion", "of", "0", "1", "2"]

    # diffusers puts the exported adapter over the same backbone, and answers alike
    other = FluxLora(FluxLora.Config(**FluxLora.tiny), models.TASK)
    other.load_state_dict(whole)
    exported = model.export_adapter(tmp_path / "adapter")
    other.transformer.load_lora_adapter(exported.parent, weight_name=exported.name, local_files_only=True)
    x, t = torch.randn(2, 3, 32, 32), torch.tensor([0.2, 0.9])
    said = model.text.encode(["a lesion of kind 1", "a lesion"])
    with torch.no_grad():
        ours, theirs, before = (one.eval().velocity(x, t, said, 1.0) for one in (model, other, first))  # type: ignore[attr-defined]
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, before, atol=1e-3)

    wrong = FluxLora.Config(**{**Here.tiny, "backbone": api.File(Here.tiny["backbone"]), "layers": 2})
    with pytest.raises(api.PluginError, match="the weights of `backbone` do not fit"):
        FluxLora(wrong, models.TASK)
