"""A suite as typed values: what the file says, after every check that needs no plugin.

Field order is the order of the file; `load.py` turns YAML into these and reports every mistake with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from dermae_bench.plugin.params import Between, File
from dermae_bench.suite.spec_images import CaptionsSpec as CaptionsSpec
from dermae_bench.suite.spec_images import DatasetSpec as DatasetSpec
from dermae_bench.suite.spec_images import EvaluationSpec as EvaluationSpec
from dermae_bench.suite.spec_images import ImageSetSpec as ImageSetSpec
from dermae_bench.suite.spec_images import Params as Params
from dermae_bench.suite.spec_images import RealSpec as RealSpec
from dermae_bench.suite.spec_images import SamplesSpec as SamplesSpec
from dermae_bench.suite.spec_images import SubgroupSpec as SubgroupSpec
from dermae_bench.suite.spec_limits import Resources as Resources
from dermae_bench.suite.spec_limits import StageResources as StageResources
from dermae_bench.suite.spec_sweep import SweepSpec as SweepSpec


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Seeds by role; roles are crossed. A plain list in the file means classifier seeds."""

    generator: tuple[int, ...] = (0,)
    """Each generator is fitted once a seed, and serves every row."""
    pretrain: tuple[int, ...] = (0,)
    """Seeds of pretrained encoders."""
    classifier: tuple[int, ...] = (0,)
    """Seeds of classifiers; a row shows the mean over them."""


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
class WeightsSpec:
    """A file of weights under a name; a `File` in any `params:` may give the name in place of a path."""

    path: File
    """The file."""
    sha256: str | None = None
    """SHA-256 of its bytes, in hex; another file is an error."""
    licence: str | None = None
    """Under which it may be used; for people."""
    corpora: tuple[str, ...] | None = None
    """Data collections that it was trained on, e.g. ImageNet-1k, ISIC 2019; [] for none, null where it is not known."""


@dataclass(frozen=True, kw_only=True)
class FromClassifier:
    classifier: str
    """Name of a classifier whose plugin gives features."""
    train: str
    """Image set that it is fitted on: real images alone."""
    task: str | None = None
    """Whose classes it learns; the suite's first task if left out."""


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec:
    """Either a plugin, or `from:` a classifier that is fitted on these data: an extractor tuned on the data set."""

    plugin: str | None = None
    """Name of an extractor plugin."""
    params: Params = field(default_factory=dict)
    """Its parameters."""
    from_: FromClassifier | None = None
    """Written `from:` in the file, in place of a plugin: what the last layer of a classifier reads."""


@dataclass(frozen=True, kw_only=True)
class GeneratorSpec:
    plugin: str
    """Name of a generator plugin."""
    budget: str | None = None
    """Name of a budget; images that were made elsewhere have none."""
    images: str | tuple[str, ...] = "train"
    """Image set (or several) it is fitted on."""
    task: str | None = None
    """Whose labels condition it; required for conditional generators."""
    captions: str | None = None
    """Name under `captions:`; required for generators that read captions."""
    params: Params = field(default_factory=dict)
    """Its parameters."""
    sampling: Params = field(default_factory=dict)
    """Default sampling of its image sets; an image set's own `sampling:` replaces it."""


@dataclass(frozen=True, kw_only=True)
class GeneratorRow:
    """Generators to score, and against what."""

    samples: str | tuple[str, ...]
    """Name of a generator, or several; each makes a row."""
    count: Annotated[int, Between(2)]
    """Images to draw from each."""
    subsets: tuple[Annotated[int, Between(2)], ...] = ()
    """So many of the drawn images besides, each number a row of its own: what a distance does with n. A larger choice
    holds every smaller one, and of every generator the same places are taken: those of one starting noise and label."""
    sampling: Params | tuple[Params, ...] | None = None
    """Replaces the generators' own `sampling`; each of several makes rows of its own, from the same fit."""
    captions: str | None = None
    """Name under `captions:` of what to ask for, in place of what the generator was fitted with."""
    against: str = "train"
    """Real image set the distance is measured to."""


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A grid of samples: a band for each generator, with a line for each class, and one starting noise a column."""

    samples: str | tuple[str, ...]
    """Name of a generator, or several, from top to bottom."""
    columns: Annotated[int, Between(1, 64)] = 8
    """Starting noises, each one column."""
    sampling: Params | None = None
    """Replaces the generators' own `sampling`."""
    captions: str | None = None
    """Name under `captions:` of what to ask for, in place of what the generator was fitted with."""


@dataclass(frozen=True, kw_only=True)
class PretrainedSpec:
    plugin: str
    """Name of a pretrainer plugin."""
    budget: str
    """Name of a budget."""
    images: str | tuple[str, ...] = "train"
    """Image set (or several) it is fitted on, without labels."""
    params: Params = field(default_factory=dict)
    """Its parameters."""


@dataclass(frozen=True, kw_only=True)
class TeacherSpec:
    classifier: str
    """Name of a classifier."""
    train: str
    """Image set that it was trained on."""


