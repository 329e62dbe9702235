"""Some images of a real split, by an order that only the names of lesions and a seed decide."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.errors import UserError


def chosen(
    ids: Sequence[str],
    groups: Sequence[str],
    asked: Mapping[str, Any],
    labels: NDArray[np.int64] | None,
    classes: Sequence[str],
    what: str,
) -> NDArray[np.int64]:
    """Ascending positions (n,) of the images that `asked` takes.

    Lesions come in the order of their hashes, and all photographs of one lesion together, so a larger choice holds
    every smaller one, and the last lesion alone may be divided.

    Args:
        asked: {fraction, count, per_class, seed}; one of the first three is not None.
        labels: (N,) positions in `classes`, where `per_class` counts them or `count` is divided among them evenly.
        what: the split, for messages.

    Raises:
        UserError: more images are asked for than there are.
    """

    def place(position: int) -> tuple[bytes, str, str]:
        group = groups[position]
        return hashlib.sha256(f"{asked['seed']}/{group}".encode()).digest(), group, ids[position]

    order = np.array(sorted(range(len(ids)), key=place), dtype=np.int64)
    if labels is not None:
        each, over = divmod(asked["count"] or 0, len(classes))
        numbers = [asked["per_class"] or each + (label < over) for label in range(len(classes))]
        found = [order[labels[order] == label] for label in range(len(classes))]
        few = [(label, len(images)) for label, images in enumerate(found) if len(images) < numbers[label]]
        if few:
            told = ", ".join(f"{classes[label]} has {have} of {numbers[label]}" for label, have in few)
            raise UserError(f"so many images of each class are asked for, but in {what!r} {told}")
        return np.sort(np.concatenate([images[:n] for images, n in zip(found, numbers, strict=True)]))
    wanted = asked["count"] if asked["count"] is not None else round(asked["fraction"] * len(ids))
    if wanted > len(ids):
        raise UserError(f"{wanted:,} images are asked for, but {what!r} has {len(ids):,}")
    if wanted == 0:
        raise UserError(f"a share of {asked['fraction']} of the {len(ids):,} images of {what!r} is none")
    return np.sort(order[:wanted])
