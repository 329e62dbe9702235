"""One training step of every first-party plugin under the harness, and of the peers whose loops people know."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, reseed
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.images import ImageSet, Part
from dermae_bench.plugin.loading import load_plugin
from dermae_bench.plugin.params import build, schema_of
from tests.bench.conftest import Race

pytestmark = pytest.mark.bench

STEPS = 5
"""Of one round."""
CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
UNET: Mapping[str, Any] = {"channels": [64, 128, 128], "layers_per_block": 1, "attention_levels": [1]}
SIZE, BATCH = 32, 8
VIT: Mapping[str, Any] = {"arch": "vit_tiny_patch16_224", "arch_args": {"patch_size": 8, "depth": 6}}
VIT_SIZE, VIT_BATCH = 64, 16


def images(size: int) -> ImageSet:
    """512 random images with labels."""
    generator = np.random.default_rng(0)
    names = [str(i) for i in range(512)]
    return ImageSet(
        parts=[Part([generator.integers(0, 256, (512, 3, size, size), dtype=np.uint8)], np.arange(512))],
        ids=names,
        groups=names,
        task=api.Task(name="diagnosis", classes=CLASSES, image_size=size),
        labels=np.arange(512) % len(CLASSES),
    )


def stepper(
    plugin: str, params: Mapping[str, Any], size: int, batch: int, folder: Path, clip: float | None = 1.0
) -> Callable[[], list[float]]:
    """Seconds of each of a few steps of `plugin` as in a stage: batch, loss, step, EMA, checks, curves."""
    reference = Catalog().reference(plugin)
    cls = load_plugin(reference.name, reference.module, reference.file)[1]
    values, findings = check(dict(params), schema_of(cls.Config))
    assert not findings, findings
    data = images(size)
    reseed(0, "init")
    model: Any = cls(build(cls.Config, values), data.task)

    return fitting(model, data, folder, BudgetOf(steps=STEPS + 1, batch_size=batch, ema=0.9999, clip=clip))


def fitting(model: Any, data: ImageSet, folder: Path, budget: BudgetOf) -> Callable[[], list[float]]:
    """Seconds of each step but the first of a fit under the harness's run."""

    def run() -> list[float]:
        moments: list[float] = []
        with tempfile.TemporaryDirectory(dir=folder) as own:
            fit = FitRun(
                model,
                budget,
                0,
                torch.device("cpu"),
                Checkpoints(Path(own)),
                report=lambda done, total, loss: moments.append(time.perf_counter()),
            )
            model.fit(data, fit)
            fit.check_spent()
        # the first step of a run makes optimiser and average
        return [after - before for before, after in itertools.pairwise(moments)]

    return run


def peer_stepper(step: Callable[[Tensor, Tensor], float], size: int, batch: int) -> Callable[[], list[float]]:
    """Seconds of each of a few steps of a peer, which finds its batch ready: decoded, normalised, in memory."""
    data = images(size)
    positions = np.arange(batch)
    batches = api.from_uint8(data[positions]), torch.from_numpy(data.labels[positions])  # type: ignore[index]

    def run() -> list[float]:
        spent = []
        for number in range(STEPS + 1):
            began = time.perf_counter()
            loss = step(*batches)
            if number:
                spent.append(time.perf_counter() - began)
            assert np.isfinite(loss)
        return spent

    return run


def diffusers_step() -> Callable[[Tensor, Tensor], float]:
    """The loop of diffusers' `train_unconditional` (fp32): AdamW, cosine, clipping at 1, EMAModel, `.item()`."""
    from diffusers import DDPMScheduler, UNet2DModel
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=SIZE,
        block_out_channels=tuple(UNET["channels"]),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
    )
    scheduler = DDPMScheduler(1000)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rate = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=100_000)
    average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def step(clean: Tensor, labels: Tensor) -> float:
        noise = torch.randn(clean.shape)
        t = torch.randint(0, 1000, (len(clean),)).long()
        loss = F.mse_loss(net(scheduler.add_noise(clean, noise, t), t).sample.float(), noise.float())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        average.step(net.parameters())
        return loss.detach().item()

    return step


def timm_step() -> Callable[[Tensor, Tensor], float]:
    """The loop of timm's `train.py` (fp32): AdamW sparing vectors, label smoothing, ModelEmaV3, no clipping."""
    import timm
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.utils import ModelEmaV3

    torch.manual_seed(0)
    net = timm.create_model(VIT["arch"], num_classes=len(CLASSES), img_size=VIT_SIZE, **VIT["arch_args"])
    optimizer = create_optimizer_v2(net, opt="adamw", lr=1e-3, weight_decay=0.05)
    average = ModelEmaV3(net, decay=0.9999)
    criterion = LabelSmoothingCrossEntropy(0.1)

    def step(pictures: Tensor, labels: Tensor) -> float:
        optimizer.zero_grad()
        loss = criterion(net(pictures), labels)
        loss.backward()
        optimizer.step()
        average.update(net)
        return loss.item()

    net.train()
    return step


def test_ddpm_step(race: Race, tmp_path: Path) -> None:
    ours = stepper("ddpm", UNET, SIZE, BATCH, tmp_path)
    race(ours, peer_stepper(diffusers_step(), SIZE, BATCH), rounds=9, goal="ratio >= 1.0 against diffusers' loop")


def test_timm_step(race: Race, tmp_path: Path) -> None:
    ours = stepper("timm", VIT, VIT_SIZE, VIT_BATCH, tmp_path, clip=None)
    race(ours, peer_stepper(timm_step(), VIT_SIZE, VIT_BATCH), rounds=9, goal="ratio >= 1.0 against timm's loop")


@pytest.mark.parametrize("plugin", ["ddpm-conditional", "ddpm-perceptual"])
def test_step_beside_plain_ddpm(plugin: str, race: Race, tmp_path: Path) -> None:
    ours = stepper(plugin, UNET, SIZE, BATCH, tmp_path)
    race(ours, stepper("ddpm", UNET, SIZE, BATCH, tmp_path), rounds=5, goal="none: what the idea costs beside ddpm")
