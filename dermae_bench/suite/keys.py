"""What a key is made of besides the suite: sources, library versions, content digests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dermae_bench.durable import digest_file, digest_of
from dermae_bench.plugin.catalog import Card, Catalog
from dermae_bench.plugin.checking import paths_in
from dermae_bench.store.contents import Contents
from dermae_bench.store.environment import major_minor
from dermae_bench.suite.stage import KEY_VERSION

PACKAGE = Path(__file__).parent.parent
_SCALARS = frozenset({str, int, float, bool, type(None)})

SHARED = (
    "execute/stages/common.py",
    "execute/stages/outputs.py",
    "plugin/images.py",
    "plugin/data.py",
    "plugin/weights.py",
    "plugin/unpickling.py",
    "scoring/choosing.py",
    "scoring/labels.py",
)
"""Harness sources that decide how any stage reads images and labels."""

HARNESS: Mapping[str, tuple[str, ...]] = {
    "prepare": (
        "execute/stages/prepare.py",
        "execute/blocks.py",
        "plugin/decode.py",
        "plugin/jpeg.py",
        "plugin/png.py",
        "plugin/unreadable.py",
        "plugin/splits.py",
    ),
    "train": (
        "execute/stages/train.py",
        "execute/stages/captions.py",
        "execute/stages/teaching.py",
        "execute/stages/logits.py",
        "execute/run.py",
        "execute/state.py",
        "execute/finite.py",
        "execute/steps.py",
        "execute/averaging.py",
        "plugin/contracts.py",
        "plugin/given.py",
        "plugin/noise.py",
        "plugin/schedules.py",
        *SHARED,
    ),
    "sample": (
        "execute/stages/sample.py",
        "execute/stages/captions.py",
        "execute/blocks.py",
        "execute/steps.py",
        "plugin/noise.py",
        "plugin/contracts.py",
        "plugin/given.py",
        *SHARED,
    ),
    "extract": (
        "execute/stages/extract.py",
        "execute/stages/finetuned.py",
        "execute/blocks.py",
        "plugin/extractor.py",
        "plugin/moments.py",
        *SHARED,
    ),
    "predict": (
        "execute/stages/predict.py",
        "execute/stages/logits.py",
        "execute/blocks.py",
        "scoring/deriving.py",
        "plugin/contracts.py",
        "plugin/given.py",
        *SHARED,
    ),
    "score": (
        "execute/stages/score.py",
        "execute/stages/extract.py",
        "execute/blocks.py",
        "plugin/measures.py",
        "plugin/moments.py",
        "scoring/deriving.py",
        "scoring/predictions.py",
        "scoring/records.py",
        "scoring/resampling.py",
        "scoring/samples.py",
        "scoring/subgroups.py",
        "statistics/bootstrap.py",
        *SHARED,
    ),
    "cost": ("execute/stages/cost.py", "plugin/flops.py", "plugin/contracts.py"),
}
"""Kind -> the harness's own sources that decide its result; editing another file makes nothing stale."""

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "prepare": ("torchvision", "numpy"),
    "train": ("torch", "torchvision", "numpy"),
    "sample": ("torch", "torchvision", "numpy"),
    "extract": ("torch", "torchvision", "numpy"),
    "predict": ("torch", "torchvision", "numpy"),
    "score": ("numpy",),
    "cost": ("torch", "fvcore"),
}


@cache
def harness_digests(kind: str) -> Mapping[str, str]:
    """File of the harness -> digest, for one kind of stage."""
    return {name: digest_file(PACKAGE / name)[:16] for name in HARNESS[kind]}


@cache
def _version(distribution: str) -> str:
    return major_minor(distribution)


class Identities:
    """Turns params and plugin names into what a key may hold."""

    def __init__(self, catalog: Catalog, contents: Contents) -> None:
        self.catalog = catalog
        self.contents = contents

    def params(self, value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """`value` with every path replaced by the digest of what lies there.

        Raises:
            DataMissing: a path that is given names nothing.
        """
        hashed: Any = _copied(value)
        paths = [(place, kind, Path(text).expanduser()) for place, kind, text in paths_in(value, schema)]
        named = [path for _, _, path in paths]
        for place, kind, path in paths:
            digest = self.contents.folder(path, named) if kind == "folder" else self.contents.file(path)
            holder = hashed
            for step in place[:-1]:
                holder = holder[step]
            holder[place[-1]] = {"sha256": digest}
        return dict(hashed)

    @staticmethod
    def absolute(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """`value` with every path made absolute: attempts have a working folder of their own."""
        found: Any = _copied(value)
        for place, _, text in paths_in(value, schema):
            holder = found
            for step in place[:-1]:
                holder = holder[step]
            holder[place[-1]] = str(Path(text).expanduser().absolute())
        return dict(found)

    def parts(
        self, kind: str, work: Mapping[str, Any], plugins: Iterable[Card], inputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """Everything a key is the digest of; `work` already holds digests in place of paths."""
        cards = list(plugins)
        libraries = {name for card in cards for name in card.libraries} | set(LIBRARIES[kind])
        return {
            "version": KEY_VERSION,
            "kind": kind,
            "work": _copied(work),
            "plugins": {card.name: card.digest[:16] for card in cards},
            "libraries": {name: _version(name) for name in sorted(libraries)},
            "harness": dict(harness_digests(kind)),
            "inputs": dict(inputs),
        }

    def facts(self, name: str, hashed: Mapping[str, Any]) -> str:
        """What the tasks of a dataset depend on, besides its source."""
        return digest_of([name, hashed])


def _copied(value: Any) -> Any:
    # most values are scalars, and asking for an abstract class is slow
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return {str(key): _copied(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(inner) for inner in value]
    return value
