"""The lint of captions as a stage, over the phantom's own captions, files with planted leaks, and templates."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attempts import Bench
from test_leakage import committed

from dermae_bench.execute.stages.common import Table
from dermae_bench.store.manifests import Manifest

WORK = {"of": "leakage", "what": "captions", "extractor": None, "tasks": ["diagnosis", "malignancy"]}
ABOUT: Mapping[str, Any] = {"template": None, "task": "diagnosis", "file": None, "words": {}}
IMAGES = 400


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("captions"))


@pytest.fixture(scope="module")
def data(bench: Bench) -> Manifest:
    return bench.do("prepare", {"plugin": "phantom", "params": {"image_size": 8, "images": IMAGES}}, None, "phantom")


Lint = Callable[..., dict[str, Any]]


@pytest.fixture
def lint(bench: Bench, data: Manifest) -> Lint:
    def found(tasks: list[str] | None = None, **about: Any) -> dict[str, Any]:
        work = {**WORK, "captions": {**ABOUT, **about}, **({"tasks": tasks} if tasks else {})}
        return bench.do("score", work, {"prepare": data}).summary

    return found


@pytest.fixture
def captions(bench: Bench, data: Manifest, tmp_path: Path) -> Callable[..., str]:
    """Write a file of captions."""

    def write(say: Callable[[int, str, str], str | None], name: str = "captions.csv") -> str:
        table = Table.read(bench.files(data) / "table.parquet").columns
        classes = data.summary["tasks"][0]["classes"]
        rows = zip(table["id"], table["label"], table["split"], strict=True)
        said = [(name, say(i, classes[label], split)) for i, (name, label, split) in enumerate(rows)]
        with (tmp_path / name).open("w", newline="") as stream:
            csv.writer(stream).writerows([("id", "caption"), *(line for line in said if line[1] is not None)])
        return str(tmp_path / name)

    return write


COLOURS = ("brown", "black", "red", "blue", "pink")


def plain(i: int) -> str:
    """What says nothing of the class; no two are alike."""
    return f"a {COLOURS[i * 7 % 5]} lesion of {i * 37 % 991} mm, photograph {i}"


def phrases(found: Mapping[str, Any], kind: str) -> set[tuple[str, str]]:
    return {(its["phrase"], its["labels"][0]) for its in found["findings"] if its["kind"] == kind}


def test_true_attributes_tell_what_they_are_signs_of(lint: Lint) -> None:
    found = lint()
    words = phrases(found, "caption-words")
    assert ("lakes", "vasc") in words
    assert not any(kind.startswith("caption-names") or kind == "caption-copied" for kind in found["counts"])
    assert found["counts"]["caption-repeated"] > 0
    about = found["guesses"]["diagnosis"]
    assert about["accuracy"] > about["majority"] + 0.2
    assert about["n"] == found["n"]
    warning = next(text for text in found["warnings"] if "almost surely" in text)
    assert warning.startswith("data (score/x): ")
    assert "in train), first " in warning
    # a sign of vasc is one of what is benign, and told once
    assert not any((phrase, "benign") in words for phrase, label in words if label in ("vasc", "nv", "df"))


def test_captions_without_the_class_are_not_blamed(lint: Lint, captions: Callable[..., str]) -> None:
    found = lint(file=captions(lambda i, label, split: plain(i)))
    assert found["counts"] == {}
    assert found["warnings"] == []
    for about in found["guesses"].values():
        assert about["accuracy"] < about["majority"] + 0.05


def test_a_planted_leak_is_named(lint: Lint, captions: Callable[..., str]) -> None:
    def say(i: int, label: str, split: str) -> str:
        return f"{plain(i)}, suspicious for mel" if label == "mel" else plain(i)

    found = lint(file=captions(say))
    assert phrases(found, "caption-names") == {("mel", "mel")}
    assert phrases(found, "caption-words") == {("suspicious", "mel")}
    counts = [its for its in found["findings"] if its["kind"] == "caption-words"]
    assert counts[0]["count"] == counts[0]["among"] == found["images"]["caption-words"]["captions>train"]
    assert counts[0]["task"] == "diagnosis"
    assert any('"mel" for mel of diagnosis' in text for text in found["warnings"])


def test_synonyms_are_names_and_unknown_codes_are_words(lint: Lint, captions: Callable[..., str]) -> None:
    moles = ("Naevus.", "mole", "type Q7")

    def say(i: int, label: str, split: str) -> str:
        return f"{plain(i)}; {moles[i % 3]}" if label == "nv" else plain(i)

    found = lint(file=captions(say), words={"nv": "melanocytic naevus"})
    assert {name for name, label in phrases(found, "caption-names") if label == "nv"} == {"naevus", "mole"}
    assert phrases(found, "caption-words") <= {("type", "nv"), ("q7", "nv"), ("type q7", "nv")}
    assert len(phrases(found, "caption-words")) == 1
    # the task below hears it through the task above
    assert all(its["task"] == "diagnosis" for its in found["findings"])


def test_a_caption_that_is_a_code_of_its_class_is_a_leak_without_a_name(
    lint: Lint, captions: Callable[..., str]
) -> None:
    found = lint(file=captions(lambda i, label, split: f"{plain(i)}, group {sorted('xyz' + label)[0]}{len(label)}"))
    assert "caption-names" not in found["counts"]
    assert found["counts"]["caption-words"] >= 1
    sure = lint(file=captions(lambda i, label, split: f"{plain(i)}, code {label}9", "other.csv"))
    assert sure["counts"]["caption-class"] >= 1
    assert sure["guesses"]["diagnosis"]["accuracy"] > 0.95
    assert any("follows from the words" in text for text in sure["warnings"])


def test_a_template_that_names_the_class_does_so_on_purpose(lint: Lint) -> None:
    found = lint(template="a photograph of {label}, skin of type {skin_tone}", words={"mel": "melanoma"})
    assert set(found["counts"]) == {"caption-label", "caption-repeated"}
    assert found["counts"]["caption-label"] == 7
    assert ("melanoma", "mel") in phrases(found, "caption-label")
    assert found["warnings"] == []
    # beside the name, nothing in it tells the class
    assert found["guesses"]["diagnosis"]["accuracy"] <= found["guesses"]["diagnosis"]["majority"] + 0.02


def test_what_a_template_tells_beside_the_name_is_found(bench: Bench, data: Manifest) -> None:
    folder = bench.files(data)
    table = {name: list(values) for name, values in Table.read(folder / "table.parquet").columns.items()}
    malignant = {data.summary["tasks"][0]["classes"].index(name) for name in ("akiec", "bcc", "mel")}
    table["attribute.dx_type"] = ["histology" if label in malignant else "follow-up" for label in table["label"]]
    pixels = {"images.npy": np.load(folder / "images.npy")}
    planted = committed(bench, "prepare", pixels, table, dict(data.summary))

    def found(template: str) -> dict[str, Any]:
        work = {**WORK, "captions": {**ABOUT, "template": template}}
        return bench.do("score", work, {"prepare": planted}).summary

    told = found("{label}, confirmed by {dx_type}")
    assert phrases(told, "caption-words") == {("histology", "malignant"), ("follow", "benign")}
    assert told["counts"]["caption-label"] == 7
    assert {its["task"] for its in told["findings"] if its["kind"] == "caption-class"} == {"malignancy"}
    without = found("confirmed by {dx_type}")
    assert phrases(without, "caption-words") == phrases(told, "caption-words")
    assert "caption-label" not in without["counts"]


def test_captions_of_test_images_that_were_copied_from_train(lint: Lint, captions: Callable[..., str]) -> None:
    def say(i: int, label: str, split: str) -> str:
        if split == "train" and not first:
            first.append(i)
        return "Photograph 0 of all." if i in first or (split == "test" and i % 2) else plain(i)

    first: list[int] = []
    found = lint(file=captions(say))
    assert found["counts"]["caption-copied"] == found["images"]["caption-copied"]["train>test"] > 5
    assert "caption-repeated" not in found["counts"]
    assert any("word for word, more than by chance" in text for text in found["warnings"])


def test_a_file_needs_lines_for_train_alone(lint: Lint, captions: Callable[..., str]) -> None:
    file = captions(lambda i, label, split: plain(i) if split == "train" else None)
    assert lint(file=file)["counts"] == {}


def test_a_data_set_may_have_no_captions_outside_of_train(bench: Bench, data: Manifest) -> None:
    folder = bench.files(data)
    table = {name: list(values) for name, values in Table.read(folder / "table.parquet").columns.items()}
    table["caption"] = [plain(i) if split == "train" else "" for i, split in enumerate(table["split"])]
    bare = committed(bench, "prepare", {"images.npy": np.load(folder / "images.npy")}, table, dict(data.summary))
    found = bench.do("score", {**WORK, "captions": ABOUT}, {"prepare": bare}).summary
    assert found["counts"] == {}
    assert found["n"] == table["split"].count("train")


def test_captions_that_cannot_be_read_are_told(bench: Bench, data: Manifest, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("id,caption\nx\n")
    work = {**WORK, "captions": {**ABOUT, "file": str(tmp_path / "wrong.csv")}}
    _, result = bench.try_("score", work, {"prepare": data})
    assert result["ok"] is False
    assert "the captions of wrong.csv cannot be used" in result["reason"]
