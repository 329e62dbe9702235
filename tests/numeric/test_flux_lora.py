"""`flux-lora`: the same numbers as diffusers' pipeline, and a fit that changes its adapters alone."""

from __future__ import annotations

import socket
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from dermae_plugins.generators.flux_lora import FluxLora
from dermae_plugins.parts import flux_net, flux_weights, lora
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from dermae_bench import api
from dermae_bench.execute.run import reseed
from dermae_bench.plugin.flops import macs_of, training_macs, without_numbers
from dermae_bench.plugin.noise import Noise
from dermae_bench.testing import model_checks, models

pytest.importorskip("peft", reason="pip install 'dermae-bench[text]'")
pytest.importorskip("transformers", reason="pip install 'dermae-bench[text]'")
import flux_folder

CAPTIONS = ("a red lesion", "one brown lesion, asymmetric")
OPTIONS: dict[str, Any] = {"precision": "float32", "t5_tokens": 16, "rank": 2, "alpha": 6.0, "lr": 1e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flux_folder.write(tmp_path_factory.mktemp("FLUX.1-dev"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(folder: Path, **options: Any) -> FluxLora:
    reseed(0, "init")
    config = FluxLora.Config(weights=api.Folder(str(folder)), **{**OPTIONS, **options})
    return FluxLora(config, models.TASK).eval()


def fitted(folder: Path, tmp_path: Path, **options: Any) -> FluxLora:
    """After a few steps, so that the adapters do something."""

    class Here(FluxLora):
        tiny = {**OPTIONS, "weights": str(folder), **options}

    model, _ = models.fit(Here, tmp_path)
    assert isinstance(model, FluxLora)
    return model


@pytest.mark.parametrize("given", [None, 1.5])
def test_training_times_are_shifted_as_the_scheduler_shifts_those_of_drawing(folder: Path, given: float | None) -> None:
    model = made(folder, shift=given)
    own = flux_net.shift_of(model.scheduler, model.patches.count)
    assert own != 1.0, "else this says nothing"
    assert model.times.shift == (own if given is None else given)


def drawn(model: FluxLora, **sampling: Any) -> torch.Tensor:
    conditions = api.Conditions(count=2, labels=torch.zeros(2, dtype=torch.int64), captions=CAPTIONS)
    with torch.inference_mode():
        return model.sample(conditions, FluxLora.Sampling(steps=3, **sampling), Noise(5, [0, 1]))


def piped(model: FluxLora, folder: Path, adapter: Path | None = None, **call: Any) -> torch.Tensor:
    """What FluxPipeline draws from the same folder and noise, with an adapter file where one is given."""
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    if adapter is not None:
        pipe.load_lora_weights(adapter.parent, weight_name=adapter.name, local_files_only=True)
    latents = model.patches.pack(Noise(5, [0, 1]).normal(model.space.shape))
    size = models.SIZE
    out = pipe(
        list(CAPTIONS),
        height=size,
        width=size,
        num_inference_steps=3,
        latents=latents,
        max_sequence_length=16,
        output_type="pt",
        **call,
    ).images
    return api.to_uint8(2 * out - 1)


def test_an_untrained_adapter_draws_what_the_pipeline_of_diffusers_draws(folder: Path) -> None:
    model = made(folder)
    ours, theirs = drawn(model), piped(model, folder)
    assert (ours.int() - theirs.int()).abs().max() <= 1
    assert ours.float().std() > 5
    # guidance by both roads: what the network is told, and true classifier-free guidance
    other = piped(model, folder, guidance_scale=8.0, true_cfg_scale=4.0, negative_prompt=["", ""])
    assert (drawn(model, distilled_guidance=8.0, guidance=3.0).int() - other.int()).abs().max() <= 1
    assert not torch.equal(ours, other)


@pytest.mark.parametrize("targets", ["attention", pytest.param("all-linear", marks=pytest.mark.slow)])
def test_a_fit_changes_adapters_alone_and_diffusers_loads_them(folder: Path, tmp_path: Path, targets: str) -> None:
    fresh = made(folder, targets=targets)
    before = {name: api.state_digest(part.state_dict()) for name, part in fresh.frozen_modules.items()}
    assert set(before) == {"backbone", "text", "autoencoder"}
    given = {}
    for file in (folder / "transformer").glob("*.safetensors"):
        given |= load_file(file)
    assert before["backbone"] == api.state_digest(given)

    model = fitted(folder, tmp_path / "run", targets=targets)
    after = {name: api.state_digest(part.state_dict()) for name, part in model.frozen_modules.items()}
    assert after == before
    state = model.state_dict()
    assert all(name.rsplit(".", 1)[-1] == "alpha" or ".lora_" in name for name in state)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name in state if not name.endswith("alpha")}
    assert all(not torch.equal(fresh.state_dict()[name], state[name]) for name in trained)

    ours = drawn(model)
    assert (ours.int() - drawn(fresh).int()).abs().max() > 8
    artifact = tmp_path / "weights.safetensors"
    save_file(state, artifact)
    exported = model.export_adapter(tmp_path / "adapter")
    assert exported == tmp_path / "adapter/pytorch_lora_weights.safetensors"
    for file in (artifact, exported):
        assert (ours.int() - piped(model, folder, file).int()).abs().max() <= 1, file.name


def test_captions_become_the_embeddings_of_the_pipeline(folder: Path) -> None:
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(folder, local_files_only=True)
    sequence, pooled = made(folder).text.encode(CAPTIONS)
    with torch.no_grad():
        theirs, their_pooled, positions = pipe.encode_prompt(list(CAPTIONS), None, max_sequence_length=16)
    assert torch.allclose(sequence, theirs, atol=1e-5)
    assert torch.allclose(pooled, their_pooled, atol=1e-5)
    assert not positions.any()
    assert (sequence[0] - sequence[1]).abs().max() > 0.1 < (pooled[0] - pooled[1]).abs().max()


def test_the_backbone_is_shared_and_not_copied(folder: Path) -> None:
    model = made(folder)
    held = {parameter.data_ptr() for parameter in model.frozen_modules["backbone"].parameters()}
    answers = {p.data_ptr() for p in model._net.parameters() if not p.requires_grad}
    assert answers == held
    model.to(torch.float64)
    assert {p.dtype for p in model._net.parameters()} == {torch.float64}


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["attention", "all-linear"])
def test_adapters_stay_float32_over_bfloat16(folder: Path, tmp_path: Path, targets: str) -> None:
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        model = fitted(folder, tmp_path, targets=targets, precision="bfloat16", p_uncond=0.5, lora_dropout=0.5)
    assert {p.dtype for p in model.frozen_modules["backbone"].parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(drawn(model), drawn(model))


@pytest.mark.slow
def test_computing_activations_again_costs_a_pass_and_changes_no_bit(folder: Path, tmp_path: Path) -> None:
    kept, again = (
        fitted(folder, tmp_path / str(checkpointing), lora_dropout=0.5, checkpointing=checkpointing)
        for checkpointing in (False, True)
    )
    assert models.same(kept.state_dict(), again.state_dict())
    costs = [sum(training_macs(unit) for unit in model.training_cost()) for model in (kept, again)]
    units = list(kept.cost("sample", FluxLora.Sampling(steps=1)))
    assert costs[1] - costs[0] == api.count_macs(units[0].module, (), units[0].keywords)


def test_each_caption_is_encoded_once_where_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dermae_plugins.parts import flux_text

    asked: list[str] = []
    real = flux_text.GivenText._one
    monkeypatch.setattr(flux_text.GivenText, "_one", lambda self, c, d: asked.append(c) or real(self, c, d))
    text = made(folder).text
    room = flux_text.Remembered(text, 2**20)
    both = room(("a", "b", "a", "b"))
    assert asked == ["a", "b"]
    none = flux_text.Remembered(text, 0)(("a", "b", "a", "b"))
    assert asked == ["a", "b", *"abab"]
    assert all(torch.equal(one, other) for one, other in zip(both, none, strict=True))


def test_nothing_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    drawn(made(folder))


def test_costs_are_counted_without_reading_the_large_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_numbers = made(folder)
    monkeypatch.setattr(flux_weights, "read_state", lambda place, stem: pytest.fail(f"{place} was read"))
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")
        without = made(folder)
    sampling = FluxLora.Sampling(steps=3, guidance=1.0)
    units, bare = list(with_numbers.cost("sample", sampling)), list(without.cost("sample", sampling))
    # transformer, twice T5 and CLIP, and the decoder
    assert [unit.calls for unit in units] == [6, 1, 1, 1, 1, 1] == [unit.calls for unit in bare]
    assert [macs_of(unit) for unit in units] == [macs_of(without_numbers(unit)) for unit in bare]
    training, bare = list(with_numbers.training_cost()), list(without.training_cost())
    assert [training_macs(unit) for unit in training] == [training_macs(without_numbers(unit)) for unit in bare]
    # a frozen network passes gradients on and takes none; its adapters' own come on top
    adapters = sum(macs_of(unit) for unit in training[1:])
    assert training[0].backward == "inputs"
    assert 0 < adapters < 0.1 * macs_of(training[0])


@pytest.mark.slow
def test_the_adapter_of_flux_1_dev_is_counted() -> None:
    # rank 64 on attention is 104.6 M parameters; the paper's 612 M are the bytes of a file (papers.md, 1.0)
    with torch.device("meta"):
        net = FluxTransformer2DModel(guidance_embeds=True)
        layers = lora.Adapted(net.requires_grad_(False), lora.LoraConfig()).layers
    width, rank = 3072, 64
    assert sum(p.numel() for p in layers.parameters()) == (19 * 8 + 38 * 3) * 2 * width * rank == 104_595_456
    assert sum(p.numel() for p in net.parameters()) == 11_901_408_320


@pytest.mark.parametrize("name", ["peft", "transformers"])
def test_a_missing_extra_is_told_by_name(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(api.PluginError, match=f"need.* {name}") as caught:
        made(folder)
    assert "dermae-bench[text]" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("check", model_checks.GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_an_adapted_flux_keeps_every_promise(folder: Path, check: Any) -> None:
    class Here(FluxLora):
        tiny = {**OPTIONS, "weights": str(folder), "p_uncond": 0.2, "lora_dropout": 0.1}
        tiny_sampling = {"steps": 3, "guidance": 1.0}

    check(models.Trial(Here))
