"""A plugin of somebody else that builds on the shipped ones: what it imports of them is a source of it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dermae_bench.errors import PluginError
from dermae_bench.plugin.sources import Sources, sources_of

Make = Callable[[Path, str], tuple[str, Path | None]]
NEVER = "raise SystemExit('it was run')\n"
SHIPPED = {
    "__init__.py": "",
    "generators/__init__.py": "",
    "generators/flow.py": "from dermae_bench import api\nfrom dermae_plugins.parts import unet\n",
    "parts/__init__.py": "",
    "parts/unet.py": "import torch, timm\nfrom dermae_plugins.parts.latents import Space\nfrom . import blocks\n",
    "parts/latents.py": "import diffusers\nsources = ('table.json',)\n",
    "parts/table.json": "[1]",
    "parts/blocks.py": "",
    "parts/nobody.py": "import pandas\n",
}
UNET = {"", "parts", "parts.unet", "parts.latents", "parts.blocks"}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that stands in for the shipped one."""
    folder = tmp_path / "site" / "dermae_plugins"
    for name, text in SHIPPED.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NEVER + text if name.endswith(".py") else text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def single(tmp_path: Path, text: str) -> tuple[str, Path]:
    """A file of `--plugins-dir`."""
    file = tmp_path / "mine" / "own_flow.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(NEVER + text)
    return "own_flow", file


def packaged(tmp_path: Path, text: str) -> tuple[str, None]:
    """A module of a distribution."""
    folder = tmp_path / "site" / "outside_flows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(NEVER)
    (folder / "own_flow.py").write_text(NEVER + text)
    return "outside_flows.own_flow", None


def of_shipped(found: Sources) -> set[str]:
    names = {name for name in found.files if name.partition(".")[0] == "dermae_plugins"}
    return {name.removeprefix("dermae_plugins").removeprefix(".") for name in names}


@pytest.mark.parametrize("make", [single, packaged])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from dermae_plugins.parts import unet\n", UNET),
        ("from dermae_plugins.parts.unet import build\n", UNET),
        ("import dermae_plugins.parts.unet as net\n", UNET),
        ("def late():\n    from dermae_plugins.parts import unet\n", UNET),
        ("from dermae_plugins.generators.flow import Flow\n", {*UNET, "generators", "generators.flow"}),
    ],
)
def test_what_is_imported_of_the_shipped_package_is_a_source(
    shipped: Path, tmp_path: Path, make: Make, text: str, names: set[str]
) -> None:
    found = sources_of(*make(tmp_path, text + "import numpy\n"))
    assert of_shipped(found) == names
    assert {name.partition(".")[0] for name in found.files} <= {"dermae_plugins", "own_flow", "outside_flows"}
    assert all(found.files[f"dermae_plugins{name and '.' + name}"].is_relative_to(shipped) for name in names)
    # versions of what the parts import stand in the key, too; the shipped package itself has no version of its own
    assert found.libraries == ("diffusers", "numpy", "timm", "torch")


@pytest.mark.parametrize("make", [single, packaged])
@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("parts/unet.py", True),
        ("parts/blocks.py", True),
        ("parts/latents.py", True),
        ("parts/table.json", True),
        ("__init__.py", True),
        ("parts/nobody.py", False),
        ("generators/flow.py", False),
    ],
)
def test_an_edited_part_changes_the_digest_of_those_who_build_on_it(
    shipped: Path, tmp_path: Path, make: Make, edited: str, changes: bool
) -> None:
    plugin = make(tmp_path, "from dermae_plugins.parts import unet\n")
    before = sources_of(*plugin).digest
    assert sources_of(*plugin).digest == before
    with (shipped / edited).open("a") as stream:
        stream.write("\n# edited\n")
    assert (sources_of(*plugin).digest != before) == changes


def test_a_sibling_is_not_taken_for_what_the_shipped_modules_import(shipped: Path, tmp_path: Path) -> None:
    plugin = single(tmp_path, "import helper\nfrom dermae_plugins.parts import unet\n")
    folder = tmp_path / "mine"
    (folder / "helper.py").write_text("")
    (folder / "timm.py").write_text("")
    # the installed package is the one that is imported when the plugin runs
    (folder / "dermae_plugins" / "parts").mkdir(parents=True)
    (folder / "dermae_plugins" / "parts" / "unet.py").write_text("import sklearn\n")
    found = sources_of(*plugin)
    assert of_shipped(found) == UNET
    assert found.files["dermae_plugins.parts.unet"].is_relative_to(shipped)
    assert set(found.files) - {name for name in found.files if name.startswith("dermae_plugins")} == {
        "own_flow", "helper",
    }  # fmt: skip
    assert found.libraries == ("diffusers", "timm", "torch")


@pytest.mark.parametrize("make", [single, packaged])
def test_a_part_of_another_version_may_be_tried(shipped: Path, tmp_path: Path, make: Make) -> None:
    text = "try:\n    from dermae_plugins.parts.moved import build\nexcept ImportError:\n    build = None\n"
    plugin = make(tmp_path, text)
    before = sources_of(*plugin)
    assert of_shipped(before) == {"", "parts"}
    (shipped / "parts" / "moved.py").write_text(NEVER)
    assert sources_of(*plugin).digest != before.digest
    (shipped / "parts" / "moved.py").write_text("def broken(:\n")
    with pytest.raises(PluginError, match=r"moved\.py, line 1"):
        sources_of(*plugin)


def _digest(found: Sources) -> str:
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.files.items()}
    return hashlib.sha256(repr(sorted(sums.items())).encode()).hexdigest()


def test_digests_of_all_others_are_what_they_were(tmp_path: Path) -> None:
    """Every key hangs on them: module names and the sums of their files, nothing else."""
    found = sources_of(*single(tmp_path, "import torch\nfrom dermae_bench import api\n"))
    assert set(found.files) == {"own_flow"} and found.libraries == ("torch",)
    assert found.digest == _digest(found)
    for module in ("dermae_plugins.generators.rectified_flow", "dermae_bench.builtin.metrics.kid"):
        found = sources_of(module)
        assert found.digest == _digest(found)


def test_a_subclass_is_made_of_all_that_the_shipped_plugin_is_and_nothing_is_imported(tmp_path: Path) -> None:
    _, file = single(tmp_path, "from dermae_plugins.generators.rectified_flow import RectifiedFlow\n")
    script = (
        "import sys\nfrom pathlib import Path\nfrom dermae_bench.plugin.sources import sources_of\n"
        "shipped = sources_of('dermae_plugins.generators.rectified_flow')\n"
        f"own = sources_of('own_flow', Path({str(file)!r}))\n"
        "assert len(shipped.files) > 5 and set(own.files) == {'own_flow', *shipped.files}, own.files\n"
        "assert own.libraries == shipped.libraries\n"
        "loaded = {name for name in sys.modules if name.split('.')[0] in ('torch', 'diffusers', 'dermae_plugins')}\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
