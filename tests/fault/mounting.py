"""Small file systems of their own, where this process may mount them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A tmpfs at `place`, e.g. with ``size=64k``; the test is skipped, with the reason, where none can be had."""
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root may mount a small file system")
    place.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, options: str) -> None:
    """Change the size of a mounted one, or whether it may be written."""
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True, capture_output=True)
