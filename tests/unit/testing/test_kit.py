"""The conformance kit can fail: a model with one fault breaks the promise that names it, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from subjects import broken, results

from dermae_bench.errors import PluginError
from dermae_bench.testing import check, run_checks

CLASSIFIER = '''
import os
from dataclasses import dataclass
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from dermae_bench import api

class Subject(api.Classifier):
    """A classifier."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.05
        """Learning rate."""
        {field}

    tiny = {{"lr": 0.1}}

    def __init__(self, config, task):
        super().__init__(config, task)
        self.linear = nn.Linear(48, len(task.classes))
        {init}

    teaching = "{teaching}"

    def fit(self, train, run, teacher=None):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        {optimizers}
        for batch in run.batches(train):
            loss = F.cross_entropy(self(batch.images), batch.labels)
            {before}
            run.step(loss, optimizer)
            {after}

    def forward(self, images):
        logits = self.linear(F.adaptive_avg_pool2d(api.from_uint8(images), 4).flatten(1))
        {logits}
        return logits

    def cost(self, of, sampling=None):
        {cost}
        yield api.CostUnit(self.linear, (torch.zeros(1, 48),))

@api.hookimpl
def dermae_classifiers():
    return {{"subject": Subject}}
'''
GENERATOR = '''
from dataclasses import dataclass
import torch
from torch import nn
from dermae_bench import api

