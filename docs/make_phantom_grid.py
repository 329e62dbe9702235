"""Draw `docs/phantom.png`: one row a class, eight lesions each, at 128 px.

python docs/make_phantom_grid.py [SIDE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig
from dermae_bench.builtin.datasets.phantom_truth import CLASSES

COLUMNS = 8


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 128
    dataset = Phantom(PhantomConfig(images=2000))
    examples = dataset.examples()
    probabilities = dataset.bayes(examples)
    rows = []
    for name in CLASSES:
        sure = probabilities[:, CLASSES.index(name)] > 0.5
        wanted = [e for e, yes in zip(examples, sure, strict=True) if yes and e.label == name and e.id.endswith("-0")]
        rows.append(np.concatenate([dataset.image(e, side) for e in wanted[:COLUMNS]], axis=2))
    grid = np.concatenate(rows, axis=1).transpose(1, 2, 0)
    target = Path(__file__).with_name("phantom.png" if side == 128 else f"phantom-{side}.png")
    # A fitted palette without dithering keeps the file small and the blue of the veils blue.
    Image.fromarray(grid).quantize(96, kmeans=1, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB, rows {' '.join(CLASSES)}")  # noqa: T201


if __name__ == "__main__":
    main()
