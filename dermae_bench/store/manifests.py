"""What a finished stage leaves, and what a failed one does: the files that are read before any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_file
from dermae_bench.errors import BenchError

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


class Damaged(BenchError):
    """A stored file is not what its manifest says."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a finished stage left behind."""

    kind: str
    key: str
    name: str
    parts: Mapping[str, Any]
    """Everything the key was made of: work, plugins, libraries, harness, inputs."""
    files: Mapping[str, Mapping[str, Any]]
    """File name -> {sha256, bytes}."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Small facts about the result, deterministic: what later stages and reports read without opening files."""
    seconds: float = 0.0
    max_rss_mb: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)
    version: int = MANIFEST_VERSION


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt ended without a manifest."""

    key: str
    name: str
    reason: str
    """One line: `diverged at step 12: loss is not finite`, `signal 9`, ..."""
    category: str
    """crashed | oom | timeout | diverged | invalid-output | lost | data"""
    phase: str = ""
    traceback: str = ""
    seconds: float = 0.0
    max_rss_mb: int = 0
    attempt: int = 1


def well_formed(manifest: Manifest) -> bool:
    """Whether every field has the type that its readers rely on."""
    mappings = (manifest.parts, manifest.files, manifest.summary, manifest.environment)
    return (
        manifest.version == MANIFEST_VERSION
        and isinstance(manifest.name, str)
        and isinstance(manifest.seconds, int | float)
        and isinstance(manifest.max_rss_mb, int)
        and all(isinstance(mapping, Mapping) for mapping in mappings)
        and all(
            isinstance(about, Mapping)
            and isinstance(about.get("bytes"), int)
            and isinstance(about.get("sha256"), str)
            and "/" not in name
            and name not in {"", ".", "..", MANIFEST}
            for name, about in manifest.files.items()
        )
    )


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """File name -> {sha256, bytes} of every file in `folder`, which must be flat."""
    return {
        path.name: {"sha256": digest_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
