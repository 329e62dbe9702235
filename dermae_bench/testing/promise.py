"""One promise of a plugin and what became of it; words between the kit and its process. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

ASKED, TOLD = "ask.json", "told.jsonl"
"""Files in the folder of a process that checks a plugin: what is asked, and what it tells line by line."""
IMPORTING = "importing it"
"""Stands for a promise while the plugin is being imported."""


@dataclass(frozen=True)
class Check:
    """One promise, and why it is broken (None if it is kept)."""

    name: str
    reason: str | None
    skipped: str | None = None
    """Why it could not be tried; then it is neither kept nor broken."""