class Subject(api.Generator):
    """A generator."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lr: float = 0.05
        """Learning rate."""

    @dataclass(frozen=True, kw_only=True)
    class Sampling:
        steps: int = 10**9
        {documented}

    tiny = {{"lr": 0.1}}
    tiny_sampling = {{"steps": 2}}

    def __init__(self, config, task):
        super().__init__(config, task)
        self.mean = nn.Parameter(torch.zeros(3, task.image_size, task.image_size))
        self.seen = None

    def fit(self, train, run):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.lr)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            self.seen = 0.5
            run.step((api.from_uint8(batch.images) - self.mean).square().mean(), optimizer)

    def sample(self, conditions, sampling, noise):
        assert sampling.steps == 2
        drawn = noise.normal(self.mean.shape)
        {drawn}
        return {images}

    def cost(self, of, sampling=None):
        yield api.CostUnit(nn.Identity(), (self.mean[None],), {calls})

@api.hookimpl
def dermae_generators():
    return {{"subject": Subject}}
'''
NOTHING = {name: "" for name in ("field", "init", "before", "after", "logits", "cost")}
RIGHT = {**NOTHING, "optimizers": "run.optimizers(optimizer)", "teaching": "optional"}
RIGHT_GENERATOR = {
    "documented": "'''Network calls.'''",
    "drawn": "",
    "images": "api.to_uint8(self.mean + 0.5 * drawn)",
    "calls": "1",
}

DOCUMENTED = "Config (and Sampling) are documented, frozen dataclasses with a schema"
SPENDS = "fit spends exactly its budget and changes the weights"
REPEATS = "Two fits with one seed give equal weights, to the last bit"
RESUMES = "A fit killed after step 3 and resumed from step 2 gives the weights of an unbroken one, to the last bit"
STOPS = "A fit asked to stop writes a checkpoint at the next item and goes on later"
KEEPS = "The state dict of a fitted model loads strictly into a new one, which then answers alike"
FROZEN = "Modules attached by frozen() have the same weights after the fit, and are in eval mode"
COSTS = "cost() gives units that run, on one image"
CLASSIFIES = "forward() gives finite logits (B, C) that do not depend on who shares the batch"
LISTENS = "fit takes a teacher where it says that it does, and asks it about uint8 images of its own size only"
SAMPLES = "sample() gives uint8 RGB images of the task's size, the same twice, different for other noise"
ALONE = "A sample does not depend on the size or the order of its batch, beyond rounding"
UNCHANGED = "The process stays as it was (folder, dtype, threads, modes)"


def test_plugins_without_a_fault_break_nothing(tmp_path: Path) -> None:
    assert broken(tmp_path, CLASSIFIER.format(**RIGHT)) == {}
    assert broken(tmp_path, GENERATOR.format(**RIGHT_GENERATOR)) == {}
    check("subject", tmp_path / "0")


@pytest.mark.parametrize(
    ("fault", "promise", "reason"),
    [
        ({"field": "width: int = 3"}, DOCUMENTED, "fields without a docstring: width"),
        ({"before": "if run.step_index == 2: return"}, SPENDS, "after 2 of 4 steps"),
        (
            {"init": "self.count = 0", "before": "self.count += 1; loss = loss * self.count"},
            RESUMES,
            "some state is in no parameter, buffer or optimiser",
        ),
        ({"before": "loss = loss * (1 + os.urandom(1)[0] / 256)"}, REPEATS, "the weights differ"),
        (
            {
                "init": "self.shift = 0.0",
                "after": "self.shift = 1.0",
                "logits": "logits = logits + self.shift * (not self.training)",
            },
            KEEPS,
            "some state is in no parameter or buffer",
        ),
        (
            {
                "init": "self.frozen('helper', nn.Linear(2, 2))",
                "optimizers": (
                    "self.helper.requires_grad_(True); second = torch.optim.SGD(self.helper.parameters(), lr=1.0); "
                    "run.optimizers(optimizer, second)"
                ),
                "after": "run.step(self.helper(torch.ones(2, 2)).sum(), second)",
            },
            FROZEN,
            "the weights of helper changed",
        ),
        ({"logits": "logits = logits if self.training else logits * float('nan')"}, CLASSIFIES, "not finite"),
        ({"logits": "logits = logits - logits.mean(0) * 3"}, CLASSIFIES, "depend on the batch"),
        ({"logits": "logits = logits if self.training else logits[:, :2]"}, CLASSIFIES, "not floating (6, 3)"),
        (
            {"logits": "self.training or torch.set_default_dtype(torch.float64)"},
            UNCHANGED,
            "default dtype: torch.float32 -> torch.float64",
        ),
        ({"cost": "os.chdir('/')"}, UNCHANGED, "changed the working folder"),
        ({"after": "torch.set_grad_enabled(True); np.seterr(all='ignore')"}, UNCHANGED, "numpy's error handling"),
        ({"cost": "return"}, COSTS, "no unit for 'predict'"),
        ({"before": "loss = loss + (0 if teacher is None else teacher(batch.images).mean())"}, LISTENS, "wants uint8"),
        ({"before": "assert teacher is None"}, LISTENS, "AssertionError"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value)[:24],
)
def test_a_classifier_with_one_fault_breaks_the_promise_that_names_it(
    tmp_path: Path, fault: dict[str, str], promise: str, reason: str
) -> None:
    found = broken(tmp_path, CLASSIFIER.format(**{**RIGHT, **fault}))
    assert reason in found.pop(promise, ""), found
    # a model that cannot repeat cannot resume to the same weights either
    assert set(found) <= ({RESUMES} if promise == REPEATS else set())


@pytest.mark.parametrize(
    ("fault", "promise", "reason"),
    [
        ({"documented": ""}, DOCUMENTED, "Sampling.steps"),
        ({"drawn": "drawn = drawn - drawn.mean(0)"}, ALONE, "pixels differ"),
        ({"drawn": "drawn = torch.randn(len(conditions), *self.mean.shape)"}, ALONE, "pixels differ"),
        ({"drawn": "drawn = 0 * drawn"}, SAMPLES, "other noise gives the same images"),
        ({"images": "api.to_uint8(self.mean + self.seen * drawn) if self.seen else drawn"}, KEEPS, "not uint8"),
        ({"calls": "0"}, COSTS, "calls must be positive"),
    ],
    ids=["undocumented", "batch-mean", "own-noise", "no-noise", "attribute", "no-calls"],
)
def test_a_generator_with_one_fault_breaks_the_promise_that_names_it(
    tmp_path: Path, fault: dict[str, str], promise: str, reason: str
) -> None:
    found = broken(tmp_path, GENERATOR.format(**{**RIGHT_GENERATOR, **fault}))
    assert reason in found.pop(promise, ""), found
    assert "own" not in reason
    # noise of its own, drawn from torch's seed, is different for other positions of the first image only
    assert set(found) <= {SAMPLES}


def test_whoever_requires_a_teacher_has_one_in_every_fit_and_whoever_wants_none_in_no_fit(tmp_path: Path) -> None:
    learns = "loss = loss + F.mse_loss(self(batch.images), batch.teacher_logits) + teacher.linear.bias.sum()"
    assert broken(tmp_path, CLASSIFIER.format(**{**RIGHT, "teaching": "required", "before": learns})) == {}
    assert SPENDS in broken(tmp_path, CLASSIFIER.format(**{**RIGHT, "before": learns}))
    lonely = "assert teacher is None and batch.teacher_logits is None"
    assert broken(tmp_path, CLASSIFIER.format(**{**RIGHT, "teaching": "none", "before": lonely})) == {}
    asks = "teacher.fit(train, run)"
    assert SPENDS in broken(tmp_path, CLASSIFIER.format(**{**RIGHT, "teaching": "required", "before": asks}))


def test_wrong_images_break_what_is_about_images(tmp_path: Path) -> None:
    for images in ("self.mean + drawn", "api.to_uint8(drawn)[:, :1]", "api.to_uint8(drawn)[:-1]", "None"):
        found = broken(tmp_path, GENERATOR.format(**{**RIGHT_GENERATOR, "images": images}))
        assert {SAMPLES, ALONE} <= set(found) <= {SAMPLES, ALONE, KEEPS}
        assert all("InvalidOutput" in reason for reason in found.values())


def test_a_fit_that_raises_is_one_broken_promise_and_the_rest_is_not_tried(tmp_path: Path) -> None:
    found = results(tmp_path, CLASSIFIER.format(**{**RIGHT, "before": "raise RuntimeError('out of ideas')"}))
    assert {result.name for result in found if result.reason is not None} == {SPENDS}
    (reason,) = [result.reason for result in found if result.reason is not None]
    assert "RuntimeError: out of ideas (subject.py, line " in str(reason)
    assert {result.name for result in found if result.skipped is not None} == {
        REPEATS, RESUMES, STOPS, KEEPS, FROZEN, CLASSIFIES, LISTENS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('tiny = {"lr"', 'tiny = {"lrr"', "tiny: unknown key 'lrr'; did you mean 'lr'? valid keys: lr"),
        ('tiny = {"lr": 0.1}', "tiny = {}", "tiny: missing key 'lr'; Learning rate."),
    ],
)
def test_small_values_that_do_not_fit_are_told_once(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    source = CLASSIFIER.format(**RIGHT).replace(right, wrong)
    found = results(tmp_path, source if "unknown" in told else source.replace("lr: float = 0.05", "lr: float"))
    assert [result.reason for result in found if result.reason is not None] == [told]
    assert SPENDS in {result.name for result in found if result.skipped == "tiny does not fit Config"}
    source = GENERATOR.format(**RIGHT_GENERATOR).replace('tiny_sampling = {"steps"', 'tiny_sampling = {"stepps"')
    assert list(broken(tmp_path, source).values()) == [
        "tiny_sampling: unknown key 'stepps'; did you mean 'steps'? valid keys: steps"
    ]


def test_a_fit_that_swallows_the_request_to_stop_is_found(tmp_path: Path) -> None:
    source = CLASSIFIER.format(**RIGHT).replace(
        "        for batch in run.batches(train):", "        for batch in self.deaf(run, train):"
    )
    deaf = """
    def deaf(self, run, train):
        try:
            yield from run.batches(train)
        except Exception:
            return

    def forward("""
    found = broken(tmp_path, source.replace("\n    def forward(", deaf))
    assert "swallowed the request to stop" in found[STOPS]


def test_what_a_plugin_changed_is_put_back(tmp_path: Path) -> None:
    before = Path.cwd(), np.geterr(), torch.get_default_dtype()
    ways = "os.chdir('/'); np.seterr(all='ignore'); torch.set_default_dtype(torch.float64)"
    found = broken(tmp_path, CLASSIFIER.format(**{**RIGHT, "cost": ways}))
    assert found[UNCHANGED].count("changed") == 3
    assert (Path.cwd(), np.geterr(), torch.get_default_dtype()) == before
    assert os.environ["DERMAE_BENCH_CACHE"]


def test_all_broken_promises_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "subject.py").write_text(CLASSIFIER.format(**{**RIGHT, "field": "width: int = 3", "cost": "return"}))
    with pytest.raises(PluginError, match=r"(?s)classifier 'subject' breaks 2 of 11 promises:.*width.*no unit"):
        check("subject", tmp_path)


def test_a_plugin_that_cannot_be_imported_is_an_error_of_its_own(tmp_path: Path) -> None:
    for line, reason in (("import nowhere", "ModuleNotFoundError"), ("raise SystemExit(3)", "SystemExit: 3")):
        (tmp_path / "subject.py").write_text(f"{line}\n{CLASSIFIER.format(**RIGHT)}")
        with pytest.raises(PluginError, match=f"'subject' cannot be imported: {reason}"):
            run_checks("subject", tmp_path)
    with pytest.raises(PluginError, match="unknown plugin 'nobody'"):
        run_checks("nobody", tmp_path)
