"""A small suite in every state that a report can meet: ranked, tied, failed, pending, leaky, floors, reported."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dermae_bench.report.leaderboard import Boards, Curve, Figure, Record, Reported, RowInfo, Timing
from dermae_bench.report.records import Uncertainty

METRICS = {"f1-macro": "higher", "accuracy": "higher"}
FRECHET = "fd[tf-efficientnet-lite0/blocks3@64]"


def identity(metric: str, **more: Any) -> dict[str, Any]:
    return {
        "metric": metric,
        "average": "macro",
        "threshold": "argmax",
        "split": {"digest": "5d1f00", "set": "test"},
        **more,
    }


def classifier(name: str, task: str, value: float | None, **more: Any) -> tuple[RowInfo, list[Record]]:
    """One row with `f1-macro` and `accuracy` for each seed; `value` None makes a failed row."""
    options: dict[str, Any] = {
        "kind": "measured", "train": "train", "half": 0.02, "seeds": (0,), "marks": (), "identity": {}, "n": 300,
        "status": "ok", "reason": None, "warnings": (), **more,
    }  # fmt: skip
    row = f"{name} | {options['train']} | {task}"
    names = {"classifier": name, "train": options["train"], "task": task}
    seeds = tuple({"classifier": seed} for seed in options["seeds"])
    info = RowInfo(
        board="classifiers", row=row, names=names, kind=options["kind"], seeds=seeds, marks=options["marks"],
        status=options["status"], reason=options["reason"],
        costs={"gmacs": None if value is None else 0.01234567, "parameters": 71_239.0, "network-calls": 1.0},
    )  # fmt: skip
    records = []
    for seed in seeds if value is not None else ():
        for metric, better in METRICS.items():
            at = value + 0.004 * seed["classifier"] + (0.1 if metric == "accuracy" else 0)
            half = options["half"]
            records.append(
                Record(
                    board="classifiers", row=row, names=names, kind=options["kind"], metric=metric, value=at,
                    low=None if half is None else at - half, high=None if half is None else at + half, n=options["n"],
                    unit="1", better=better, identity=identity(metric, task=task, **options["identity"]),
                    key="ab" * 32, seeds=seed, status="ok", warnings=options["warnings"],
                )
            )  # fmt: skip
    return info, records


def generator(
    name: str, value: float, n: int = 500, kind: str = "measured", **more: Any
) -> tuple[RowInfo, list[Record]]:
    names = {"generator": name, "sampling": more.get("sampling", "ddim, 50 steps"), "against": "train"}
    row = f"{name} | {names['sampling']} | {n}"
    info = RowInfo(
        board="generators", row=row, names=names, kind=kind, status="ok", seeds=({"generator": 0},),
        costs={"gmacs": 0.4, "parameters": 1_200_000.0, "network-calls": 50.0} if kind == "measured" else {},
    )  # fmt: skip
    warnings = ("n is not far above D: the covariance is noisy",) if n < 400 else ()
    scored: Mapping[str, float] = {FRECHET: value, "kid[lite0]": value / 1e3}
    records = [
        Record(
            board="generators", row=row, names=names, kind=kind, metric=metric, value=score, n=n,
            unit="1", better="lower",
            identity={"metric": metric, "extractor": {"weights": "0f3a", "side": 64, "filter": "bicubic"}},
            key="cd" * 32,
            seeds={"generator": 0}, status="ok", warnings=warnings,
        )
        for metric, score in scored.items()
    ]  # fmt: skip
    return info, records


AVERAGE_NOT_STATED = "f1 (average not stated)"


def reported(
    name: str, train: str, task: str, accuracy: float | None, f1: float | None, beside: str, note: str = ""
) -> tuple[tuple[RowInfo, list[Record]], list[Reported]]:
    """A published row with its numbers, and what they are shown beside."""
    names = {"classifier": name, "train": train, "task": task}
    row = f"reported | {name} | {train} | {task}"
    info = RowInfo(board="classifiers", row=row, names=names, kind="reported", status="ok", seeds=({},),
                   marks=("reported: table 1",))  # fmt: skip
    numbers = [
        Reported(board="classifiers", row=row, names=names, metric=metric, value=value, n=1512, source="table 1",
                 beside=column, note=note)
        for metric, value, column in (("accuracy", accuracy, "accuracy"), (AVERAGE_NOT_STATED, f1, beside))
        if value is not None
    ]  # fmt: skip
    records = [
        Record(board="classifiers", row=row, names=names, kind="reported", metric=item.metric, value=item.value,
               n=1512, unit="1", better="neither", identity={"reported": "table 1"}, key="", seeds={}, status="ok")
        for item in numbers
    ]  # fmt: skip
    return (info, records), numbers


def boards(*parts: tuple[RowInfo, list[Record]], **more: Any) -> Boards:
    return Boards(
        suite="quickstart",
        rows=tuple(info for info, _ in parts),
        records=tuple(record for _, records in parts for record in records),
        **{
            "dataset": "phantom",
            "image_size": 32,
            "split_rule": "by group, 70/10/20",
            "split_digest": "5d1f00",
            **more,
        },
    )


def inside(
    part: tuple[RowInfo, list[Record]],
    attribute: str,
    values: Mapping[str, tuple[float | None, int, int | None]],
    **more: Any,
) -> list[Record]:
    """Subgroup records of a row's first metric: value of the attribute -> (number, images, lesions), for each seed."""
    info, (head, *_) = part
    options: dict[str, Any] = {"error": 0.03, "reason": "no image of mel", "metric": head.metric, "better": head.better,
                               "identity": {}, **more}  # fmt: skip
    whole = options["error"] is not None
    return [
        dataclasses.replace(
            head, metric=options["metric"], better=options["better"], seeds=seeds, n=images, error=options["error"],
            value=number, low=number - 0.06 if whole and number is not None else None,
            high=number + 0.06 if whole and number is not None else None,
            status="ok" if number is not None else f"failed: {options['reason']}",
            identity={**head.identity, **options["identity"], "n": images, "groups": lesions,
                      "subgroup": {"attribute": attribute, "value": value}},
        )
        for seeds in info.seeds
        for value, (number, images, lesions) in values.items()
    ]  # fmt: skip


