"""What is checked of each kind of plugin. A check is a function that raises; its docstring is its name."""

from __future__ import annotations

import contextlib
import inspect
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermae_bench.errors import DataMissing
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.loading import place_of
from dermae_bench.plugin.params import build, schema_of
from dermae_bench.testing import given, model_checks, models, others
from dermae_bench.testing.promise import Check

_KIT = Path(__file__).parent


def checks_for(kind: str, cls: type[Any]) -> Sequence[Check]:
    """Run every check of a kind on a class; one that raises does not stop the others."""
    return [run() for _, run in promises(kind, cls)]


def promises(kind: str, cls: type[Any]) -> Sequence[tuple[str, Callable[[], Check]]]:
    """(promise, what tries it) in the order in which they are to be tried; trying one never raises."""
    # the last bit depends on the number of threads; `_watched` then looks after this one
    torch.set_num_threads(1)
    if kind in _MODELS:
        trial = models.Trial(cls)
        checks = _checks_of(kind, cls)
        tried: list[tuple[Callable[[Any], None], Any]] = [(function, trial) for function in checks]
    else:
        tried = [(function, cls) for function in _OTHERS[kind]]
    changed: dict[str, None] = {}
    runs = [
        (name := _name(function), partial(_run, name, function, subject, cls, changed))
        for function, subject in [(_schema, cls), *tried]
    ]
    last = "The process stays as it was (folder, dtype, threads, modes)"
    return [*runs, (last, lambda: Check(last, "; ".join(changed) or None))]


def _checks_of(kind: str, cls: type[Any]) -> Sequence[Callable[[models.Trial], None]]:
    """Of a model."""
    if not cls.fits:
        return given.IMAGES_CHECKS if kind == "generator" else given.ANSWERS_CHECKS
    return model_checks.JOINT_CHECKS if kind == "generator" and models.is_joint(cls) else _MODELS[kind]


def _name(function: Callable[[Any], None]) -> str:
    return (function.__doc__ or function.__name__).strip().rstrip(".")


def _run(name: str, function: Callable[[Any], None], subject: Any, cls: type[Any], changed: dict[str, None]) -> Check:
    with _watched(changed):
        try:
            function(subject)
        except models.Untried as why:
            return Check(name, None, str(why))
        except DataMissing as error:
            return Check(name, None, f"needs data that are not there: {error}")
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything; it becomes the reason)
            return Check(name, _reason(error, cls))
    return Check(name, None)


def _reason(error: Exception, cls: type[Any]) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, AssertionError) and Path(last.filename).parent == _KIT:
        # the kit's own finding, in a sentence
        return str(error)
    return f"{type(error).__name__}: {error}{place_of(error, Path(inspect.getfile(cls)).parent)}"


_GLOBAL: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the working folder": (Path.cwd, os.chdir),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "the precision of matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "numpy's error handling": (np.geterr, lambda before: np.seterr(**before)),
}
"""What a plugin could change for everybody after it: how to read it, and how to put it back."""


@contextlib.contextmanager
def _watched(changed: dict[str, None]) -> Iterator[None]:
    """Note global state that a plugin changed, and put it back."""
    before = {name: read() for name, (read, _) in _GLOBAL.items()}
    try:
        yield
    finally:
        for name, (read, put) in _GLOBAL.items():
            after = read()
            if after != before[name]:
                changed[f"changed {name}: {before[name]} -> {after}"] = None
                put(before[name])


def _schema(cls: type[Any]) -> None:
    """Config (and Sampling) are documented, frozen dataclasses with a schema."""
    schema = schema_of(cls.Config)
    undocumented = list(_undocumented(schema))
    if hasattr(cls, "Sampling"):
        undocumented += [f"Sampling.{name}" for name in _undocumented(schema_of(cls.Sampling))]
    assert not undocumented, f"fields without a docstring: {', '.join(undocumented)}"
    for given_as, config in (("tiny", cls.Config), ("tiny_sampling", getattr(cls, "Sampling", None))):
        small = dict(getattr(cls, given_as, {}) or {})
        fitted = hasattr(cls, "fit") and cls.fits
        if config is None or (not small and schema.get("required") and not fitted):
            # what needs data or weights, which the kit does not have
            continue
        values, findings = check(small, schema_of(config))
        assert not findings, models.misfit(given_as, findings)
        build(config, values)


def _undocumented(schema: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for name, about in schema.get("properties", {}).items():
        if not about.get("description"):
            yield f"{at}{name}"
        for inner in (about, about.get("items", {}), *about.get("anyOf", ())):
            yield from _undocumented(inner, f"{at}{name}.")


_MODELS: Mapping[str, Sequence[Callable[[models.Trial], None]]] = {
    "generator": model_checks.GENERATOR_CHECKS,
    "pretrainer": model_checks.PRETRAINER_CHECKS,
    "classifier": model_checks.CLASSIFIER_CHECKS,
}
_OTHERS: Mapping[str, Sequence[Callable[[type[Any]], None]]] = {
    "dataset": others.DATASET_CHECKS,
    "extractor": others.EXTRACTOR_CHECKS,
    "metric": others.METRIC_CHECKS,
}
