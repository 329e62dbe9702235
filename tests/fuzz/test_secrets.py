"""Secrets of the environment: who gets them, and where they must not stand."""

from __future__ import annotations

import base64
import json
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from PIL import Image

from dermae_bench.plugin.catalog import Catalog
from dermae_bench.secrets import redact, scrubbed, secret
from tests.e2e.conftest import call, lent

CANARY = "c4nary-'Äß\"/%& \\zz"
NAMES = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "WANDB_API_KEY",
    "MY_PASSWORD", "PGPASSWORD", "DB_PASS", "GITHUB_PAT", "GH_TOKEN", "OPENAI_API_KEY", "APIKEY", "KAGGLE_KEY",
    "SSH_PRIVATE_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_CONNECTION_STRING", "SENTRY_DSN",
    "SESSION_COOKIE", "my_password", "SLACK_WEBHOOK_URL", "JWT", "NPM_CONFIG__AUTH", "GPG_PASSPHRASE",
    "CI_JOB_TOKEN", "GIT_CONFIG_VALUE_0", "NETRC",
)  # fmt: skip
SECRET = {name: f"{CANARY}-{i}" for i, name in enumerate(NAMES)}
BY_VALUE = {
    "HTTPS_PROXY": "http://me:hunter22@proxy.invalid:3128",
    "DATABASE_URL": "postgres://me:hunter22@db.invalid/x",
    "INNOCENT": "hf_" + "a" * 34,
    "HEADER": "Authorization: Bearer " + "ab12" * 8,
}
OPEN = {
    "PATH": "/usr/bin", "HOME": "/home/me", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1",
    "PWD": "/x", "OLDPWD": "/y", "DERMAE_BENCH_CACHE": "/cache", "DERMAE_FAULT": "kill@3",
    "CUDA_VISIBLE_DEVICES": "0", "TOKENIZERS_PARALLELISM": "false", "MAX_TOKENS": "100",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "KEYBOARD": "de", "MONKEYS": "many", "COMPASS": "north", "AUTHOR": "me", "HTTP_PROXY": "http://proxy.invalid:3128",
}  # fmt: skip


def test_a_child_gets_no_secret_and_all_else() -> None:
    environment = {**SECRET, **BY_VALUE, **OPEN}
    assert scrubbed(environment) == OPEN
    assert scrubbed(environment, keep={"HF_TOKEN"}) == {**OPEN, "HF_TOKEN": SECRET["HF_TOKEN"]}
    assert all(secret(name, "x") for name in SECRET)


@pytest.mark.parametrize(
    "spell",
    [str, repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False), lambda text: quote(text, safe=""),
     lambda text: base64.b64encode(text.encode()).decode(), lambda text: repr({"HF_TOKEN": text}),
     lambda text: text.encode().hex(), lambda text: text.encode().hex().upper(), lambda text: repr(text.encode()),
     lambda text: f"a\n  {text}\nb", lambda text: f"--token={text};"],
)  # fmt: skip
def test_a_secret_is_struck_out_however_it_is_spelt(spell: object) -> None:
    assert callable(spell)
    for name, value in SECRET.items():
        told = redact(f"before {spell(value)} after", {**SECRET, **OPEN})
        assert "c4nary" not in told and "YzRuYXJ5" not in told and "63346e617279" not in told.lower()
        assert f"<{name}>" in told and told.startswith("before ") and told.endswith(" after")


def test_tokens_and_passwords_are_struck_out_wherever_they_come_from() -> None:
    text = "push to https://me:hunter22@host.invalid/x with hf_" + "a" * 34 + " and AKIA" + "B" * 16
    assert redact(text, {}) == "push to https://<user>@host.invalid/x with <token> and <token>"
    assert "hunter22" not in redact("connect(password='hunter22')", {**BY_VALUE})


def test_words_that_are_no_secrets_stay() -> None:
    text = "step 1 of 10: yes, tokens 12, /usr/bin, kill@3"
    assert redact(text, {**OPEN, "USE_TOKEN": "1", "MY_KEY": "yes", "EMPTY_TOKEN": ""}) == text


