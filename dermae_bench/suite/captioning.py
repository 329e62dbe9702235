"""Captions of the suite as stages read them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dermae_bench.errors import DataMissing
from dermae_bench.suite.missing import Missing

if TYPE_CHECKING:
    from dermae_bench.suite.plan import Planner


def captions_of(
    plan: Planner, generator: str, own: str | None = None
) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """What is said of the images of a generator that reads captions, with paths and with digests for them.

    The latter is None where the file is missing.

    Args:
        own: other captions to ask for than those that it was fitted with.
    """
    name = own or plan.suite.generators[generator].captions
    if name is None:
        return None
    spec = plan.suite.captions[name]
    about = {**asdict(spec), "words": dict(spec.words), "task": spec.task or plan.suite.generators[generator].task}
    if spec.file is None:
        return about, about
    hashed: dict[str, Any] | None = None
    try:
        hashed = {**about, "file": {"sha256": plan.identities.contents.file(Path(spec.file).expanduser())}}
    except DataMissing as error:
        plan.absent.append(Missing(str(error), Path(spec.file).expanduser().absolute()))
    return {**about, "file": str(Path(spec.file).expanduser().absolute())}, hashed
