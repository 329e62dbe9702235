"""Class-N-Diff in training: which half changes which, bit for bit, and what each is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from dermae_plugins.classifiers.latent_classifier import LatentClassifier
from dermae_plugins.generators.class_n_diff import ClassNDiff
from dermae_plugins.generators.dit import DiT
from dermae_plugins.parts.latent_net import losses
from dermae_plugins.parts.transformer_diffusion import Guess, TransformerSampling
from diffusers import AutoencoderKL
from fitting import SIZE, fit, labelled, make
from safetensors.torch import save_file

from dermae_bench import api

NET = {"arch": "test_efficientnet", "hidden": 8, "lr": 1e-3, "weight_decay": 0.01, "decay": "cosine", "warmup": 0.5}
ALONE = {"gamma": 0.0, "diffusion_weight": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained autoencoder that divides the side by 2, whose latents are drawn at every step."""
    torch.manual_seed(3)
    net = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, scaling_factor=0.5, shift_factor=0.25,
    )  # fmt: skip
    root = tmp_path_factory.mktemp("autoencoder")
    net.save_pretrained(root)
    return root


def space(folder: Path, kind: str) -> dict[str, Any]:
    return {"space": "latent", "autoencoder": "kl", "autoencoder_folder": str(folder)} if kind == "latent" else {}


def fitted(cls: type[Any], steps: int = 3, **options: Any) -> Any:
    model = make(cls, options)
    model.curves = fit(model, steps=steps)
    return model


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    mine, theirs = one.state_dict(), two.state_dict()
    return list(mine) == list(theirs) and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.fixture(scope="module")
def plain() -> Any:
    """A transformer without a classifier."""
    return fitted(DiT).dit


@pytest.fixture(scope="module")
def control() -> Any:
    """A classifier without a transformer."""
    return fitted(LatentClassifier, **NET).classifier


# -- one half without the other ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pixel", "latent"])
def test_without_lambda_and_gating_the_transformer_is_that_of_dit(kind: str, folder: Path) -> None:
    where = space(folder, kind)
    plain = fitted(DiT, **where)
    joint = fitted(ClassNDiff, **where, classifier=NET, class_weight=0.0, gamma=0.0)
    assert same(joint.dit, plain.dit)
    assert not same(plain.dit, make(DiT, where).dit)
    asked = api.Conditions(count=2, labels=torch.tensor([0, 2]))
    drawn = [model.sample(asked, TransformerSampling(steps=3), api.Noise(0, [0, 1])) for model in (joint, plain)]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("options", [{"class_weight": 5.0, "gamma": 0.0}, {"class_weight": 0.0, "gamma": 1.0}], ids=str)
def test_either_alone_leaves_the_transformer_as_it_is(options: dict[str, Any], plain: Any) -> None:
    assert same(fitted(ClassNDiff, classifier=NET, **options).dit, plain)


def test_both_together_change_the_transformer(plain: Any) -> None:
    assert not same(fitted(ClassNDiff, classifier=NET, class_weight=0.2, gamma=1.0).dit, plain)


