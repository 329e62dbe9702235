"""Secrets that attempts are given, or find: what they print and say of themselves is stored without them."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from dermae_bench.execute.logs import Log, strike_out
from dermae_bench.execute.telling import told
from dermae_bench.secrets import Striker, redact

CANARY = "c4nary-'Äß\"/%& \\zz"


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64])
def test_a_secret_is_struck_out_wherever_the_pieces_end(length: int) -> None:
    environment = {"A_TOKEN": "abcabcabd-12345", "B_TOKEN": "abcabcabd-12345-longer", "C_KEY": CANARY}
    spelt = [CANARY, "abcabcabd-12345-longer", "abcabcabd-12345", "abcabcabd-1234"]
    text = "".join(f"abcabc{word}abc {quote(word, safe='')}\n{word.encode().hex()}x" for word in spelt) + "the end"
    striker = Striker(environment)
    words = text.encode()
    shown = b"".join(striker.take(words[at : at + length]) for at in range(0, len(words), length)) + striker.rest()
    assert shown.decode() == redact(text, environment)
    assert "c4nary" not in shown.decode() and "abcabcabd-1234abc" in shown.decode()


def test_what_cannot_be_a_secret_is_shown_at_once() -> None:
    striker = Striker({"A_TOKEN": "abcdefgh-123"})
    assert striker.take(b"step 1, abc") == b"step 1, "
    assert striker.take(b"x") == b"abcx"
    assert striker.take(b"abcdefgh") == b"" and striker.rest() == b"<A_TOKEN>"
    assert striker.take(b"abc") == b"" and striker.rest() == b"abc"


def test_a_secret_never_reaches_the_log(tmp_path: Path) -> None:
    path = tmp_path / "stdout.log"
    log = Log(path, environment={"MY_TOKEN": "CanarySecret12345"})
    for words in (b"one CanaryS", b"ecret12345 two Cana", b"ry three Cana"):
        os.write(log.writer, words)
        log.take()
        assert b"Secret" not in path.read_bytes()
    log.close_writer()
    log.close()
    assert path.read_bytes() == b"one <MY_TOKEN> two Canary three Cana"


def test_what_an_attempt_says_of_itself_is_cut_after_its_secrets_are_struck_out(tmp_path: Path) -> None:
    environment = {"MY_TOKEN": "CanarySecret12345"}
    for length in range(99_960, 100_000, 5):
        said = told(RuntimeError("x" * length + "CanarySecret12345" + "y" * 200_000), tmp_path, environment)
        assert "Canary" not in json.dumps(said)


def test_what_stands_in_the_folder_of_an_attempt_is_struck_out(tmp_path: Path) -> None:
    environment = {"MY_TOKEN": CANARY}
    (tmp_path / "stdout.log").write_text(f"a {CANARY} b")
    (tmp_path / "result.json").write_text(json.dumps({"ok": False, "reason": f"with {CANARY}", "steps": [1, CANARY]}))
    (tmp_path / "status.json").write_text(json.dumps({"phase": "".join(CANARY), CANARY: 1}, ensure_ascii=False))
    # a link or a second name is never written through
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(CANARY)
    (tmp_path / "stderr.log").hardlink_to(elsewhere)
    strike_out(tmp_path, environment)
    assert (tmp_path / "stdout.log").read_text() == "a <MY_TOKEN> b"
    reread = {"ok": False, "reason": "with <MY_TOKEN>", "steps": [1, "<MY_TOKEN>"]}
    assert json.loads((tmp_path / "result.json").read_text()) == reread
    assert json.loads((tmp_path / "status.json").read_text()) == {"phase": "<MY_TOKEN>", "<MY_TOKEN>": 1}
    assert elsewhere.read_text() == CANARY and not (tmp_path / "stderr.log").exists()
    (tmp_path / "stderr.log").symlink_to(elsewhere)
    strike_out(tmp_path, environment)
    assert elsewhere.read_text() == CANARY


def spellings(value: str) -> set[bytes]:
    raw = value.encode()
    return {raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode(), quote(value, safe="").encode()}


def holding(folder: Path, value: str) -> list[str]:
    """Names of the files below `folder` in which a secret stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    return [str(path) for path in files if any(form in path.read_bytes() for form in spellings(value))]


