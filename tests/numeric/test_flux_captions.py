"""A small FLUX trained on phantom's pictures and captions draws what its captions ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dermae_plugins.generators.flux_lora import FluxLora
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from dermae_bench import api
from dermae_bench.builtin.datasets.phantom import Phantom
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun, reseed
from dermae_bench.plugin.images import ImageSet, Part
from dermae_bench.plugin.noise import Noise

SIZE = 16
TONES = ("red", "light brown", "brown", "dark brown to black")
TONE = re.compile(r"(red|light brown|dark brown to black|brown) lesion")
TASK = api.Task(name="diagnosis", classes=("a", "b"), image_size=SIZE)
SMALL: dict[str, Any] = {
    "train": "all",
    "layers": 1,
    "single_layers": 2,
    "heads": 4,
    "head_dim": 16,
    "patch": 4,
    "text_layers": 1,
    "text_width": 64,
    "words": 16,
    "vocabulary": 128,
    "p_uncond": 0.1,
    "lr": 2e-3,
    "warmup": 0.05,
    "decay": "cosine",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def real() -> dict[str, ImageSet]:
    """Phantom's pictures with their captions, by split."""
    phantom = Phantom(Phantom.Config(image_size=SIZE, images=2000))
    examples = phantom.examples()
    found = {}
    for split in ("train", "test"):
        mine = [example for example in examples if example.split == split]
        pixels = np.stack([phantom.image(example, SIZE) for example in mine])
        names = [example.id for example in mine]
        captions = [str(example.caption) for example in mine]
        part = Part([pixels], np.arange(len(mine)))
        found[split] = ImageSet(parts=[part], ids=names, groups=names, captions=captions)
    return found


def tones_of(captions: Sequence[str]) -> NDArray[np.int64]:
    found = [TONE.search(caption) for caption in captions]
    return np.array([TONES.index(match.group(1)) for match in found if match is not None])


