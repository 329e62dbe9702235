"""PNG by Pillow, checked by its checksums first.

torchvision 0.29 ends the whole process with a segmentation fault when the compressed data of a PNG are corrupt.
"""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from dermae_bench.plugin.unreadable import UnreadableImage, last_line

if TYPE_CHECKING:
    from torch import Tensor

PNG = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 100_000
"""Of one PNG; 50 MPix of 16 bits in the usual pieces of 8 KiB are 50,000."""


def png(data: bytes) -> Tensor:
    """uint8 RGB (3, H, W) of a PNG whose header was checked.

    Raises:
        UnreadableImage: truncated, corrupt, animated, or transparent.
    """
    import torch
    from PIL import Image, ImageOps

    _check_chunks(data)
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as opened:
            opened.load()
            # Pillow carries 16-bit grey as such and would clip it to 255 on conversion.
            deep = opened.mode.startswith("I")
            image = Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8)) if deep else opened
            clear = image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] != 255
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (damaged text chunks and EXIF lead Pillow to errors of every kind)
        raise UnreadableImage(f"is a corrupt PNG ({last_line(str(error))})") from None
    if clear:
        raise UnreadableImage("has transparent pixels, whose colour is not defined")
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _check_chunks(data: bytes) -> None:
    """Every chunk whole and with the right CRC, up to the end chunk: Pillow alone lets changed pixels pass."""
    at, kind, count = len(PNG), b"", 0
    while kind != b"IEND":
        count += 1
        if count > MAX_CHUNKS:
            raise UnreadableImage(f"is a PNG of more than {MAX_CHUNKS} chunks")
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or at + 12 > len(data):
            raise UnreadableImage("is a truncated PNG")
        kind = data[at + 4 : at + 8]
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise UnreadableImage(f"is a corrupt PNG (wrong checksum of chunk {kind!r})")
        if kind == b"acTL" and int.from_bytes(data[at + 8 : at + 12], "big") > 1:
            raise UnreadableImage("is an animated PNG, not one picture")
        at = end
