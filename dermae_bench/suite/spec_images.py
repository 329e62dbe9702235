"""What a suite says of images: where they come from, which are taken, what is said of them."""

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
class SubgroupSpec:
    """An attribute of the images that divides a test set."""

    attribute: str
    """Its name: the data set says which there are (age, sex, site, skin tone, ...)."""
    bands: tuple[float, ...] | None = None
    """For numbers: ascending limits of the bands, e.g. [40, 60] for below 40, 40 to below 60, 60 and over."""
    join: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For names: subgroups of several values, e.g. {A: [I, II], B: [III, IV]}; other values stand for themselves."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """Another data set whose test images classifiers are scored on; nothing is trained or chosen on it."""

    plugin: str
    """Name of a dataset plugin."""
    params: Params = field(default_factory=dict)
    """Its parameters; `image_size` is the suite's own."""
    subgroups: tuple[str | SubgroupSpec, ...] = ()
    """Attributes of its images, as under `subgroups`."""


@dataclass(frozen=True, kw_only=True)
class CaptionsSpec:
    """What is said of each image: by the data set itself, from a file, or from a template."""

    template: str | None = None
    """Text with `{label}`, the name of the image's class of `task`, and names of attributes, e.g. `{sex}`."""
    task: str | None = None
    """Whose classes `{label}` names; the generator's own task if left out."""
    file: File | None = None
    """CSV with columns id and caption, a line for each image of `train`."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Class -> how a template says it, e.g. {nv: melanocytic nevus}; other classes by their own names."""


@dataclass(frozen=True, kw_only=True)
class SamplesSpec:
    """Generated images as (part of) an image set: exactly one of `count`, `ratio` and `per_class`."""

    samples: str
    """Name of a generator."""
    count: Annotated[int, Between(1)] | None = None
    """How many; a conditional generator's classes follow the shares of what it has learnt from, or of what was made
    elsewhere."""
    ratio: Annotated[float, Between(0)] | None = None
    """So many for each image of `train`, e.g. 0.5 for half as many; rounded."""
    per_class: Literal["balance"] | Annotated[int, Between(1)] | None = None
    """So many of each class, or `balance`: as many as each class lacks to the most frequent one in `train`."""
    even: bool = False
    """With `count` or `ratio`: classes in equal numbers, in place of those shares."""
    sampling: Params | None = None
    """Replaces the generator's own `sampling`."""
    captions: str | None = None
    """Name under `captions:` of what to ask for, in place of what the generator was fitted with."""
    labels: Literal["teacher"] | None = None
    """`teacher`: where these images have no label of the row's task, they get the most probable class by the teacher
    of the row's classifier."""


@dataclass(frozen=True, kw_only=True)
class RealSpec:
    """Some images of a real split: exactly one of `fraction`, `count` and `per_class`.

    Whole lesions are taken in an order that only their names and `seed` decide, the last one in part where the number
    asks for it: a larger choice holds every smaller one.
    """

    from_: str
    """Written `from:` in the file: train, or val."""
    fraction: Annotated[float, Between(0, 1)] | None = None
    """Share of its images."""
    count: Annotated[int, Between(1)] | None = None
    """How many."""
    per_class: Annotated[int, Between(1)] | None = None
    """So many of each class of `task`."""
    task: str | None = None
    """Whose classes `per_class` counts; with `count`, classes that it is divided among evenly."""
    seed: Annotated[int, Between(0)] = 0
    """Another seed chooses other images."""


ImagePart = str | SamplesSpec | RealSpec
ImageSetSpec = str | SamplesSpec | RealSpec | tuple[ImagePart, ...]
