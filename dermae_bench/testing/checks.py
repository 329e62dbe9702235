"""What is checked of each kind of plugin. A check is a function that raises; its docstring is its name."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dermae_bench.errors import DataMissing
from dermae_bench.plugin.checking import check
from dermae_bench.plugin.params import build, schema_of
from dermae_bench.testing import models, others


@dataclass(frozen=True)
class Check:
    """One promise, and why it is broken (None if it is kept)."""

    name: str
    reason: str | None


def checks_for(kind: str, cls: type[Any]) -> Sequence[Check]:
    """Run every check of a kind on a class; one that raises does not stop the others."""
    # the last bit depends on the number of threads; `_unchanged` then watches this one
    torch.set_num_threads(1)
    functions: list[Callable[[type[Any]], None]] = [_schema, *_BY_KIND[kind]]
    if kind == "generator" and models.is_joint(cls):
        functions += models.CLASSIFIER_CHECKS
    return [_run(function, cls) for function in functions]


def _run(function: Callable[[type[Any]], None], cls: type[Any]) -> Check:
    name = (function.__doc__ or function.__name__).strip().rstrip(".")
    with _unchanged() as leaks:
        try:
            function(cls)
        except DataMissing as error:
            return Check(name, f"needs data that are not there: {error}")
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything; it becomes the reason)
            where = traceback.extract_tb(error.__traceback__)[-1]
            return Check(name, f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")
    return Check(name, "; ".join(leaks) or None)


class _unchanged:
    """Notes global state that a plugin changed and puts it back."""

    def __enter__(self) -> list[str]:
        self.leaks: list[str] = []
        self.before = self._state()
        return self.leaks

    def __exit__(self, *error: object) -> None:
        after = self._state()
        self.leaks += [
            f"changed {name}: {self.before[name]} -> {after[name]}"
            for name in after
            if after[name] != self.before[name]
        ]
        os.chdir(self.before["the working folder"])
        torch.set_default_dtype(self.before["torch's default dtype"])
        torch.set_num_threads(self.before["torch's threads"])

    @staticmethod
    def _state() -> dict[str, Any]:
        return {
            "the working folder": str(Path.cwd()),
            "torch's default dtype": torch.get_default_dtype(),
            "torch's threads": torch.get_num_threads(),
            "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
            "gradient mode": torch.is_grad_enabled(),
            "numpy's error handling": str(np.geterr()),
        }


def _schema(cls: type[Any]) -> None:
    """Config is a documented, frozen dataclass with a schema."""
    schema = schema_of(cls.Config)
    undocumented = [name for name, about in schema.get("properties", {}).items() if not about.get("description")]
    assert not undocumented, f"fields without a docstring: {', '.join(undocumented)}"
    given = dict(getattr(cls, "tiny", {}) or {})
    values, findings = check(given, schema)
    if not given and schema.get("required"):
        return
    assert not findings, f"tiny does not fit Config: {findings[0].message}"
    build(cls.Config, values)


def _of(module: Any, kind: str) -> Iterator[Callable[[type[Any]], None]]:
    yield from getattr(module, f"{kind.upper()}_CHECKS")


_BY_KIND: dict[str, list[Callable[[type[Any]], None]]] = {
    "generator": list(_of(models, "generator")),
    "pretrainer": list(_of(models, "pretrainer")),
    "classifier": list(_of(models, "classifier")),
    "dataset": list(_of(others, "dataset")),
    "extractor": list(_of(others, "extractor")),
    "metric": list(_of(others, "metric")),
}
