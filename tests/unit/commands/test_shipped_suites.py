"""Every suite that is given away loads and plans, in all of its presets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from asking import ask

ROOT = Path(__file__).parents[3]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
PRESETS = [
    (path, preset) for path in SUITES for preset in yaml.safe_load(path.read_text()).get("presets", {}) or [None]
]


# each asks its plugins about every model of it, some seconds
@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "preset"), [pytest.param(path, preset, id=f"{path.stem}-{preset}") for path, preset in PRESETS]
)
def test_a_suite_has_no_mistake_in_any_preset(
    path: Path, preset: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the files of published numbers lie beside the suites
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DERMAE_BENCH_COSTS", "0")
    answer = ask(capsys, "validate", path.relative_to(ROOT), *(["--preset", preset] if preset else []))
    assert answer.code == 0, answer.err
    first, *others = answer.out.splitlines()
    told = re.search(r": (\d+) rows and \d+ floors, (\d+) stages; no mistake found in the suite$", first)
    assert told is not None, answer.out
    assert int(told.group(1)) > 3 and int(told.group(2)) > 20
    # what it needs and nobody gave is told; drawn lesions need nothing, and DerMAE's smoke test is on real ones
    assert all(line.startswith("data missing: ") for line in others), others
    assert not others or preset not in ("smoke", None) or path.stem == "ham10000"
