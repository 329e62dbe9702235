"""Suites with the words of docs/protocols.md, run to their boards; one is grown by one ratio."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig
from tests.e2e.conftest import Bench

PLUGINS = Path(__file__).parent / "worded.py"
DATA = {"image_size": 16, "images": 240}
OTHER = {"images": 120, "seed": 5}


def suite_of(folder: Path) -> dict[str, Any]:
    """A word of every section of the page, on phantoms."""
    sweep = {"samples": "text", "real_n": [40], "ratio": [0, 0.5], "synthetic_n": [30], "control": "wider"}
    given = {"path": str(folder / "release"), "source": "made up", "corpora": ["ISIC 2019"]}
    answers = {"file": str(folder / "scores.csv"), "scale": "probabilities", "protocol": "zero-shot"}
    return {
        "version": 1,
        "suite": "words",
        "dataset": {"plugin": "phantom", "params": DATA},
        "evaluate_on": {"other": {"plugin": "phantom", "params": OTHER, "subgroups": ["skin_tone"]}},
        "tasks": ["malignancy"],
        "budgets": {"few": {"steps": 4, "batch_size": 8}},
        "captions": {"said": {"template": "a {label} one", "task": "diagnosis", "words": {"nv": "common mole"}}},
        "extractors": {"tuned": {"from": {"classifier": "net", "train": "train"}}},
        "generators": {
            "text": {"plugin": f"{PLUGINS}:described", "budget": "few", "task": "malignancy", "captions": "said"},
            "release": {"plugin": "external-images", "params": given},
        },
        "image_sets": {"part": {"from": "train", "per_class": 20, "task": "malignancy"}},
        "generator_rows": [{"samples": ["text", "release"], "count": 12, "against": "test"}],
        "classifiers": {
            "net": {"plugin": f"{PLUGINS}:featured", "budget": "few"},
            "wider": {"plugin": f"{PLUGINS}:featured", "budget": "few"},
            "probe": {"plugin": f"{PLUGINS}:featured", "budget": "few", "params": {"train": "head"}},
            "outside": {"plugin": "external-predictions", "params": {**answers, "source": "made up"}},
        },
        "rows": [
            {"classifiers": "net", "sweep": sweep},
            {"classifiers": "probe", "train": "part"},
            {"classifiers": "outside"},
        ],
        "sample_metrics": [{"metric": "kid", "extractor": "tuned"}],
        "prediction_metrics": ["accuracy", "sensitivity-at-90-specificity"],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "release").mkdir()
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "release" / f"{i:02d}.png")
    asked = [e for e in Phantom(PhantomConfig(**DATA)).examples() if e.split != "train"]
    with (tmp_path / "scores.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["id", "benign", "malignant"])
        lines.writerows([e.id, *((0.9, 0.1) if i % 3 else (0.2, 0.8))] for i, e in enumerate(asked))
    return tmp_path


def written(folder: Path, suite: dict[str, Any]) -> str:
    (folder / "words.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    return "words.yaml"


def board(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results" / "words" / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_every_section_runs_to_the_boards(bench: Bench, folder: Path) -> None:
    suite = suite_of(folder)
    ran = bench("run", written(folder, suite), "-j", 2)
    assert ran.code == 0, ran.err
    classifiers, generators = board(folder, "classifiers"), board(folder, "generators")
    assert all(row["status"] == "ok" for row in (*classifiers, *generators))
    measured = [row for row in classifiers if row["kind"] == "measured"]

    def row(classifier: str, test: str, train: str) -> dict[str, str]:
        (found,) = [r for r in measured if (r["classifier"], r["test"], r["train"]) == (classifier, test, train)]
        return found

    # four points and a control, on both sets; a probe; and answers that nobody gave for the other set
    assert len(measured) == 2 * (3 + 1) + 2 + 1
    point = row("net", "other", "train-40 + text-20")
    assert (point["generator"], point["real"], point["ratio"], point["protocol"]) == ("text", "40", "0.5", "trained")
    alone = row("net", "", "text-30")
    assert (alone["generator"], alone["real"], alone["ratio"]) == ("text", "0", "n=30")
    assert {row("wider", test, "train-40")["ratio"] for test in ("", "other")} == {"0"}
    assert (row("probe", "", "part")["protocol"], row("probe", "", "part")["generator"]) == ("linear-probe", "")
    given = row("outside", "", "elsewhere")
    assert (given["protocol"], given["seeds"], given["accuracy"] != "") == ("zero-shot", "", True)
    assert all(r["accuracy"] and r["sensitivity-at-90-specificity"] for r in measured)
    # other images, other numbers; and a place within the own protocol
    assert row("net", "other", "train-40")["accuracy n"] != row("net", "", "train-40")["accuracy n"]
    assert given["accuracy rank"] == "n/a (unlike the ranked rows: zero-shot, not trained here)"
    floors = [r for r in classifiers if r["kind"] == "floor"]
    assert {(r["classifier"], r["test"]) for r in floors} == {
        (name, test) for name in ("majority class", "random") for test in ("", "other")
    }
    by_name = {r["generator"]: r for r in generators}
    assert by_name["release"]["protocol"] == "external" and "ISIC 2019" in by_name["release"]["started from"]
    assert by_name["text"]["started from"] == "scratch"
    (kid,) = [name for name in by_name["text"] if name.startswith("kid[") and name.endswith("]")]
    assert all(r[kid] for r in generators)
    # the other set's groups are on the board of subgroups, and the own set has none
    groups = board(folder, "subgroups")
    assert {(r["test"], r["attribute"]) for r in groups} == {("other", "skin_tone")}
    text = (folder / "results" / "words" / "classifiers.md").read_text()
    assert "## task: malignancy\n" in text and "## task: malignancy on other\n" in text
    assert "malignancy on other" in (folder / "results" / "words" / "report.html").read_text()
    said = json.loads((folder / "results" / "words" / "classifiers.json").read_text())["rows"]
    assert {r["protocol"] for r in said if r["kind"] == "measured"} == {"trained", "linear-probe", "zero-shot"}

    # grown by one ratio: two sets fewer are new than points, since the control and the real images are there
    suite["rows"][0]["sweep"]["ratio"] = [0, 0.5, 1]
    again = bench("run", written(folder, suite), "-j", 2)
    assert again.code == 0, again.err
    done = [line.split(" done ")[1].split()[0] for line in again.err.splitlines() if "] done " in line]
    # drawn and linted, fitted once, answered on val and both tests, scored on both
    assert sorted(name.split("/")[0] for name in done) == [
        "predict", "predict", "predict", "sample", "score", "score", "score", "train",
    ]  # fmt: skip
    assert len(board(folder, "classifiers")) == len(classifiers) + 2


def drawn(folder: Path) -> dict[str, tuple[dict[str, int], set[str]]]:
    """Set of samples -> (images of each class, what they were asked for in words)."""
    found = {}
    for path in (folder / "results" / "store" / "sample").glob("*/manifest.json"):
        told = json.loads(path.read_text())
        said = pq.read_table(path.parent / "table.parquet").to_pydict().get("caption", [])
        found[told["name"].removeprefix("sample/").removesuffix("/seed=0")] = (told["summary"]["counts"], set(said))
    return found


@pytest.mark.slow
def test_samples_are_drawn_in_every_way_that_a_suite_can_ask_for(bench: Bench, folder: Path) -> None:
    """A labelled release in a balanced sweep, as in DermaFlux; and sets that ask for other classes and words."""
    for i in range(48):
        place = folder / "labelled" / ("benign", "malignant")[i % 2] / f"{i:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (5 * i, 90, 100)).save(place)
    examples = Phantom(PhantomConfig(**DATA)).examples()
    with (folder / "captions.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["id", "caption"])
        lines.writerows([e.id, f"image {e.id}"] for e in examples)
    suite = suite_of(folder)
    text = suite["generators"]["text"]
    labelled = {"path": str(folder / "labelled"), "source": "made up"}
    suite |= {
        "evaluate_on": {},
        "captions": {**suite["captions"], "own": {}, "written": {"file": str(folder / "captions.csv")}},
        "generators": {
            "text": text,
            "few": {**text, "images": "part", "captions": "written"},
            "release": {"plugin": "external-images-labelled", "task": "malignancy", "params": labelled},
        },
        "image_sets": {
            **suite["image_sets"],
            "even": {"samples": "text", "count": 10, "even": True},
            "own-words": {"samples": "text", "per_class": 4, "captions": "own"},
            "filled": ["train", {"samples": "text", "per_class": "balance"}],
            "shares": {"samples": "release", "ratio": 0.1},
            "of-few": {"samples": "few", "count": 12},
        },
        "generator_rows": [{"samples": ["text", "few", "release"], "count": 12, "against": "test"}],
    }
    sweep = {"samples": "release", "real_n": [20], "ratio": [0, 1], "synthetic_n": [16], "balance": "malignancy"}
    sets = ("even", "own-words", "filled", "shares", "of-few")
    suite["rows"] = [
        {"classifiers": "net", "sweep": {**sweep, "control": "wider"}},
        *({"classifiers": "net", "train": name} for name in sets),
    ]
    ran = bench("run", written(folder, suite), "-j", 2)
    assert ran.code == 0, ran.err
    rows = [row for row in board(folder, "classifiers") if row["kind"] == "measured"]
    assert all(row["status"] == "ok" and row["accuracy"] for row in rows)
    assert len(rows) == 3 + 1 + len(sets)
    swept = {(row["generator"], row["real"], row["ratio"]) for row in rows if row["ratio"]}
    even = "in equal classes of malignancy"
    assert swept == {
        ("none", f"20, {even}", "0"), ("release", f"20, {even}", "1"), (f"release, {even}", "0", "n=16"),
    }  # fmt: skip

    counts = {"benign": 0, "malignant": 0}
    for example in examples:
        if example.split == "train":
            counts[Phantom.tasks(PhantomConfig(**DATA))[1].mapping[example.label]] += 1
    found = drawn(folder)
    train = sum(counts.values())
    assert counts["benign"] > 2 * counts["malignant"]
    assert found["release/count=20,even"][0] == {"benign": 10, "malignant": 10}
    assert found["release/count=16,even"][0] == {"benign": 8, "malignant": 8}
    assert found["text/count=10,even"][0] == {"benign": 5, "malignant": 5}
    lacking = {"benign": 0, "malignant": counts["benign"] - counts["malignant"]}
    assert found["text/per-class=balance"][0] == lacking
    # half of the release are malignant, of `train` fewer; and of the part that `few` has learnt from, half again
    assert sum(found[f"release/count={round(0.1 * train)}"][0].values()) == round(0.1 * train)
    assert abs(found[f"release/count={round(0.1 * train)}"][0]["benign"] - 0.05 * train) <= 1
    assert found["few/count=12"][0] == {"benign": 6, "malignant": 6}
    # words: the data set's own, a template's, and those of a file, of the images that `few` has seen
    own = {e.caption for e in examples if e.split == "train"}
    assert found["text/per-class=4,captions=own"][1] <= own
    assert all(said.startswith("a ") and said.endswith(" one") for said in found["text/count=10,even"][1])
    seen = {f"image {e.id}" for e in examples if e.split == "train"}
    assert found["few/count=12"][1] <= seen and len(found["few/count=12"][1]) == 12