MEMORISATION = {
    "memorisation[lite0]": {
        "reach": 0.5, "expected_near_copies": 0.012,
        "pairs": [
            {"generated": "cd-000003", "training": "ISIC_0024306", "distance": 0.25, "held_out_distance": 2.5},
            {"generated": "cd-000001", "training": "ISIC_0024307", "distance": 1.5, "held_out_distance": 1.25},
        ],
    }
}  # fmt: skip
CURVE = {
    "fd-infinity[lite0]": {
        "curve": [{"n": n, "subsets": 1000 // n, "fd": 30 + 2000 / n, "sd": 1.5 if n < 1000 else None}
                  for n in (250, 500, 1000)],
        "intercept": 30.0, "slope": 2000.0,
    }
}  # fmt: skip
CONTAMINATION = (
    ("kind", "name", "training set", "real images", "samples of", "external weights", "val", "test"),
    ("generator", "ddpm", "train", "train", "", "", "clean", "near-duplicates: 1 images in the real training data"),
)


def with_counts(part: tuple[RowInfo, list[Record]]) -> tuple[RowInfo, list[Record]]:
    """The row with a confusion matrix for each seed; in the last one nothing is called MEL."""
    info, records = part
    confusions = [
        {"seeds": seeds, "metrics": ["f1-macro"], "classes": ["NV", "MEL"], "confusion": [[190 + i, 10 - i], [20, 11]],
         "per_class": {"recall": [0.95 + i / 200, 11 / 31], "precision": [0.9, 0.5]}}
        for i, seeds in enumerate(info.seeds[:-1])
    ]  # fmt: skip
    confusions.append(
        {"seeds": info.seeds[-1], "metrics": ["f1-macro"], "classes": ["NV", "MEL"], "confusion": [[200, 0], [31, 0]],
         "per_class": {"recall": [1.0, 0.0], "precision": [200 / 231, None]}}
    )  # fmt: skip
    return dataclasses.replace(info, confusions=tuple(confusions)), records


def example() -> Boards:
    """The fixture of the snapshots."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (14, 3, 32, 32), dtype=np.uint8)
    steps = range(0, 400, 10)
    losses = {
        "ddpm/0": [(s, 1.2 * math.exp(-s / 80) + 0.02) for s in steps],
        "ddpm-conditional/0": [(s, 0.9 * math.exp(-s / 60) + 0.015 if s != 200 else math.nan) for s in steps],
    }
    cnn, cnn_numbers = reported("cnn", "train", "diagnosis", 0.7563, 0.6, "f1-macro", "the average looks macro")
    vit, vit_numbers = reported("vit", "train", "malignancy", 0.81, 0.4043, "", "fits no average: not compared")
    malignancy = classifier("cnn", "malignancy", 0.71, warnings=("class DF has 4 test images",))
    ddpm = generator("ddpm", 41.26)
    draws = rng.standard_normal(200)
    return boards(
        with_counts(classifier("cnn", "diagnosis", 0.61, seeds=(0, 1, 2))),
        classifier("cnn", "diagnosis", 0.64, seeds=(0, 1, 2), train="balanced"),
        classifier("vit", "diagnosis", 0.48, seeds=(0, 1, 2)),
        classifier("vit", "diagnosis", 0.47, seeds=(0, 1, 2), train="balanced"),
        classifier("broken", "diagnosis", None, status="failed", reason="diverged at step 12: loss is not finite"),
        classifier("waiting", "diagnosis", None, status="pending"),
        classifier("cnn", "diagnosis", 0.9, train="leaky", marks=("leaky: photographs of one lesion on both sides",),
                   identity={"leaky": True}),
        classifier("majority class", "diagnosis", 0.11, kind="floor", half=None),
        classifier("DermAE", "diagnosis", 0.83, kind="reported", half=None, identity={"reported": "table 1"}, n=None,
                   marks=("reported: table 1",), seeds=(0,)),
        malignancy,
        classifier("vit", "malignancy", 0.69),
        cnn, vit,
        ddpm, generator("ddpm-conditional", 35.5),
        generator("ddpm", 55.125, n=300, sampling="ancestral"),
        generator("real images", 1.25, kind="floor", sampling="held out: test"),
        generator("uniform noise", 310.5, kind="floor", sampling=""),
        subgroups=(
            *inside(malignancy, "sex", {"female": (0.75, 140, 90), "male": (0.66, 150, 95), "unknown": (0.4, 10, 9)}),
            *inside(malignancy, "age", {"below 30": (0.2, 6, 5), "30 to below 60": (0.7, 200, 150),
                                        "60 and over": (None, 94, 60)}),
            *inside(ddpm, "class", {"NV": (38.0, 400, None), "MEL": (61.5, 100, None)}, error=None,
                    identity={"n_real": 111}),
        ),
        uncertainty={
            (f"{name} | train | malignancy", "f1-macro"): Uncertainty(
                low=at - 0.02, high=at + 0.02, error=0.0104, replicates=at + draws / 100 + shift * draws[::-1] / 1000)
            for name, at, shift in (("cnn", 0.71, 0), ("vit", 0.69, 1))
        },
        details={ddpm[0].row: {**MEMORISATION, **CURVE}},
        contamination=CONTAMINATION,
        preset="smoke",
        description="Three small generators and two small classifiers on drawn lesions.",
        interval="95 %, resamples of whole lesions",
        class_counts={"diagnosis": {"NV": {"train": 1700, "val": 100, "test": 200},
                                    "MEL": {"train": 111, "val": 12, "test": 31}}},
        facts={"precision": "fp32", "threads": "1"},
        timings=(
            Timing(key="ab" * 32, kind="train", name="train/generator/ddpm/0", seconds=41.25, max_rss_mb=612.0,
                   images=12800, images_per_second=310.303,
                   hardware="a processor", status="ok"),
            Timing(key="ef" * 32, kind="sample", name="sample/ddpm/1", seconds=8.0, max_rss_mb=600.0, images=512,
                   seconds_per_image=0.015625, network_calls=50.0, hardware="a processor", status="ok"),
            Timing(key="cd" * 32, kind="sample", name="sample/ddpm/0", seconds=None, max_rss_mb=None, hardware="",
                   status="pending"),
        ),
        reported=(*cnn_numbers, *vit_numbers),
        figures=(
            Figure(name="figure-2", title="figure-2", caption="4 columns. Every image is generated; none was chosen.",
                   rows=(("ddpm", samples[:4]), ("conditional: NV", samples[4:8]), ("conditional: MEL", samples[8:12])),
                   bands=("ddpm", "conditional", "conditional")),
            Figure(name="samples", title="Samples", caption="The first images of each set.",
                   rows=(("real", samples), ("ddpm (ddim, 50 steps)", samples[::-1]))),
        ),
        curves=(Curve(title="Training loss of generators", series=losses),),
        warnings=("class DF has 4 test images", "skipped: 2 images"),
        environment={"python": "3.11", "libraries": {"torch": "2.10.0", "numpy": "2.4"}},
    )  # fmt: skip