def test_lines_of_a_secret_are_secrets() -> None:
    key = "-----BEGIN X-----\nline-one-of-it\nline-two-of-it\n-----END X-----\n"
    assert "line-two" not in redact("found line-two-of-it in a log", {"SSH_KEY": key})


def test_the_longer_secret_goes_first() -> None:
    assert redact("x abcdefgh-123 y", {"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefgh-123"}) == "x <B_TOKEN> y"


@pytest.mark.parametrize("before", ["", "m", "me", "me:", "user:"])
def test_a_secret_in_the_middle_of_base64_is_struck_out(before: str) -> None:
    coded = base64.b64encode(f"{before}hunter22-hunter22:after".encode()).decode()
    shown = redact(coded, {"MY_PASSWORD": "hunter22-hunter22"})
    assert "<MY_PASSWORD>" in shown and len(shown) < len(coded) + len("<MY_PASSWORD>") - 20


def test_a_token_behind_a_word_that_looks_like_one_is_found() -> None:
    assert redact("task-of-sk-" + "A" * 30 + " task-12", {}) == "task-of-<token> task-12"


def test_a_plugin_that_tells_its_environment_tells_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRET.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "plugins").mkdir()
    source = """
        import os
        from dermae_bench import api

        @api.hookimpl
        def dermae_metrics():
            return {"tells": None}

        raise RuntimeError(f"c4rd HOME={os.environ.get('HOME')} {dict(os.environ)}")
    """
    (tmp_path / "plugins" / "tells.py").write_text(textwrap.dedent(source))
    catalog = Catalog(tmp_path / "plugins", tmp_path / "cache")
    (card,) = catalog.cards([catalog.reference("tells")])
    assert card.error is not None and "c4rd HOME=" in card.error and "PATH" in card.error
    assert "c4nary" not in card.error
    kept = [path.read_text() for path in (tmp_path / "cache").rglob("*.json")]
    assert not any("c4nary" in text for text in kept)


@pytest.mark.slow
def test_a_path_given_by_set_is_published_by_its_digest_alone(tmp_path: Path, warm_backend: Any) -> None:
    hidden = tmp_path / "c4nary-folder" / "images"
    hidden.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    splits = ("train", "train", "val", "test")
    lines = [f"{i}.png,{'ab'[i // 4 % 2]},{splits[i % 4]}\n" for i in range(16)]
    for number in range(16):
        Image.fromarray(pixels[number]).save(hidden / f"{number}.png")
    (hidden.parent / "table.csv").write_text("path,label,split\n" + "".join(lines))
    suite = {
        "version": 1,
        "suite": "mine",
        "dataset": {"plugin": "image-folder", "params": {"root": "images", "csv": "table.csv", "image_size": 8}},
        "tasks": ["diagnosis"],
        "budgets": {"short": {"steps": 1, "batch_size": 4}},
        "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "short"}},
        "rows": [{"classifiers": "thumbs", "train": "train"}],
        "prediction_metrics": ["accuracy"],
    }
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine.yaml").write_text(yaml.safe_dump(suite))
    sets = ("--set", f"dataset.params.root={hidden}", "--set", f"dataset.params.csv={hidden.parent / 'table.csv'}")
    with lent(warm_backend, work):
        assert call("run", "mine.yaml", *sets) == 0
    published = [path for path in (work / "results" / "mine").rglob("*") if path.is_file()]
    assert {"records.jsonl", "evidence.json", "report.html", "suite.resolved.yaml"} <= {p.name for p in published}
    assert [path.name for path in published if b"c4nary" in path.read_bytes()] == []
    # where the images are is in no key: these are what their bytes are
    manifests = list((work / "results" / "store").glob("*/*/manifest.json"))
    assert manifests
    assert [path.parent.name for path in manifests if b"c4nary" in path.read_bytes()] == []
    (prepared,) = (json.loads(path.read_bytes()) for path in manifests if path.parts[-3] == "prepare")
    params = prepared["parts"]["work"]["params"]
    assert all(set(params[name]) == {"sha256"} and len(params[name]["sha256"]) == 64 for name in ("root", "csv"))
