"""Which files a plugin is made of: read, never imported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dermae_bench.errors import PluginError
from dermae_bench.plugin.sources import Sources, sources_of


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An outsider's distribution with two plugins, a shared part, a part of one, and lines that must never run."""
    files = {
        "outsider_pack/__init__.py": "raise SystemExit('a parent was run')",
        "outsider_pack/gan.py": (
            "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nimport torch, json, numpy.linalg\n"
            "from dermae_bench import api\nfrom .parts import nets\nfrom .parts.losses import hinge\n"
            "if TYPE_CHECKING:\n    from outsider_pack.only_types import Never\n    import pandas\n"
            "def late():\n    from outsider_pack import inside_a_function\n"
        ),
        "outsider_pack/net.py": "from outsider_pack.parts import nets\nimport sklearn\n",
        "outsider_pack/parts/__init__.py": "",
        "outsider_pack/parts/nets.py": "from . import blocks\nimport timm\n",
        "outsider_pack/parts/blocks.py": "",
        "outsider_pack/parts/losses.py": "from ..deeper import *\n",
        "outsider_pack/deeper.py": "",
        "outsider_pack/only_types.py": "",
        "outsider_pack/inside_a_function.py": "",
        "outsider_pack/nobody.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site" / "outsider_pack"


def closure(found: Sources) -> set[str]:
    return {name.removeprefix("outsider_pack").removeprefix(".") for name in found.files}


def test_the_closure_of_a_package_with_parents_and_late_imports(package: Path) -> None:
    found = sources_of("outsider_pack.gan")
    assert closure(found) == {
        "", "gan", "parts", "parts.nets", "parts.blocks", "parts.losses", "deeper", "inside_a_function",
    }  # fmt: skip
    # what only type checkers import is no part of it
    assert found.libraries == ("numpy", "timm", "torch")
    assert sources_of("outsider_pack.net").libraries == ("sklearn", "timm")


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("gan.py", {"gan"}),
        ("deeper.py", {"gan"}),
        ("parts/blocks.py", {"gan", "net"}),
        ("__init__.py", {"gan", "net"}),
        ("only_types.py", set()),
        ("nobody.py", set()),
    ],
)
def test_editing_a_file_changes_the_digests_of_those_it_belongs_to(
    package: Path, edited: str, changes: set[str]
) -> None:
    before = {name: sources_of(f"outsider_pack.{name}").digest for name in ("gan", "net")}
    with (package / edited).open("a") as stream:
        stream.write("\n# edited\n")
    after = {name: sources_of(f"outsider_pack.{name}").digest for name in ("gan", "net")}
    assert {name for name in before if before[name] != after[name]} == changes


def test_a_digest_does_not_depend_on_the_place(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources_of("outsider_pack.gan").digest
    moved = package.parent.rename(package.parent.with_name("elsewhere"))
    monkeypatch.setattr(sys, "path", [str(moved), *sys.path[1:]])
    sys.path_importer_cache.clear()
    assert sources_of("outsider_pack.gan").digest == before


def test_first_party_plugins_share_parts_and_nothing_else() -> None:
    found = sources_of("dermae_plugins.generators.ddpm")
    assert {name.split(".")[0] for name in found.files} == {"dermae_plugins"}
    assert any(name.startswith("dermae_plugins.parts.") for name in found.files)
    assert not any(name.startswith("dermae_plugins.classifiers.") for name in found.files)
    assert {"torch", "diffusers"} <= set(found.libraries)


def test_a_builtin_plugin_is_not_the_whole_harness() -> None:
    found = sources_of("dermae_bench.builtin.datasets.phantom")
    assert all(name.startswith("dermae_bench.builtin") for name in found.files)
    assert len([name for name in found.files if "phantom" in name]) > 1
    assert "dermae_bench" not in found.libraries


def test_a_single_file_is_made_of_itself_and_its_siblings(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import helper, torch, json\nfrom dermae_bench import api\n")
    (tmp_path / "helper.py").write_text("from package import thing\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "thing.py").write_text("")
    (tmp_path / "unrelated.py").write_text("import pandas")
    # as when the folder of plugins is a checkout of the harness
    (tmp_path / "dermae_bench").mkdir()
    (tmp_path / "dermae_bench" / "api.py").write_text("")
    found = sources_of("mine", tmp_path / "mine.py")
    assert set(found.files) == {"mine", "helper", "package", "package.thing"}
    assert found.libraries == ("torch",)
    before = found.digest
    (tmp_path / "unrelated.py").write_text("")
    assert sources_of("mine", tmp_path / "mine.py").digest == before
    (tmp_path / "package" / "thing.py").write_text("x = 1")
    assert sources_of("mine", tmp_path / "mine.py").digest != before


def test_what_cannot_be_found_or_read_is_an_error(package: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"outsider_pack\.nowhere has no source"):
        sources_of("outsider_pack.nowhere")
    with pytest.raises(PluginError, match="no_such_distribution"):
        sources_of("no_such_distribution.plugin")
    (package / "net.py").write_text("from outsider_pack.lost import x")
    with pytest.raises(PluginError, match=r"outsider_pack\.lost"):
        sources_of("outsider_pack.net")
    for text, reason in ((b"def broken(:\n", "line 1"), (b"x = '\0'", "mine.py"), (b"\xff\xfe=", "mine.py")):
        (tmp_path / "mine.py").write_bytes(text)
        with pytest.raises(PluginError, match=reason):
            sources_of("mine", tmp_path / "mine.py")
    with pytest.raises(PluginError, match="cannot be read"):
        sources_of("gone", tmp_path / "gone.py")


def _sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(5 << 30)


SPECIAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "sparse": (_sparse, "it has 5,368,709,120 bytes; at most 4,194,304 are read"),
    "long": (lambda path: path.write_text("x = 1\n" * 1_000_000), "it has 6,000,000 bytes; at most 4,194,304 are read"),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_source_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    make, words = SPECIAL[name]
    make(tmp_path / "mine.py")
    begun = time.monotonic()
    with pytest.raises(PluginError) as told:
        sources_of("mine", tmp_path / "mine.py")
    assert str(told.value) == f"mine.py cannot be read: {words}"
    assert time.monotonic() - begun < 2


def test_declared_data_is_read_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text('sources = ("table.csv",)\n')
    for make, words in ((os.mkfifo, "it is a pipe"), (_sparse, "at most 1,073,741,824 are read")):
        make(tmp_path / "table.csv")
        begun = time.monotonic()
        with pytest.raises(PluginError, match=f"^'table.csv', which module mine .* cannot be read: .*{words}"):
            sources_of("mine", tmp_path / "mine.py")
        assert time.monotonic() - begun < 2
        (tmp_path / "table.csv").unlink()
    # more than a source file may have
    (tmp_path / "table.csv").write_text("1\n" * 3_000_000)
    assert sources_of("mine", tmp_path / "mine.py").digest


def test_nothing_is_imported() -> None:
    script = (
        "import sys\nfrom dermae_bench.plugin.sources import sources_of\n"
        "for name in ('dermae_plugins.generators.ddpm_perceptual', 'dermae_plugins.classifiers.timm_classifier',\n"
        "             'dermae_bench.builtin.metrics.kid'):\n    assert len(sources_of(name).files) > 1\n"
        "loaded = {name for name in sys.modules if name.split('.')[0] in ('torch', 'timm', 'diffusers', 'numpy')\n"
        "          or name.startswith(('dermae_plugins.', 'dermae_bench.builtin'))}\nassert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
