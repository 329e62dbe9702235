"""Splits by the hash of a lesion's id."""

from __future__ import annotations

from collections import Counter

from dermae_bench.plugin.splits import LESION_GROUPED, lesion_grouped


def test_shares_are_as_the_rule_says() -> None:
    counts = Counter(lesion_grouped(f"HAM_{i:07d}") for i in range(20_000))
    assert "70/10/20" in LESION_GROUPED
    for split, share in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        assert abs(counts[split] / 20_000 - share) < 0.01


def test_a_lesion_never_moves() -> None:
    # fixed for ever: a published split depends on it
    expected = ["train", "train", "test", "train", "train", "test"]
    assert [lesion_grouped(str(i)) for i in range(6)] == expected
