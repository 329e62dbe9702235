"""Latent space: weights in every spelling, encoding once, resuming, drawing without clipping, and what it costs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.ddpm import DDPM
from dermae_plugins.generators.ddpm_conditional import ConditionalDDPM
from dermae_plugins.generators.ddpm_perceptual import PerceptualDDPM
from dermae_plugins.parts import autoencoders
from dermae_plugins.parts.autoencoders import SpaceConfig
from dermae_plugins.parts.latents import Latents
from diffusers import AutoencoderKL, AutoencoderTiny
from fitting import SIZE, Passes, fit, labelled, make
from safetensors.torch import load_file, save_file

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun
from dermae_bench.plugin.flops import count_macs, count_macs_fvcore, training_macs

CPU = torch.device("cpu")
GENERATORS = (DDPM, PerceptualDDPM, ConditionalDDPM)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small untrained autoencoder of each kind, in diffusers' layout; both divide the side by 2."""
    torch.manual_seed(3)
    nets: dict[str, Any] = {
        "tiny": AutoencoderTiny(
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1), latent_channels=3,
        ),
        "kl": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8), norm_num_groups=4, latent_channels=3, scaling_factor=0.5, shift_factor=0.25,
        ),
    }  # fmt: skip
    root = tmp_path_factory.mktemp("autoencoders")
    for name, net in nets.items():
        net.save_pretrained(root / name)
    return {name: root / name for name in nets}


def space_of(folders: dict[str, Path], kind: Any, **more: Any) -> Latents:
    folder = api.Folder(folders[kind])
    return Latents(SpaceConfig(space="latent", autoencoder=kind, autoencoder_folder=folder, **more), SIZE)


def options(folders: dict[str, Path], kind: str = "tiny", **more: Any) -> dict[str, Any]:
    return {"space": "latent", "autoencoder": kind, "autoencoder_folder": str(folders[kind]), **more}


def batch_of(images: api.ImageSet, positions: list[int]) -> api.Batch:
    return api.Batch(images=images[positions], labels=None, indices=torch.tensor(positions))


def drawn(model: Any, count: int = 2, **how: Any) -> torch.Tensor:
    labels = torch.arange(count) % 3 if model.conditional else None
    with torch.inference_mode():
        return model.sample(
            api.Conditions(count=count, labels=labels), type(model).Sampling(steps=3, **how), api.Noise(0, range(count))
        )


# -- weights -----------------------------------------------------------------------------------------------------


def test_both_spellings_of_taesd_are_one_autoencoder(tmp_path: Path) -> None:
    state = AutoencoderTiny().state_dict()
    save_file(state, tmp_path / "whole.safetensors")
    for half, shift in (("encoder", 0), ("decoder", 1)):
        own = {}
        for name, tensor in state.items():
            if name.startswith(f"{half}.layers."):
                number, _, rest = name.removeprefix(f"{half}.layers.").partition(".")
                own[f"{int(number) + shift}.{rest}"] = tensor
        save_file(own, tmp_path / f"{half}.safetensors")
    encoder, decoder, whole = (api.File(tmp_path / f"{name}.safetensors") for name in ("encoder", "decoder", "whole"))
    pair = SpaceConfig(space="latent", autoencoder_weights=encoder, autoencoder_decoder=decoder)
    for config in (pair, SpaceConfig(space="latent", autoencoder_weights=whole)):
        found = autoencoders.load(config).state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
    assert Latents(pair, 32).shape == (4, 4, 4)
    for wrong in ({"autoencoder_weights": encoder}, {"autoencoder_weights": decoder, "autoencoder_decoder": encoder}):
        with pytest.raises(api.PluginError, match="autoencoder_weights do not fit AutoencoderTiny"):
            autoencoders.load(SpaceConfig(space="latent", **wrong))


def test_a_bare_file_for_kl_is_that_of_stable_diffusion(folders: dict[str, Path]) -> None:
    with torch.device("meta"):
        net = AutoencoderKL(**autoencoders.STABLE_DIFFUSION_1)
    assert sum(p.numel() for p in net.parameters()) == 83_653_863
    assert (net.config.scaling_factor, net.config.latent_channels) == (0.18215, 4)
    config = SpaceConfig(
        space="latent", autoencoder="kl", autoencoder_weights=api.File(folders["kl"] / autoencoders.WEIGHTS)
    )
    with pytest.raises(api.PluginError, match="do not fit AutoencoderKL"), torch.device("meta"):
        autoencoders.load(config)


