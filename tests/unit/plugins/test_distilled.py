"""The student: its loss by hand, whose views the teacher is asked about, and that alpha 0 is plain timm."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.distilled import Distilled
from dermae_plugins.classifiers.timm_classifier import TimmClassifier
from dermae_plugins.parts.distillation import blended, divergence
from dermae_plugins.parts.views import View
from fitting import SIZE, TASK, fit, labelled, make

from dermae_bench import api
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.params import build, schema_of


class Asked(api.Classifier):
    """Knows the strongest colour, wants images of 8 px, and keeps what it is asked."""

    Config = TimmClassifier.Config

    def __init__(self, task: api.Task = TASK) -> None:
        super().__init__(TimmClassifier.Config(arch="none"), task)
        self.input_size = 8
        self.seen: list[torch.Tensor] = []
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 8, 8)
        assert not torch.is_grad_enabled()
        self.seen.append(images)
        return api.from_uint8(images).mean(dim=(2, 3)) * 4

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        raise AssertionError

    def cost(self, of: str, sampling: Any = None) -> list[api.CostUnit]:
        raise AssertionError


def taught(teacher: Asked, images: api.ImageSet | None = None) -> api.ImageSet:
    images = labelled() if images is None else images
    with torch.no_grad():
        said = teacher(api.resize(images[slice(None)], 8))
    teacher.seen.clear()
    return replace(images, teacher_logits=said.numpy())


def batch_of(count: int = 4, classes: int = 3) -> api.Batch:
    images = labelled()[slice(0, count)]
    return api.Batch(
        images=images,
        labels=torch.arange(count) % 3,
        indices=torch.arange(count),
        teacher_logits=torch.randn(count, classes, generator=torch.Generator().manual_seed(1)),
    )


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def softened(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(value / temperature) for value in logits]
    return [value / sum(powers) for value in powers]


@pytest.mark.parametrize("rescaled", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("direction", ["teacher-student", "student-teacher"])
def test_the_divergence_is_that_computed_by_hand(direction: str, temperature: float, rescaled: bool) -> None:
    student, teacher = [[1.0, -0.5, 0.2], [0.0, 2.0, -1.0]], [[0.3, 0.4, -2.0], [-1.0, 1.0, 1.5]]
    params = {"kl": direction, "temperature": temperature, "rescaled": rescaled, "views": "stored", "turns": "none"}
    model = make(Distilled, params)
    batch = replace(batch_of(2), teacher_logits=torch.tensor(teacher))
    view = View(api.from_uint8(batch.images))
    found = model.divergence(torch.tensor(student), model.said(Asked(), batch, view))
    pairs = [(softened(s, temperature), softened(t, temperature)) for s, t in zip(student, teacher, strict=True)]
    expected = sum(kl(t, s) if direction == "teacher-student" else kl(s, t) for s, t in pairs) / 2
    assert found.item() == pytest.approx(expected * (temperature**2 if rescaled else 1), rel=1e-5)


def test_the_divergence_of_equal_answers_is_zero_and_so_is_its_gradient() -> None:
    logits = torch.randn(5, 3, requires_grad=True)
    for direction in ("teacher-student", "student-teacher"):
        distance = divergence(logits.log_softmax(1), logits.detach().log_softmax(1), direction)
        assert distance.item() == pytest.approx(0, abs=1e-6)
        (gradient,) = torch.autograd.grad(distance, logits)
        assert gradient.abs().max() < 1e-6


def test_the_loss_is_the_weighted_sum_of_both() -> None:
    seen: dict[str, float] = {}
    teacher = Asked()
    model = make(Distilled, {"alpha": 0.3, "turns": "none"})
    (point,) = fit(model, steps=1, teacher=teacher, images=taught(teacher))
    seen |= point
    assert seen["loss"] == pytest.approx(0.7 * seen["cross_entropy"] + 0.3 * seen["divergence"], rel=1e-5)
    assert min(seen["cross_entropy"], seen["divergence"]) > 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"arch": "test_vit", "arch_args": {"patch_size": 8}, "mixup": 0.5, "cutmix": 0.5, "rand_augment": 1}
        | {"erasing": 0.3, "layer_decay": 0.8, "balance": "sampling", "drop_path": 0.2},
        {"train": "head", "balance": "loss", "pool": "avg"},
    ],
    ids=["plain", "everything", "probe"],
)
def test_with_alpha_0_the_student_is_plain_timm_to_the_last_bit(options: dict[str, Any]) -> None:
    teacher, plain = Asked(), make(TimmClassifier, options)
    fit(plain, steps=4)
    student = make(Distilled, {**options, "alpha": 0.0})
    fit(student, steps=4, teacher=teacher, images=taught(teacher))
    first, second = plain.state_dict(), student.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not teacher.seen
    other = make(Distilled, {**options, "alpha": 0.5})
    fit(other, steps=4, teacher=teacher, images=taught(teacher))
    assert any(not torch.equal(value, first[name]) for name, value in other.state_dict().items())


def test_every_option_of_timm_is_one_of_the_student() -> None:
    plain, student = (schema_of(cls.Config)["properties"] for cls in (TimmClassifier, Distilled))
    assert {name: student[name] for name in plain} == plain
    assert set(student) - set(plain) == {"alpha", "temperature", "rescaled", "kl", "views"}


def test_with_alpha_1_labels_are_not_needed_nor_looked_at() -> None:
    teacher = Asked()
    images = taught(teacher)
    wrong = replace(images, labels=(images.labels + 1) % 3)
    states = []
    for given in (images, wrong, replace(images, labels=None, task=None)):
        model = make(Distilled, {"alpha": 1.0})
        fit(model, steps=3, teacher=teacher, images=given)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], other[name]) for other in states[1:] for name in other)
    with pytest.raises(api.PluginError, match="no labels"):
        fit(make(Distilled, {"alpha": 0.99}), teacher=teacher, images=replace(images, labels=None))


def test_a_student_follows_its_teacher_where_labels_mislead() -> None:
    teacher, images = Asked(), labelled()
    wrong = taught(teacher, replace(images, labels=(images.labels + 1) % 3))
    for views in ("consistent", "stored"):
        model = make(Distilled, {"alpha": 1.0, "lr": 2e-3, "views": views})
        fit(model, steps=60, batch=12, teacher=teacher, images=wrong)
        with torch.inference_mode():
            decided = model(images[slice(None)]).argmax(1)
        assert (decided == torch.as_tensor(images.labels)).all()


def test_the_teacher_sees_the_pixels_that_the_student_sees() -> None:
    teacher = Asked()
    model = make(Distilled, {"mixup": 1.0, "rand_augment": 1, "alpha": 1.0})
    shown: list[torch.Tensor] = []
    model.net.register_forward_pre_hook(lambda net, inputs: shown.append(inputs[0]))
    fit(model, steps=3, teacher=teacher, images=taught(teacher))
    assert len(teacher.seen) == len(shown) == 3
    for pixels, normalised in zip(teacher.seen, shown, strict=True):
        back = (normalised * 127.5 + 127.5).round().to(torch.uint8)
        assert torch.equal(pixels, api.resize(back, 8))


def test_the_teacher_is_asked_only_where_its_stored_answers_are_of_other_pixels() -> None:
    teacher = Asked()
    images = taught(teacher)
    still = {"turns": "none", "drop_path": 0.2}
    states = {}
    for views, options, asked in (
        ("consistent", {}, 2),
        ("stored", {}, 0),
        ("consistent", still, 0),
        ("stored", still, 0),
    ):
        model = make(Distilled, {**options, "views": views})
        fit(model, steps=2, teacher=teacher, images=images)
        assert len(teacher.seen) == asked
        teacher.seen.clear()
        states[views, len(options)] = model.state_dict()
    same = states["consistent", 2], states["stored", 2]
    assert all(torch.equal(same[0][name], same[1][name]) for name in same[0])
    assert any(not torch.equal(value, states["stored", 0][name]) for name, value in states["consistent", 0].items())


def test_stored_answers_equal_those_for_unchanged_pixels() -> None:
    teacher = Asked()
    batch = batch_of(6)
    with torch.no_grad():
        batch = replace(batch, teacher_logits=teacher(api.resize(batch.images, 8)))
    view = View(api.from_uint8(batch.images))
    asked, stored = make(Distilled), make(Distilled, {"views": "stored"})
    torch.testing.assert_close(asked.said(teacher, batch, view), stored.said(teacher, batch, view))


def test_stored_answers_are_mixed_as_labels_are() -> None:
    said = torch.randn(6, 3).log_softmax(1)
    for share in (0.0, 0.3, 1.0):
        mixed = blended(said, share).exp()
        torch.testing.assert_close(mixed, View(torch.zeros(6), share).blended(said.exp()))
        torch.testing.assert_close(mixed.sum(1), torch.ones(6))
    model = make(Distilled, {"views": "stored", "mixup": 1.0, "temperature": 2.0})
    batch = batch_of(4)
    found = model.said(Asked(), batch, View(api.from_uint8(batch.images), 0.25))
    probabilities = (batch.teacher_logits / 2).softmax(1)
    torch.testing.assert_close(found.exp(), 0.25 * probabilities + 0.75 * probabilities.flip(0))


def test_a_teacher_without_a_size_of_its_own_is_shown_images_of_its_tasks_size() -> None:
    teacher = Asked(replace(TASK, image_size=8))
    teacher.input_size = None
    images = taught(teacher)
    fit(make(Distilled, {"input_size": 2 * SIZE}), teacher=teacher, images=images)
    assert len(teacher.seen) == 2


def test_what_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(api.PluginError, match="needs a teacher"):
        fit(make(Distilled))
    with pytest.raises(api.PluginError, match="stored answers are missing"):
        fit(make(Distilled, {"views": "stored"}), teacher=Asked())
    model = make(Distilled, {"views": "stored"})
    with pytest.raises(api.PluginError, match="knows 7 classes, the student 3"):
        model.said(Asked(), batch_of(classes=7), View(torch.zeros(4, 3, SIZE, SIZE)))
    values, findings = check({"arch": "test_vit", "alpha": 1.0, "balance": "loss"}, schema_of(Distilled.Config))
    assert not findings
    with pytest.raises(api.PluginError, match="alpha: 1 leaves labels out"):
        build(Distilled.Config, values)
