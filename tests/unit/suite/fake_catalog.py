"""Cards without plugins: what the suite's tests need to know about the plugins that DESIGN's example names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from dermae_bench.errors import PluginError
from dermae_bench.plugin.params import Between, File, Folder, schema_of


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    image_size: Annotated[int, Between(8, 1024)] = 224
    """Side in pixels."""
    root: Folder | None = None
    """Folder of the images."""
    split: Literal["lesion-grouped", "official"] = "lesion-grouped"
    """Rule of the splits."""


@dataclass(frozen=True, kw_only=True)
class NoConfig:
    pass


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    weight: Annotated[float, Between(0)] = 0.0
    """Weight of the perceptual loss."""
    perceptual_weight: float = 0.0
    """Weight of the perceptual loss."""
    channels: tuple[int, ...] = (64, 128)
    """Channels a level."""
    prediction: Literal["eps", "v", "x0"] = "eps"
    """What the network predicts."""
    weights: File | None = None
    """Weights of the feature net."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    """How steps are taken."""
    steps: Annotated[int, Between(1, 1000)] = 1000
    """How many."""


@dataclass(frozen=True, kw_only=True)
class GuidedSampling(Sampling):
    guidance: float = 1.0
    """Classifier-free guidance."""


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    arch: str
    """A timm architecture."""
    lr: Annotated[float, Between(0)] = 1e-4
    """Learning rate."""


@dataclass(frozen=True, kw_only=True)
class BinsConfig:
    bins: Annotated[int, Between(1, 100)] = 15
    """How many bins."""


@dataclass(frozen=True, kw_only=True)
class GivenConfig:
    path: Folder
    """Images or answers that were made elsewhere."""
    protocol: Literal["zero-shot", "trained"] = "zero-shot"
    """How."""


@dataclass(frozen=True, kw_only=True)
class FakeCard:
    kind: str
    params: Mapping[str, Any] = field(default_factory=lambda: schema_of(NoConfig))
    sampling: Mapping[str, Any] | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[Mapping[str, Any], ...] = ()


def _sample_metric(over: str = "features", reads: tuple[str, ...] = ()) -> FakeCard:
    return FakeCard(kind="metric", flags={"metric": "sample", "over": over, "reads": list(reads)})


def _generator(
    sampling: type = Sampling, *, conditional: bool = False, joint: bool = False, rules: tuple[str, ...] = ()
) -> FakeCard:
    flags = {"conditional": conditional, "joint": joint, "rules": rules}
    return FakeCard(kind="generator", params=schema_of(DiffusionConfig), sampling=schema_of(sampling), flags=flags)


def _classifier(teaching: str) -> FakeCard:
    flags = {"teaching": teaching, "features": teaching == "none"}
    return FakeCard(kind="classifier", params=schema_of(TimmConfig), flags=flags)


def _given(kind: str, **flags: Any) -> FakeCard:
    return FakeCard(kind=kind, params=schema_of(GivenConfig), flags={"fits": False, **flags})


CARDS: Mapping[str, FakeCard] = {
    "ham10000": FakeCard(kind="dataset", params=schema_of(DataConfig)),
    "phantom": FakeCard(kind="dataset", params=schema_of(DataConfig)),
    "ddpm": _generator(),
    "ddpm-perceptual": _generator(),
    "ddpm-conditional": _generator(GuidedSampling, conditional=True),
    "ruled": _generator(rules=("params", "sampling")),
    "captioned": FakeCard(kind="generator", params=schema_of(NoConfig), flags={"captioned": True}),
    "captioned-by-class": FakeCard(
        kind="generator", params=schema_of(NoConfig), flags={"captioned": True, "conditional": True}
    ),
    "external-images": _given("generator"),
    "external-images-labelled": _given("generator", conditional=True),
    "external-predictions": _given("classifier", teaching="none", protocols={"protocol": {"zero-shot": "zero-shot"}}),
    "joint-diffusion": _generator(conditional=True, joint=True),
    "mae": FakeCard(kind="pretrainer", params=schema_of(TimmConfig)),
    "timm": _classifier("none"),
    "distilled": _classifier("required"),
    "tf-efficientnet-lite0": FakeCard(kind="extractor"),
    "fd": _sample_metric(),
    "kid": _sample_metric(),
    "ms-ssim": _sample_metric("images", ("labels",)),
    "memorisation": _sample_metric("features", ("held_out", "training")),
    "accuracy": FakeCard(kind="metric", flags={"metric": "prediction"}),
    "balanced-accuracy": FakeCard(kind="metric", flags={"metric": "prediction"}),
    "f1-macro": FakeCard(kind="metric", flags={"metric": "prediction"}),
    "f1-weighted": FakeCard(kind="metric", flags={"metric": "prediction"}),
    "auc-ovr-macro": FakeCard(kind="metric", flags={"metric": "prediction"}),
    "auc-binary": FakeCard(kind="metric", flags={"metric": "prediction"}, columns=({"positive": True},)),
    "ece": FakeCard(kind="metric", params=schema_of(BinsConfig), flags={"metric": "prediction"}),
    "specificity-at-95-sensitivity": FakeCard(kind="metric", flags={"metric": "prediction", "validates": True}),
    "compute": FakeCard(kind="metric", flags={"metric": "cost"}),
}
BROKEN = {"flow-matching": "generator"}


def _refused(schema: str, values: Mapping[str, Any]) -> str | None:
    if schema == "sampling":
        return (
            f"ddpm takes 1000 steps, not {values['steps']}"
            if values["sampler"] == "ddpm" and values["steps"] != 1000
            else None
        )
    return "two losses are perceptual" if values["weight"] and values["perceptual_weight"] else None


class FakeCatalog:
    """Answers like the real one, from a table."""

    elsewhere = "one of your own needs --plugins-dir DIR"

    def names(self, kind: str | None = None) -> list[str]:
        kinds = {**{name: card.kind for name, card in CARDS.items()}, **BROKEN}
        return sorted(name for name, its in kinds.items() if kind in (None, its))

    def card(self, kind: str, name: str) -> FakeCard:
        if name in BROKEN:
            raise PluginError(f"plugin {name!r} cannot be used: ModuleNotFoundError: No module named 'flows'")
        if name not in CARDS:
            raise PluginError(f"unknown plugin {name!r}")
        if CARDS[name].kind != kind:
            raise PluginError(f"plugin {name!r} is a {CARDS[name].kind}, not a {kind}")
        return CARDS[name]

    def prefetch(self, names: Iterable[str]) -> None:
        assert all(isinstance(name, str) for name in names)

    def refusals(self, asked: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[str | None]:
        """Rules over two fields, which no schema can tell."""
        assert all(schema in CARDS[name].flags["rules"] for name, schema, _ in asked)
        return [_refused(schema, values) for _, schema, values in asked]


TASKS: Mapping[str, Mapping[str, Any]] = {
    "diagnosis": {"classes": ("MEL", "NV", "BCC"), "positive": None, "parent": None, "mapping": {}},
    "malignancy": {
        "classes": ("benign", "malignant"),
        "positive": "malignant",
        "parent": "diagnosis",
        "mapping": {"MEL": "malignant", "BCC": "malignant", "NV": "benign"},
    },
}


def tasks_of(plugin: str, params: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The tasks of every dataset here."""
    assert params["image_size"] >= 8
    return TASKS
