"""The examples of docs/protocols.md are suites that load and plan, and what the page says of them holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig
from dermae_bench.commands.publishing import Session
from dermae_bench.commands.session import open_session

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"
PARTS = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
BLOCKS = {
    part.partition("\n")[0]: [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", part, re.M | re.S)]
    for part in PARTS
}
BASE = BLOCKS.pop(PARTS[0].partition("\n")[0])[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files that the page names lie."""
    monkeypatch.chdir(tmp_path)
    for name in ("benign", "malignant"):
        (tmp_path / "data" / "release" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "data" / "release" / name / "0.png")
    (tmp_path / "data" / "scores.csv").write_text("id,benign,malignant\n")
    (tmp_path / "data" / "captions.csv").write_text("id,caption\n")
    return tmp_path


def session_of(folder: Path, block: dict[str, Any], sets: tuple[str, ...] = ()) -> Session:
    """The base with the sections of an example: names are added, lists are replaced."""
    suite = dict(BASE)
    for section, body in block.items():
        suite[section] = {**suite.get(section, {}), **body} if isinstance(body, dict) else body
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False))
    return open_session(path, preset=None, sets=sets, results=folder / "results", plugins_dir=None)


def rows(session: Session) -> list[str]:
    return [row.row for row in session.rows if row.kind == "measured"]


def test_every_section_has_an_example() -> None:
    assert len(BLOCKS) == 8
    assert all(len(found) == 1 for found in BLOCKS.values())


# importing what `flux-lora` needs takes longer than all others together
SLOW = {"Captions": pytest.mark.slow}


@pytest.mark.parametrize(
    "title",
    [pytest.param(title, marks=SLOW.get(title, ()), id=re.sub(r"\W+", "-", title)) for title in BLOCKS],
)
def test_an_example_loads_and_plans(folder: Path, title: str) -> None:
    (block,) = BLOCKS[title]
    session = session_of(folder, block)
    assert session.missing is None
    assert rows(session)
    assert all(stage.key for stage in session.stages)


def test_the_sweep_is_what_the_page_says(folder: Path) -> None:
    (block,) = BLOCKS["Sweeps and their controls"]
    session = session_of(folder, block)
    found = rows(session)
    assert len(found) == 3 * 4 + 2 + 3
    assert sum(row.startswith("augmented | ") for row in found) == 3
    (setting,) = re.findall(r"--set '([^']+)'", PAGE.read_text())
    grown = session_of(folder, block, (setting,))
    new = {stage.name for stage in grown.stages} - {stage.name for stage in session.stages}
    assert {stage.key for stage in session.stages} < {stage.key for stage in grown.stages}
    assert len(rows(grown)) == len(found) + 3
    # three fits, predicted on val and test and scored; two sets, drawn and linted: 4 x 50 images are there as 2 x 100
    fits, sets = ["train", "predict", "predict", "score"] * 3, ["sample", "score"] * 2
    assert sorted(name.split("/")[0] for name in new) == sorted([*fits, *sets])


def test_the_words_of_the_page_are_those_of_the_board(folder: Path) -> None:
    (block,) = BLOCKS["How a row came to its task, and where it started"]
    (row,) = [row for row in session_of(folder, block).rows if row.kind == "measured"]
    assert row.protocol == "linear-probe"
    (block,) = BLOCKS["Other data sets to be scored on"]
    session = session_of(folder, block)
    assert rows(session) == ["cnn | train | malignancy", "cnn | train | malignancy | elsewhere"]
    (block,) = BLOCKS["Images and answers that were made elsewhere"]
    protocols = {row.row: row.protocol for row in session_of(folder, block).rows if row.kind == "measured"}
    assert protocols == {
        "release | test | 100": "external",
        "cnn | released | malignancy": "trained",
        "biomedclip | elsewhere | malignancy": "zero-shot",
    }


def test_the_phantom_has_the_attribute_that_the_page_names() -> None:
    example = Phantom(PhantomConfig(images=50)).examples()[0]
    assert "skin_tone" in example.attributes
    assert "{skin_tone}" in BLOCKS["Captions"][0]["captions"]["templated"]["template"]
