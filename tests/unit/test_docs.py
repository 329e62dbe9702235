"""The documents: generated ones are fresh, examples work, every flag and key is told, no link is dead."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from dermae_bench import errors
from dermae_bench.cli import app, main
from dermae_bench.plugin.catalog import Catalog
from dermae_bench.testing import check

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def plugins_of(page: Path, folder: Path) -> list[str]:
    """Write every plugin that a page shows into `folder`; their names."""
    for number, source in enumerate(blocks(page, "python")):
        if "def dermae_" in source:
            (folder / f"{page.stem.lower()}_{number}.py").write_text(source)
    return Catalog(folder).names() if any(folder.iterdir()) else []


# -- generated ---------------------------------------------------------------------------------------------------


def test_generated_documents_are_fresh(make_docs: ModuleType) -> None:
    stale = [path.name for path, text in make_docs.generated().items() if path.read_text() != text]
    assert not stale, f"`make docs` regenerates {', '.join(stale)}"


def test_every_flag_is_documented(make_docs: ModuleType) -> None:
    text = (DOCS / "commands.md").read_text()
    reference = (DOCS / "reference.md").read_text()
    flags, variables = set(), set()
    for name, command in make_docs.walk("dermae-bench", app):
        assert f"## {name}\n" in text
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                flags |= set(parameter.opts)
                variables |= {parameter.envvar} if isinstance(parameter.envvar, str) else set()
    assert len(flags) > 15 and len(variables) > 10
    assert not [flag for flag in flags if flag not in text]
    assert not [variable for variable in variables if f"`{variable}`" not in reference]


def test_variables_that_the_code_reads_are_documented() -> None:
    reference = (DOCS / "reference.md").read_text()
    read: set[str] = set()
    for path in (ROOT / "dermae_bench").rglob("*.py"):
        read |= set(re.findall(r'environ\.get\("(\w+)"', path.read_text()))
    assert "DERMAE_BENCH_DEVICE" in read
    assert not [name for name in read if f"`{name}`" not in reference]


def test_exit_codes_are_documented() -> None:
    reference = (DOCS / "reference.md").read_text()
    codes = [
        errors.OK, errors.FAILED, errors.USAGE, errors.NOTHING_MATCHED, errors.INCONCLUSIVE, errors.STORAGE, 130, 143,
    ]  # fmt: skip
    assert not [code for code in codes if f"\n| {code} | " not in reference]


def test_every_suite_key_is_documented(make_docs: ModuleType) -> None:
    schema = json.loads((DOCS / "suite.schema.json").read_text())
    text = (DOCS / "suite.md").read_text()
    places = list(make_docs.sections("", schema))
    assert {"", "dataset", "budgets.NAME", "image_sets.NAME", "rows[]", "classifiers.NAME.teacher"} <= {
        place for place, _, _ in places
    }
    for place, properties, _ in places:
        assert f"## {place or 'Top level'}\n" in text
        for key, about in properties.items():
            assert about.get("description"), f"{place}.{key} has no description in suite/spec.py"
            assert f"| `{key}` | " in text


def board(folder: Path, suite: str) -> Path:
    folder.mkdir()
    (folder / "classifiers.json").write_text(json.dumps({"suite": suite, "preset": None}))
    head = (
        f"# {suite}: KIND\n\n- Suite {suite}; split x, digest {'ab' * 32}.\n- n = 7 images. Units: none.\n- More.\n\n"
    )
    for kind in ("generators", "classifiers"):
        text = head.replace("KIND", kind) + f"## task: {kind}\n\n| rank |\n| ---: |\n| 1 |\n\n## Warnings\n\n- no\n"
        (folder / f"{kind}.md").write_text(text)
    return folder


def test_boards_go_to_their_place(make_docs: ModuleType, tmp_path: Path) -> None:
    folder = board(tmp_path / "quickstart", "quickstart")
    readme = "before\n<!-- quickstart board -->\nold\n<!-- end -->\nafter\n"
    once = make_docs.with_boards(readme, folder)
    assert make_docs.with_boards(once, folder) == once
    assert once.startswith("before\n<!-- quickstart board -->\n") and once.endswith("<!-- end -->\nafter\n")
    assert "old" not in once and "Warnings" not in once and "More." not in once
    assert once.count("| 1 |") == 2 and "**task: classifiers**" in once
    assert "digest abababababab." in once and "n = 7 images." in once


def test_boards_without_a_place_are_refused(make_docs: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="no place <!-- other -->"):
        make_docs.with_boards("text", board(tmp_path / "other", "other"))
    with pytest.raises(click.ClickException, match="holds no leaderboards"):
        make_docs.with_boards("text", tmp_path / "nothing")


def test_the_readme_has_its_places(make_docs: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    for place in make_docs.PLACES.values():
        assert re.search(rf"<!-- {place} -->\n.*?\n<!-- end -->", readme, re.DOTALL)
    shown = readme.partition("<!-- quickstart board -->")[2].partition("<!-- end -->")[0]
    assert "majority class (floor)" in shown and "real images (floor)" in shown


# -- examples ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readme_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my_plugins")
    assert plugins_of(ROOT / "README.md", folder) == sorted([*Catalog().names(), "tiny-flow"])
    return folder


def test_the_readme_plugin_keeps_its_promises(readme_plugins: Path) -> None:
    check("tiny-flow", readme_plugins)
    lines = next(readme_plugins.glob("*.py")).read_text().splitlines()
    assert len([line for line in lines if line]) < 50


EXAMPLES = [
    "discs", "small-gan", "class-flow", "huber-flow", "denoiser", "small-cnn", "gaussian-bayes", "colour-grid",
    "sensitivity", "mean-distance",
]  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_keep_their_promises(name: str, tmp_path: Path) -> None:
    assert name in plugins_of(DOCS / "plugins.md", tmp_path)
    check(name, tmp_path)


def test_every_hook_has_an_example() -> None:
    from dermae_bench.plugin.hookspecs import KINDS

    text = (DOCS / "plugins.md").read_text()
    assert not [hook for hook in KINDS if f"def {hook}():" not in text]


def test_an_encoder_of_the_examples_fits_their_classifier(tmp_path: Path) -> None:
    from dermae_bench.plugin.loading import load_plugin
    from dermae_bench.testing.models import make, same

    plugins_of(DOCS / "plugins.md", tmp_path)
    catalog = Catalog(tmp_path)
    models: list[Any] = []
    for name in ("denoiser", "small-cnn"):
        reference = catalog.reference(name)
        models.append(make(load_plugin(reference.name, reference.module, reference.file)[1]))
    pretrainer, classifier = models
    classifier.start_from(pretrainer.encoder())
    assert same(classifier.trunk.state_dict(), pretrainer.trunk.state_dict())


def test_suites_of_the_readme_are_right(
    readme_plugins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suites = blocks(ROOT / "README.md", "yaml")
    assert suites
    for number, text in enumerate(suites):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        with pytest.raises(SystemExit) as left:
            main(["validate", str(path), "--plugins-dir", str(readme_plugins), "--results", str(tmp_path)])
        captured = capsys.readouterr()
        assert left.value.code == 0, captured.err
        assert "3 rows and 4 floors" in captured.out and "no mistake found" in captured.out


def test_commands_in_the_documents_exist(make_docs: ModuleType) -> None:
    known = {name for name, _ in make_docs.walk("dermae-bench", app)}
    groups = {"dermae-bench", "dermae-bench plugins"}
    for page in PAGES:
        # the changelog may name what was removed later
        if page.name == "CHANGELOG.md":
            continue
        for words in re.findall(
            r"dermae-bench((?: [a-z][a-z-]*)+)", "\n".join(re.findall(r"`([^`]+)`", page.read_text()))
        ):
            name = "dermae-bench"
            for word in words.split():
                if name in groups:
                    assert f"{name} {word}" in known, f"{page.name}: {name} {word}"
                    name = f"{name} {word}"


# -- links and house-keeping -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_relative_link_is_dead(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        assert found.is_relative_to(ROOT)
        if anchor:
            heads = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_constraints_name_every_dependency_without_hosts() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["test"], *extras["bench"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=! ]", text)[0]).lower() for text in wanted} - {"dermae-bench"}
    assert names <= pinned, sorted(names - pinned)
    assert not {name for name in pinned if name.startswith(("nvidia-", "cuda-")) or name == "triton"}
    assert "torch==2.13.0" not in lines