def seen(images: Tensor) -> NDArray[np.float32]:
    """What the judge looks at: the mean colours of 4 x 4 places."""
    return avg_pool2d(images.float(), SIZE // 4).flatten(1).numpy()


def fitted(train: ImageSet, folder: Path, seed: int, steps: int, options: dict[str, Any]) -> FluxLora:
    reseed(seed, "init")
    model = FluxLora(FluxLora.Config(**options), TASK)
    run = FitRun(model, BudgetOf(steps=steps, batch_size=32), seed, torch.device("cpu"), Checkpoints(folder))
    model.fit(train, run)
    return model.eval()


def drawn(model: FluxLora, captions: Sequence[str], guidance: float, seed: int) -> Tensor:
    conditions = api.Conditions(count=len(captions), captions=tuple(captions))
    with torch.inference_mode():
        return model.sample(conditions, FluxLora.Sampling(guidance=guidance), Noise(seed, range(len(captions))))


def asked_of(images: ImageSet) -> list[str]:
    """Captions of 25 lesions, each with every tone, so that nothing else in a caption tells it."""
    lesions = (images.captions or ())[:25]
    return [TONE.sub(f"{tone} lesion", caption) for caption in lesions for tone in TONES]


def recovered(model: FluxLora, images: dict[str, ImageSet], seed: int) -> dict[str, float]:
    """Share of pictures whose tone a judge of real pictures takes for the one asked: told, and told nothing."""
    forest = pytest.importorskip("sklearn.ensemble").RandomForestClassifier
    judge = forest(200, class_weight="balanced", random_state=0)
    judge.fit(seen(images["train"][slice(None)]), tones_of(images["train"].captions or ()))
    captions = asked_of(images["test"])
    told = judge.predict(seen(drawn(model, captions, 2.0, seed)))
    untold = judge.predict(seen(drawn(model, [""] * len(captions), 0.0, seed)))
    on_real = judge.predict(seen(images["test"][slice(None)]))
    asked = tones_of(captions)
    return {
        "real": float((on_real == tones_of(images["test"].captions or ())).mean()),
        "told": float((told == asked).mean()),
        "untold": float((untold == asked).mean()),
    }


def renamed(images: ImageSet) -> ImageSet:
    """The same pictures, in whose captions every tone is called by the name of another one."""
    other = dict(zip(TONES, TONES[::-1], strict=True))
    said = [TONE.sub(lambda found: f"{other[found.group(1)]} lesion", caption) for caption in images.captions or ()]
    return replace(images, captions=said)


def warmth(images: Tensor) -> float:
    """Red over blue, in levels."""
    return float((images[:, 0].float() - images[:, 2].float()).mean())


@pytest.fixture(scope="module")
def images() -> dict[str, ImageSet]:
    return real()


@pytest.fixture(scope="module")
def small(images: dict[str, ImageSet], tmp_path_factory: pytest.TempPathFactory) -> FluxLora:
    return fitted(images["train"], tmp_path_factory.mktemp("run"), 0, 500, SMALL)


@pytest.mark.slow
def test_the_tone_of_a_caption_is_drawn(small: FluxLora, images: dict[str, ImageSet]) -> None:
    found = recovered(small, images, seed=0)
    # chance is .25; seeds 0 to 4 gave .43 to .53 told and .22 to .25 untold, and the judge is right on .74 of real ones
    assert found["real"] > 0.7, found
    assert found["told"] > 0.4, found
    assert found["untold"] < 0.35, found


@pytest.mark.slow
def test_adapters_take_a_frozen_flux_to_other_pictures(
    small: FluxLora, images: dict[str, ImageSet], tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="pip install 'dermae-bench[text]'")
    save_file(small.state_dict(), tmp_path / "weights.safetensors")
    options = {**SMALL, "train": "lora", "backbone": api.File(str(tmp_path / "weights.safetensors"))}
    train = images["train"]
    negatives = replace(
        train, parts=[Part([255 - pixels for pixels in part.pixels], part.rows) for part in train.parts]
    )
    model = fitted(negatives, tmp_path / "run", 0, 150, {**options, "rank": 8, "alpha": 8.0})
    trained = sum(parameter.numel() for parameter in model.parameters())
    assert trained < 0.05 * sum(parameter.numel() for parameter in small.parameters())
    captions = asked_of(images["test"])
    before, after = (warmth(drawn(one, captions, 0.0, 0)) for one in (small, model))
    here, there = warmth(train[slice(None)]), warmth(negatives[slice(None)])
    # skin is warm and its negative cold; adapters of 3.8 % of the weights went .99 to 1.00 of the way (seeds 0 to 2)
    assert abs(before - here) < 0.2 * (here - there), (before, here, there)
    assert (before - after) / (before - there) > 0.9, (before, after, there)


@pytest.mark.slow
def test_adapters_learn_what_captions_mean(small: FluxLora, images: dict[str, ImageSet], tmp_path: Path) -> None:
    """Words that the frozen FLUX knows otherwise: the captions of the new pictures alone tell their meaning."""
    pytest.importorskip("peft", reason="pip install 'dermae-bench[text]'")
    save_file(small.state_dict(), tmp_path / "weights.safetensors")
    options = {**SMALL, "train": "lora", "backbone": api.File(str(tmp_path / "weights.safetensors"))}
    other = {split: renamed(mine) for split, mine in images.items()}
    adapters = {"targets": "all-linear", "rank": 16, "alpha": 16.0}
    model = fitted(other["train"], tmp_path / "run", 0, 400, {**options, **adapters})
    before, after = (recovered(one, other, seed=0) for one in (small, model))
    # chance is .25; seeds 0 to 2 gave .01 to .02 before, .39 to .48 after, and .19 to .25 told nothing
    assert before["told"] < 0.1, before
    assert after["told"] > 0.33, after
    assert after["untold"] < 0.33, after
