"""The `weights:` section: names for files of weights, what they must hold, and what they were trained on."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dermae_bench.errors import BenchError
from dermae_bench.plugin.checking import Finding, near, paths_in
from dermae_bench.plugin.checking import Path as At
from dermae_bench.suite.given import is_fitted
from dermae_bench.suite.places import SPLITS, specs
from dermae_bench.suite.plugged import Card, Cards

GivenAt = tuple[At, str, str]
"""(place, `file` or `folder`, text) of a path in the suite."""
Source = tuple[str, tuple[str, ...] | None]
"""Name of an entry of `weights:`, of a file or of a plugin -> the collections that its weights were trained on, or the
model elsewhere that its images or answers come from; None where nobody has said."""

KNOWN_CORPORA: Mapping[str, str] = {
    "HAM10000": "10,015 dermoscopic images (Tschandl 2018)",
    "ISIC 2016": "900 training images of the ISIC 2016 challenge",
    "ISIC 2017": "2,000 training images of the ISIC 2017 challenge",
    "ISIC 2018": "training images of the ISIC 2018 challenge: those of task 3 are HAM10000",
    "ISIC 2018 Task 3 test": "the official test images of task 3, 1,512 of them",
    "ISIC 2019": "25,331 training images of the ISIC 2019 challenge: HAM10000, BCN20000 and MSK",
    "ISIC 2020": "33,126 training images of the ISIC 2020 challenge, of 2,056 patients",
    "ISIC Archive": "everything public in the archive, the challenges included",
    "DermaMNIST": "HAM10000, made small (MedMNIST)",
    "BCN20000": "dermoscopic images of Barcelona (Combalia 2019)",
    "DDI": "Diverse Dermatology Images: 656 photographs of 570 patients (Daneshjou 2022)",
    "Derm7pt": "1,011 lesions, clinical and dermoscopic (Kawahara 2019)",
    "Fitzpatrick17k": "16,577 clinical photographs of two atlases (Groh 2021)",
    "PAD-UFES-20": "2,298 photographs by phone (Pacheco 2020)",
    "ImageNet-1k": "1.28 million photographs of 1,000 kinds of things",
    "ImageNet-21k": "14 million photographs of 21,841 kinds of things",
}
"""Names of data collections with one spelling; a suite may use others."""

_SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_SECTIONS = {
    "generators": "generator",
    "pretrained": "pretrainer",
    "classifiers": "classifier",
    "extractors": "extractor",
}


# -- loading -----------------------------------------------------------------------------------------------------


def weights_paths(suite: Mapping[str, Any]) -> list[GivenAt]:
    """The paths of the entries of `weights:`."""
    return [((*at, "path"), "file", entry["path"]) for at, entry in _entries(suite)]


def resolve_names(suite: dict[str, Any], given: Iterable[GivenAt]) -> list[Finding]:
    """Put the path of an entry of `weights:` where a `File` of some `params:` names it.

    Args:
        suite: normalised JSON; the texts at the places of `given` are replaced in it.
        given: every path in the params of its plugins, as written.

    Returns:
        Words that are neither a file nor a name, and look like a name.
    """
    paths = {str(at[-1]): entry["path"] for at, entry in _entries(suite)}
    findings = []
    for at, kind, text in given:
        if kind != "file" or not paths:
            continue
        if text in paths:
            _holder(suite, at)[at[-1]] = paths[text]
        elif (guess := _meant(text, paths)) is not None:
            message = f"there is no file {text!r}, and no entry of `weights:` has that name"
            findings.append(Finding(at, message, f"did you mean {guess!r}?"))
    return findings


def content_findings(suite: Mapping[str, Any], file_digest: Callable[[Path], str]) -> Iterator[Finding]:
    """Entries whose file is there and is not the one that `sha256` says, folders, and digests that are none.

    Args:
        suite: normalised JSON.
        file_digest: SHA-256 of a file's bytes, in hex.
    """
    for at, entry in _entries(suite):
        with contextlib.suppress(OSError):
            # a path that cannot even be asked about is told where its file is read
            if absolute(entry["path"]).is_dir():
                yield Finding((*at, "path"), f"the weights {at[-1]!r} are a folder", "name the file in it")
        stated = entry.get("sha256")
        if not isinstance(stated, str):
            continue
        if not _SHA256.fullmatch(stated):
            hint = "`sha256sum FILE` prints it: 64 hex digits"
            yield Finding((*at, "sha256"), f"{stated[:80]!r} is no SHA-256", hint)
            continue
        path = absolute(entry["path"])
        try:
            # a suite can be planned before its files are there; what needs them says that they are missing
            found = file_digest(path) if path.is_file() else None
        except (OSError, BenchError) as error:
            yield Finding((*at, "path"), f"the weights {at[-1]!r} cannot be read: {error}")
            continue
        if found is not None and found != stated.lower():
            message = f"the file of {at[-1]!r} has the SHA-256 {found[:12]}..., not {stated.lower()[:12]}..."
            hint = "give the path of the file that is meant; or, if this one is, its digest: `sha256sum FILE`"
            yield Finding((*at, "sha256"), message, hint)


def absolute(text: str) -> Path:
    """Where a path of a suite leads: from the working folder, `~` from the home folder."""
    path = Path(text)
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        # `~name` of nobody on this machine is the name of a folder
        return path.absolute()


def _entries(suite: Mapping[str, Any]) -> Iterator[tuple[At, dict[str, Any]]]:
    return ((at, entry) for at, entry in specs(suite, "weights") if isinstance(entry.get("path"), str))


def _holder(suite: dict[str, Any], at: At) -> Any:
    holder: Any = suite
    for step in at[:-1]:
        holder = holder[step]
    return holder


def _meant(text: str, names: Iterable[str]) -> str | None:
    # a word with a folder or a suffix is a path: a file that is not there yet is no mistake
    guess = near(text, names) if Path(text).name == text and not Path(text).suffix else None
    return None if guess is None or Path(text).is_file() else guess


# -- corpora -----------------------------------------------------------------------------------------------------


def declared_corpora(suite: Mapping[str, Any], cards: Cards) -> dict[str, dict[str, list[Source]]]:
    """What the given weights of every named entry were trained on, as far as it is declared.

    Direct weights alone: an encoder named by `init:`, a teacher, or samples of a generator bring theirs with them, and
    a caller that follows those finds them here under their own names. What is not fitted has one source: its plugin,
    with its param `corpora`.

    Args:
        suite: a suite as JSON: `LoadedSuite.resolved`, or a `suite.resolved.yaml`.
        cards: where the cards of its plugins come from.

    Returns:
        {"generators" | "pretrained" | "classifiers" | "extractors": {name: [(source, corpora), ...]}}. A source is an
        entry of `weights:`, the plugin itself for weights that it brings, or the name of a file that is no entry.
        Corpora are None where nobody has said what they are. An entry without given weights has an empty list.

    Raises:
        PluginError: a plugin that the suite names cannot be used.
    """
    found: dict[str, dict[str, list[Source]]] = {}
    for section, kind in _SECTIONS.items():
        found[section] = {
            str(at[-1]): _sources(suite, entry, cards.card(kind, entry["plugin"])) if entry.get("plugin") else []
            for at, entry in specs(suite, section)
        }
    return found


def _sources(suite: Mapping[str, Any], entry: Mapping[str, Any], card: Card) -> list[Source]:
    if not is_fitted(card):
        # its files are what a model elsewhere gave, and `corpora` is what the user knows of that model
        said = entry.get("params", {}).get("corpora")
        return [(entry["plugin"], None if said is None else tuple(said))]
    required, own = card.params.get("required", ()), tuple(card.flags.get("corpora", ()))
    sources: list[Source] = []
    replaced: set[str | int] = set()
    for at, _, text in paths_in(entry.get("params", {}), card.params):
        matched = _named(suite, text)
        # a plugin that cannot do without a file declares the collections of the file that it was written for
        if matched or not own or at[0] not in required:
            replaced.add(at[0])
            sources += matched or [(Path(text).name, None)]
    places = {name for name, schema in card.params.get("properties", {}).items() if _holds_file(schema)}
    if own and not (places and places <= replaced):
        sources.insert(0, (entry["plugin"], own))
    brought = card.flags.get("corpora_with", {}).items()
    sources += [(entry["plugin"], tuple(names)) for param, names in brought if entry.get("params", {}).get(param)]
    return sources


def _named(suite: Mapping[str, Any], text: str) -> list[Source]:
    """The entries of `weights:` that a text names, by name or by their path."""
    return [
        (str(at[-1]), None if entry.get("corpora") is None else tuple(entry["corpora"]))
        for at, entry in _entries(suite)
        if text in (at[-1], entry["path"])
    ]


def _holds_file(schema: Mapping[str, Any]) -> bool:
    return schema.get("x-path") == "file" or any(_holds_file(member) for member in schema.get("anyOf", ()))


def collections_of(suite: Mapping[str, Any], cards: Cards) -> dict[str, tuple[str, ...]]:
    """Split of the suite's dataset -> public collections that contain its images, as the dataset declares.

    Raises:
        PluginError: the dataset's plugin cannot be used.
    """
    return _contained_in(suite["dataset"], cards)


def other_collections(suite: Mapping[str, Any], cards: Cards) -> dict[str, tuple[str, ...]]:
    """Set under `evaluate_on` -> public collections that contain its test images, likewise."""
    return {str(at[-1]): _contained_in(entry, cards)["test"] for at, entry in specs(suite, "evaluate_on")}


def _contained_in(dataset: Mapping[str, Any], cards: Cards) -> dict[str, tuple[str, ...]]:
    params = dataset.get("params", {})
    flags = cards.card("dataset", dataset["plugin"]).flags
    found = (*flags.get("contained_in", ()), *params.get("contained_in", ()))
    tests = [names for name, names in flags.get("test_contained_in", {}).items() if params.get(name) is not None]
    return {split: tuple(tests[0]) if split == "test" and tests else found for split in SPLITS}


def shared_collections(corpora: Iterable[str], collections: Iterable[str]) -> tuple[str, ...]:
    """Those of `collections` that stand in `corpora`, whatever their case, spaces and hyphens."""
    known = {_folded(name) for name in corpora}
    return tuple(name for name in collections if _folded(name) in known)


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())
