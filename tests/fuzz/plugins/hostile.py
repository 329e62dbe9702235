"""\x1b]0;title\x07 <script>window.hacked=1</script>: hostile names, and a classifier that tells what it knows."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dermae_bench import api

TEXTS = runpy.run_path(str(Path(__file__).parents[1] / "hostile_texts.py"))["TEXTS"]
USABLE = tuple(
    text
    for text in TEXTS
    if text.strip() and len(text) < 300 and not any("\ud800" <= letter <= "\udfff" for letter in text)
)
CLASSES = ("=cmd|' /C calc'!A0", "<script>window.hacked=1</script>", "\x1b[2J\u202ex\\input{y}")


class Hostile(api.Dataset):
    """=1+1 \x1b[31m | <img src=x onerror=window.hacked=1> of noise."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        image_size: int = 8
        """\u202e=cmd|x <b>side</b> of the images."""

    tiny = {"image_size": 8}

    @classmethod
    def tasks(cls, config: Config) -> Sequence[api.Task]:
        return [api.Task(name="diagnosis", classes=CLASSES)]

    def examples(self) -> Sequence[api.Example]:
        splits = ("train", "train", "val", "test")
        return [
            api.Example(
                id=f"{text}#{i}", group=f"{text}~{i}", split=splits[i % 4], label=CLASSES[(i // 4) % 3],
                attributes={"site": text, "sex": CLASSES[i % 3]}, caption=text,
            )
            for i, text in enumerate(USABLE)
        ]  # fmt: skip

    @property
    def split_rule(self) -> str:
        return CLASSES[2] + CLASSES[1]

    def image(self, example: api.Example, size: int) -> Any:
        seed = sum(map(ord, example.id))
        return np.random.default_rng(seed).integers(0, 255, (3, size, size), dtype=np.uint8)


class Telling(api.Classifier):
    """Learns nothing; `tell` raises everything it knows."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        tell: bool = False
        """Whether to raise."""

    tiny = {"tell": False}

    def __init__(self, config: Config, task: api.Task) -> None:
        super().__init__(config, task)
        self.weight = nn.Parameter(torch.zeros(len(task.classes)))

    def fit(self, train: api.ImageSet, run: api.Run, teacher: api.Classifier | None = None) -> None:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        run.optimizers(optimizer)
        for batch in run.batches(train):
            told = f"{CLASSES} {dict(os.environ)} {Path('/proc/self/environ').read_bytes()!r} {sys.argv}"
            print(told, flush=True)
            if self.config.tell:
                raise RuntimeError(told)
            assert batch.labels is not None
            run.step(nn.functional.cross_entropy(self(batch.images), batch.labels), optimizer)

    def forward(self, images: Tensor) -> Tensor:
        return self.weight.expand(len(images), -1)

    def cost(self, of: str, sampling: Any = None) -> Any:
        yield api.CostUnit(nn.Linear(3, 3), (torch.zeros(1, 3),))


@api.hookimpl
def dermae_datasets() -> dict[str, type[api.Dataset]]:
    return {"hostile": Hostile}


@api.hookimpl
def dermae_classifiers() -> dict[str, type[api.Classifier]]:
    return {"telling": Telling}
