"""The conformance kit over what is not fitted: sound images and answers keep every promise, faults break theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from subjects import broken, results

IMAGES = '''
from dataclasses import dataclass
import torch
from dermae_bench import api

class Subject(api.GivenImages):
    """Flat images; number N of class C is as grey as both say."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        many: int = 5
        """How many there are of each class."""
        path: api.Folder | None = None
        """Where they lie."""

    conditional = {conditional}

    def __init__(self, config, task):
        super().__init__(config, task)
        {init}

    def available(self):
        if self.config.path is not None:
            {missing}
        return {available}

    def sample(self, conditions, sampling, noise):
        numbers = torch.tensor(conditions.nth)
        if int(numbers.max()) >= self.config.many:
            raise api.DataError(f"image {{int(numbers.max()) + 1}} is asked for, and there are {{self.config.many}}")
        labels = conditions.labels if conditions.labels is not None else 0 * numbers
        size = self.task.image_size
        images = (numbers + 10 * labels).to(torch.uint8)[:, None, None, None].expand(-1, 3, size, size)
        {sample}
        return images

    {own}

@api.hookimpl
def dermae_generators():
    return {{"subject": Subject}}
'''

ANSWERS = '''
from dataclasses import dataclass
import zlib
import numpy as np
from dermae_bench import api

class Subject(api.GivenAnswers):
    """Answers that are a checksum of the id."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Nothing to choose."""

    def answers(self, ids):
        sums = np.array([zlib.crc32(name.encode()) % 97 for name in ids], dtype=np.float32)
        logits = sums[:, None] * np.arange(len(self.task.classes), dtype=np.float32)
        {answers}
        return logits

@api.hookimpl
def dermae_classifiers():
    return {{"subject": Subject}}
'''

SOUND = {
    "conditional": "True",
    "init": "pass",
    "missing": 'raise api.DataMissing(f"there is no folder {self.config.path}")',
    "available": "[self.config.many] * len(self.task.classes)",
    "sample": "pass",
    "own": "",
}
UNCONDITIONAL = {"conditional": "False", "available": "self.config.many"}
FIT, PATH = "It derives from GivenImages", "Params with a path"
GIVES, ENDS = "sample() gives the images that are asked for", "Asking for more"
ANSWER = "answers() gives finite float32"


@pytest.mark.parametrize("kind", [{}, UNCONDITIONAL])
def test_sound_images_keep_every_promise(tmp_path: Path, kind: dict[str, str]) -> None:
    found = results(tmp_path, IMAGES.format(**{**SOUND, **kind}))
    assert [(result.reason, result.skipped) for result in found] == [(None, None)] * 6


@pytest.mark.parametrize(
    ("fault", "promise", "reason"),
    [
        ({"own": "def fit(self, train, run): pass"}, FIT, "fit of its own, which nobody calls"),
        ({"init": "self.layer = torch.nn.Linear(2, 2)"}, FIT, "it has weights, which nobody keeps: layer.weight"),
        ({"own": "def cost(self, of, sampling=None): return [api.CostUnit(torch.nn.ReLU(), (torch.ones(1),))]"}, FIT,
         "it states a cost"),
        ({"missing": "return [5, 5, 5]"}, PATH, "path: nothing is there, and no error is raised"),
        ({"missing": 'raise api.DataError("there is none")'}, PATH, "path: the error does not name the path"),
        ({"missing": 'open(self.config.path)'}, PATH, "FileNotFoundError"),
        ({"available": "5"}, GIVES, "available() gives 5, not a number for each class"),
        ({"available": "[5]"}, GIVES, "1 numbers for 3 classes"),
        ({**UNCONDITIONAL, "available": "[5]"}, GIVES, "available() gives [5], not a number"),
        ({"sample": "images = images.float()"}, GIVES, "returned torch.float32"),
        ({"sample": "images = images + torch.arange(len(images), dtype=torch.uint8)[:, None, None, None]"}, GIVES,
         "an image depends on the order"),
        ({"sample": "images = images + len(images)"}, GIVES, "an image depends on its batch"),
        ({"available": "[4] * 3"}, ENDS, "there are 4 images, and one more was given"),
        ({"available": "[9] * 3", "sample": 'pass'}, ENDS, "the error does not say 9"),
    ],
)  # fmt: skip
def test_a_fault_breaks_its_promise(tmp_path: Path, fault: dict[str, str], promise: str, reason: str) -> None:
    found = broken(tmp_path, IMAGES.format(**{**SOUND, **fault}))
    (told,) = [why for name, why in found.items() if name.startswith(promise)]
    assert reason in told


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("pass", None),
        ("logits = logits.astype(np.float64)", "they are no float32 array"),
        ("logits = logits[:, :2]", "not floating (4, 3)"),
        ("logits = logits - np.inf", "not finite"),
        ("logits = logits + np.arange(len(ids), dtype=np.float32)[:, None]", "depends on the order"),
    ],
)
def test_answers(tmp_path: Path, fault: str, reason: str | None) -> None:
    found = results(tmp_path, ANSWERS.format(answers=fault))
    (answer,) = [result for result in found if result.name.startswith(ANSWER)]
    assert answer.reason is None if reason is None else reason in str(answer.reason)
    assert [result.skipped for result in found if result.name.startswith(PATH)] == ["its params name no file or folder"]


def test_what_is_fitted_is_no_given_model(tmp_path: Path) -> None:
    source = IMAGES.format(**SOUND).replace("api.GivenImages", "api.Generator")
    source = source.replace("conditional = True", "conditional = True\n    fits = False\n    cost = fit = None")
    assert "fits is False, and it is no api.GivenImages" in broken(tmp_path, source).values()
