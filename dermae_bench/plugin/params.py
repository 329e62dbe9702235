"""Typed parameters: dataclass -> JSON Schema -> checked values -> dataclass (to be completed)."""

from __future__ import annotations

from dataclasses import dataclass


class File(str):
    """Path of a file given by the user; the digest of its content, never the path, enters keys."""


class Folder(str):
    """Path of a folder given by the user; the digest of its files enters keys."""


@dataclass(frozen=True)
class Between:
    """Inclusive bounds of a number: `Annotated[float, Between(0, 1)]`; None leaves a side open."""

    low: float | None = None
    high: float | None = None