def test_older_names_of_attention_layers_are_known(folders: dict[str, Path], tmp_path: Path) -> None:
    state = load_file(folders["kl"] / autoencoders.WEIGHTS)
    older = {}
    for name, tensor in state.items():
        for old, new in autoencoders.RENAMED.items():
            if ".attentions." in name:
                name = name.replace(f".{new}.", f".{old}.")
        older[name] = tensor
    assert older.keys() != state.keys()
    save_file(older, tmp_path / autoencoders.WEIGHTS)
    (tmp_path / "config.json").write_bytes((folders["kl"] / "config.json").read_bytes())
    found = space_of({"kl": tmp_path}, "kl").state_dict()
    assert api.state_digest(found) == api.state_digest(space_of(folders, "kl").state_dict())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space": "latent"}, "needs autoencoder_weights or autoencoder_folder"),
        ({"autoencoder_weights": "x.safetensors"}, "needs space: latent"),
        ({"space": "latent", "autoencoder_weights": "x", "autoencoder_folder": "y"}, "not both"),
        ({"space": "latent", "autoencoder_folder": "y", "autoencoder_decoder": "x"}, "pair of files"),
        ({"space": "latent", "autoencoder_weights": "nowhere.safetensors"}, "is not there"),
        ({"space": "latent", "autoencoder_folder": "nowhere"}, "no config.json"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(api.BenchError, match=message):
        make(DDPM, given)


def test_another_autoencoder_in_the_folder_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(api.PluginError, match="holds AutoencoderKL, not AutoencoderTiny"):
        make(DDPM, {"space": "latent", "autoencoder_folder": str(folders["kl"])})


@pytest.mark.parametrize(("size", "message"), [(15, "divides the side by 2"), (18, "latents of side 9 px")])
def test_sizes_that_do_not_divide_are_refused(folders: dict[str, Path], size: int, message: str) -> None:
    with pytest.raises(api.PluginError, match=message):
        make(DDPM, options(folders), api.Task(name="", classes=(), image_size=size))


# -- encoding ----------------------------------------------------------------------------------------------------


def test_latents_are_scaled_and_come_back(folders: dict[str, Path]) -> None:
    images = api.from_uint8(labelled()[slice(0, 3)])
    for kind, cls in (("tiny", AutoencoderTiny), ("kl", AutoencoderKL)):
        space, net = space_of(folders, kind), cls.from_pretrained(folders[kind], local_files_only=True)
        with torch.no_grad():
            found = space._encoded(images)
            if kind == "tiny":
                expected = net.encode(images).latents
                torch.testing.assert_close(found[0], expected)
                torch.testing.assert_close(space.images(found[0]), net.decode(expected).sample)
                continue
            posterior = net.encode(images).latent_dist
            torch.testing.assert_close(found[0], (posterior.mean - 0.25) * 0.5)
            torch.testing.assert_close(found[1], posterior.std * 0.5)
            torch.testing.assert_close(space.images(found[0]), net.decode(posterior.mean).sample)


@pytest.mark.parametrize("kind", ["tiny", "kl"])
@pytest.mark.parametrize("flip", [False, True])
def test_what_is_encoded_once_is_what_would_be_encoded_at_each_step(
    folders: dict[str, Path], kind: str, flip: bool
) -> None:
    rng = np.random.default_rng(0)
    images = labelled()
    images.parts[0].pixels[0][:] = rng.integers(0, 256, images.parts[0].pixels[0].shape)
    once, live = space_of(folders, kind), space_of(folders, kind, latents_gib=0.0)
    passes = Passes(once.encoder)
    clean, again = once.clean(images, flip, CPU), live.clean(images, flip, CPU)
    assert passes.images == 12 * (2 if flip else 1)
    for positions in ([3, 0, 11, 5, 7, 7], [1, 2]):
        x0 = []
        for function in (clean, again):
            torch.manual_seed(1)
            x0.append(function(batch_of(images, positions)))
        assert x0[0].shape == (len(positions), 3, 8, 8)
        assert x0[0].dtype == torch.float32
        torch.testing.assert_close(x0[0], x0[1], atol=2e-3, rtol=2e-3)
    assert passes.images == 12 * (2 if flip else 1)
    two = [clean(batch_of(images, [0] * 8)) for _ in range(2)]
    # a deterministic autoencoder without mirror images knows one x0 of an image
    assert torch.equal(*two) == (kind == "tiny" and not flip)


def test_latents_are_kept_under_autocast(folders: dict[str, Path]) -> None:
    images, space = labelled(), space_of(folders, "tiny")
    with torch.autocast("cpu", torch.bfloat16):
        clean = space.clean(images, False, CPU)
        x0 = clean(batch_of(images, [3, 4]))
    assert torch.equal(x0, space.clean(images, False, CPU)(batch_of(images, [3, 4])))


def test_mirror_images_are_encoded_themselves(folders: dict[str, Path]) -> None:
    images = labelled()
    images.parts[0].pixels[0][..., :4] = 0
    space = space_of(folders, "tiny")
    x0 = space.clean(images, True, CPU)(batch_of(images, [0] * 12))
    pixels = api.from_uint8(images[[0]])
    straight, mirrored = (space._encoded(some)[0][0] for some in (pixels, pixels.flip(3)))
    which = [int((one - mirrored).abs().max() < 2e-3) for one in x0]
    assert 0 < sum(which) < 12
    for one, is_mirrored in zip(x0, which, strict=True):
        torch.testing.assert_close(one, mirrored if is_mirrored else straight, atol=2e-3, rtol=2e-3)


def test_the_limit_counts_every_byte(folders: dict[str, Path]) -> None:
    for kind, factor in (("tiny", 1), ("kl", 2)):
        space = space_of(folders, kind)
        assert space.memory(100, True) == 2 * 100 * factor * 3 * 8 * 8 * 2
    space = space_of(folders, "tiny")
    space.limit = space.memory(12, False) - 1
    passes = Passes(space.encoder)
    clean = space.clean(labelled(), False, CPU)
    assert passes.images == 0
    clean(batch_of(labelled(), [0, 1]))
    assert passes.images == 2


# -- fitting -----------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.mark.parametrize(("kind", "gib"), [("kl", 2.0), ("tiny", 2.0), ("kl", 0.0)])
def test_a_killed_fit_goes_on_to_the_last_bit(folders: dict[str, Path], kind: str, gib: float, tmp_path: Path) -> None:
    def fitted(place: str, die_at: int | None = None) -> Any:
        def report(done: int, total: int, loss: float | None) -> None:
            if done == die_at:
                raise Killed

        model = make(ConditionalDDPM, options(folders, kind, latents_gib=gib))
        budget = BudgetOf(steps=4, batch_size=4, ema=0.9, checkpoint=2)
        run = FitRun(model, budget, 0, CPU, Checkpoints(tmp_path / place), report=report)
        model.fit(labelled(), run)
        return run.artifact()

    whole = fitted("whole")
    with pytest.raises(Killed):
        fitted("broken", die_at=3)
    assert list((tmp_path / "broken").glob("step-*"))
    resumed = fitted("broken")
    assert list(whole) == list(resumed)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("cls", GENERATORS, ids=lambda cls: cls.__name__)
def test_generators_fit_and_draw_in_latent_space(cls: type[Any], folders: dict[str, Path]) -> None:
    model = make(cls, options(folders))
    digest = api.state_digest(model.frozen_modules["autoencoder"].state_dict())
    fit(model)
    assert api.state_digest(model.frozen_modules["autoencoder"].state_dict()) == digest
    assert not any("autoencoder" in name for name in [*model.state_dict(), *dict(model.named_parameters())])
    assert model.unet.config.in_channels == model.unet.config.out_channels == 3
    decoded, noise = Passes(model.space.decoder), api.Noise(0, [0])
    pictures = drawn(model)
    assert decoded.images == 2
    assert (pictures.dtype, pictures.shape) == (torch.uint8, (2, 3, SIZE, SIZE))
    with torch.inference_mode():
        model.sample(api.Conditions(count=1, labels=torch.tensor([0])), type(model).Sampling(steps=1), noise)
    assert noise.starting_shape == (3, 8, 8)


def test_decoding_goes_a_few_images_at_a_time(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    space = space_of(folders, "tiny")
    latents = torch.randn(5, *space.shape)
    with torch.no_grad():
        whole = space.pixels(latents)
        monkeypatch.setattr("dermae_plugins.parts.latents.PIXELS_AT_ONCE", 2 * SIZE * SIZE)
        sizes: list[int] = []
        space.decoder.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
        assert int((space.pixels(latents).int() - whole.int()).abs().max()) <= 1
    assert sizes == [2, 2, 1]


def test_dynamic_thresholding_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(api.PluginError, match="latents have none"):
        drawn(make(DDPM, options(folders)), thresholding="dynamic")


def test_a_loss_on_images_reaches_the_network_through_the_decoder(folders: dict[str, Path]) -> None:
    model = make(PerceptualDDPM, options(folders))
    x0 = torch.randn(4, *model.space.shape)
    x_t, t, _ = model.process.diffuse(x0)
    output = model.process.target(x0, (x_t - model.process._at(t)[0] * x0) / model.process._at(t)[1], t)
    output.requires_grad_()
    guess, real = model.pictures(output, x_t, t, x0, 0.5)
    assert guess.shape == real.shape == (2, 3, SIZE, SIZE)
    # the right answer is at no distance, however badly this autoencoder draws
    torch.testing.assert_close(guess, real, atol=1e-2, rtol=1e-2)
    guess.square().sum().backward()
    assert output.grad is not None
    seen = output.grad.flatten(1).abs().sum(1) > 0
    assert torch.equal(seen.nonzero().flatten(), t.argsort(stable=True)[:2].sort().values)
    assert not real.requires_grad
    assert all(p.grad is None for p in model.space.parameters())


# -- cost --------------------------------------------------------------------------------------------------------


def macs(units: Any, count: Callable[..., float]) -> float:
    return sum(count(unit) for unit in units)


def test_a_drawing_costs_its_steps_and_one_decoding(folders: dict[str, Path]) -> None:
    model = make(ConditionalDDPM, options(folders, "kl")).eval().requires_grad_(False)
    units = list(model.cost("sample", model.Sampling(steps=5, guidance=1.0)))
    assert [(unit.module, unit.calls) for unit in units] == [(model.unet, 10), (model.space.decoder, 1)]
    for unit in units:
        with torch.no_grad():
            ours, theirs = count_macs(unit.module, unit.inputs), count_macs_fvcore(unit.module, unit.inputs)
        assert ours == pytest.approx(theirs, rel=0.01)
        assert ours > 0


@pytest.mark.parametrize(("weight", "gib"), [(0.0, 2.0), (0.1, 0.0)])
def test_a_training_step_costs_what_it_runs(folders: dict[str, Path], weight: float, gib: float) -> None:
    """Everything that a step runs is counted, over images of which all are compared."""
    more = {"perceptual_weight": weight, "feature_share": 1.0, "feature_stages": [0, 1], "latents_gib": gib}
    model = make(ConditionalDDPM, options(folders, **more))
    units = list(model.training_cost())
    named = {id(model.unet): "unet", id(model.space.encoder): "encoder", id(model.space.decoder): "decoder"}
    expected = [("unet", "all")]
    expected += [("encoder", "none")] if gib == 0 else []
    if weight:
        expected += [("decoder", "inputs"), ("decoder", "none"), ("look", "inputs"), ("look", "none")]
    assert [(named.get(id(unit.module), "look"), unit.backward) for unit in units] == expected
    passes = {id(unit.module): Passes(unit.module) for unit in units}
    counted = {id(unit.module): sum(u.calls for u in units if u.module is unit.module) for unit in units}
    fit(model, steps=2, batch=6)
    assert {name: found.images for name, found in passes.items()} == {name: 12 * n for name, n in counted.items()}
    assert macs(units, training_macs) > macs(units[:1], training_macs) or (not weight and gib)


@pytest.mark.filterwarnings("ignore:.*is a no-op")
@pytest.mark.parametrize("cls", GENERATORS, ids=lambda cls: cls.__name__)
def test_costs_are_counted_without_numbers(cls: type[Any], folders: dict[str, Path]) -> None:
    real = make(cls, options(folders)).eval()
    with torch.device("meta"):
        bare = make(cls, options(folders)).eval()
    for one, two in zip(real.training_cost(), bare.training_cost(), strict=True):
        assert two.inputs[0].device.type == "meta"
        with torch.no_grad():
            assert count_macs(one.module, one.inputs) == count_macs(two.module, two.inputs)


# -- real weights ------------------------------------------------------------------------------------------------


@pytest.mark.weights
def test_taesd_draws_what_it_was_given() -> None:
    """`DERMAE_BENCH_TEST_WEIGHTS` names a folder with taesd_encoder.safetensors and taesd_decoder.safetensors."""
    folder = Path(os.environ["DERMAE_BENCH_TEST_WEIGHTS"])
    encoder, decoder = (api.File(folder / f"taesd_{half}.safetensors") for half in ("encoder", "decoder"))
    space = Latents(SpaceConfig(space="latent", autoencoder_weights=encoder, autoencoder_decoder=decoder), 224)
    yy, xx = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    lesion = torch.sigmoid((((yy - 112) ** 2 + (xx - 100) ** 2).sqrt() - 60) / 6)
    colours = torch.stack([110 + 110 * lesion, 60 + 100 * lesion, 50 + 90 * lesion])
    image = (colours + torch.randn(3, 224, 224)).round().clamp(0, 255).to(torch.uint8)[None]
    with torch.no_grad():
        latents = space._encoded(api.from_uint8(image))[0]
        error = (space.pixels(latents).float() - image.float()).square().mean()
    assert 0.3 < latents.std().item() < 2
    assert 10 * torch.log10(255**2 / error) > 22
