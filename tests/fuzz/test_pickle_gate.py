"""Nothing in the tree unpickles, evaluates, extracts or calls a shell, but for the one child that says so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHILD = "dermae_bench/plugin/unpickling.py"
WORDS = (
    "pickle.load", "joblib.load", "read_pickle", "yaml.load(", "extractall", "allow_pickle=True", "weights_only=False",
    "shell=True", "os.system(",
)  # fmt: skip
CALLS = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "yaml.load", "yaml.unsafe_load", "marshal.loads",
    "os.system", "os.popen", "shelve.open", "dill.load", "cloudpickle.load", "eval", "exec", "builtins.eval",
}  # fmt: skip
MODULES = ("pickle", "dill", "cloudpickle", "joblib", "shelve")
SUSPECT = re.compile(
    r"(?<![.\w])(eval|exec)\s*\(|builtins|pickle|joblib|shelve|marshal|dill|yaml|extractall|shell\s*=|\.load\b|popen|system\b"
)
"""What a source must hold before it is worth parsing."""
METHODS = {"extractall", "read_pickle", "to_pickle"}


def sources() -> Iterator[Path]:
    for folder in ("dermae_bench", "plugins"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def forbidden(text: str) -> list[str]:
    """`line: what` for each call that reads code as data or data as code."""
    found: list[str] = []
    if not SUSPECT.search(text):
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [
                f"{node.lineno}: import {n}"
                for n in names
                if n in ("pickle", "dill", "cloudpickle", "joblib", "shelve")
            ]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in CALLS or called.rpartition(".")[2] in METHODS:
            found.append(f"{node.lineno}: {called}")
        told = {word.arg: ast.unparse(word.value) for word in node.keywords}
        found += [
            f"{node.lineno}: {word}={told[word]}"
            for word in ("allow_pickle", "shell")
            if told.get(word, "False") != "False"
        ]
        if called == "torch.load" and told.get("weights_only") != "True":
            found.append(f"{node.lineno}: torch.load(weights_only={told.get('weights_only')})")
        if called in ("np.load", "numpy.load", "np.fromfile") and "allow_pickle" in told:
            found.append(f"{node.lineno}: {called}(allow_pickle)")
    return found


def test_no_source_reads_pickles_or_runs_text() -> None:
    found = {path.relative_to(ROOT).as_posix(): forbidden(path.read_text(encoding="utf-8")) for path in sources()}
    assert len(found) > 100
    child = found.pop(CHILD)
    assert [what.partition(": ")[2] for what in child] == ["torch.load(weights_only=not trusted)"]
    assert {name: what for name, what in found.items() if what} == {}


def test_no_document_teaches_it() -> None:
    pages = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", *sorted((ROOT / "docs").glob("*.py"))]
    found = [
        f"{page.name}: {line.strip()}"
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if any(word in line for word in WORDS)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "import pickle",
        "eval(text)",
        "archive.extractall(place)",
        "subprocess.run(words, shell=True)",
        "pd.read_pickle(path)",
    ],
)
def test_the_gate_sees(line: str) -> None:
    assert forbidden(line)


@pytest.mark.parametrize("line", ["model.eval()", "torch.load(path, weights_only=True)", "np.load(path)"])
def test_the_gate_lets_pass(line: str) -> None:
    assert forbidden(line) == []
