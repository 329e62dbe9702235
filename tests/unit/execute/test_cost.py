"""The cost stage: training and inference, with and without numbers, by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dermae_bench import api
from dermae_bench.builtin.metrics.compute import Compute, Parameters
from dermae_bench.execute.stages import cost as module
from dermae_bench.execute.stages.common import StageContext
from dermae_bench.execute.stages.cost import cost

SIZE = 4
FLAT = 3 * SIZE * SIZE
TASK = {
    "name": "t", "classes": ["a", "b"], "positive": "b", "parent": None, "mapping": {}, "image_size": SIZE,
}  # fmt: skip


class Seeing(api.Classifier):
    """A net of two layers, with a frozen network that looks while it is trained."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        weights: api.File | None = None
        """Of the frozen network."""
        reads: bool = False
        """Whether it looks at a number while it is built, which cannot be done without numbers."""

    built: ClassVar[list[str]] = []

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.body = nn.Linear(FLAT, 10, bias=False)
        self.head = nn.Linear(10, len(task.classes), bias=False)
        self.body.weight.requires_grad_(False)
        looking = nn.Linear(FLAT, 5, bias=False)
        if config.weights is not None:
            looking.load_state_dict(api.load_weights(config.weights))
        self.frozen("looking", looking)
        if config.reads:
            self.scale = float(self.head.weight.abs().max())
        self.built.append(self.head.weight.device.type)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(api.from_uint8(images).flatten(1)))
        return logits

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        raise NotImplementedError

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        return [api.CostUnit(self, (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8),))]

    def training_cost(self) -> Iterable[api.CostUnit]:
        flat, hidden = torch.zeros(1, FLAT), torch.zeros(1, 10)
        looking = self.frozen_modules["looking"]
        return [
            api.CostUnit(self.body, (flat,), backward="none"),
            api.CostUnit(self.head, (hidden,)),
            api.CostUnit(looking, (flat,), 2, backward="inputs"),
        ]


class Painting(api.Pretrainer):
    """Half of it is thrown away after training."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """No options."""

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.seen = nn.Linear(FLAT, 10, bias=False)
        self.painter = nn.Linear(10, FLAT, bias=False)

    def fit(self, images: api.ImageSet, run: api.Run) -> None:
        raise NotImplementedError

    def encoder(self) -> Mapping[str, Tensor]:
        return self.seen.state_dict()

    def cost(self, of: str, sampling: Any = None) -> Iterable[api.CostUnit]:
        return [api.CostUnit(self.seen, (torch.zeros(1, FLAT),))]

    def training_cost(self) -> Iterable[api.CostUnit]:
        return [*self.cost("predict"), api.CostUnit(self.painter, (torch.zeros(1, 10),))]


class Context(StageContext):
    """One whose plugins are at hand."""

    def plugin(self, name: str) -> type[Any]:
        return {"seeing": Seeing, "painting": Painting, "compute": Compute, "parameters": Parameters}[name]


def counted(tmp_path: Path, plugin: str = "seeing", of: str = "predict", **params: Any) -> dict[str, Any]:
    work = {
        "model": {"plugin": plugin, "params": params, "task": TASK},
        "of": of,
        "sampling": None,
        "metrics": ["compute", "parameters"],
    }
    Seeing.built.clear()
    return cost(Context(folder=tmp_path, spec={"work": work, "name": "cost/x"}, out=tmp_path))


EXPECTED = {
    "gmacs": (FLAT * 10 + 10 * 2) / 1e9,
    "network-calls": 1.0,
    # forward; forward and both gradients; forward and one gradient, twice
    "training-gmacs": (FLAT * 10 + 3 * 10 * 2 + 2 * 2 * FLAT * 5) / 1e9,
    "parameters-inference": FLAT * 10 + 20,
    "parameters-inference-trained": 20,
    "parameters-trainable": 20,
    "parameters-total": FLAT * 10 + 20 + FLAT * 5,
}


def test_a_small_model_is_counted_on_the_cpu_by_two_counters(tmp_path: Path) -> None:
    found = counted(tmp_path)
    assert found["values"] == pytest.approx({**EXPECTED, "gmacs-fvcore": EXPECTED["gmacs"]})
    assert Seeing.built == ["meta", "cpu"]
    assert found["warnings"] == []
    # training figures are of no column
    assert set(found["columns"]) == {
        "gmacs", "network-calls", "gmacs-fvcore", "parameters-inference", "parameters-inference-trained",
    }  # fmt: skip
    weights = 4 * (FLAT * 10 + 20)
    assert found["disk"] == {"artifact": weights, "state": weights, "average": weights, "moments": 160}


def test_a_large_model_is_counted_without_numbers_and_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = counted(tmp_path)
    monkeypatch.setattr(module, "REAL_GMACS", 1e-9)
    monkeypatch.setattr("dermae_bench.builtin.metrics.compute.CHECKED_GMACS", 1e-9)
    save_file({"weight": torch.ones(5, FLAT)}, tmp_path / "looking.safetensors")
    large = counted(tmp_path, weights=str(tmp_path / "looking.safetensors"))
    assert Seeing.built == ["meta"]
    assert large["values"] == pytest.approx(EXPECTED)
    assert large["disk"] == small["disk"]


def test_a_model_that_reads_numbers_is_counted_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "REAL_GMACS", 1e-9)
    monkeypatch.setattr("dermae_bench.builtin.metrics.compute.CHECKED_GMACS", 1e-9)
    assert counted(tmp_path, reads=True)["values"] == pytest.approx(EXPECTED)
    assert Seeing.built == ["cpu"]
    assert "not counted without numbers, but on the CPU" in capsys.readouterr().out


def test_what_is_really_wrong_is_told(tmp_path: Path) -> None:
    save_file({"other": torch.ones(1)}, tmp_path / "wrong.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        counted(tmp_path, weights=str(tmp_path / "wrong.safetensors"))


def test_a_pretrainer_is_counted_as_it_is_trained(tmp_path: Path) -> None:
    found = counted(tmp_path, "painting", "train")
    assert found["values"] == pytest.approx(
        {
            "training-gmacs": 3 * 2 * FLAT * 10 / 1e9,
            "parameters-trainable": 2 * FLAT * 10,
            "parameters-total": 2 * FLAT * 10,
        }
    )
    assert found["columns"] == {}
    # its encoder is kept a second time
    assert found["disk"]["artifact"] == found["disk"]["state"] + 4 * FLAT * 10
