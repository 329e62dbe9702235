"""Real images that stand behind a training set through its generated ones alone.

A generator hands on what it learnt. Where it was fitted on more real images than a row has, the row's samples are no
gain from these real images, and its control, which has these real images alone, does not see the others either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dermae_bench.suite.behind import behind_images
from dermae_bench.suite.places import SPLITS, texts

Part = tuple[str, Mapping[str, Any] | None]
"""(split, what is chosen of it); None for all of it."""
_AMOUNTS = ("fraction", "count", "per_class")


def handed_on(suite: Mapping[str, Any], train: str | Sequence[str]) -> list[str]:
    """A mark for each generator of a training set that learnt from real images which the set itself does not hold.

    A set without any real image has none: it says so itself.

    Args:
        suite: normalised JSON of the suite.
        train: an image set or a list of them.
    """
    train = train if isinstance(train, str) else list(train)
    own = list(_real(suite, train))
    if not own:
        return []
    marks = []
    for name in sorted(behind_images(suite, train)[1]):
        images = (suite["generators"].get(name) or {}).get("images")
        more = [_said(part) for part in _real(suite, images) if not any(_holds(held, part) for held in own)]
        if more:
            marks.append(f"behind its samples: {name} learnt from {', '.join(dict.fromkeys(more))}")
    return marks


def _real(suite: Mapping[str, Any], names: Any) -> Iterator[Part]:
    """The real parts that image sets are made of."""
    todo, seen = [name for _, name in texts(names, ())], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in SPLITS:
            yield name, None
            continue
        entry = suite["image_sets"].get(name)
        parts: Sequence[Any] = entry if isinstance(entry, list) else [entry]
        for part in parts:
            if isinstance(part, str):
                todo.append(part)
            elif isinstance(part, Mapping) and isinstance(part.get("from"), str):
                yield part["from"], {key: value for key, value in part.items() if key != "from"}


def _holds(held: Part, part: Part) -> bool:
    """Whether all images of `part` are among those of `held`; a larger choice holds every smaller one of its kind."""
    (split, chosen), (other, asked) = held, part
    if split != other or chosen is None:
        return split == other
    if asked is None or {k: v for k, v in chosen.items() if k not in _AMOUNTS} != {
        k: v for k, v in asked.items() if k not in _AMOUNTS
    }:
        return False
    amounts = [(chosen.get(name), asked.get(name)) for name in _AMOUNTS]
    return all((one is None) == (two is None) and (one is None or one >= two) for one, two in amounts)


def _said(part: Part) -> str:
    split, chosen = part
    return f"all of {split}" if chosen is None else f"another part of {split}"
