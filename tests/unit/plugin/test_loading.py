"""Importing one plugin, through its hook, by its name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dermae_bench.errors import PluginError
from dermae_bench.plugin.loading import load_module, load_plugin

HEAD = "from dermae_bench import api\nclass A(api.CostMetric): pass\nclass B(api.SampleMetric): pass\nclass C: pass\n"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "subject_of_loading", raising=False)


def write(folder: Path, text: str) -> str:
    path = folder / "subject_of_loading.py"
    path.write_text(HEAD + text)
    return str(path)


def hook(returned: str, name: str = "dermae_metrics") -> str:
    return f"@api.hookimpl\ndef {name}():\n    return {returned}\n"


def test_a_name_is_a_key_of_a_hook_or_else_a_class(tmp_path: Path) -> None:
    file = write(tmp_path, hook('{"a": A, "B": A, "b": B}'))
    for name, cls in (("a", "A"), ("b", "B"), ("B", "A")):
        kind, found = load_plugin(name, "subject_of_loading", file)
        assert (kind, found.__name__) == ("metric", cls)
    with pytest.raises(PluginError, match="declares more than one 'A'"):
        load_plugin("A", "subject_of_loading", file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (hook('{"other": A}'), "declares no 'a'\n  it declares: other"),
        ("", "declares no 'a'\n  it declares: nothing"),
        (
            hook('{"a": A}', "dermae_metricks"),
            "subject_of_loading.py, line 5: unknown hook 'dermae_metricks'; did you mean 'dermae_metrics'?",
        ),
        (hook('{"a": A}', "dermae_xyz"), "unknown hook 'dermae_xyz'; hooks: dermae_classifiers, dermae_datasets"),
        (hook('["a"]'), "dermae_metrics of module subject_of_loading must return a mapping"),
        (hook('{"a": "A"}'), "must return a mapping from names to classes"),
        (hook('{"a": C}'), "C of module subject_of_loading is declared as a metric, but is no api.SampleMetric or"),
        (hook('{"a": A}', "dermae_datasets"), "declared as a dataset, but is no api.Dataset"),
        (hook('{"a": A}') + hook('{"a": A}', "dermae_datasets"), "declares more than one 'a'"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_told(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(PluginError) as caught:
        load_plugin("a", "subject_of_loading", write(tmp_path, text))
    assert reason in str(caught.value)


def test_siblings_of_a_file_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "sibling_of_subject.py").write_text("VALUE = 3\n")
    loaded = load_module("subject_of_loading", write(tmp_path, "from sibling_of_subject import VALUE\n"))
    assert loaded.VALUE == 3


def test_a_module_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_module("subject_of_loading", write(tmp_path, "1 / 0\n"))
    assert "subject_of_loading" not in sys.modules


def test_an_installed_module_is_imported_by_its_name() -> None:
    kind, cls = load_plugin("kid", "dermae_bench.builtin.metrics.kid")
    assert (kind, cls.__module__) == ("metric", "dermae_bench.builtin.metrics.kid")
