"""What a suite says of time and memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageResources:
    """What stages of one kind may take; what is not said is as for all kinds."""

    wall: str | float | None = None
    """Longest time of one attempt: 90s, 30m, 12h, 2d, or seconds; `off` for no limit."""
    silence: str | float | None = None
    """Longest time without a sign of life (a step, a phase, a line of output), written like `wall`."""
    mem: str | float | None = None
    """Most memory of an attempt and all its processes: 800MiB, 12GiB, 16GB, or bytes; `off` for no limit."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What stages may take before they are stopped; in no key. A kind of stage may have limits of its own."""

    wall: str | float | None = None
    """Longest time of one attempt: 90s, 30m, 12h, 2d, or seconds; `--timeout` goes before it."""
    silence: str | float | None = "1h"
    """Longest time without a sign of life (a step, a phase, a line of output), written like `wall`; `off` for no
    limit."""
    mem: str | float | None = None
    """Most memory of an attempt and all its processes: 800MiB, 12GiB, 16GB, or bytes."""
    prepare: StageResources | None = None
    """For preparing data."""
    train: StageResources | None = None
    """For fits."""
    sample: StageResources | None = None
    """For drawing images."""
    extract: StageResources | None = None
    """For features."""
    predict: StageResources | None = None
    """For predictions."""
    score: StageResources | None = None
    """For metrics and lints."""
    cost: StageResources | None = None
    """For counting costs."""
