"""A stage: one thing to do, and the key that says exactly what its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dermae_bench.durable import digest_of

KEY_VERSION = 1
"""Raised when the meaning of a key's parts changes: a new generation, never a silent one."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One node of the plan.

    `work` goes to the process that does it, with real paths; `parts` is the same with digests in place of paths,
    together with sources, library versions and input keys: the key is the digest of `parts`.
    """

    kind: str
    """prepare | train | sample | extract | predict | score | cost"""
    name: str
    """For people and for `--only`: e.g. ``train/generator/ddpm/seed=0``."""
    work: Mapping[str, Any]
    parts: Mapping[str, Any]
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    """Role -> the stage whose artifact it reads."""
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Plugin name -> {name, module, file}: how the attempt imports it."""
    disk_bytes: int = 0
    """What its files need, estimated; 0 where it is small or unknown."""
    scratch_bytes: int = 0
    """What lies beside them for a moment while it runs: the blocks that its one array is joined of."""
    steps: int = 0
    """Budget steps or images, for the progress display and for cost estimates."""
    key: str = ""
    """SHA-256 of the canonical JSON of `parts`, first 32 hex digits; "" while the data are missing."""


def key_of(parts: Mapping[str, Any]) -> str:
    """The key of a stage made of `parts`."""
    return digest_of(parts)[:32]


_TELLING = {"work": 1, "plugins": 2, "libraries": 3, "harness": 4, "inputs": 5}
"""Sections of the parts in the order in which their changes are told: what a user wrote before what follows from it."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], at: str = "") -> list[str]:
    """What changed between the parts of two stages, in words, most telling first."""
    found: list[str] = []
    for name in sorted({*old, *new}, key=lambda name: (_TELLING.get(name, 0) if not at else 0, name)):
        place = f"{at}.{name}" if at else str(name)
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if isinstance(before, Mapping | None) and isinstance(after, Mapping | None):
            found += differences(before or {}, after or {}, place)
        else:
            found.append(_say(place, before, after))
    return found


def _say(place: str, before: Any, after: Any) -> str:
    top, _, rest = place.partition(".")
    if top == "inputs":
        return f"input {rest} changed"
    if top == "plugins":
        how = "added" if after else "left out"
        return f"source of plugin {rest} changed" if before and after else f"plugin {rest} {how}"
    if top == "harness":
        return f"{rest or 'harness'} of dermae-bench changed"
    if top == "libraries":
        return f"{rest} {before} -> {after}"
    if _named(before) and _named(after):
        before, after = (", ".join(item["metric"] for item in value) for value in (before, after))
    short = [str(value) if len(str(value)) <= 40 else str(value)[:37] + "..." for value in (before, after)]
    return f"{rest or place}: {short[0]} -> {short[1]}"


def _named(value: Any) -> bool:
    """Whether a value is a list of metrics with their options."""
    return isinstance(value, list) and bool(value) and all(isinstance(i, Mapping) and "metric" in i for i in value)
