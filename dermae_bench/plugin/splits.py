"""Splits by rule, not by chance: the hash of a lesion's id decides, so adding images never moves old ones."""

from __future__ import annotations

import hashlib

from dermae_bench.plugin.data import Split

LESION_GROUPED = "lesion-grouped 70/10/20 by sha256 of the group id"


def lesion_grouped(group: str) -> Split:
    """70 % train, 10 % val, 20 % test of the groups, by the first 8 bytes of SHA-256 of the group's id."""
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    return "train" if position < 0.7 else "val" if position < 0.8 else "test"
