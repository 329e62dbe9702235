"""What a prepared dataset warns of."""

from __future__ import annotations

from dermae_bench.execute.stages.prepare import _warnings
from dermae_bench.plugin.data import Example
from dermae_bench.plugin.splits import SplitSummary, summarise


def summary(*splits: str, leaky: str | None) -> SplitSummary:
    """Two photographs a lesion, in these splits in turn, twenty times over."""
    words = splits * 20
    images = [Example(id=str(i), group=str(i // 2), split=s, label="nv") for i, s in enumerate(words)]  # type: ignore[arg-type]
    return summarise(images, "by hand", leaky, ("nv", "df"))


def test_a_class_with_few_test_images_is_named() -> None:
    (one,) = _warnings(summary("train", "train", "test", "test", leaky=None))
    assert "fewer than 10 test images of: df (0)" in one


def test_a_leak_is_told_in_numbers() -> None:
    _, one = _warnings(summary("train", "test", leaky="by image"))
    assert one == ("the split is leaky: 20 of 20 test images (20 of 20 groups) belong to groups that are in train too")
    # groups that val and test share are a leak as well, though none is in train
    _, one = _warnings(summary("val", "test", "train", "train", leaky="by image"))
    assert one == "the split is leaky: 20 groups lie in more than one split"


def test_a_reason_to_leak_that_nothing_needs_is_told() -> None:
    _, one = _warnings(summary("train", "train", "test", "test", leaky="by image"))
    assert one == "the split states why it is leaky, and divides no group"
