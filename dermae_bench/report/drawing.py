"""A figure as one picture: labels on the left, lines of images beside them, a gap between bands."""

from __future__ import annotations

import textwrap
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dermae_bench.report.escape import visible
from dermae_bench.report.html import chart_files
from dermae_bench.report.html.png import png, strip
from dermae_bench.report.records import Boards, Figure, published

LEAST_SIDE = 64
"""Pixels; smaller images are enlarged by whole factors, without smoothing."""
LETTERS = 28
"""Characters of a label in one line of text."""
LONGEST_LABEL = 200
TEXT_HEIGHT = 12
MARGIN, LINE_GAP, BAND_GAP = 8, 3, 14


def pictures(boards: Boards) -> dict[str, bytes]:
    """File name -> bytes: `figures/NAME.png` or `.svg`, and beside each its caption as text; equal for equal boards."""
    grids = {
        f"figures/{figure.name}{ending}": data
        for figure in published(boards).figures
        if figure.rows
        for ending, data in drawn(figure).items()
    }
    return {**grids, **chart_files(boards)}


def drawn(figure: Figure) -> dict[str, bytes]:
    """Ending of the file -> bytes: the picture, and its caption as text."""
    return {".png": png(picture(figure)), ".txt": caption(figure).encode()}


def caption(figure: Figure) -> str:
    """Title, caption and the lines of the picture from top to bottom."""
    lines = [f"  {number}. {visible(label)}" for number, (label, _) in enumerate(figure.rows, start=1)]
    text = textwrap.fill(visible(figure.caption, 4000), 100, break_long_words=False, break_on_hyphens=False)
    return "\n".join([visible(figure.title), "", text, "", "Lines from top to bottom:", *lines, ""])


def picture(figure: Figure) -> NDArray[np.uint8]:
    """uint8 (H, W, 3). Large images are averaged down as in `strip`, small ones enlarged to `LEAST_SIDE`."""
    bands = figure.bands or ("",) * len(figure.rows)
    lines, labels = [], []
    for label, images in figure.rows:
        joined, side = strip(images)
        factor = max(1, -(-LEAST_SIDE // side))
        lines.append(joined.repeat(factor, axis=0).repeat(factor, axis=1))
        labels.append(_text(label))
    wide = max(text.shape[1] for text in labels) + 2 * MARGIN
    heights = [max(line.shape[0], text.shape[0]) for line, text in zip(lines, labels, strict=True)]
    gaps = [0, *(LINE_GAP if before == band else BAND_GAP for before, band in pairwise(bands))]
    canvas = np.full(
        (sum(heights) + sum(gaps) + 2 * MARGIN, wide + max(line.shape[1] for line in lines) + MARGIN, 3), 255, np.uint8
    )
    top = MARGIN
    for line, text, height, gap in zip(lines, labels, heights, gaps, strict=True):
        top += gap
        canvas[top : top + line.shape[0], wide : wide + line.shape[1]] = line
        down = top + (height - text.shape[0]) // 2
        canvas[down : down + text.shape[0], MARGIN : MARGIN + text.shape[1]] = text
        top += height
    return canvas


def _text(label: str) -> NDArray[np.uint8]:
    """uint8 (h, w, 3): black on white, in the bitmap font that Pillow carries, which is equal everywhere."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default_imagefont()
    # the font has no other letters
    plain = visible(label, LONGEST_LABEL).encode("latin-1", "replace").decode("latin-1")
    lines = textwrap.wrap(plain, LETTERS) or [""]
    width = max(int(font.getbbox(line)[2]) for line in lines) or 1
    image = Image.new("L", (width, TEXT_HEIGHT * len(lines)), 255)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((0, TEXT_HEIGHT * number), line, fill=0, font=font)
    return np.repeat(np.asarray(image)[:, :, None], 3, axis=2)
