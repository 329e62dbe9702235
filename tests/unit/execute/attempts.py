"""Do stages in this process, as an attempt would, on a store of their own."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_of
from dermae_bench.execute.attempt import attempt
from dermae_bench.store.artifacts import Store
from dermae_bench.store.manifests import Manifest

PLUGINS = Path(__file__).parents[2] / "e2e" / "plugins"
SIZE = 16
DATA = {"image_size": SIZE, "images": 60}
WHERE: Mapping[str, tuple[str, str | None]] = {
    "phantom": ("dermae_bench.builtin.datasets.phantom", None),
    "accuracy": ("dermae_bench.builtin.metrics.classification", None),
    "f1-macro": ("dermae_bench.builtin.metrics.classification", None),
    "compute": ("dermae_bench.builtin.metrics.compute", None),
    "parameters": ("dermae_bench.builtin.metrics.compute", None),
    "pixels": ("pixels", str(PLUGINS / "pixels.py")),
    "pixels-by-class": ("pixels", str(PLUGINS / "pixels.py")),
    "thumbnails": ("thumbnails", str(PLUGINS / "thumbnails.py")),
    "timm": ("dermae_plugins.classifiers.timm_classifier", None),
    "external-images": ("dermae_bench.builtin.external.images", None),
    "external-images-labelled": ("dermae_bench.builtin.external.images", None),
    "external-predictions": ("dermae_bench.builtin.external.predictions", None),
    "specificity-at-95-sensitivity": ("dermae_bench.builtin.metrics.operating_points", None),
    "misbehaving": ("misbehaving", str(PLUGINS / "misbehaving.py")),
}


class Bench:
    """A store, and stages done in it one after the other."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "store")

    def try_(
        self, kind: str, work: Mapping[str, Any], inputs: Mapping[str, Manifest] | None = None, *plugins: str
    ) -> tuple[str, dict[str, Any]]:
        """(key, result.json) of one attempt; equal work has an equal key."""
        sources = {role: {"kind": found.kind, "key": found.key} for role, found in (inputs or {}).items()}
        parts = {"kind": kind, "work": work, "inputs": sources}
        key = digest_of(parts)[:32]
        folder = self.store.attempt_folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        places = {name: dict(zip(("name", "module", "file"), (name, *WHERE[name]), strict=True)) for name in plugins}
        spec = {
            "kind": kind, "key": key, "name": f"{kind}/x", "work": work, "parts": parts, "inputs": sources,
            "plugins": places, "store": str(self.store.root), "environment": {},
        }  # fmt: skip
        (folder / "spec.json").write_text(json.dumps(spec))
        before = signal.getsignal(signal.SIGTERM)
        try:
            attempt(folder)
        finally:
            signal.signal(signal.SIGTERM, before)
        return key, json.loads((folder / "result.json").read_text())

    def do(
        self, kind: str, work: Mapping[str, Any], inputs: Mapping[str, Manifest] | None = None, *plugins: str
    ) -> Manifest:
        """The manifest of a stage that has to succeed."""
        key, result = self.try_(kind, work, inputs, *plugins)
        assert result == {"ok": True}, result
        return self.store.checked(kind, key)[1]

    def files(self, found: Manifest) -> Path:
        return self.store.folder(found.kind, found.key)

    def prepared(self) -> Manifest:
        """A small phantom."""
        return self.do("prepare", {"plugin": "phantom", "params": DATA}, None, "phantom")


def task(prepared: Manifest, name: str | None) -> dict[str, Any]:
    """A task as the plan hands it to models."""
    empty = {"name": "", "classes": [], "positive": None, "parent": None, "mapping": {}}
    tasks = {about["name"]: about for about in prepared.summary["tasks"]}
    return {**(tasks[name] if name is not None else empty), "image_size": SIZE}


def training(prepared: Manifest, role: str, plugin: str, task_name: str | None, **more: Any) -> dict[str, Any]:
    """The work of a train stage over the real training split."""
    params = more.pop("params", {})
    budget = {"steps": 6, "batch_size": 8, **more.pop("budget", {})}
    model = {"role": role, "plugin": plugin, "task": task(prepared, task_name), "params": params}
    about = {"model": model, "budget": budget, "images": [{"split": "train"}], "seed": 0}
    return {**about, "precision": "fp32", "threads": 1, "init": False, "teacher": None, **more}
