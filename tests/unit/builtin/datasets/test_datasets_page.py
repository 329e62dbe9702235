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
from dermae_bench.builtin.datasets.image_folder import RESERVED, ImageFolder, ImageFolderConfig
from dermae_bench.builtin.datasets.isic import ISICConfig
from dermae_bench.plugin.params import build, check, schema_of
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


def set_of(suite: str, name: str | None) -> dict[str, Any]:
    """Params of the data set of a suite that is delivered, or of a set under its `evaluate_on`."""
    about = yaml.safe_load((PAGE.parents[1] / "suites" / suite).read_text())
    found = about["dataset"] if name is None else about["evaluate_on"][name]
    assert found["plugin"] == "image-folder"
    return dict(found["params"])


def read(root: Path, params: dict[str, Any]) -> tuple[list[api.Example], dict[str, api.Task]]:
    """Images and tasks by the params of a suite, with the folder and the CSV of the test in place of its own."""
    given = {**params, "root": str(root), "csv": str(root / Path(params["csv"]).name)}
    _, findings = check(ImageFolderConfig, given)
    assert not findings
    dataset = ImageFolder(build(ImageFolderConfig, given))
    return list(dataset.examples()), {task.name: task for task in ImageFolder.tasks(dataset.config)}


def section(title: str) -> str:
    """The text of the page from a set's bold title to the next."""
    return PAGE.read_text().partition(f"**{title}")[2].partition("\n**")[0]


def example(title: str, root: Path, csv: str) -> None:
    """Write the CSV that a section shows, and its pictures."""
    (shown,) = re.findall(r"^```csv\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)
    (root / csv).write_text(shown)
    pictures(root, [line.partition(",")[0] for line in shown.splitlines()[1:]])


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


@pytest.mark.parametrize(
    ("title", "names"),
    [("MClass-D and", ("mclass-derm", "mclass-clinic")), ("ASAN", ("asan",)), ("ISIC 2018 test", ("isic-2018",))],
)
def test_class_n_diff_reads_the_tables_of_the_page(tmp_path: Path, title: str, names: tuple[str, ...]) -> None:
    for name in names:
        params = set_of("class_n_diff.yaml", name)
        example(title, tmp_path, Path(params["csv"]).name)
        examples, tasks = read(tmp_path, params)
        asked = tasks["malignancy"]
        assert (sorted(asked.classes), asked.positive) == (["benign", "malignant"], "malignant")
        answers = [(asked.mapping or {}).get(e.label, e.label) for e in examples]
        assert answers == ["benign", "malignant"]
        assert {e.split for e in examples} == {"test"}


def test_the_labels_of_asan_are_those_of_the_page() -> None:
    params = set_of("class_n_diff.yaml", "asan")
    listed = re.search(r"called: ([^.]+)\.", " ".join(section("ASAN").split()))
    assert listed is not None and listed[1].split(", ") == params["classes"]
    assert params["maps"]["malignancy"] == {
        name: "malignant" if name == "malignant melanoma" else "benign" for name in params["classes"]
    }


def test_the_script_for_the_melanomas_of_isic_2018(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ("image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    truth = [("ISIC_1", 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0), ("ISIC_2", 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)]
    table(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", columns, truth)
    pictures(tmp_path / "ISIC2018_Task3_Test_Input", ["ISIC_1.jpg", "ISIC_2.jpg"])
    monkeypatch.chdir(tmp_path)
    exec(compile(script("ISIC2018"), "isic2018", "exec"), {})
    examples, _ = read(tmp_path, set_of("class_n_diff.yaml", "isic-2018"))
    assert [(Path(e.id).stem, e.label) for e in examples] == [("ISIC_1", "benign"), ("ISIC_2", "malignant")]


def test_the_script_for_the_eleven_sets_of_dermaflux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pad = [(f"a/{n}.png", "malignant", f"PAT_{n}") for n in range(30)]
    table(tmp_path / "PAD-UFES-20" / "dermae.csv", ("path", "label", "group"), pad)
    table(tmp_path / "HIBA" / "dermae.csv", ("path", "label", "group"), [("1.jpg", "benign", "IL_7")])
    table(tmp_path / "Kaggle1" / "dermae.csv", ("path", "label", "split"), [("2.jpg", "benign", "test")])
    said = [*((f"PAD-UFES-20/{path}", "brown, not even") for path, *_ in pad), ("HIBA/1.jpg", "pink")]
    table(tmp_path / "captions.csv", ("path", "caption"), said)
    pictures(tmp_path, [*(path for path, _ in said), "Kaggle1/2.jpg"])
    monkeypatch.chdir(tmp_path)
    exec(compile(script("data/DermaFlux"), "dermaflux", "exec"), {})
    examples, tasks = read(tmp_path, set_of("dermaflux.yaml", None))
    found = {e.id: e for e in examples}
    assert list(tasks) == ["malignancy"] and len(found) == 32
    assert found["HIBA/1.jpg"].group == "IL_7" and found["HIBA/1.jpg"].attributes == {"set": "HIBA"}
    one = found["PAD-UFES-20/a/3.png"]
    assert (one.group, one.label, one.caption) == ("PAD-UFES-20/PAT_3", "malignant", "brown, not even")
    test = found["Kaggle1/2.jpg"]
    assert (test.group, test.split, test.caption) == ("Kaggle1/2.jpg", "test", None)
    splits = [e.split for e in examples if e.id.startswith("PAD")]
    assert set(splits) == {"train", "val"} and splits.count("val") < 10


def test_the_line_shown_for_dermaflux_has_the_columns_of_the_script(tmp_path: Path) -> None:
    example("The eleven sets", tmp_path, "images.csv")
    params = {**set_of("dermaflux.yaml", None), "split": "all-test"}
    examples, _ = read(tmp_path, params)
    header = (tmp_path / "images.csv").read_text().partition("\n")[0]
    assert str(header.split(",")) in script("data/DermaFlux").replace('"', "'")
    assert [(e.label, e.caption is None) for e in examples] == [("benign", True), ("malignant", False)]


def test_the_columns_that_are_no_attributes_are_on_the_page_and_in_the_params() -> None:
    page = PAGE.read_text().partition("\n## image-folder\n")[2]
    told = schema_of(ImageFolderConfig)["properties"]["csv"]["description"]
    for column in RESERVED:
        assert f"| `{column}` |" in page and f"`{column}`" in told