TELLS = """
import base64, os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
import torch
from torch import nn
from torch.nn import functional as F
from dermae_bench import api

class Teller(api.Classifier):
    @dataclass(frozen=True, kw_only=True)
    class Config:
        how: str = ""
    tiny = {}

    def __init__(self, config, task):
        super().__init__(config, task)
        self.how, self.linear = config.how, nn.Linear(48, len(task.classes))

    def fit(self, train, run, teacher=None):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        run.optimizers(optimizer)
        value = os.environ.get("MY_TOKEN", "")
        raw = value.encode()
        words = f"it is {value} {raw.hex()} {quote(value, safe='')} {base64.b64encode(raw).decode()}"
        print(words, flush=True)
        print(words, file=sys.stderr, flush=True)
        os.write(1, raw[:9])
        time.sleep(0.1)
        os.write(1, raw[9:])
        for number, batch in enumerate(run.batches(train)):
            if number == 3 and self.how == "raises":
                raise RuntimeError(words)
            if number == 3 and self.how == "steals":
                driver = int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
                lines = Path(f"/proc/{driver}/environ").read_bytes().split(bytes(1))
                stolen = [line for line in lines if line.startswith(b"OTHER_TOKEN=")][0].partition(b"=")[2]
                print(stolen.decode(), flush=True)
                raise RuntimeError(f"{stolen.decode()} {stolen.hex()}")
            if number == 3 and self.how == "dies":
                os.kill(os.getpid(), signal.SIGSEGV)
            if number == 3 and self.how == "kills":
                driver = int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
                os.kill(driver, signal.SIGKILL)
                time.sleep(60)
            run.step(F.cross_entropy(self(batch.images), batch.labels), optimizer)

    def forward(self, images):
        return self.linear(F.adaptive_avg_pool2d(api.from_uint8(images), 4).flatten(1))

    def cost(self, of, sampling=None):
        yield api.CostUnit(nn.Linear(3, 3), (torch.zeros(1, 3),))

@api.hookimpl
def dermae_classifiers():
    return {"teller": Teller}
"""


@pytest.mark.slow
def test_a_secret_that_attempts_are_given_stands_nowhere_in_the_results(tmp_path: Path) -> None:
    passed, other = "Canary-Secret/12345 &x", "Another-Canary/67890"
    (tmp_path / "tells.py").write_text(TELLS)
    environment = {
        **os.environ,
        "MY_TOKEN": passed,
        "OTHER_TOKEN": other,
        "DERMAE_BENCH_CACHE": str(tmp_path / "cache"),
    }

    def run(*ways: str) -> int:
        rows = {
            f"c{way}": {"plugin": f"{tmp_path}/tells.py:Teller", "budget": "short", "params": {"how": way}}
            for way in ways
        }
        suite = {
            "version": 1,
            "suite": "mine",
            "dataset": {"plugin": "phantom", "params": {"image_size": 16, "images": 90}},
            "tasks": ["malignancy"],
            "budgets": {"short": {"steps": 6, "batch_size": 8, "checkpoint": 2}},
            "classifiers": rows,
            "rows": [{"classifiers": list(rows), "train": "train"}],
            "prediction_metrics": ["accuracy"],
        }
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite))
        with (tmp_path / "said.log").open("ab") as said:
            return subprocess.run(
                [sys.executable, "-m", "dermae_bench", "run", "mine.yaml", "--pass-env", "MY_TOKEN"],
                cwd=tmp_path, env=environment, stdout=said, stderr=said, timeout=300, check=False,
            ).returncode  # fmt: skip

    results = tmp_path / "results"
    assert run("kills") == -signal.SIGKILL
    (log,) = results.glob("store/attempts/*/stdout.log")
    # the server empties the pipes and leaves on its own
    deadline = time.monotonic() + 20
    while b"<MY_TOKEN>" not in log.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert log.read_bytes().count(b"<MY_TOKEN>") >= 4
    assert holding(results, passed) == []
    assert run("raises", "steals", "dies", "") == 1
    failures = [json.loads(path.read_bytes()) for path in results.glob("store/failures/*.json")]
    assert sorted(failure["name"].split("/")[2] for failure in failures) == ["cdies", "craises", "csteals"]
    assert list(results.glob("store/attempts/*/result.json"))
    for value in (passed, other):
        assert holding(results, value) == []
        assert not any(form in (tmp_path / "said.log").read_bytes() for form in spellings(value))
