"""Contact sheets of flips: the photographs themselves, which no results folder may hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dermae_bench.durable import digest_of, replacing
from dermae_bench.errors import StorageError, UserError
from dermae_bench.report.compare.flips import Flip, Flips
from dermae_bench.report.compare.recorded import RECORDS, Results
from dermae_bench.report.escape import visible
from dermae_bench.report.evidence import FILE, VERIFY
from dermae_bench.store.artifacts import Store
from dermae_bench.store.index import KEY

REAL = "real-images"
"""The only name of a folder inside a results folder that may hold photographs; git leaves it alone."""
MOST = 60
"""Images of one sheet, those of the largest change."""
ACROSS = 6
SIDE = 160
"""Pixels; images are scaled to it by whole factors, as far as that goes."""
LINE, LINES, GAP = 13, 3, 8


def refuse_public(folder: Path) -> None:
    """Photographs of people's skin never lie in a folder that is made to be published.

    Raises:
        UserError: `folder` lies in a results folder, or is one, and is not called `real-images`.
    """
    whole = folder.resolve()
    for outer in (whole, *whole.parents):
        if not any((outer / name).is_file() for name in (FILE, RECORDS)):
            continue
        below = whole.relative_to(outer).parts
        if REAL not in below:
            raise UserError(
                f"{folder} lies in the results folder {outer.name}, which is made to be published, and flips show "
                "photographs of the data set",
                hint=f"name a folder elsewhere, or {outer.name}/{REAL}, which git leaves alone",
            )


class Pixels:
    """The prepared images of one data set of a results folder, from the store beside it.

    Args:
        on: the data set that was scored on, under `evaluate_on`; "" for the suite's own.

    Raises:
        UserError: they are not there, or are not those that the results were made from.
        Damaged: their files are not what the store wrote.
    """

    def __init__(self, results: Results, on: str = "") -> None:
        import pyarrow.parquet as pq

        about = results.evidence.others.get(on, {}) if on else results.evidence.prepared
        key, split, data = (about.get(name) for name in ("key", "split_digest", "data"))
        if not isinstance(key, str) or KEY.fullmatch(key) is None:
            # it becomes part of a path, and whoever wrote the folder chose it
            raise UserError(f"{results.folder / FILE} names no prepared data by a key", hint=VERIFY)
        store = Store(results.folder.resolve().parent / "store")
        if not store.has("prepare", key):
            raise UserError(
                f"the pixels are not in the store beside {results.folder}: no prepare/{key}",
                hint="run the suite here, or list the flips without pictures: --flips 20",
            )
        folder, manifest = store.checked("prepare", key, ("images.npy", "table.parquet"))
        found = digest_of([manifest.files["images.npy"]["sha256"], split])[:16]
        if found != data:
            raise UserError(
                f"the pixels in the store differ from those of {results.folder}: {found}, not {visible(str(data), 40)}",
                hint=VERIFY,
            )
        ids = pq.read_table(folder / "table.parquet", columns=["id"], use_threads=False).column("id").to_pylist()
        self._place = {image: row for row, image in enumerate(ids)}
        self._images = np.load(folder / "images.npy", mmap_mode="r")
        self._of = results.folder

    def __getitem__(self, image: str) -> NDArray[np.uint8]:
        """uint8 (S, S, 3).

        Raises:
            UserError: the data have no image of that name.
        """
        if image not in self._place:
            raise UserError(
                f"{self._of} has answers to {visible(image, 60)}, which is no image of its data", hint=VERIFY
            )
        return np.ascontiguousarray(self._images[self._place[image]].transpose(1, 2, 0))


def write_sheets(found: Flips, name: str, pixels: Pixels, folder: Path) -> list[Path]:
    """One PNG a direction, only where there are flips; returns what was written.

    Raises:
        StorageError: the folder cannot be written.
    """
    written = []
    for way, listed in (("a-right-b-wrong", found.lost), ("b-right-a-wrong", found.won)):
        if not listed:
            continue
        path = folder / f"{_slug(name)}--{way}.png"
        picture = sheet(listed[:MOST], pixels)
        try:
            with replacing(path, durable=False) as temporary:
                picture.save(temporary, format="PNG")
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
        written.append(path)
    return written


def sheet(listed: Sequence[Flip], pixels: Pixels) -> Any:
    """A PIL image: each photograph with its id, its label, and both answers under it."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default_imagefont()
    across = min(ACROSS, len(listed))
    wide, high = SIDE + GAP, SIDE + LINES * LINE + GAP
    page = Image.new("RGB", (across * wide + GAP, -(-len(listed) // across) * high + GAP), "white")
    draw = ImageDraw.Draw(page)
    for number, flip in enumerate(listed):
        left, top = GAP + number % across * wide, GAP + number // across * high
        page.paste(_scaled(pixels[flip.id]), (left, top))
        change = f"p {flip.confidence_a:.2f} > {flip.confidence_b:.2f}"
        texts = (flip.id, f"is {flip.label}  {change}", f"A {flip.a}  B {flip.b}")
        for line, text in enumerate(texts):
            # the font has no other letters
            plain = text.encode("latin-1", "replace").decode("latin-1")
            draw.text((left, top + SIDE + 2 + line * LINE), plain[: SIDE // 6], fill="black", font=font)
    return page


def _scaled(image: NDArray[np.uint8]) -> Any:
    """Fits into SIDE: small images without smoothing, so that they show what a network saw."""
    from PIL import Image

    picture = Image.fromarray(image)
    side = image.shape[0]
    if side <= SIDE:
        factor = SIDE // side
        return picture.resize((side * factor, side * factor), Image.Resampling.NEAREST)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _slug(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", name).strip("-") or "rows"
