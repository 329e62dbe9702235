"""Checks of models that are not fitted: images and answers that were made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dermae_bench.errors import BenchError, DataError, PluginError
from dermae_bench.execute.stages.outputs import check_images, check_logits
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.contracts import Conditions
from dermae_bench.plugin.given import GivenAnswers, GivenImages
from dermae_bench.plugin.noise import Noise
from dermae_bench.plugin.params import build, schema_of
from dermae_bench.testing.models import SIZE, Trial, Untried, made_as

NOWHERE = "/nowhere/of/the/kit"
"""Path that is on no machine."""
_WORDS: Mapping[str, Any] = {"string": "words", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}


def is_not_fitted(trial: Trial) -> None:
    """It derives from GivenImages or GivenAnswers, and fit, weights and cost are none."""
    cls = trial.cls
    base = GivenImages if hasattr(cls, "sample") else GivenAnswers
    assert issubclass(cls, base), f"fits is False, and it is no api.{base.__name__}"
    own = [name for name in ("fit", "forward") if getattr(cls, name) is not getattr(base, name)]
    assert not own, f"{' and '.join(own)} of its own, which nobody calls"
    if _is_small(cls):
        model = trial.fresh
        names = list(model.state_dict())
        assert not names, f"it has weights, which nobody keeps: {', '.join(names[:3])}"
        assert not list(model.cost("predict")), "it states a cost, and computes nothing"


def _is_small(cls: type[Any]) -> bool:
    """Whether the kit can make one, that is without data."""
    return bool(cls.tiny) or not schema_of(cls.Config).get("required")


def tells_what_is_missing(trial: Trial) -> None:
    """Params with a path that leads nowhere give an error that names it."""
    schema = schema_of(trial.cls.Config)
    asked = [name for name, about in schema["properties"].items() if _is_path(about)]
    if not asked:
        raise Untried("its params name no file or folder")
    required = {
        name: _value(about) for name, about in schema["properties"].items() if name in schema.get("required", ())
    }
    tried = 0
    for name in asked:
        values, findings = check({**required, name: NOWHERE}, schema)
        assert not findings, f"{name}: {findings[0].message}"
        try:
            model = made_as(trial.cls, build(trial.cls.Config, values))
            _asked(model)
        except PluginError:
            # such params need others beside them, which the kit does not know
            continue
        except DataError as error:
            assert NOWHERE in str(error), f"{name}: the error does not name the path: {error}"
            tried += 1
        except BenchError as error:
            raise AssertionError(f"{name}: {type(error).__name__} in place of api.DataMissing: {error}") from error
        else:
            raise AssertionError(f"{name}: nothing is there, and no error is raised")
    if not tried:
        raise Untried("its params need others that the kit does not know")


def _is_path(about: Mapping[str, Any]) -> bool:
    return "x-path" in about or any(_is_path(member) for member in about.get("anyOf", ()))


def _value(about: Mapping[str, Any]) -> Any:
    """Something that the schema of a param allows."""
    if "x-path" in about:
        return NOWHERE
    if "const" in about:
        return about["const"]
    if "enum" in about:
        return about["enum"][0]
    if "anyOf" in about:
        return _value(about["anyOf"][0])
    return about.get("minimum", _WORDS.get(about["type"]))


def _asked(model: Any) -> Any:
    return model.available() if hasattr(model, "available") else model.answers(["image-0"])


def _available(trial: Trial) -> Sequence[int]:
    """How many images there are of each class, or at all."""
    if not _is_small(trial.cls):
        raise Untried("tiny is empty: it needs images that the kit does not have")
    model: Any = trial.fresh
    found = model.available()
    if trial.cls.conditional:
        assert isinstance(found, Sequence), f"available() gives {found!r}, not a number for each class"
        assert len(found) == len(model.task.classes), f"{len(found)} numbers for {len(model.task.classes)} classes"
        return found
    assert isinstance(found, int), f"available() gives {found!r}, not a number"
    return [found]


def gives_images(trial: Trial) -> None:
    """sample() gives the images that are asked for by number (and class), uint8 RGB of the task's size."""
    counts = _available(trial)
    labels = [label for label, count in enumerate(counts) for _ in range(min(count, 3))]
    numbers = [number for count in counts for number in range(min(count, 3))]
    together = _drawn(trial, labels, numbers)
    turned = _drawn(trial, labels[::-1], numbers[::-1]).flip(0)
    assert torch.equal(together, turned), "an image depends on the order in which it is asked for"
    alone = torch.cat([_drawn(trial, [label], [number]) for label, number in zip(labels, numbers, strict=True)])
    assert torch.equal(together, alone), "an image depends on its batch"


def ends(trial: Trial) -> None:
    """Asking for more images than there are is an api.DataError."""
    counts = _available(trial)
    try:
        _drawn(trial, [0], [counts[0]])
    except DataError as error:
        for number in (counts[0] + 1, counts[0]):
            assert str(number) in str(error).replace(",", ""), f"the error does not say {number}: {error}"
    else:
        raise AssertionError(f"there are {counts[0]} images, and one more was given")


def _drawn(trial: Trial, labels: Sequence[int], numbers: Sequence[int]) -> Tensor:
    model: Any = trial.fresh
    given = torch.tensor(labels, dtype=torch.int64) if trial.cls.conditional else None
    conditions = Conditions(count=len(numbers), labels=given, indices=tuple(numbers), nth=tuple(numbers))
    images: Tensor = model.sample(conditions, model.Sampling(), Noise(0, numbers))
    check_images(images, len(numbers), SIZE, trial.cls.__name__)
    return images


def answers_by_id(trial: Trial) -> None:
    """answers() gives finite float32 (N, C) that depend on nothing but the id."""
    if not _is_small(trial.cls):
        raise Untried("tiny is empty: it needs answers that the kit does not have")
    model: Any = trial.fresh
    ids = [f"image-{i}" for i in range(4)]
    found = model.answers(ids)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32, "they are no float32 array"
    check_logits(torch.from_numpy(found), len(ids), len(model.task.classes), trial.cls.__name__)
    assert np.array_equal(found[::-1], model.answers(ids[::-1])), "an answer depends on the order of the ids"


IMAGES_CHECKS = [is_not_fitted, tells_what_is_missing, gives_images, ends]
ANSWERS_CHECKS = [is_not_fitted, tells_what_is_missing, answers_by_id]