@pytest.mark.parametrize("kind", ["pixel", "latent"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_with_the_diffusion_off_the_classifier_is_the_control(kind: str, optimizer: str, folder: Path) -> None:
    where, net = space(folder, kind), {**NET, "optimizer": optimizer}
    control = fitted(LatentClassifier, **where, **net)
    joint = fitted(ClassNDiff, **where, classifier=net, **ALONE)
    assert same(joint.classifier, control.classifier)
    assert not same(control.classifier, make(LatentClassifier, {**where, **net}).classifier)
    assert same(joint.dit, make(ClassNDiff, {**where, "classifier": net, **ALONE}).dit)
    images = labelled()[slice(0, 6)]
    assert torch.equal(joint(images), control(images))
    assert torch.equal(joint.features(images), control.features(images))
    assert [point["loss"] for point in joint.curves] == [point["loss"] for point in control.curves]


def test_a_diffusion_beside_it_changes_the_classifier_through_the_gate_alone(control: Any) -> None:
    assert same(fitted(ClassNDiff, classifier=NET, gamma=0.0).classifier, control)
    assert not same(fitted(ClassNDiff, classifier=NET, gamma=1.0).classifier, control)


# -- the gradient between them -----------------------------------------------------------------------------------


class Lent:
    """What `judge` asks of a run."""

    progress, step_index = 0.5, 0

    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}

    def log(self, **scalars: Any) -> None:
        self.logged |= scalars


def judged(**options: Any) -> tuple[Any, torch.Tensor, torch.Tensor, Guess, Any, Lent]:
    """A model, a batch, a guess whose output is a leaf, the verdict on it, and what was logged."""
    model = make(ClassNDiff, {"classifier": {**NET, "dropout": 0.3}, "prediction": "v", "gate_by": "image", **options})
    torch.manual_seed(5)
    x0, labels = torch.randn(6, 3, SIZE, SIZE), torch.arange(6) % 3
    x_t, t, _ = model.process.diffuse(x0)
    output = torch.randn_like(x0).requires_grad_()
    guess, run = Guess(output.mean(), output, x_t, t), Lent()
    torch.manual_seed(9)
    return model, x0, labels, guess, model.judge(x0, labels, guess, run), run


def test_the_transformer_gets_the_slope_of_gated_images_and_of_no_others() -> None:
    model, x0, labels, guess, verdict, run = judged(gamma=0.5)
    (found,) = torch.autograd.grad(verdict.passed_on, guess.output)
    torch.manual_seed(9)
    gated = model.config.gates(0.5, 6)
    assert 0 < gated.sum() < 6
    assert (found.flatten(1).abs().amax(dim=1) > 0).tolist() == gated.tolist()
    assert float(run.logged["gated"]) == pytest.approx(gated.float().mean().item())
    # the same, straight through one graph
    torch.manual_seed(9)
    seen = torch.where(gated.view(-1, 1, 1, 1), model.process.x0(guess.output, guess.x_t, guess.t), x0)
    loss = losses(model.classifier, seen, labels).mean()
    assert verdict.passed_on.item() == pytest.approx(loss.item(), rel=1e-5)
    (expected,) = torch.autograd.grad(loss, guess.output, retain_graph=True)
    torch.testing.assert_close(found, expected)
    # and the classifier's own gradient is that of the same loss
    wanted, own = (torch.autograd.grad(one, model.classifier.head[-1].weight)[0] for one in (loss, verdict.own))
    torch.testing.assert_close(own, wanted)


def test_noisier_latents_than_asked_for_are_not_shown() -> None:
    _, _, _, guess, verdict, run = judged(gamma=1.0, gate_until=0.4)
    (found,) = torch.autograd.grad(verdict.passed_on, guess.output)
    clear = guess.t < 0.4 * 50
    assert 0 < clear.sum() < 6
    assert (found.flatten(1).abs().amax(dim=1) > 0).tolist() == clear.tolist()
    assert float(run.logged["gated"]) == pytest.approx(clear.float().mean().item())


def test_a_classifier_of_clean_latents_alone_learns_from_no_other() -> None:
    model, x0, labels, guess, verdict, _ = judged(gamma=0.5, learns_from="clean")
    torch.manual_seed(9)
    gated = model.config.gates(0.5, 6)
    torch.manual_seed(9)
    x0_hat = model.process.x0(guess.output, guess.x_t, guess.t).detach()
    each = losses(model.classifier, torch.where(gated.view(-1, 1, 1, 1), x0_hat, x0), labels).detach()
    assert verdict.own.item() == pytest.approx(each[~gated].mean().item(), rel=1e-6)
    assert verdict.passed_on.item() == pytest.approx(each.mean().item(), rel=1e-5)
    *_, closed, _ = judged(gamma=1.0, learns_from="clean")
    assert closed.own is None
    assert closed.passed_on is not None
    weights = dict(fitted(ClassNDiff, classifier=NET, gamma=1.0, learns_from="clean").classifier.named_parameters())
    fresh = dict(make(ClassNDiff, {"classifier": NET}).classifier.named_parameters())
    assert all(torch.equal(weights[name], fresh[name]) for name in fresh)


def test_what_the_classifier_does_not_learn_from_leaves_its_statistics_alone() -> None:
    normed = {**NET, "arch": "test_resnet"}
    fresh = make(ClassNDiff, {"classifier": normed}).classifier
    for learns_from in ("clean", "both"):
        net = judged(gamma=1.0, classifier=normed, learns_from=learns_from)[0].classifier
        kept = [torch.equal(v, net.get_buffer(name)) for name, v in fresh.named_buffers() if "running" in name]
        assert len(kept) > 2
        assert all(kept) if learns_from == "clean" else not any(kept)
        assert all(norm.track_running_stats for norm in net.modules() if isinstance(norm, torch.nn.BatchNorm2d))


def test_between_its_steps_the_classifier_keeps_its_statistics() -> None:
    net = {**NET, "arch": "test_resnet"}
    once = fitted(ClassNDiff, steps=1, classifier=net, gamma=1.0)
    twice = fitted(ClassNDiff, steps=2, classifier=net, gamma=1.0, classifier_every=2)
    mine, theirs = ({n: v for n, v in m.classifier.named_buffers() if "running" in n} for m in (once, twice))
    assert len(mine) > 2
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("half", ["transformer", "classifier"])
def test_a_pass_of_either_half_shifts_no_other_draw(half: str) -> None:
    model = make(ClassNDiff, {"classifier": {**NET, "dropout": 0.5}})
    x0, labels = torch.zeros(2, 3, SIZE, SIZE), torch.tensor([0, 1])
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    said = [model.guess(x0, labels).x_t if half == "transformer" else losses(model.classifier, x0, labels)]
    assert torch.equal(torch.rand(3), expected)
    # nor do other draws shift the pass
    said += [model.guess(x0, labels).x_t if half == "transformer" else losses(model.classifier, x0, labels)]
    assert torch.equal(*said)


# -- when the classifier is trained ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "steps"),
    [({"classifier_from": 0.5}, [4, 5, 6, 7]), ({"classifier_every": 3}, [0, 3, 6]), ({}, list(range(8)))],
    ids=str,
)
def test_the_classifier_looks_when_it_is_its_turn(options: dict[str, Any], steps: list[int]) -> None:
    model = fitted(ClassNDiff, steps=8, classifier=NET, gamma=0.0, **options)
    assert [int(point["step"]) for point in model.curves if "classification" in point] == steps
    seen = {int(v) for name, v in model.classifier.state_dict().items() if name.endswith("num_batches_tracked")}
    assert seen == {len(steps)}
    assert all("mse" in point for point in model.curves)


