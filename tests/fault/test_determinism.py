"""One suite, ten ways to run it: jobs, order, hash seed, folder, time zone, language, file mode. One leaderboard."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.counting import record_count

PLUGINS = Path(__file__).parents[1] / "e2e" / "plugins"
SUITE = {
    "version": 1,
    "suite": "tiny",
    "dataset": {"plugin": "phantom", "params": {"image_size": 16, "images": 150}},
    "tasks": ["diagnosis", "malignancy"],
    "seeds": {"classifier": [0, 1]},
    "budgets": {"short": {"steps": 4, "batch_size": 16}, "fine": {"steps": 6, "batch_size": 32}},
    "extractors": {"colours": {"plugin": "colours"}},
    "generators": {"pixels": {"plugin": "pixels-by-class", "budget": "short", "task": "diagnosis"}},
    "image_sets": {"balanced": ["train", {"samples": "pixels", "per_class": 4}]},
    "generator_rows": [{"samples": ["pixels"], "count": 20}],
    "classifiers": {"thumbs": {"plugin": "thumbnails", "budget": "fine"}},
    "rows": [{"classifiers": "thumbs", "train": "train"}, {"classifiers": "thumbs", "train": "balanced"}],
    "sample_metrics": [{"metric": "fd", "extractor": "colours"}],
    "prediction_metrics": ["accuracy", "f1-weighted"],
}
ONCE = """
import random, sys
from dermae_bench.commands import session

seed = {seed!r}
taken = session._execute

def shuffled(session, stages, *rest):
    # any order in which inputs come first is a right one
    left, made, order, draw = list(stages), set(), [], random.Random(seed)
    inside = {{stage.key for stage in left}}
    while left:
        ready = [s for s in left if {{i.key for i in s.inputs.values()}} & inside <= made]
        chosen = draw.choice(ready)
        left.remove(chosen)
        made.add(chosen.key)
        order.append(chosen)
    return taken(session, order, *rest)

session._execute = shuffled
from dermae_bench.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_ten_runs_under_ten_circumstances_give_one_leaderboard(tmp_path: Path, own_cache: Path) -> None:
    draw = random.Random(0)
    zones = ("UTC", "Asia/Kolkata", "America/St_Johns")
    languages = ("C", "C.UTF-8", "POSIX")
    found = set()
    for number in range(10):
        place = tmp_path / ("run with spaces" if number % 2 else "run") / str(number)
        place.mkdir(parents=True)
        (place / "tiny.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
        environment = {
            **os.environ, "PYTHONHASHSEED": str(draw.randrange(2**32)), "TZ": draw.choice(zones),
            "LC_ALL": draw.choice(languages), "DERMAE_BENCH_CACHE": str(own_cache),
        }  # fmt: skip
        words = ["run", "tiny.yaml", "-q", "-j", str((1, 2, 4)[number % 3]), "--plugins-dir", str(PLUGINS)]
        ran = subprocess.run(
            [sys.executable, "-c", ONCE.format(seed=number), *words],
            cwd=place, env=environment, umask=draw.choice((0o022, 0o077, 0o002)), capture_output=True, text=True,
            errors="replace", timeout=300, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        results = place / "results" / "tiny"
        names = [f"{board}.{form}" for board in ("classifiers", "generators") for form in ("csv", "md", "json")]
        digest = hashlib.sha256()
        for name in [*names, "records.jsonl", "suite.resolved.yaml", "evidence.json"]:
            digest.update((results / name).read_bytes())
        found.add(digest.hexdigest())
    assert len(found) == 1
    record_count("runs under other circumstances, one leaderboard", 10)
