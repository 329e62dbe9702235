"""The masked autoencoder: what is seen, what is asked for, what it costs, and who can start from it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.mae import MAE
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from dermae_plugins.parts import masking
from fitting import SIZE, fit, labelled, make
from torch import Tensor
from torch.nn import functional as F

from dermae_bench import api

VIT: dict[str, Any] = {"arch": "test_vit", "arch_args": {"patch_size": 4, "depth": 2}}
PATCHES = 16


def mae(**params: Any) -> Any:
    return make(MAE, {**VIT, **params})


def shown(model: Any, count: int = 3) -> tuple[Tensor, Tensor]:
    """Normalised images and an order."""
    images = torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return images, torch.rand(count, PATCHES, generator=torch.Generator().manual_seed(4)).argsort(dim=1)


def pixels_of(order: Tensor, first: int, last: int) -> Tensor:
    """bool (B, 1, S, S): the pixels of these patches of an order, cut from the definition."""
    chosen = torch.zeros(order.shape, dtype=torch.bool).scatter(1, order[:, first:last], True)
    side = SIZE // 4
    return chosen.view(-1, 1, side, side).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


def plain_loss(model: Any, images: Tensor, order: Tensor) -> Tensor:
    """He et al.'s code: decode all patches in their places with timm's own blocks, predict all, then mask."""
    vit, decoder, patch = model.visible.vit, model.decoder, model.visible.patch
    tokens = vit._pos_embed(vit.patch_embed(images))
    kept = order[:, : model.kept]
    visible = torch.stack([one[1:][rows] for one, rows in zip(tokens, kept, strict=True)])
    seen = decoder.narrow(vit.fc_norm(vit.norm(vit.blocks(torch.cat([tokens[:, :1], visible], dim=1)))))
    whole = decoder.mask_token.repeat(len(images), PATCHES, 1)
    hidden = torch.ones(len(images), PATCHES)
    for i in range(len(images)):
        whole[i, kept[i]] = seen[i, 1:]
        hidden[i, kept[i]] = 0
    x = torch.cat([seen[:, :1], whole + decoder.places], dim=1)
    for block in decoder.blocks:
        x = block(x)
    painted = decoder.head(decoder.norm(x))[:, 1:]
    targets = F.unfold(images, patch, stride=patch).transpose(1, 2)
    if model.config.norm_pix:
        targets = (targets - targets.mean(-1, keepdim=True)) / (targets.var(-1, keepdim=True) + 1e-6) ** 0.5
    return ((painted - targets).square().mean(-1) * hidden).sum() / hidden.sum()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("norm_pix", [True, False])
def test_loss_and_gradients_are_those_of_the_plain_computation(depth: int, norm_pix: bool) -> None:
    model = mae(decoder_depth=depth, norm_pix=norm_pix, positions="learned" if norm_pix else "sin-cos").train()
    images, order = shown(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found, expected = model.loss(images, order), plain_loss(model, images, order)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for mine, plain in zip(torch.autograd.grad(found, trained), torch.autograd.grad(expected, trained), strict=True):
        torch.testing.assert_close(mine, plain, atol=1e-5, rtol=1e-3)


def test_all_patches_encoded_are_the_network_itself() -> None:
    for arguments in (
        {},
        {"global_pool": "avg"},
        {"class_token": False, "global_pool": "avg"},
        {"reg_tokens": 2, "no_embed_class": True},
        {"pre_norm": True, "init_values": 0.1, "qk_norm": True},
        {"dynamic_img_size": True},
        {"pos_embed": "none"},
    ):
        for positions in ("sin-cos", "learned"):
            model = mae(arch_args={**VIT["arch_args"], **arguments}, positions=positions).eval()
            images, order = shown(model)
            patches = masking.patchify(images, 4)
            tokens = model.visible(patches, torch.arange(PATCHES).expand(len(images), -1))
            expected = model.visible.vit.fc_norm(model.visible.vit.forward_features(images))
            torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-4)
            assert torch.isfinite(model.loss(images, order))


def test_only_visible_patches_are_encoded_and_exactly_their_share() -> None:
    model = mae().eval()
    images, order = shown(model)
    lengths: list[tuple[int, ...]] = []
    for name in ("blocks.0", "blocks.1"):
        model.visible.vit.get_submodule(name).register_forward_pre_hook(lambda _, x: lengths.append(x[0].shape[:2]))
    model.loss(images, order)
    assert lengths == [(3, 1 + PATCHES // 4)] * 2

    def encoded(images: Tensor) -> Tensor:
        kept = order[:, : model.kept]
        return model.visible(masking.take(masking.patchify(images, 4), kept), kept)

    hidden = pixels_of(order, model.kept, PATCHES)
    poisoned = torch.where(hidden, torch.nan, images)
    assert torch.equal(encoded(poisoned), encoded(images))
    assert hidden.float().mean() == 0.75


@pytest.mark.parametrize(("ratio", "kept"), [(0.75, 4), (0.5, 8), (0.9, 1), (0.6, 6)])
def test_the_share_is_rounded_as_in_the_paper_code(ratio: float, kept: int) -> None:
    assert mae(mask_ratio=ratio).kept == kept


@pytest.mark.parametrize("ratio", [0.0, 0.99, 1.0])
def test_something_is_seen_and_something_is_hidden(ratio: float) -> None:
    with pytest.raises(api.PluginError, match=r"mask_ratio .* leaves (16|0) of 16 patches visible"):
        mae(mask_ratio=ratio)


def test_orders_are_permutations_and_every_patch_is_hidden_as_often() -> None:
    torch.manual_seed(0)
    order = masking.random_order(4000, PATCHES, torch.device("cpu"))
    assert torch.equal(order.sort(dim=1).values, torch.arange(PATCHES).expand(4000, -1))
    shares = torch.bincount(order[:, 4:].flatten(), minlength=PATCHES) / 4000
    assert (shares - 0.75).abs().max() < 0.03


def test_only_hidden_patches_are_targets() -> None:
    model = mae(norm_pix=False).eval()
    images, order = shown(model)
    asked: list[Tensor] = []
    targets = model.targets
    model.targets = lambda patches: asked.append(patches) or targets(patches)
    model.loss(images, order)
    (patches,) = asked
    expected = masking.patchify(images, 4).gather(1, order[:, 4:, None].expand(-1, -1, 48))
    assert torch.equal(patches, expected)
    with torch.no_grad():
        model.decoder.head.weight.zero_()
        model.decoder.head.bias.zero_()
    # a decoder that paints grey is charged for the hidden pixels alone
    hidden = pixels_of(order, 4, PATCHES).expand_as(images)
    assert model.loss(images, order).item() == pytest.approx(images[hidden].square().mean().item(), rel=1e-5)
    louder = torch.where(hidden, images, 5 * images)
    assert model.loss(louder, order).item() == pytest.approx(model.loss(images, order).item(), rel=1e-6)


def test_normalised_targets_have_mean_0_and_variance_1() -> None:
    patches = torch.rand(2, 5, 48, generator=torch.Generator().manual_seed(1)) * 3 + 1
    found = mae().targets(patches)
    torch.testing.assert_close(found.mean(2), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(2), torch.ones(2, 5), atol=1e-4, rtol=0)
    # He et al.'s code: (x - mean) / (var + 1e-6) ** 0.5; a flat patch has no contrast to be blown up
    torch.testing.assert_close(found[0, 0] * (patches[0, 0].var() + 1e-6).sqrt() + patches[0, 0].mean(), patches[0, 0])
    assert torch.equal(mae().targets(torch.ones(1, 1, 48)), torch.zeros(1, 1, 48))
    assert torch.equal(mae(norm_pix=False).targets(patches), patches)


def test_it_learns_to_paint() -> None:
    model = mae(crop=None, decoder_width=32, decoder_depth=1, decoder_heads=4, lr=3e-3, norm_pix=False)
    curves = fit(model, steps=40, batch=12)
    # three plain colours: what is hidden is what is seen
    assert curves[-1]["loss"] < 0.25 * curves[0]["loss"]


def test_fixed_positions_stay_and_learned_ones_move() -> None:
    for positions, moves in (("sin-cos", False), ("learned", True)):
        model = mae(positions=positions)
        before = model.visible.vit.pos_embed.clone()
        fit(model)
        assert torch.equal(before, model.visible.vit.pos_embed) != moves
    assert torch.equal(before[:, :1], mae(positions="learned").visible.vit.pos_embed[:, :1])
    assert mae().visible.vit.pos_embed[:, :1].abs().sum() == 0, "the class token has no place"
    with pytest.raises(api.PluginError, match="divisible by 4"):
        masking.sin_cos_positions((2, 2), 6)


def test_positions_are_those_of_the_paper_code() -> None:
    """Half of the width tells the column, half the row; sines first (`get_2d_sincos_pos_embed`)."""
    found = masking.sin_cos_positions((3, 5), 16)
    for row, column in ((0, 0), (0, 4), (2, 1)):
        angles = [place / 10000 ** (i / 4) for place in (column, row) for i in range(4)]
        by_hand = [f(angle) for half in (angles[:4], angles[4:]) for f in (math.sin, math.cos) for angle in half]
        assert found[row * 5 + column].tolist() == pytest.approx(by_hand, abs=1e-6)


POOLING: dict[str, dict[str, Any]] = {
    "token": {"global_pool": "token"},
    "mean": {"global_pool": "avg"},
    "mean, no class token": {"global_pool": "avg", "class_token": False},
}


@pytest.mark.parametrize("pooling", list(POOLING))
def test_the_timm_classifier_of_that_architecture_starts_from_it(pooling: str) -> None:
    same = {"arch": "test_vit", "arch_args": {"patch_size": 4, "depth": 3, **POOLING[pooling]}, "input_size": 32}
    model = make(MAE, {**same, "crop": None, "flip": False}).eval()
    with torch.no_grad():
        for parameter in model.visible.parameters():
            parameter.add_(0.01)
    classifier = make(TimmClassifier, same, seed=1).eval()
    head = classifier.net.head.weight.clone()
    classifier.start_from(model.encoder())
    assert torch.equal(classifier.net.head.weight, head)
    images = (torch.rand(2, 3, 32, 32) * 255).to(torch.uint8)
    seen = model.augmented(images)
    assert torch.equal(classifier.net.forward_features(seen), model.visible.vit.forward_features(seen))
    torch.testing.assert_close(classifier(images), classifier.net(seen), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("here", "there"), [("token", "mean"), ("mean", "token")])
def test_one_encoder_serves_both_ways_of_pooling(here: str, there: str) -> None:
    def arguments(pooling: str) -> dict[str, Any]:
        return {"arch": "test_vit", "arch_args": {"patch_size": 4, **POOLING[pooling]}}

    model, classifier = make(MAE, arguments(here)), make(TimmClassifier, arguments(there), seed=1)
    before = {name: value.clone() for name, value in classifier.net.state_dict().items()}
    encoder = {name: value + 1 for name, value in model.encoder().items()}
    classifier.start_from(encoder)
    kept = {name for name, value in classifier.net.state_dict().items() if torch.equal(value, before[name])}
    last = "fc_norm" if there == "mean" else "norm"
    assert kept == {f"{layer}.{part}" for layer in ("head", last) for part in ("weight", "bias")}
    encoder.pop("blocks.0.norm1.weight")
    with pytest.raises(api.PluginError, match=r"blocks.0.norm1.weight is missing"):
        classifier.start_from(encoder)


def test_explicit_sizes_are_those_of_arch_args() -> None:
    explicit = make(
        MAE, {"arch": None, "arch_args": {}, "width": 48, "depth": 2, "heads": 3, "patch": 8, "mlp_ratio": 2}
    )
    arguments = {"embed_dim": 48, "depth": 2, "num_heads": 3, "patch_size": 8, "mlp_ratio": 2.0}
    classifier = make(TimmClassifier, {"arch": "vit_base_patch16_224", "arch_args": arguments})
    classifier.start_from(explicit.encoder())
    assert explicit.visible.vit.blocks[0].mlp.fc1.weight.shape == (96, 48)
    assert torch.equal(classifier.net.blocks[1].attn.qkv.weight, explicit.visible.vit.blocks[1].attn.qkv.weight)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"arch": None}, "give `arch`, or all of width, depth, heads, patch"),
        ({"arch": None, "width": 48, "depth": 2, "heads": 3}, "give `arch`, or all of"),
        ({"width": 48}, "`arch` and width say the same twice"),
        ({"mlp_ratio": 2, "arch_args": {"mlp_ratio": 3}}, "mlp_ratio stands in `arch_args` and in a field"),
        ({"decoder_width": 30, "decoder_heads": 4}, "30 is not divisible by 4 heads"),
        ({"crop": [0.5]}, "crop must be two shares"),
        ({"crop": [0.9, 0.2]}, "crop must be two shares"),
        ({"betas": [0.9]}, "betas must be two numbers"),
        ({"arch": "vit_bass_patch16_224"}, "did you mean.*vit_base_patch16_224"),
        (
            {"arch": "test_efficientnet", "arch_args": {}},
            "cannot be built with img_size=16|no plain vision transformer",
        ),
        ({"arch": "resnet18", "arch_args": {}}, "cannot be built with img_size=16"),
        ({"arch_args": {"patch_size": 5}}, "16 px cannot be cut into patches of 5 px"),
        ({"arch_args": {"patch_size": 4, "patch_drop_rate": 0.5}}, "masking is the only way to drop tokens"),
    ],
)
def test_what_does_not_go_together_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(api.PluginError, match=message):
        mae(**params)


def test_cost_is_the_encoder_and_training_adds_the_decoder_but_sees_a_quarter() -> None:
    model = mae(decoder_depth=2, decoder_width=32, decoder_heads=4).eval()
    (predict,) = model.cost("predict")
    encode, decode = model.training_cost()
    assert not set(decode.module.parameters()) & set(predict.module.parameters())
    width, out, kept, hidden = 64, 48, 4, 12
    block = (1 + kept) * 12 * width**2 + 2 * (1 + kept) ** 2 * width
    mlp = model.visible.vit.blocks[0].mlp.fc1.out_features / width
    assert mlp == 3
    block -= (1 + kept) * 2 * width**2
    assert api.count_macs(encode.module, encode.inputs) == kept * out * width + 2 * block
    d, n = 32, 1 + PATCHES
    # the first block projects all places once, the second answers for hidden patches only
    first = (1 + kept + PATCHES) * 3 * d**2 + n * 9 * d**2 + 2 * n**2 * d
    second = n * 3 * d**2 + hidden * 9 * d**2 + 2 * n * hidden * d
    assert api.count_macs(decode.module, decode.inputs) == (1 + kept) * width * d + first + second + hidden * d * out
    assert api.count_macs(predict.module, predict.inputs) > 3 * api.count_macs(encode.module, encode.inputs)


def test_without_crops_half_are_mirrored_and_all_are_normalised() -> None:
    torch.manual_seed(0)
    images = labelled(12)[slice(0, 12)]
    model = mae(crop=None, mean=[0.7, 0.5, 0.4], std=[0.2, 0.3, 0.25])
    seen = model.augmented(images)
    scaled = (images / 255 - torch.tensor([0.7, 0.5, 0.4]).view(1, 3, 1, 1)) / torch.tensor([0.2, 0.3, 0.25]).view(
        1, 3, 1, 1
    )
    same = [torch.allclose(a, b, atol=1e-4) for a, b in zip(seen, scaled, strict=True)]
    mirrored = [torch.allclose(a, b.flip(2), atol=1e-4) for a, b in zip(seen, scaled, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 0 < sum(mirrored) < 12


def test_two_fits_are_equal() -> None:
    first, second = (mae() for _ in range(2))
    fit(first), fit(second)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_half_precision_gives_a_loss_close_by() -> None:
    model = mae().train()
    images, order = shown(model)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(images, order)
    rough.backward()
    assert rough.dtype == torch.float32
    assert rough.item() == pytest.approx(model.loss(images, order).item(), rel=0.02)
