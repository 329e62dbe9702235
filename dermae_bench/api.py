"""THE face of dermae-bench: every name that a plugin may import, resolved when it is first used.

Importing this module imports nothing else (PEP 562), so a dataset or a metric that needs no torch costs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dermae_bench.bounded.texts import read_csv as read_csv
    from dermae_bench.errors import BenchError as BenchError
    from dermae_bench.errors import DataError as DataError
    from dermae_bench.errors import DataMissing as DataMissing
    from dermae_bench.errors import InvalidOutput as InvalidOutput
    from dermae_bench.errors import PluginError as PluginError
    from dermae_bench.plugin.contracts import Batch as Batch
    from dermae_bench.plugin.contracts import Classifier as Classifier
    from dermae_bench.plugin.contracts import Conditions as Conditions
    from dermae_bench.plugin.contracts import CostUnit as CostUnit
    from dermae_bench.plugin.contracts import Generator as Generator
    from dermae_bench.plugin.contracts import Joint as Joint
    from dermae_bench.plugin.contracts import Model as Model
    from dermae_bench.plugin.contracts import Pretrainer as Pretrainer
    from dermae_bench.plugin.contracts import Run as Run
    from dermae_bench.plugin.data import SPLITS as SPLITS
    from dermae_bench.plugin.data import Dataset as Dataset
    from dermae_bench.plugin.data import Example as Example
    from dermae_bench.plugin.data import Task as Task
    from dermae_bench.plugin.decode import read_images as read_images
    from dermae_bench.plugin.extractor import Extractor as Extractor
    from dermae_bench.plugin.flops import count_macs as count_macs
    from dermae_bench.plugin.flops import count_macs_fvcore as count_macs_fvcore
    from dermae_bench.plugin.given import GivenAnswers as GivenAnswers
    from dermae_bench.plugin.given import GivenImages as GivenImages
    from dermae_bench.plugin.hookspecs import hookimpl as hookimpl
    from dermae_bench.plugin.images import RESIZE_PROTOCOL as RESIZE_PROTOCOL
    from dermae_bench.plugin.images import ImageSet as ImageSet
    from dermae_bench.plugin.images import from_uint8 as from_uint8
    from dermae_bench.plugin.images import resize as resize
    from dermae_bench.plugin.images import to_uint8 as to_uint8
    from dermae_bench.plugin.links import leads_out as leads_out
    from dermae_bench.plugin.measures import Column as Column
    from dermae_bench.plugin.measures import Comparison as Comparison
    from dermae_bench.plugin.measures import CostMetric as CostMetric
    from dermae_bench.plugin.measures import Features as Features
    from dermae_bench.plugin.measures import PredictionMetric as PredictionMetric
    from dermae_bench.plugin.measures import Predictions as Predictions
    from dermae_bench.plugin.measures import SampleMetric as SampleMetric
    from dermae_bench.plugin.moments import moments as moments
    from dermae_bench.plugin.noise import Noise as Noise
    from dermae_bench.plugin.noise import seed_of as seed_of
    from dermae_bench.plugin.params import Between as Between
    from dermae_bench.plugin.params import File as File
    from dermae_bench.plugin.params import Folder as Folder
    from dermae_bench.plugin.schedules import constant as constant
    from dermae_bench.plugin.schedules import cosine as cosine
    from dermae_bench.plugin.schedules import schedule as schedule
    from dermae_bench.plugin.splits import SplitRule as SplitRule
    from dermae_bench.plugin.splits import divided_groups as divided_groups
    from dermae_bench.plugin.splits import lesion_grouped as lesion_grouped
    from dermae_bench.plugin.splits import split_rule as split_rule
    from dermae_bench.plugin.weights import load_weights as load_weights
    from dermae_bench.plugin.weights import state_digest as state_digest

_HOMES = {
    "bounded.texts": ("read_csv",),
    "errors": ("BenchError", "DataError", "DataMissing", "InvalidOutput", "PluginError"),
    "plugin.contracts": (
        "Batch", "Classifier", "Conditions", "CostUnit", "Generator", "Joint", "Model", "Pretrainer", "Run",
    ),
    "plugin.data": ("SPLITS", "Dataset", "Example", "Task"),
    "plugin.decode": ("read_images",),
    "plugin.extractor": ("Extractor",),
    "plugin.flops": ("count_macs", "count_macs_fvcore"),
    "plugin.given": ("GivenAnswers", "GivenImages"),
    "plugin.hookspecs": ("hookimpl",),
    "plugin.images": ("RESIZE_PROTOCOL", "ImageSet", "from_uint8", "resize", "to_uint8"),
    "plugin.links": ("leads_out",),
    "plugin.measures": (
        "Column", "Comparison", "CostMetric", "Features", "PredictionMetric", "Predictions", "SampleMetric",
    ),
    "plugin.moments": ("moments",),
    "plugin.noise": ("Noise", "seed_of"),
    "plugin.params": ("Between", "File", "Folder"),
    "plugin.schedules": ("constant", "cosine", "schedule"),
    "plugin.splits": ("SplitRule", "divided_groups", "lesion_grouped", "split_rule"),
    "plugin.weights": ("load_weights", "state_digest"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605 (a list, built from the one table above)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"dermae_bench.api has no name {name!r}")
    return getattr(import_module(f"dermae_bench.{home}"), name)


def __dir__() -> list[str]:
    return list(__all__)
