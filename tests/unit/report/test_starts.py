"""The column `started from`: of a joint model's classifier it is what its generator started from."""

from __future__ import annotations

from typing import Any

import pytest

from dermae_bench.report.starts import SCRATCH, started_from
from dermae_bench.suite.parts import RowPlan

SUITE: dict[str, Any] = {
    "classifiers": {
        "plain": {"plugin": "timm"},
        "primed": {"plugin": "timm", "init": "encoder"},
        "given": {"plugin": "timm"},
        "joint": {"from": {"generator": "both"}},
        "joint-from-nothing": {"from": {"generator": "alone"}},
    }
}
DECLARED: dict[str, Any] = {
    "generators": {"both": [("vae", ("LAION",)), ("resnet", None)]},
    "classifiers": {"given": [("vit", ())]},
    "pretrained": {"encoder": [("mae", ("ImageNet-1k",))]},
}


def row(board: str = "classifiers", kind: Any = "measured", **names: str) -> RowPlan:
    return RowPlan(board=board, row="a row", names=names, kind=kind, cells=())


@pytest.mark.parametrize(
    ("classifier", "told"),
    [
        ("plain", SCRATCH),
        ("primed", "our pretraining encoder; mae (ImageNet-1k)"),
        ("given", "vit (no collection)"),
        ("joint", "vae (LAION); resnet (corpora not declared)"),
        ("joint-from-nothing", SCRATCH),
    ],
)
def test_where_a_classifier_started(classifier: str, told: str) -> None:
    assert started_from(SUITE, DECLARED, row(classifier=classifier)) == told


def test_where_a_generator_started() -> None:
    assert (
        started_from(SUITE, DECLARED, row("generators", generator="both"))
        == "vae (LAION); resnet (corpora not declared)"
    )
    assert started_from(SUITE, DECLARED, row("generators", generator="other")) == SCRATCH
    assert started_from(SUITE, DECLARED, row(kind="floor", classifier="plain")) == ""
