"""A training step of `mae` against transformers' ViTMAE: same sizes, share, batch, precision and optimiser.

Both see prepared images without augmentation; neither clips nor averages. What `mae` saves is what nobody asks for:
visible patches alone are embedded, hidden ones alone predicted, and the decoder's first projection of hidden patches is
shared by the batch. So the lighter the decoder, the larger the gain; multiply-adds bound it (`macs_ratio`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.mae import MAE
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dermae_bench.execute.run import BudgetOf, reseed
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.params import build, schema_of
from tests.bench.conftest import Race
from tests.bench.test_steps import STEPS, fitting, images, peer_stepper

pytestmark = pytest.mark.bench

LR, BETAS, DECAY = 1.5e-4, (0.9, 0.95), 0.05
SIZE = 224
TINY = {"width": 192, "depth": 12, "heads": 3, "patch": 16}
SETTINGS: Mapping[str, tuple[dict[str, int], int, int]] = {
    # sizes, batch, rounds
    # one block fine-tunes as well as eight (He et al. 2022, table 1a)
    "512 x 1": ({**TINY, "decoder_width": 512, "decoder_depth": 1, "decoder_heads": 16}, 8, 7),
    "512 x 8": ({**TINY, "decoder_width": 512, "decoder_depth": 8, "decoder_heads": 16}, 4, 3),
}


def our_model(sizes: Mapping[str, int]) -> Any:
    """`mae` with seeded weights."""
    values, findings = check({**sizes, "flip": False, "crop": None, "lr": LR}, schema_of(MAE.Config))
    assert not findings, findings
    reseed(0, "init")
    return MAE(build(MAE.Config, values), images(SIZE).task)


def their_model(sizes: Mapping[str, int]) -> Any:
    """ViTMAE of the same sizes with its own initial weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTMAEConfig(
        image_size=SIZE,
        patch_size=sizes["patch"],
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["width"],
        decoder_hidden_size=sizes["decoder_width"],
        decoder_num_hidden_layers=sizes["decoder_depth"],
        decoder_num_attention_heads=sizes["decoder_heads"],
        decoder_intermediate_size=4 * sizes["decoder_width"],
        layer_norm_eps=1e-6,
        mask_ratio=0.75,
        norm_pix_loss=True,
    )
    return transformers.ViTMAEForPreTraining(config).train()


def our_stepper(sizes: Mapping[str, int], batch: int, folder: Path) -> Callable[[], list[float]]:
    """Seconds of each of a few steps as in a stage: batch, normalisation, order, loss, step, finite check, curves."""
    budget = BudgetOf(steps=STEPS + 1, batch_size=batch, clip=None)
    return fitting(our_model(sizes), images(SIZE), folder, budget)


def their_step(net: Any) -> Callable[[Tensor, Tensor], float]:
    """The plain loop, with the fused AdamW that transformers' Trainer takes too."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, betas=BETAS, weight_decay=DECAY, fused=True)

    def step(pictures: Tensor, labels: Tensor) -> float:
        optimizer.zero_grad()
        loss = net(pictures).loss
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def copy_weights(theirs: Any, ours: Any) -> None:
    """Give `mae` the weights of a ViTMAE, which takes the positions of `mae`."""
    given, patch = theirs.state_dict(), ours.visible.patch
    state = {}

    def block(there: str, here: str) -> None:
        for part in ("weight", "bias"):
            parts = [given[f"{there}.attention.{name}_proj.{part}"] for name in "qkv"]
            state[f"{here}.attn.qkv.{part}"] = torch.cat(parts)
            for name, own in {
                "attention.o_proj": "attn.proj", "layernorm_before": "norm1", "layernorm_after": "norm2",
                "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
            }.items():  # fmt: skip
                state[f"{here}.{own}.{part}"] = given[f"{there}.{name}.{part}"]

    for number in range(len(ours.visible.vit.blocks)):
        block(f"vit.layers.{number}", f"visible.vit.blocks.{number}")
    for number in range(len(ours.decoder.blocks)):
        block(f"decoder.decoder_layers.{number}", f"decoder.blocks.{number}")
    for part in ("weight", "bias"):
        state[f"visible.vit.patch_embed.proj.{part}"] = given[f"vit.embeddings.patch_embeddings.projection.{part}"]
        state[f"visible.vit.norm.{part}"] = given[f"vit.layernorm.{part}"]
        state[f"decoder.narrow.{part}"] = given[f"decoder.decoder_embed.{part}"]
        state[f"decoder.norm.{part}"] = given[f"decoder.decoder_norm.{part}"]
        # theirs predicts pixel by pixel, ours colour by colour
        rows = given[f"decoder.decoder_pred.{part}"].unflatten(0, (patch, patch, 3)).movedim(2, 0)
        state[f"decoder.head.{part}"] = rows.flatten(0, 2)
    state["visible.vit.cls_token"] = given["vit.embeddings.cls_token"]
    # a new ViTMAE has zeros for positions
    state["visible.vit.pos_embed"] = ours.visible.vit.pos_embed
    given["vit.embeddings.position_embeddings"].copy_(ours.visible.vit.pos_embed)
    given["decoder.decoder_pos_embed"][0, 1:].copy_(ours.decoder.places)
    state["decoder.mask_token"] = given["decoder.mask_token"].flatten()
    ours.load_state_dict(state)


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_the_two_agree_before_they_race(setting: str) -> None:
    sizes = SETTINGS[setting][0]
    theirs, ours = their_model(sizes), our_model(sizes)
    copy_weights(theirs, ours)
    pictures, noise = torch.rand(2, 3, SIZE, SIZE) * 2 - 1, torch.rand(2, ours.patches)
    expected = theirs(pictures, noise=noise).loss
    torch.testing.assert_close(ours.loss(pictures, noise.argsort(dim=1)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("setting", list(SETTINGS))
def test_mae_step(setting: str, race: Race, benchmark: Any, tmp_path: Path) -> None:
    sizes, batch, rounds = SETTINGS[setting]
    step = their_step(their_model(sizes))
    benchmark.extra_info["macs_ratio"] = counted(step, sizes, batch)
    goal = "ratio >= 1.1 against transformers' ViTMAE" if setting == "512 x 1" else "none: bound by macs_ratio"
    race(our_stepper(sizes, batch, tmp_path), peer_stepper(step, SIZE, batch), rounds=rounds, goal=goal)


def counted(step: Callable[[Tensor, Tensor], float], sizes: Mapping[str, int], batch: int) -> float:
    """Their multiply-adds of a training step over ours."""
    pictures, model = torch.rand(batch, 3, SIZE, SIZE), our_model(sizes)
    with FlopCounterMode(display=False) as theirs:
        step(pictures, torch.zeros(batch))
    with FlopCounterMode(display=False) as ours:
        model.loss(pictures, torch.rand(batch, model.patches).argsort(dim=1)).backward()
    return theirs.get_total_flops() / ours.get_total_flops()
