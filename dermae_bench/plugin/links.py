"""Symbolic links in data: followed only into what the suite names, and into the roots that the user declared."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOTS = "DERMAE_BENCH_DATA_ROOTS"
"""Variable with declared roots, separated as in PATH; `--data-root` sets it, and attempts inherit it."""


def declared_roots() -> tuple[Path, ...]:
    """Folders that links in data may lead into, besides what the suite names."""
    return tuple(Path(root).expanduser() for root in os.environ.get(ROOTS, "").split(os.pathsep) if root)


def declare_roots(roots: Sequence[Path]) -> None:
    """Declare roots for this process and those that it starts."""
    if roots:
        os.environ[ROOTS] = os.pathsep.join(str(root.expanduser().absolute()) for root in roots)


def leads_out(path: str | Path, roots: Iterable[Path]) -> str | None:
    """Why `path` may not be read: where its links lead; None where that is inside `roots` or a declared root.

    Args:
        path: a file or folder below one of `roots`; the roots themselves may be links.
        roots: what the suite names. A file is a root for itself alone.
    """
    real = os.path.realpath(path)
    for root in (*roots, *declared_roots()):
        inside = os.path.realpath(root)
        if real == inside or real.startswith(inside.rstrip("/") + "/"):
            return None
    last = ascii(Path(real).name or "/")
    return f"is a link that leads to {last}, outside of the data; allow its folder with --data-root DIR"
