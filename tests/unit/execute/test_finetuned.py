"""A fitted classifier as extractor: its features are what its last layer reads, and its identity is its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attempts import SIZE, WHERE, Bench, task, training
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from made import ROOT, asked, context
from safetensors.torch import load_file
from torch import Tensor

from dermae_bench import api
from dermae_bench.errors import InvalidOutput, PluginError
from dermae_bench.execute.stages.common import Table
from dermae_bench.execute.stages.finetuned import Finetuned, finetuned
from dermae_bench.plugin.params import build
from dermae_bench.plugin.weights import state_digest
from dermae_bench.scoring.labels import task_of

TASK = task_of(asked(ROOT))


def classifier(arch: str, **params: Any) -> Any:
    """Untrained, in eval mode."""
    torch.manual_seed(0)
    return TimmClassifier(build(TimmClassifier.Config, {"arch": arch, **params}), TASK).eval()


def pixels(count: int, side: int = SIZE, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("arch", "params", "width"),
    [
        ("resnet18", {}, 512),
        ("test_vit", {}, 64),
        ("test_efficientnet", {}, 256),
        ("test_efficientnet", {"input_size": 24}, 256),
        ("test_convnext", {"input_size": 32}, 64),
        ("vit_tiny_patch16_224", {"input_size": 32}, 192),
        ("efficientnet_b0", {"input_size": 32}, 1280),
        pytest.param("resnext50_32x4d", {}, 2048, marks=pytest.mark.slow),
    ],
)
@torch.inference_mode()
def test_features_are_what_the_last_layer_reads(arch: str, params: dict[str, Any], width: int) -> None:
    model = classifier(arch, **params)
    images = pixels(3)
    found = Finetuned(model, "timm")
    features = found.features(images)
    assert features.shape == (3, width) == (3, found.identity()["dimensions"])
    seen = images if model.input_size is None else api.resize(images, model.input_size)
    inside = model.net.forward_head(model.net.forward_features((seen.float() / 255 - model.mean) / model.std),
                                    pre_logits=True)  # fmt: skip
    assert torch.equal(features, inside)
    head = model.net.get_classifier()
    assert torch.allclose(head(features), model(seen), atol=1e-5)
    # no constant, and not the same for every image
    assert features.std(0).max() > 0


@torch.inference_mode()
def test_a_probe_reads_the_features_of_the_frozen_network() -> None:
    whole, probe = classifier("test_efficientnet"), classifier("test_efficientnet", train="head")
    # what is built on top draws other random numbers, and changes nothing below
    body = {name: value for name, value in whole.state_dict().items() if not name.startswith("net.classifier")}
    probe.load_state_dict(body, strict=False)
    images = pixels(4)
    assert torch.equal(Finetuned(whole, "timm").features(images), Finetuned(probe, "timm").features(images))


def test_the_identity_is_made_of_the_weights(bench: Bench) -> None:
    model = classifier("test_efficientnet")
    found = Finetuned(model, "timm").identity()
    assert found == {
        "name": "finetuned/timm", "stage": "what the last layer reads", "dimensions": 256,
        "weights": state_digest(model.state_dict()), "trained_on": "diagnosis",
        "input": {"size": SIZE, "filter": "as prepared"},
    }  # fmt: skip
    assert Finetuned(model, "timm").identity() == found
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    moved = Finetuned(model, "timm").identity()
    assert moved["weights"] != found["weights"]
    assert {**moved, "weights": None} == {**found, "weights": None}
    sized = Finetuned(classifier("test_efficientnet", input_size=24), "timm").identity()
    assert sized["input"]["size"] == 24 and sized["input"]["filter"] != "as prepared"


class Odd(api.Classifier):
    """Gives whatever its shape says."""

    def __init__(self, given: Tensor) -> None:
        super().__init__(None, TASK)
        self.given = given

    def fit(self, train: Any, run: Any, teacher: Any = None) -> None: ...

    def forward(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 3)

    def features(self, images: Tensor) -> Tensor:
        return self.given.expand(len(images), *self.given.shape[1:])

    def cost(self, of: Any, sampling: Any = None) -> Any:
        return []


@pytest.mark.parametrize("given", [torch.zeros(1, 4, 2, 2), torch.zeros(1), torch.zeros(1, 4, dtype=torch.int64)])
def test_what_are_no_features_is_refused(given: Tensor) -> None:
    with pytest.raises(InvalidOutput, match=r"odd gave features .*, not float \(B, D\)"):
        Finetuned(Odd(given), "odd")


def test_a_classifier_without_features_says_so(bench: Bench) -> None:
    data = bench.prepared()
    work = training(data, "classifier", "thumbnails", "diagnosis")
    fitted = bench.do("train", work, {"prepare": data}, "thumbnails")
    _, told = bench.try_("extract", extracting(work["model"]), {"prepare": data, "train": fitted}, "thumbnails")
    assert (told["ok"], told["category"]) == (False, "crashed")
    assert "Thumbnails gives no features" in told["reason"]
    generator = training(data, "generator", "pixels", None)
    drawn = bench.do("train", generator, {"prepare": data}, "pixels")
    _, told = bench.try_("extract", extracting(generator["model"]), {"prepare": data, "train": drawn}, "pixels")
    assert "pixels is not a classifier" in told["reason"]
    with pytest.raises(PluginError, match="Odd gives no features"):
        api.Classifier.features(Odd(torch.zeros(1, 4)), pixels(1))


def extracting(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    about = {"extractor": {"model": model}, "images": [{"split": "test"}], "limit": None, "threads": 1, "moments": True}
    return {**about, **more}


@pytest.fixture
def tuned(bench: Bench) -> Any:
    """(data, model, fit) of a small network that learnt a little."""
    data = bench.prepared()
    work = training(data, "classifier", "timm", "diagnosis", budget={"steps": 2}, params={"arch": "test_efficientnet"})
    return data, work["model"], bench.do("train", work, {"prepare": data}, "timm")


def test_the_stage_gives_the_features_of_the_fitted_weights(bench: Bench, tuned: Any) -> None:
    data, model, fitted = tuned
    done = bench.do("extract", extracting(model), {"prepare": data, "train": fitted}, "timm")
    net = TimmClassifier(build(TimmClassifier.Config, model["params"]), task_of(task(data, "diagnosis")))
    weights = load_file(bench.files(fitted) / "weights.safetensors")
    net.load_state_dict(weights)
    found = np.load(bench.files(done) / "features.npy")
    images = np.load(bench.files(data) / "images.npy")
    splits = Table.read(bench.files(data) / "table.parquet").columns["split"]
    own = torch.from_numpy(images[[i for i, split in enumerate(splits) if split == "test"]])
    with torch.inference_mode():
        expected = net.eval().features(own).numpy()
    assert found.shape == expected.shape == (len(own), 256)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert done.summary["identity"]["weights"] == state_digest(weights)
    assert set(done.files) == {"features.npy", "moments.npz"}


def test_other_weights_are_another_extractor(bench: Bench, tuned: Any) -> None:
    data, model, fitted = tuned
    longer = training(data, "classifier", "timm", "diagnosis", budget={"steps": 3}, params=model["params"])
    other = bench.do("train", longer, {"prepare": data}, "timm")
    one, two = (finetuned(loading(bench, fit), model).identity() for fit in (fitted, other))
    assert one["weights"] != two["weights"]
    assert {**one, "weights": None} == {**two, "weights": None}
    assert finetuned(loading(bench, fitted), model).identity() == one


def loading(bench: Bench, fit: Any) -> Any:
    """A stage that may load this fit."""
    here = context(bench, {}, train=fit)
    place = {"name": "timm", "module": WHERE["timm"][0], "file": None}
    return replace(here, spec={**here.spec, "plugins": {"timm": place}})
