"""Plugins that others would write, against the contracts: two optimisers, a joint model, a pretrainer, a student."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from fitting import SIZE, TASK, Passes, fit, labelled, make

from dermae_bench import api
from dermae_bench.execute.checkpoints import Checkpoints
from dermae_bench.execute.run import BudgetOf, FitRun
from dermae_bench.plugin.loading import load_plugin

FOLDER = Path(__file__).parents[2] / "plugins"
FILES = {"tiny-gan": "tiny_gan", "tiny-joint": "tiny_joint", "tiny-mae": "tiny_mae", "tiny-distilled": "tiny_distilled"}


def plugin(name: str) -> type[Any]:
    return load_plugin(name, FILES[name], str(FOLDER / f"{FILES[name]}.py"))[1]


class Watching(FitRun):
    """Notes which parts of the model each step changes, and whether it leaves gradients."""

    def step(self, loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        super().step(loss, optimizer)
        after = self.model.state_dict()
        moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        left = {name.split(".")[0] for name, p in self.model.named_parameters() if p.grad is not None}
        self.__dict__.setdefault("seen", []).append((moved, left))


def test_a_gan_steps_twice_an_item_and_each_step_moves_its_own_part() -> None:
    model = make(plugin("tiny-gan"))
    with tempfile.TemporaryDirectory() as folder:
        run = Watching(model, BudgetOf(steps=3, batch_size=4), 0, torch.device("cpu"), Checkpoints(Path(folder)))
        model.fit(labelled(), run)
    assert run.__dict__["seen"] == [({"critic"}, set()), ({"painter"}, set())] * 3
    assert run.step_index == 3


def test_a_joint_model_draws_and_classifies() -> None:
    cls = plugin("tiny-joint")
    model = make(cls, {"lr": 5e-3})
    fit(model, steps=60, batch=12)
    images = labelled()
    with torch.inference_mode():
        logits = model(images[slice(0, 12)])
        passes = Passes(model.painter)
        drawn = model.sample(
            api.Conditions(count=3, labels=torch.arange(3)), cls.Sampling(steps=4), api.Noise(0, range(3))
        )
    assert (logits.argmax(1) == torch.as_tensor(images.labels)).float().mean() > 0.9
    assert drawn.shape == (3, 3, SIZE, SIZE)
    assert drawn.dtype == torch.uint8
    (unit,) = model.cost("sample", cls.Sampling(steps=4))
    assert unit.calls * 3 == passes.images
    assert issubclass(cls, api.Generator)
    assert issubclass(cls, api.Classifier)


def test_an_encoder_goes_strictly_into_the_classifier_of_its_architecture() -> None:
    arguments = {"patch_size": 4, "depth": 2}
    pretrained = make(plugin("tiny-mae"), {"arch": "test_vit", "arch_args": arguments})
    curves = fit(pretrained, steps=25, batch=12)
    assert curves[-1]["loss"] < 0.9 * curves[0]["loss"]
    classifier = make(TimmClassifier, {"arch": "test_vit", "arch_args": arguments})
    classifier.start_from(pretrained.encoder())
    assert torch.equal(classifier.net.blocks[0].attn.qkv.weight, pretrained.vit.blocks[0].attn.qkv.weight)
    other = make(TimmClassifier, {"arch": "test_vit", "arch_args": {"patch_size": 8, "depth": 2}})
    with pytest.raises(api.PluginError, match="patch_embed"):
        other.start_from(pretrained.encoder())


def test_hidden_patches_do_not_reach_the_encoder() -> None:
    model = make(plugin("tiny-mae"), {"arch_args": {"patch_size": 4}, "hidden": 0.75})
    lengths: list[int] = []
    model.vit.blocks[0].register_forward_pre_hook(lambda module, inputs: lengths.append(inputs[0].shape[1]))
    model.loss(api.from_uint8(labelled()[slice(0, 2)]))
    assert lengths == [model.vit.num_prefix_tokens + (SIZE // 4) ** 2 // 4]


def test_a_student_follows_its_teacher_where_labels_mislead() -> None:
    teacher = make(TimmClassifier, {"arch": "test_vit", "arch_args": {"patch_size": 8, "depth": 2}})
    fit(teacher, steps=30, batch=12)
    images = labelled()
    truth = torch.as_tensor(images.labels).clone()
    images.labels[:] = (images.labels + 1) % len(TASK.classes)
    student = make(plugin("tiny-distilled"), {"share": 1.0})
    fit(student, steps=60, batch=12, teacher=teacher, images=images)
    with torch.inference_mode():
        assert (student(images[slice(0, 12)]).argmax(1) == truth).float().mean() > 0.8


def test_the_divergence_is_zero_for_equal_logits() -> None:
    student = make(plugin("tiny-distilled"))
    logits = torch.randn(5, 3)
    assert student.divergence(logits, logits).item() == pytest.approx(0.0, abs=1e-6)
    assert student.divergence(logits, torch.zeros(5, 3)) > 0
