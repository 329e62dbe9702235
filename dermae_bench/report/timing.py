"""What each stage took: seconds, and how fast it drew or learnt. Machine-dependent, so never on a leaderboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dermae_bench.durable import canonical
from dermae_bench.report.records import Timing
from dermae_bench.store.manifests import Manifest
from dermae_bench.suite.stage import Stage

if TYPE_CHECKING:
    from dermae_bench.report.collect import Collector

PHASES: Mapping[str, str] = {"sample": "sampling", "train": "fitting"}
"""Kind -> the phase whose seconds belong to its images; building and saving do not grow with them."""


def timings(collector: Collector) -> Iterator[Timing]:
    """One line a stage, in the order of the plan; failed and pending ones too."""
    calls = _network_calls(collector)
    for stage in collector.stages:
        manifest = collector.manifest(stage)
        yield _unfinished(collector, stage) if manifest is None else _finished(stage, manifest, calls)


def _unfinished(collector: Collector, stage: Stage) -> Timing:
    failure = collector.store.failure(stage.key) if stage.key else None
    return Timing(
        key=stage.key,
        kind=stage.kind,
        name=stage.name,
        seconds=failure.seconds if failure else None,
        max_rss_mb=failure.max_rss_mb if failure else None,
        hardware="",
        status=f"failed: {_one_line(failure.reason)}" if failure else "pending",
    )


def _one_line(reason: str) -> str:
    """All of a reason in one cell."""
    return "; ".join(line.strip() for line in reason.splitlines() if line.strip())


def _finished(stage: Stage, manifest: Manifest, calls: Mapping[str, float]) -> Timing:
    about = manifest.environment
    hardware = about.get("device", "cpu")
    images = {"sample": manifest.summary.get("n"), "train": manifest.summary.get("images_seen")}.get(stage.kind)
    seconds = about.get("phases", {}).get(PHASES.get(stage.kind), manifest.seconds)
    measured = bool(images) and seconds > 0
    return Timing(
        key=stage.key,
        kind=stage.kind,
        name=stage.name,
        seconds=manifest.seconds,
        images=images,
        seconds_per_image=float(f"{seconds / images:.6g}") if measured and stage.kind == "sample" else None,
        images_per_second=float(f"{images / seconds:.6g}") if measured and stage.kind == "train" else None,
        network_calls=calls.get(_drawn_by(stage)) if stage.kind == "sample" else None,
        max_rss_mb=manifest.max_rss_mb,
        hardware=about.get("processor", "cpu") if hardware == "cpu" else hardware,
        status="ok",
    )


def _network_calls(collector: Collector) -> dict[str, float]:
    """Model and sampling -> network calls an image, from the cost stages of generators."""
    found = {}
    for stage in collector.stages:
        manifest = collector.manifest(stage) if stage.kind == "cost" and stage.work["of"] == "sample" else None
        if manifest is not None and "network-calls" in manifest.summary["values"]:
            found[_drawn_by(stage)] = float(manifest.summary["values"]["network-calls"])
    return found


def _drawn_by(stage: Stage) -> str:
    return canonical([stage.work["model"], stage.work["sampling"]])
