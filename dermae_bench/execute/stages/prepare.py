"""Decode and resize every image of a dataset once, check what can be checked, and write down who is in which split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.durable import encodable
from dermae_bench.errors import DataError, InvalidOutput
from dermae_bench.execute.blocks import Block, Blocks
from dermae_bench.execute.stages.common import StageContext, Table
from dermae_bench.plugin.data import SPLITS, Dataset, Example, Task
from dermae_bench.plugin.decode import find_duplicates, read_image
from dermae_bench.plugin.images import RESIZE_PROTOCOL
from dermae_bench.plugin.splits import SplitSummary, divided_groups, summarise

MOST_VALUES = 30
"""Values of an attribute that are counted in the summary."""
BLOCK, BLOCK_BYTES = 512, 64 * 1024 * 1024
"""Images of a block at most, and the bytes that it has about."""
FEW_AT_ONCE = 16
"""Images in memory while they are decoded."""
FEW = 10
"""A class with fewer test images is named in a warning."""


def prepare(context: StageContext) -> dict[str, Any]:
    """images.npy: uint8 (N, 3, S, S); table.parquet: id, group, split, label, caption, attributes.

    Raises:
        DataError: everything that is wrong with the images or the splits, by name.
    """
    work = context.work
    dataset: Dataset = context.configured(work["plugin"], work["params"])
    size = int(dataset.config.image_size)
    context.phase = "reading the table"
    tasks = list(type(dataset).tasks(dataset.config))
    examples = list(dataset.examples())
    only = work.get("only")
    _check_examples(examples, tasks[0], dataset.leaky, SPLITS if only is None else (only,))
    if only is not None:
        examples = [example for example in examples if example.split == only]
    context.phase = "decoding"
    blocks, bad = _decode(context, dataset, examples, size)
    context.phase = "writing"
    keep = np.array([position not in bad for position in range(len(examples))])
    blocks.join(context.out / "images.npy", keep if bad else None)
    kept = [example for example, sound in zip(examples, keep, strict=True) if sound]
    labels = [tasks[0].classes.index(example.label) for example in kept]
    names = sorted({name for example in kept for name in example.attributes})
    columns: dict[str, Any] = {
        "id": [e.id for e in kept],
        "group": [e.group for e in kept],
        "split": [e.split for e in kept],
        "label": labels,
    }
    if any(e.caption is not None for e in kept):
        columns["caption"] = [e.caption or "" for e in kept]
    columns |= {f"attribute.{name}": [e.attributes.get(name) for e in kept] for name in names}
    Table.write(context.out / "table.parquet", columns)
    split = summarise(kept, dataset.split_rule, dataset.leaky, tasks[0].classes)
    return {
        "tasks": [asdict(task) for task in tasks],
        "size": size,
        "n": len(kept),
        "counts": split.classes,
        "split_rule": split.rule,
        "split_digest": split.digest,
        "split": asdict(split),
        "leaky": split.leaky,
        "resize": RESIZE_PROTOCOL if any(e.source is not None for e in kept) else "drawn at size",
        "skipped": sorted(bad.values()),
        "attributes": {name: _values([e.attributes.get(name) for e in kept]) for name in names},
        "warnings": _warnings(split),
    }


def _values(values: Sequence[str | float | None]) -> dict[str, Any]:
    """What an attribute holds: images of each name (the most frequent first), or the range of a number."""
    known = [value for value in values if value is not None]
    unknown = len(values) - len(known)
    if known and not any(isinstance(value, str) for value in known):
        numbers = [float(value) for value in known]
        return {"lowest": min(numbers), "highest": max(numbers), "unknown": unknown}
    counted = Counter(str(value) for value in known).most_common(MOST_VALUES)
    return {"images": dict(counted), "values": len(set(known)), "unknown": unknown}


def _check_examples(examples: Sequence[Example], root: Task, leaky: str | None, needed: Sequence[str] = SPLITS) -> None:
    if not examples:
        raise DataError("the dataset has no images")
    problems = [
        f"{name}: the id stands {count} times" for name, count in Counter(e.id for e in examples).items() if count > 1
    ]
    problems += [f"{e.id}: unknown class {e.label!r}" for e in examples if e.label not in root.classes]
    problems += [f"{e.id}: unknown split {e.split!r}" for e in examples if e.split not in SPLITS]
    divided = divided_groups(examples) if leaky is None else {}
    problems += [f"group {group}: divided between {' and '.join(splits)}" for group, splits in divided.items()]
    problems += [f"split {split!r} has no images" for split in needed if not any(e.split == split for e in examples)]
    if problems:
        hint = "a group lies in one split, unless the dataset states why not: `leaky: REASON`" if divided else None
        raise DataError(f"{len(problems)} problems in the dataset's table", problems, hint=hint)


def _decode(
    context: StageContext, dataset: Dataset, examples: Sequence[Example], size: int
) -> tuple[Blocks, dict[int, str]]:
    """The pixels of every example, and which cannot be used and why; there are at most as many as `skip: N` allows."""
    files = [e.source for e in examples if e.source is not None]
    problems = [f"{a.name} and {b.name}: the same bytes under two names" for a, b in find_duplicates(files)]
    image_bytes = 3 * size * size
    blocks = Blocks(
        context.folder / "blocks",
        "images",
        context.spec["key"],
        rows=len(examples),
        size=max(1, min(BLOCK, BLOCK_BYTES // image_bytes)),
        row=(3, size, size),
        dtype=np.uint8,
        stop=context.stop,
        hold=context.hold,
    )
    blocks.fill(lambda block, first: _pixels(context, dataset, examples, size, block, first))
    bad = {int(position): why for block in blocks.blocks for position, why in block.facts.get("bad", {}).items()}
    allowed = int(getattr(dataset.config, "skip", 0))
    if problems or len(bad) > allowed:
        for block in blocks.blocks:
            if block.facts.get("bad"):
                # what could not be read may be readable next time
                blocks.drop(block)
        problems += bad.values()
        hint = f"mend them, or state `skip: {len(bad)}` in the dataset's params" if bad else "remove one of each pair"
        raise DataError(f"{len(problems)} images cannot be used", problems, hint=hint)
    return blocks, bad


def _pixels(
    context: StageContext, dataset: Dataset, examples: Sequence[Example], size: int, block: Block, start: int
) -> Iterator[NDArray[np.uint8]]:
    """The pixels of a block from `start` on, a few at a time; those of an unusable image are 0."""
    for first in range(start, block.last, FEW_AT_ONCE):
        last = min(first + FEW_AT_ONCE, block.last)
        context.status(first, len(examples), "images")
        pixels = np.zeros((last - first, 3, size, size), dtype=np.uint8)
        for position in range(first, last):
            example = examples[position]
            drawn = dataset.image(example, size)
            if drawn is not None:
                if drawn.dtype != np.uint8 or drawn.shape != (3, size, size):
                    raise InvalidOutput(f"{example.id}: the dataset drew {drawn.dtype} {drawn.shape}, not uint8 RGB")
                pixels[position - first] = drawn
                continue
            try:
                if example.source is None:
                    raise ValueError("has neither a file nor pixels")
                pixels[position - first] = read_image(example.source, size)
            except (ValueError, OSError) as error:
                bad = block.facts.setdefault("bad", {})
                bad[str(position)] = encodable(f"{example.id}: {_reason(error, example.source)}")
        yield pixels


def _reason(error: Exception, source: Path | None) -> str:
    # the path stays out of messages that reach a report; the id names the image
    return str(error).replace(str(source), "the file") if source is not None else str(error)


def _warnings(split: SplitSummary) -> list[str]:
    few = [f"{name} ({count})" for name, count in split.classes["test"].items() if count < FEW]
    warnings = [f"fewer than {FEW} test images of: {', '.join(few)}; their scores mean little"] if few else []
    if split.divided:
        told = split.leak or f"{split.divided} groups lie in more than one split"
        warnings.append(f"the split is leaky: {told}")
    elif split.leaky is not None:
        warnings.append("the split states why it is leaky, and divides no group")
    return warnings
