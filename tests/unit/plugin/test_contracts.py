"""What models have in common: configs, frozen helpers, encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dermae_bench import api
from dermae_bench.errors import PluginError

TASK = api.Task(name="diagnosis", classes=("a", "b"), image_size=8)


class Minimal(api.Classifier):
    """As little as a classifier can be."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        width: int = 2
        """Outputs."""

    def __init__(self, config: Any, task: api.Task) -> None:
        super().__init__(config, task)
        self.linear = nn.Linear(3, config.width)
        self.frozen("helper", nn.Sequential(nn.Linear(2, 2), nn.Dropout()))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.float().mean(dim=(2, 3)))
        return logits

    def cost(self, of: str, sampling: Any = None) -> Any:
        raise NotImplementedError


def test_a_frozen_module_is_used_moved_and_nothing_else() -> None:
    model = Minimal(Minimal.Config(), TASK)
    assert model.helper is model.frozen_modules["helper"]
    assert sorted(model.state_dict()) == ["linear.bias", "linear.weight"]
    assert len(list(model.parameters())) == 2
    assert not any(parameter.requires_grad for parameter in model.helper.parameters())
    model.train()
    assert model.linear.training
    assert not model.helper.training
    assert model.double().helper[0].weight.dtype == torch.float64
    assert model.to("meta").helper[0].weight.device.type == "meta"


@pytest.mark.parametrize("name", ["Config", "Sampling"])
def test_a_config_that_can_be_changed_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(PluginError, match=rf"{name} must be a frozen dataclass"):
        type("Loose", (api.Classifier,), {name: dataclass(type(name, (), {}))})
    with pytest.raises(PluginError, match="frozen dataclass"):
        type("Plain", (api.Generator,), {name: type(name, (), {})})


def test_a_classifier_without_an_encoder_says_so() -> None:
    with pytest.raises(PluginError, match="Minimal cannot start from an encoder"):
        Minimal(Minimal.Config(), TASK).start_from({})


def test_a_model_that_lacks_a_method_cannot_be_made() -> None:
    class Half(api.Generator):
        """Neither fits nor samples."""

    with pytest.raises(TypeError, match="abstract"):
        Half(None, TASK)


def test_a_joint_model_is_both_and_always_conditional() -> None:
    assert issubclass(api.Joint, api.Generator)
    assert issubclass(api.Joint, api.Classifier)
    assert api.Joint.conditional
    assert not api.Generator.conditional


def test_conditions_have_the_length_of_their_batch() -> None:
    assert len(api.Conditions(count=3)) == 3


def test_every_name_of_the_api_is_there_and_unknown_ones_are_not() -> None:
    for name in api.__all__:
        assert getattr(api, name) is not None
    assert set(dir(api)) == set(api.__all__)
    with pytest.raises(AttributeError, match="no name 'Nothing'"):
        _ = api.Nothing