def test_between_its_steps_the_classifier_still_teaches_but_does_not_learn() -> None:
    net = {**NET, "decay": "constant", "warmup": 0.0}
    once = fitted(ClassNDiff, steps=1, classifier=net, gamma=1.0)
    twice = fitted(ClassNDiff, steps=2, classifier=net, gamma=1.0, classifier_every=2)
    assert [point["gated"] for point in twice.curves] == [1.0, 1.0]
    mine, theirs = (dict(model.classifier.named_parameters()) for model in (once, twice))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_rate_of_a_late_classifier_counts_from_its_start() -> None:
    # its first step is in the middle of the budget, where a cosine from the beginning would be at a half
    nets = [{**NET, "warmup": 0.0, "decay": decay} for decay in ("cosine", "constant")]
    late = [fitted(ClassNDiff, steps=2, classifier=net, gamma=0.0, classifier_from=0.5).classifier for net in nets]
    early = [fitted(ClassNDiff, steps=2, classifier=net, gamma=0.0).classifier for net in nets]
    assert same(*late)
    assert not same(*early)


# -- both boards -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_fit_draws_the_class_asked_for_and_knows_it_again() -> None:
    options = {"prediction": "x0", "schedule": "cosine", "lr": 1e-2, "decay": "cosine", "width": 32, "patch": 4}
    net = {**NET, "lr": 1e-2, "dropout": 0.0, "warmup": 0.0}
    model = fitted(ClassNDiff, steps=120, classifier=net, gamma=0.25, **options)
    asked = torch.tensor([0, 1, 2, 2, 1, 0])
    with torch.inference_mode():
        sampling = TransformerSampling(sampler="ddim", steps=5, guidance=1.0)
        pictures = model.sample(api.Conditions(count=6, labels=asked), sampling, api.Noise(0, range(6)))
        said = model(labelled()[slice(0, 12)]).argmax(dim=1)
    assert pictures.float().mean(dim=(2, 3)).argmax(dim=1).tolist() == asked.tolist()
    assert said.tolist() == [i % 3 for i in range(12)]


def test_predictions_read_the_mean_of_the_posterior(folder: Path) -> None:
    model = make(LatentClassifier, {**space(folder, "latent"), **NET}).eval()
    images = labelled()[slice(0, 4)]
    mean, _ = model.space._encoded(api.from_uint8(images))
    assert torch.equal(model.space.means(images), mean)
    assert torch.equal(model(images), model(images))
    assert not any("autoencoder" in name for name in model.state_dict())
    net, encoder = model.cost("predict")
    assert (net.module, encoder.module) == (model.classifier, model.space.encoder)
    assert model.features(images).shape == (4, model.classifier.head[1].in_features)


def test_the_trunk_starts_from_given_weights_and_from_no_others(tmp_path: Path) -> None:
    source = make(LatentClassifier, seed=1).classifier.trunk
    save_file(source.state_dict(), tmp_path / "trunk.safetensors")
    given = {"weights": str(tmp_path / "trunk.safetensors")}
    assert same(make(LatentClassifier, given).classifier.trunk, source)
    assert same(make(ClassNDiff, {"classifier": {**NET, **given}}).classifier.trunk, source)
    with pytest.raises(api.PluginError, match="weights do not fit"):
        make(LatentClassifier, {**given, "arch": "test_resnet"})


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gating": "rising", "gamma_start": 0.6}, "above gamma"),
        ({"diffusion_weight": 0.0}, "needs gamma: 0"),
        ({**ALONE, "classifier_from": 0.5}, "needs gamma: 0"),
        ({**ALONE, "classifier_every": 2}, "needs gamma: 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(api.PluginError, match=message):
        make(ClassNDiff, options)


@pytest.mark.parametrize("cls", [ClassNDiff, LatentClassifier])
def test_a_teacher_is_refused(cls: type[Any]) -> None:
    with pytest.raises(api.PluginError, match="from labels alone"):
        fit(make(cls), teacher=make(LatentClassifier))


def test_guidance_needs_images_without_labels() -> None:
    model = make(ClassNDiff, {"p_uncond": 0.0})
    with pytest.raises(api.PluginError, match="p_uncond"):
        model.cost("sample", TransformerSampling(steps=2, guidance=1.0))
