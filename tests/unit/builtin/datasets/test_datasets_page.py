"""docs/datasets.md: its params are right, and its scripts make tables that `image-folder` reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dermae_bench import api
from dermae_bench.builtin.datasets.ddi import DDIConfig
from dermae_bench.builtin.datasets.derm7pt import Derm7ptConfig
from dermae_bench.builtin.datasets.fitzpatrick17k import Fitzpatrick17kConfig
from dermae_bench.builtin.datasets.image_folder import ImageFolder, ImageFolderConfig
from dermae_bench.builtin.datasets.isic import ISICConfig
from dermae_bench.plugin.params import build, check
from tests.unit.builtin.datasets.layouts import pictures, table

PAGE = Path(__file__).parents[4] / "docs" / "datasets.md"
CONFIGS: dict[str, type] = {
    "isic": ISICConfig,
    "ddi": DDIConfig,
    "fitzpatrick17k": Fitzpatrick17kConfig,
    "derm7pt": Derm7ptConfig,
    "image-folder": ImageFolderConfig,
}
MILK10K = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def script(word: str) -> str:
    return next(text for text in blocks("python") if word in text.splitlines()[0])


def made(root: Path, **params: Any) -> tuple[list[api.Example], ImageFolder]:
    config = ImageFolderConfig(root=api.Folder(root), csv=api.File(root / "dermae.csv"), **params)
    dataset = ImageFolder(config)
    return list(dataset.examples()), dataset


def test_the_params_of_the_page_are_right() -> None:
    shown = [yaml.safe_load(text) for text in blocks("yaml")]
    assert [block["plugin"] for block in shown] == list(CONFIGS)
    for block in shown:
        config = CONFIGS[block["plugin"]]
        _, findings = check(config, block["params"])
        assert not findings
        build(config, block["params"])


def test_every_set_of_the_table_has_a_plugin_and_a_section() -> None:
    text = PAGE.read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ") and line.count("|") == 7]
    plugins = {name for row in rows[2:] for name in re.findall(r"`([\w-]+)`", row[6])}
    assert plugins == {*CONFIGS, "ham10000"}
    for name in CONFIGS:
        assert f"\n## {name}\n" in text


def test_the_script_for_pad_ufes_20(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("patient_id", "lesion_id", "age", "gender", "region", "fitspatrick", "diagnostic", "img_id")
    rows = [
        ("PAT_1", "11", "55", "FEMALE", "NECK", "3.0", "BCC", "PAT_1_11_1.png"),
        ("PAT_1", "12", "55", "FEMALE", "ARM", "3.0", "NEV", "PAT_1_12_2.png"),
        ("PAT_2", "13", "8", "", "FACE", "", "ACK", "PAT_2_13_3.png"),
    ]
    table(tmp_path / "metadata.csv", columns, rows)
    pictures(tmp_path / "images" / "imgs_part_1", ["PAT_1_11_1.png", "PAT_2_13_3.png"])
    pictures(tmp_path / "images" / "imgs_part_2", ["PAT_1_12_2.png"])
    monkeypatch.chdir(tmp_path)
    exec(compile(script("images/"), "pad", "exec"), {})
    examples, _ = made(tmp_path)
    assert [(e.id, e.label, e.group) for e in examples] == [
        ("images/imgs_part_1/PAT_1_11_1.png", "BCC", "PAT_1"),
        ("images/imgs_part_1/PAT_2_13_3.png", "ACK", "PAT_2"),
        ("images/imgs_part_2/PAT_1_12_2.png", "NEV", "PAT_1"),
    ]
    assert examples[0].attributes == {"age": 55.0, "sex": "female", "localization": "neck", "skin_type": "III"}
    assert (examples[1].attributes["sex"], examples[1].attributes["skin_type"]) == (None, None)


def test_the_script_for_milk10k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = [["IL_1", *(float(name == "MEL") for name in MILK10K)], ["IL_2", *(float(n == "NV") for n in MILK10K)]]
    table(tmp_path / "MILK10k_Training_GroundTruth.csv", ("lesion_id", *MILK10K), truth)
    columns = ("lesion_id", "image_type", "isic_id", "age_approx", "sex", "skin_tone_class", "site")
    rows = [
        ("IL_1", "clinical: close-up", "ISIC_1", "60", "male", "4", "trunk"),
        ("IL_1", "dermoscopic", "ISIC_2", "60", "male", "4", "trunk"),
        ("IL_2", "dermoscopic", "ISIC_3", "", "female", "2", "head"),
    ]
    table(tmp_path / "MILK10k_Training_Metadata.csv", columns, rows)
    pictures(tmp_path / "MILK10k_Training_Input", ["IL_1/ISIC_1.jpg", "IL_1/ISIC_2.jpg", "IL_2/ISIC_3.jpg"])
    monkeypatch.chdir(tmp_path)
    exec(compile(script("MILK10k"), "milk10k", "exec"), {})
    examples, _ = made(tmp_path)
    assert [(e.label, e.group, e.attributes["view"]) for e in examples] == [
        ("MEL", "IL_1", "clinical: close-up"),
        ("MEL", "IL_1", "dermoscopic"),
        ("NV", "IL_2", "dermoscopic"),
    ]
    assert examples[2].attributes["age"] is None


def test_the_script_for_the_kaggle_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["train/benign/1.jpg", "test/Benign/2.jpg", "test/Malignant/3.jpg", "test/Malignant/4.jpg"]
    pictures(tmp_path, names)
    monkeypatch.chdir(tmp_path)
    exec(compile(script("train/"), "kaggle", "exec"), {})
    examples, dataset = made(tmp_path, task="malignancy", classes=("benign", "malignant"), positive="malignant")
    assert [(e.id, e.label) for e in examples] == [
        (names[1], "benign"),
        (names[2], "malignant"),
        (names[3], "malignant"),
    ]
    (task,) = ImageFolder.tasks(dataset.config)
    assert (task.name, task.classes, task.positive) == ("malignancy", ("benign", "malignant"), "malignant")
