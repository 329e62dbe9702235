"""Seconds and network calls an image of sample stages, images a second of training stages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dermae_bench.report.timing import timings
from dermae_bench.suite.stage import Stage

MODEL = {"plugin": "ddpm", "params": {"channels": [8]}}


def stage(kind: str, **work: Any) -> Stage:
    return Stage(kind=kind, name=f"{kind}/x", work={"model": MODEL, **work}, parts={}, key=f"{kind}{len(str(work))}")


def collected(*pairs: tuple[Stage, dict[str, Any] | None, float], reason: str = "diverged", **environment: Any) -> Any:
    manifests = {
        stage.key: SimpleNamespace(summary=summary, seconds=seconds, max_rss_mb=1, environment=environment)
        for stage, summary, seconds in pairs
        if summary is not None
    }
    failure = SimpleNamespace(reason=reason, seconds=3.0, max_rss_mb=2)
    return SimpleNamespace(
        stages=[stage for stage, _, _ in pairs],
        manifest=lambda stage: manifests.get(stage.key),
        store=SimpleNamespace(failure=lambda key: failure if key.startswith("train") else None),
    )


def test_a_sample_stage_takes_its_network_calls_from_the_cost_of_equal_model_and_sampling() -> None:
    ddim, ancestral = {"sampler": "ddim", "steps": 50}, {"sampler": "ddpm", "steps": 1000}
    made = list(
        timings(
            collected(
                (stage("cost", of="sample", sampling=ddim), {"values": {"network-calls": 50.0}}, 1.0),
                (stage("cost", of="predict", sampling=None), {"values": {"network-calls": 1.0}}, 1.0),
                (stage("sample", sampling=ddim, count=512), {"n": 512}, 8.0),
                (stage("sample", sampling=ancestral, count=512), {"n": 512}, 160.0),
            )
        )
    )
    assert [(t.images, t.seconds_per_image, t.network_calls) for t in made[2:]] == [
        (512, 0.015625, 50.0), (512, 0.3125, None),
    ]  # fmt: skip
    assert all(t.images is None and t.network_calls is None and t.images_per_second is None for t in made[:2])


def test_a_training_stage_tells_images_a_second_of_its_fit_alone_where_that_was_timed() -> None:
    fit = stage("train")
    (whole,) = timings(collected((fit, {"images_seen": 6400}, 16.0)))
    assert whole.images_per_second == 400.0 and whole.images == 6400 and whole.seconds_per_image is None
    (phase,) = timings(collected((fit, {"images_seen": 6400}, 16.0), phases={"building": 8.0, "fitting": 8.0}))
    assert phase.images_per_second == 800.0 and phase.seconds == 16.0


def test_failed_and_pending_stages_have_no_speed() -> None:
    failed, pending = timings(collected((stage("train"), None, 0.0), (stage("sample", sampling={}), None, 0.0)))
    assert (failed.status, failed.seconds, failed.images_per_second) == ("failed: diverged", 3.0, None)
    assert (pending.status, pending.seconds, pending.seconds_per_image) == ("pending", None, None)


@pytest.mark.parametrize(
    ("reason", "cell"),
    [
        ("one line", "one line"),
        (
            "ham is not there\n  a.png\n\n   b.png  \r\n  get it from X\n",
            "ham is not there; a.png; b.png; get it from X",
        ),
        ("one\vtwo\u2028three", "one; two; three"),
        # all of it: only boards and messages are brief
        ("\n".join("x" * 200 for _ in range(50)), "; ".join("x" * 200 for _ in range(50))),
        ("", ""),
    ],
)
def test_why_a_stage_failed_is_one_line_of_its_cell(reason: str, cell: str) -> None:
    (failed,) = timings(collected((stage("train"), None, 0.0), reason=reason))
    assert failed.status == f"failed: {cell}"
