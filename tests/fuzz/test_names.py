"""Hostile names from the suite to the last file: refused or shown, never a path, never obeyed; and no secret tells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import yaml
from hostile_texts import TEXTS

from dermae_bench.suite.names import _SUITE_NAME, NAME
from tests.counting import record_count

HERE = Path(__file__).parent
SUITE = {
    "version": 1,
    "suite": "hostile",
    "description": "=1+1 <script>window.hacked=1</script> \x1b[2J \u202e \\input{x} | `x`",
    "dataset": {"plugin": "hostile"},
    "tasks": ["diagnosis"],
    "budgets": {"short": {"steps": 3, "batch_size": 8}},
    "classifiers": {
        "quiet": {"plugin": "telling", "budget": "short"},
        "telling": {"plugin": "telling", "budget": "short", "params": {"tell": True}},
    },
    "rows": [{"classifiers": ["quiet", "telling"], "train": "train"}],
    "prediction_metrics": ["accuracy", "f1-weighted"],
    "subgroups": ["site", "sex"],
}
SECRETS = {
    "HF_TOKEN": "c4nary-hf", "AWS_SECRET_ACCESS_KEY": "c4nary-aws/+x", "WANDB_API_KEY": "c4nary-wandb",
    "MY_PASSWORD": "c4nary 'quoted' \\ pass", "HTTPS_PROXY": "http://me:c4nary-proxy@proxy.invalid:1",
}  # fmt: skip


def controls(text: str) -> set[str]:
    return {c for c in set(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and c != "\n"}


def test_a_name_of_a_suite_is_a_plain_name_of_a_file_or_refused() -> None:
    taken = [text for text in TEXTS for pattern in (NAME, _SUITE_NAME) if pattern.fullmatch(text)]
    assert 0 < len(taken) < 80
    for text in taken:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) and len(text) <= 80


@pytest.mark.slow
def test_a_hostile_dataset_and_a_telling_plugin_leave_text_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    places = {"DERMAE_BENCH_CACHE": str(tmp_path / "cache"), "DERMAE_BENCH_PLUGINS_DIR": str(HERE / "plugins")}
    environment = {**kept, **SECRETS, **places, "OMP_NUM_THREADS": "1", "DERMAE_BENCH_DEVICE": "cpu"}

    def call(*words: str, expected: tuple[int, ...] = (0,)) -> str:
        command = [sys.executable, "-m", "dermae_bench", *words]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=False)
        told = ran.stdout.decode() + ran.stderr.decode()
        assert ran.returncode in expected, told
        assert "Traceback (most recent call last)" not in told or words[0] == "show"
        assert controls(told) == set(), words
        assert "c4nary" not in told, words
        return told

    told = call("run", "suite.yaml", "-v", expected=(1,))
    assert "RuntimeError" in told
    (key,) = re.findall(r"dermae-bench show ([0-9a-f]{12})\)", told)
    results = tmp_path / "results" / "hostile"
    rows = json.loads((results / "classifiers.json").read_text())["rows"]
    assert {row["names"]["classifier"]: row["status"] for row in rows if row["kind"] == "measured"} == {
        "quiet": "ok", "telling": "failed",
    }  # fmt: skip
    call("show", key)
    call("show", key, "--format", "json")
    call("list")
    for form in ("table", "csv"):
        call("plugins", "list", "--format", form)
        call("plan", "suite.yaml", "--format", form)
    call("report", "suite.yaml", "--format", "json")
    call("plugins", "show", "hostile")
    call("verify", "hostile", expected=(0, 1, 4))
    call("compare", "results/hostile", "quiet", "quiet", expected=(0, 2))
    call("export", "hostile", "--as", "latex")
    call("export", "hostile", "--as", "zip", "--out", "hostile.zip", expected=(0, 2))

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} <= {"suite.yaml", "cache", "results", "hostile.zip"}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,80}", path.name) for path in files)
    for path in files:
        data = path.read_bytes()
        assert b"c4nary" not in data, path
    for path in results.rglob("*"):
        if path.suffix in {".csv", ".md", ".json", ".jsonl", ".html", ".yaml", ".txt"}:
            assert controls(path.read_text(encoding="utf-8")) == set(), path.name
    assert yaml.safe_load((results / "suite.resolved.yaml").read_text())["description"] == SUITE["description"]
    record_count("files searched for secrets", len(files))
