"""What no image may be, whatever its format: the limits, and the one error with the reason."""

from __future__ import annotations

import re

MAX_PIXELS = 50_000_000
"""Larger images are refused from their header, before memory is asked for."""
MAX_BYTES = 512 * 1024 * 1024
"""No picture of 50 MPix needs more; a larger file is not read into memory."""
HEADER_BYTES = 1024 * 1024
"""How much of a file `inspect` reads: the frame header follows the embedded profiles and thumbnails."""


class UnreadableImage(ValueError):
    """A file that is not a sound JPEG or PNG of at most 50 MPix; `str()` is the reason, without the path."""


def check_area(width: int, height: int) -> None:
    """Refuse a picture by the size that its header states.

    Raises:
        UnreadableImage: nothing, or more than `MAX_PIXELS`.
    """
    if width < 1 or height < 1:
        raise UnreadableImage(f"states a size of {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"has {width} x {height} pixels, more than {MAX_PIXELS // 10**6} MPix")


def last_line(text: str) -> str:
    """The fact in what a library says."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    # torchvision begins with the place in its source
    return re.sub(r"^\S+\.cpp:\d+, ", "", lines[-1])[-120:] if lines else "no reason given"