@dataclass(frozen=True, kw_only=True)
class FromGenerator:
    generator: str
    """Name of a joint generator-classifier whose own predictions make the row."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """Either a plugin with its budget, or `from: {generator: NAME}`."""

    plugin: str | None = None
    """Name of a classifier plugin."""
    budget: str | None = None
    """Name of a budget; answers that were given elsewhere have none."""
    params: Params = field(default_factory=dict)
    """Its parameters."""
    init: str | None = None
    """Name under `pretrained:` whose encoder it starts from."""
    teacher: TeacherSpec | None = None
    """Finished row whose classifier is handed to the fit."""
    task: Literal["each"] = "each"
    """Trained once per task; the alternative is `derive:`."""
    derive: str | None = None
    """Train on this task only and reach the others by summing class probabilities through the map."""
    from_: FromGenerator | None = None
    """Written `from:` in the file, in place of a plugin and a budget: a joint model's own predictions."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Classifiers, each fitted on one training set; several names under `train` are joined into one set."""

    classifiers: str | tuple[str, ...]
    """Name of a classifier, or several."""
    train: str | tuple[str, ...] = "train"
    """Image set to train on, or several that are joined into one."""
    sweep: SweepSpec | None = None
    """Amounts of real and generated images to train on, in place of `train`: a row for each."""
    point: Mapping[str, str] = field(default_factory=dict)
    """Where the row stands on the axes of a sweep; each is a column of the board. A sweep writes it."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    metric: str
    """Name of a sample metric plugin, or `class-agreement`, or `cas`."""
    extractor: str | None = None
    """Name under `extractors:`; required by metrics over features."""
    judge: TeacherSpec | None = None
    """Classifier row that reads generated images, for `class-agreement`."""
    classifier: str | None = None
    """Name of the classifier that is trained on the generated images and scored on real ones, for `cas`. Rows of unlike
    counts of images are not ranked together; the floor learns from all real images of the split measured against."""
    by: str | SubgroupSpec | None = None
    """`class`, or an attribute of the images: the metric inside each class or subgroup, on the board of subgroups."""
    params: Params = field(default_factory=dict)
    """Its parameters."""


@dataclass(frozen=True, kw_only=True)
class PredictionMetricSpec:
    """A prediction metric with options; a name alone stands for the defaults."""

    metric: str
    """Name of a prediction metric plugin."""
    params: Params = field(default_factory=dict)
    """Its parameters; they are part of the metric's identity."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A whole suite. Names in one section are unique; `train`, `val` and `test` are always image sets."""

    version: Literal[1]
    """Of this format."""
    suite: str
    """Name of the results folder: lower-case letters, digits, `-`, `_`, `.`."""
    description: str = ""
    """One line, shown above the leaderboards."""
    dataset: DatasetSpec
    """Where the real images come from."""
    evaluate_on: Mapping[str, EvaluationSpec] = field(default_factory=dict)
    """Name -> another data set whose test images every classifier row is scored on, too."""
    tasks: tuple[str, ...]
    """Tasks that classifiers are trained and scored on."""
    seeds: Seeds = field(default_factory=Seeds)
    """Seeds by role; roles are crossed. A plain list means classifier seeds."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format inside autocast while fitting, sampling and predicting."""
    threads: Annotated[int, Between(1, 1024)] = 1
    """CPU threads a stage; part of its key, since it changes the last bit."""
    compile: Literal[False] = False
    """Whether models are compiled; not yet."""
    resources: Resources = field(default_factory=Resources)
    """What stages may take before they are stopped; in no key."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    """Name -> what one fit may spend."""
    weights: Mapping[str, WeightsSpec] = field(default_factory=dict)
    """Name -> file of weights, with what it was trained on."""
    extractors: Mapping[str, ExtractorSpec] = field(default_factory=dict)
    """Name -> network whose features sample metrics compare."""
    captions: Mapping[str, CaptionsSpec] = field(default_factory=dict)
    """Name -> what is said of each image, for generators that read captions."""
    generators: Mapping[str, GeneratorSpec] = field(default_factory=dict)
    """Name -> generator, fitted once a seed."""
    image_sets: Mapping[str, ImageSetSpec] = field(default_factory=dict)
    """Name -> split, samples, or a list of both; `train`, `val` and `test` are always there."""
    generator_rows: tuple[GeneratorRow, ...] = ()
    """Rows of the generators' leaderboard."""
    figures: Mapping[str, FigureSpec] = field(default_factory=dict)
    """Name -> grid of samples, a picture `figures/NAME.png` in the results folder."""
    pretrained: Mapping[str, PretrainedSpec] = field(default_factory=dict)
    """Name -> encoder that classifiers can start from."""
    classifiers: Mapping[str, ClassifierSpec] = field(default_factory=dict)
    """Name -> classifier; it is trained where a row asks for it."""
    rows: tuple[Row, ...] = ()
    """Rows of the classifiers' leaderboard."""
    sample_metrics: tuple[MetricSpec, ...] = ()
    """What generators are scored by; the first orders the rows."""
    prediction_metrics: tuple[str | PredictionMetricSpec, ...] = ()
    """Prediction metric plugins that classifiers are scored by, by name or as {metric, params}; the first orders the
    rows."""
    subgroups: tuple[str | SubgroupSpec, ...] = ()
    """Attributes of the images, by name or as {attribute, bands}: every classifier row is scored on each of their
    values, with the worst one and the gap."""
    reference: File | None = None
    """CSV of published rows, shown apart as reported and never ranked with measured ones."""
    presets: Mapping[str, Params] = field(default_factory=dict)
    """Name -> what `--preset NAME` merges deeply over the file. `null` takes an entry out of a section of names:
    `evaluate_on: {NAME: null}`."""


RESERVED: Mapping[str, tuple[str, ...]] = {
    "": ("datasets",),
    "resources": ("threads", "gpus", "nodes"),
    "resources.*": ("threads", "gpus", "nodes"),
}
"""Words kept for what is not built yet, by section: refused with "not yet" instead of "unknown"."""
