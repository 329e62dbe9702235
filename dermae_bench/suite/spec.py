"""A suite as typed values: what the file says, after every check that needs no plugin.

Field order is the order of the file; `load.py` turns YAML into these and reports every mistake with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from dermae_bench.plugin.params import Between, File

Params = Mapping[str, Any]
"""A plugin's own words; checked against the schema on its card."""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    plugin: str
    """Name of a dataset plugin."""
    params: Params = field(default_factory=dict)
    """Its parameters; `image_size` is the side all images are prepared at."""


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Seeds by role; roles are crossed. A plain list in the file means classifier seeds."""

    generator: tuple[int, ...] = (0,)
    pretrain: tuple[int, ...] = (0,)
    classifier: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much one fit may spend; epochs and images seen are derived."""

    steps: Annotated[int, Between(1)]
    """Items that `run.batches` gives."""
    batch_size: Annotated[int, Between(1)]
    """Images an item."""
    ema: Annotated[float, Between(0, 1)] | None = None
    """Decay of the moving average of the weights; with it, the average is the artifact."""
    clip: Annotated[float, Between(0)] | None = 1.0
    """Largest gradient norm of one optimiser's step; null switches clipping off."""
    select: str = "last"
    """`last`, or `best:<prediction metric>` on `val`."""
    every: Annotated[int, Between(1)] | None = None
    """Steps between validations for `best:`; default a tenth of the steps."""
    checkpoint: Annotated[int, Between(1)] | None = None
    """Steps between checkpoints; default: by time. Changes no result and no key."""
    phases: Mapping[str, int] = field(default_factory=dict)
    """Steps of the parts of a fit with several loops; they must add up to `steps`."""


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec:
    plugin: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class GeneratorSpec:
    plugin: str
    budget: str
    """Name of a budget."""
    images: str | tuple[str, ...] = "train"
    """Image set (or several) it is fitted on."""
    task: str | None = None
    """Whose labels condition it; required for conditional generators."""
    params: Params = field(default_factory=dict)
    sampling: Params = field(default_factory=dict)
    """Default sampling of its image sets; an image set's own `sampling:` replaces it."""


@dataclass(frozen=True, kw_only=True)
class SamplesSpec:
    """Generated images as (part of) an image set: exactly one of `count` and `per_class`."""

    samples: str
    """Name of a generator."""
    count: Annotated[int, Between(1)] | None = None
    """How many; a conditional generator's classes follow the training set's shares."""
    per_class: Literal["balance"] | Annotated[int, Between(1)] | None = None
    """So many of each class, or `balance`: as many as each class lacks to the most frequent one in `train`."""
    sampling: Params | None = None


ImagePart = str | SamplesSpec
ImageSetSpec = str | SamplesSpec | tuple[ImagePart, ...]


@dataclass(frozen=True, kw_only=True)
class GeneratorRow:
    """Generators to score, and against what."""

    samples: str | tuple[str, ...]
    count: Annotated[int, Between(2)]
    sampling: Params | None = None
    against: str = "train"
    """Real image set the distance is measured to."""


@dataclass(frozen=True, kw_only=True)
class PretrainedSpec:
    plugin: str
    budget: str
    images: str | tuple[str, ...] = "train"
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TeacherSpec:
    classifier: str
    train: str


@dataclass(frozen=True, kw_only=True)
class FromGenerator:
    generator: str
    """Name of a joint generator-classifier whose own predictions make the row."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """Either a plugin with its budget, or `from: {generator: NAME}`."""

    plugin: str | None = None
    budget: str | None = None
    params: Params = field(default_factory=dict)
    init: str | None = None
    """Name under `pretrained:` whose encoder it starts from."""
    teacher: TeacherSpec | None = None
    task: Literal["each"] = "each"
    """Trained once per task; the alternative is `derive:`."""
    derive: str | None = None
    """Train on this task only and reach the others by summing class probabilities through the map."""
    from_: FromGenerator | None = None
    """Written `from:` in the file."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Classifiers crossed with training sets."""

    classifiers: str | tuple[str, ...]
    train: str | tuple[str, ...] = "train"


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    metric: str
    extractor: str | None = None
    """Name under `extractors:`; required by metrics over features."""
    judge: TeacherSpec | None = None
    """Classifier row that reads generated images, for `class-agreement`."""
    params: Params = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A whole suite. Names in one section are unique; `train`, `val` and `test` are always image sets."""

    version: Literal[1]
    suite: str
    """Name of the results folder: lower-case letters, digits, `-`, `_`, `.`."""
    description: str = ""
    dataset: DatasetSpec
    tasks: tuple[str, ...]
    """Tasks that classifiers are trained and scored on."""
    seeds: Seeds = field(default_factory=Seeds)
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: Annotated[int, Between(1)] = 1
    """CPU threads a stage; part of its key, since it changes the last bit."""
    compile: Literal[False] = False
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    extractors: Mapping[str, ExtractorSpec] = field(default_factory=dict)
    generators: Mapping[str, GeneratorSpec] = field(default_factory=dict)
    image_sets: Mapping[str, ImageSetSpec] = field(default_factory=dict)
    generator_rows: tuple[GeneratorRow, ...] = ()
    pretrained: Mapping[str, PretrainedSpec] = field(default_factory=dict)
    classifiers: Mapping[str, ClassifierSpec] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    sample_metrics: tuple[MetricSpec, ...] = ()
    prediction_metrics: tuple[str, ...] = ()
    reference: File | None = None
    """CSV of published rows, shown apart as reported and never ranked with measured ones."""
    presets: Mapping[str, Params] = field(default_factory=dict)
    """Name -> what `--preset NAME` merges deeply over the file."""


RESERVED: Mapping[str, tuple[str, ...]] = {
    "": ("datasets", "evaluate_on", "weights", "captions", "resources"),
    "image_sets.*": ("from", "fraction", "labels"),
    "rows.*": ("sweep", "labels"),
    "extractors.*": ("from",),
}
"""Words kept for what is not built yet, by section: refused with "not yet" instead of "unknown"."""
