"""What stages may take before they are stopped: wall time, silence and memory; in no key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from dermae_bench.plugin.checking import Finding, shown
from dermae_bench.suite.spec import Resources, StageResources

OFF = "off"
"""Written where there shall be no limit."""
LONGEST_SECONDS = 10 * 365 * 86_400.0
LEAST_BYTES = 1 << 20
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_AMOUNT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", re.ASCII)

Written = str | float | None
"""As it stands in a suite."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one attempt may take; None: as much as it likes."""

    wall: float | None = None
    """Seconds from the start of its process."""
    silence: float | None = None
    """Seconds without a sign of life."""
    memory: int | None = None
    """Bytes of resident memory of its whole process group."""


UNLIMITED = Limits()


def limits_by_kind(resources: Resources) -> dict[str, Limits]:
    """Kind of stage -> its limits: its own where they are written, else those for all kinds."""
    found = {}
    for kind in _kinds():
        own: StageResources | None = getattr(resources, kind)

        def said(word: str, own: StageResources | None = own) -> Written:
            inner: Written = getattr(own, word) if own is not None else None
            outer: Written = getattr(resources, word)
            return outer if inner is None else inner

        memory = _size(said("mem"))
        found[kind] = Limits(
            wall=_duration(said("wall")),
            silence=_duration(said("silence")),
            memory=int(memory) if memory is not None else None,
        )
    return found


def resource_findings(resolved: Mapping[str, Any]) -> Iterator[Finding]:
    """Every amount under `resources:` that cannot be read or makes no sense."""
    held = resolved.get("resources")
    if not isinstance(held, dict):
        return
    yield from _amounts(held, ("resources",))
    for kind in _kinds():
        if isinstance(held.get(kind), dict):
            yield from _amounts(held[kind], ("resources", kind))


def duration_words(seconds: float) -> str:
    """Seconds as a suite may write them: `90s`, `30m`, `12h`."""
    for unit in ("d", "h", "m"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:g}s"


def size_words(count: float) -> str:
    """Bytes in binary units: `800 MiB`, `12 GiB`."""
    for name, unit in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count:.0f} bytes"


def _kinds() -> list[str]:
    return [entry.name for entry in fields(Resources) if entry.name not in {e.name for e in fields(StageResources)}]


def _amounts(held: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[Finding]:
    readers: tuple[tuple[str, Callable[[Written], float | None], str], ...] = (
        ("wall", _duration, "write seconds, or 90s, 30m, 12h, 2d"),
        ("silence", _duration, "write seconds, or 90s, 30m, 12h, 2d"),
        ("mem", _size, "write 800MiB, 12GiB, 16GB, or bytes"),
    )
    for word, read, hint in readers:
        value = held.get(word)
        if not isinstance(value, str | float | int) or isinstance(value, bool):
            # null, or found to be wrong by the schema
            continue
        try:
            read(value)
        except ValueError as error:
            yield Finding((*at, word), f"{word}: {shown(value)} {error}", f"{hint}; `{OFF}` for no limit")


def _duration(value: Written) -> float | None:
    """Seconds. Raises: ValueError: with what is wrong."""
    seconds = _amount(value, _SECONDS, "time")
    if seconds is not None and not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError("is out of range: more than 0, at most 10 years")
    return seconds


def _size(value: Written) -> float | None:
    """Bytes. Raises: ValueError: with what is wrong."""
    count = _amount(value, _BYTES, "size")
    if count is not None and not LEAST_BYTES <= count <= 2**60:
        raise ValueError("is out of range: no stage runs in less than 1 MiB" if count < LEAST_BYTES else "is too much")
    return count


def _amount(value: Written, units: Mapping[str, float], what: str) -> float | None:
    if value is None or value == OFF:
        return None
    if isinstance(value, int | float):
        return float(value)
    found = _AMOUNT.fullmatch(value.strip())
    if found is None or found[2].lower() not in units:
        raise ValueError(f"is no {what}")
    return float(found[1]) * units[found[2].lower()]
