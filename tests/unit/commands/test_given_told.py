"""`validate --data` looks at images and answers that were made elsewhere, and at nothing that is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from test_linting import Here, drawn, folder  # noqa: F401 (fixtures)

from dermae_bench.commands.given_told import given_stages, tell_given
from dermae_bench.execute.choices import Outcome
from dermae_bench.store.manifests import Failure
from dermae_bench.suite.stage import Stage

IDS = [f"i{n:02d}.png" for n in range(8, 18)]
"""Of val and test."""


@pytest.fixture
def given(folder: Callable[..., Path], tmp_path: Path) -> Callable[..., Here]:  # noqa: F811
    """A suite over answers and a grid of three images that were made elsewhere."""

    def write(scores: str, junk: bool = False) -> Here:
        path = folder()
        release = tmp_path / "release"
        release.mkdir()
        for n in range(3):
            Image.fromarray(np.full((8, 8, 3), n, dtype=np.uint8)).save(release / f"{n}.png")
        if junk:
            (release / "1.png").write_bytes(b"junk")
        (tmp_path / "scores.csv").write_text(scores)
        about = yaml.safe_load(path.read_text())
        images = {"plugin": "external-images", "params": {"path": str(release), "source": "made up"}}
        params = {"file": str(tmp_path / "scores.csv"), "scale": "logits", "protocol": "zero-shot", "source": "made up"}
        about |= {
            "generators": {"release": images},
            "figures": {"grid": {"samples": "release", "columns": 3}},
            "classifiers": {"scores": {"plugin": "external-predictions", "params": params}},
            "rows": [{"classifiers": "scores"}],
            "prediction_metrics": ["accuracy"],
        }
        path.write_text(yaml.safe_dump(about, sort_keys=False))
        return Here(path)

    return write


def answers(ids: Sequence[str], header: str = "id,mel,nv") -> str:
    return "".join(f"{line}\n" for line in [header, *(f"{name},0.5,1" for name in ids)])


@pytest.mark.slow
def test_sound_files_are_read_and_nothing_is_said(
    given: Callable[..., Here], capsys: pytest.CaptureFixture[str]
) -> None:
    here = given(answers(IDS))
    assert here.lint() == 0
    out = capsys.readouterr().out
    assert "ERROR" not in out and "not drawn yet" not in out
    done = [stage for stage in here.session.stages if here.session.store.has(stage.kind, stage.key)]
    assert {stage.name for stage in done if stage.kind in ("sample", "predict")} == {
        "sample/release/columns=3/seed=0", "predict/given/scores/diagnosis/val", "predict/given/scores/diagnosis/test",
    }  # fmt: skip


def test_what_is_wrong_is_told_with_the_entry_and_the_exit_code(
    given: Callable[..., Here], capsys: pytest.CaptureFixture[str]
) -> None:
    here = given(answers(IDS[:-2]), junk=True)
    assert here.lint() == 2
    out = capsys.readouterr().out
    assert "ERROR scores (diagnosis/test): scores.csv has no answer for 2 of 6 images\n  i16.png\n  i17.png\n" in out
    assert "ERROR release (columns=3/seed=0): 1 of 3 images cannot be read\n  1.png: " in out
    assert out.splitlines()[-1].startswith("2 errors; warnings: ")
    assert "not drawn yet" not in out
    # what is sound is done, and kept for the run
    (val,) = (stage for stage in here.session.stages if stage.name == "predict/given/scores/diagnosis/val")
    assert here.session.store.has("predict", val.key)


def stage(kind: str, name: str, **inputs: Stage) -> Stage:
    model: dict[str, Any] = {"plugin": "x"} if kind != "prepare" else {}
    return Stage(kind=kind, name=name, work={"model": model}, parts={}, inputs=inputs, key=name)


def test_only_what_needs_no_fit_is_given() -> None:
    data, fit = stage("prepare", "prepare/x"), stage("train", "train/generator/g/seed=0")
    sample = stage("sample", "sample/g/count=2/seed=0", train=fit, prepare=data)
    made = stage("sample", "sample/r/count=2/seed=0", prepare=data)
    of_drawn = stage("predict", "predict/given/s/t/g", prepare=data, samples0=sample)
    of_made = stage("predict", "predict/given/s/t/r", prepare=data, samples0=made)
    floor = Stage(
        kind="predict", name="predict/majority/t/val", work={"model": {"role": "majority"}}, parts={}, key="m"
    )
    assert given_stages([data, fit, sample, made, of_drawn, of_made, floor]) == [made, of_made]


def test_the_same_fault_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    read = [stage("predict", f"predict/given/scores/diagnosis/{split}") for split in ("val", "test")]
    failed = {one.key: Failure(key=one.key, name=one.name, reason="no column", category="data") for one in read}
    assert tell_given(read, Outcome(failed=failed)) == (1, 2)
    assert capsys.readouterr().out == "ERROR scores (diagnosis/val, diagnosis/test): no column\n"


def test_a_crash_is_no_mistake_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    made = stage("sample", "sample/r/count=2/seed=0")
    failure = Failure(key=made.key, name=made.name, reason="out of memory", category="oom")
    assert tell_given([made], Outcome(failed={made.key: failure})) == (1, 1)
    assert tell_given([made], Outcome()) == (1, 1)
    assert capsys.readouterr().out == (
        "ERROR r (count=2/seed=0): out of memory\nERROR r (count=2/seed=0): it could not be looked at\n"
    )
    assert tell_given([], Outcome()) == (0, 2)
