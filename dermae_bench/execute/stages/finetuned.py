"""A classifier of the suite as feature extractor: fine-tuned on the data set, what its last layer reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dermae_bench.errors import InvalidOutput
from dermae_bench.execute.stages.common import StageContext, load_model, pick_device
from dermae_bench.plugin.contracts import Classifier
from dermae_bench.plugin.extractor import Extractor
from dermae_bench.plugin.images import RESIZE_PROTOCOL, resize
from dermae_bench.plugin.weights import state_digest


class Finetuned(Extractor):
    """The features of a fitted classifier.

    Args:
        classifier: in eval mode.
        plugin: its name.
    """

    def __init__(self, classifier: Classifier, plugin: str) -> None:
        super().__init__(None)
        self.classifier = classifier
        self.plugin = plugin
        side = classifier.input_size or classifier.task.image_size
        device = next((weights.device for weights in classifier.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            self.width = int(self.features(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=device)).shape[1])

    def identity(self) -> Mapping[str, Any]:
        task, size = self.classifier.task, self.classifier.input_size
        return {
            "name": f"finetuned/{self.plugin}",
            "stage": "what the last layer reads",
            "dimensions": self.width,
            "weights": state_digest(self.classifier.state_dict()),
            "trained_on": task.name,
            "input": {"size": size or task.image_size, "filter": RESIZE_PROTOCOL if size else "as prepared"},
        }

    def features(self, images: Tensor) -> Tensor:
        size = self.classifier.input_size
        found = self.classifier.features(images if size is None else resize(images, size))
        if found.ndim != 2 or not found.is_floating_point():
            raise InvalidOutput(f"{self.plugin} gave features {found.dtype} {tuple(found.shape)}, not float (B, D)")
        return found


def finetuned(context: StageContext, about: Mapping[str, Any]) -> Finetuned:
    """The extractor behind input `train`."""
    model = load_model(context, about, "train", pick_device())
    if not isinstance(model, Classifier):
        raise InvalidOutput(f"{about['plugin']} is not a classifier")
    return Finetuned(model, about["plugin"])
