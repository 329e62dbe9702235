"""`validate --data`: what it prints about a folder of images with planted faults, and how it leaves."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dermae_bench.builtin.datasets.phantom import Phantom, PhantomConfig
from dermae_bench.commands.linting import lint
from dermae_bench.commands.session import open_session
from dermae_bench.errors import DataMissing
from dermae_bench.execute.attempt import attempt
from dermae_bench.execute.choices import Outcome
from dermae_bench.execute.stages.common import Table
from dermae_bench.store.contents import Contents
from dermae_bench.store.manifests import Failure, Manifest, describe_files
from dermae_bench.suite.generator_rows import GeneratorRows
from dermae_bench.suite.leakage import leakage_stages
from dermae_bench.suite.plan import Planner
from dermae_bench.suite.rows import RowPlanner
from dermae_bench.suite.stage import Stage, key_of

SIZE = 32
PER_SPLIT = {"train": 8, "val": 4, "test": 6}
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    data = Phantom(PhantomConfig(image_size=SIZE, images=50))
    by_group = {example.group: example for example in data.examples()}
    return np.stack(
        [data.image(e, SIZE).transpose(1, 2, 0) for e in list(by_group.values())[: sum(PER_SPLIT.values())]]
    )


@pytest.fixture
def folder(tmp_path: Path, drawn: np.ndarray) -> Callable[..., Path]:
    """Write the images, their table and a suite over them."""

    def write(extra: Sequence[tuple[np.ndarray, dict[str, str]]] = (), **params: str) -> Path:
        root = tmp_path / "images"
        root.mkdir()
        splits = [split for split, count in PER_SPLIT.items() for _ in range(count)]
        rows = [
            {"path": f"i{n:02d}.png", "label": ("nv", "mel")[n % 2], "group": f"g{n:02d}", "split": split}
            for n, split in enumerate(splits)
        ]
        pictures = [*drawn, *(picture for picture, _ in extra)]
        rows += [{"path": f"extra{n}.png", **facts} for n, (_, facts) in enumerate(extra)]
        for picture, row in zip(pictures, rows, strict=True):
            Image.fromarray(picture).save(root / row["path"])
        table = tmp_path / "table.csv"
        table.write_text("".join(",".join(line) + "\n" for line in [rows[0].keys(), *(row.values() for row in rows)]))
        dataset = {"root": str(root), "csv": str(table), "image_size": SIZE, **params}
        about = {
            "version": 1,
            "suite": "folder",
            "dataset": {"plugin": "image-folder", "params": dataset},
            "tasks": ["diagnosis"],
        }
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
        return tmp_path / "suite.yaml"

    return write


class Here:
    """A session over a suite, whose stages are done in this process."""

    def __init__(self, suite: Path) -> None:
        session = open_session(suite, preset=None, sets=(), results=suite.parent / "results", plugins_dir=None)
        contents = Contents(suite.parent / "memo.json")
        prepare = next(stage for stage in session.stages if stage.kind == "prepare")
        planner = Planner(session.loaded.suite, session.catalog, contents, TASKS)
        rows = RowPlanner(planner, session.loaded.resolved)
        rows.rows()
        leakage_stages(GeneratorRows(rows))
        assert planner.prepare().key == prepare.key
        self.session = replace(session, stages=planner.stages)
        self.asked: list[str] = []

    def lint(self) -> int:
        return lint(self.session, self.run)

    def run(self, stages: Sequence[Stage]) -> Outcome:
        outcome = Outcome()
        self.asked = [stage.name for stage in stages]
        for stage in stages:
            if self.session.store.has(stage.kind, stage.key):
                outcome.cached += 1
                continue
            if any(source.key in outcome.failed for source in stage.inputs.values()):
                outcome.blocked.append(stage)
                continue
            result = self._attempt(stage)
            if result["ok"]:
                outcome.done.append(stage)
            else:
                told = {name: str(result[name]) for name in ("reason", "category")}
                outcome.failed[stage.key] = Failure(key=stage.key, name=stage.name, **told)
        return outcome

    def _attempt(self, stage: Stage) -> dict[str, object]:
        store = self.session.store
        place = store.attempt_folder(stage.key)
        place.mkdir(parents=True, exist_ok=True)
        spec = {
            "kind": stage.kind, "key": stage.key, "name": stage.name, "work": stage.work, "parts": stage.parts,
            "inputs": {role: {"kind": its.kind, "key": its.key} for role, its in stage.inputs.items()},
            "plugins": stage.plugins, "store": str(store.root.absolute()), "environment": {},
        }  # fmt: skip
        (place / "spec.json").write_text(json.dumps(spec))
        before = signal.getsignal(signal.SIGTERM)
        try:
            attempt(place)
        finally:
            signal.signal(signal.SIGTERM, before)
        return dict(json.loads((place / "result.json").read_text()))


TASKS = {
    "diagnosis": {
        "name": "diagnosis", "classes": ["mel", "nv"], "positive": None, "parent": None, "mapping": {}, "image_size": 0,
    },
}  # fmt: skip


def test_clean_data_are_told_in_numbers(folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    here = Here(folder())
    assert here.lint() == 0
    out = capsys.readouterr().out.splitlines()
    prepared = here.session.store.manifest("prepare", here.session.stages[0].key).summary
    assert out[0] == "split: as given in the CSV"
    assert out[1] == f"digest: {prepared['split_digest']}"
    assert "  train: 8 images, 8 lesions: mel 4, nv 4" in out
    assert out[-2] == "not checked: copies with an edge cut off (the suite has no extractor)"
    assert "WARNING fewer than 10 test images of diagnosis: mel (3), nv (3); their scores mean little" in out
    assert out[-1] == "0 errors; warnings: 1; not checked: 1"
    assert "real: nothing found in 18 images" in out
    assert not any("ERROR" in line or "NOTE" in line for line in out)
    # a second time nothing is done again
    assert here.lint() == 0
    assert here.run([stage for stage in here.session.stages if stage.name in here.asked]).done == []


def test_planted_faults_are_listed_and_do_not_fail(
    folder: Callable[..., Path], drawn: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    brighter = np.clip(np.round(drawn[0] * 1.05), 0, 255).astype(np.uint8)
    extra = [
        (brighter, {"label": "mel", "group": "other", "split": "test"}),
        (drawn[3][:, ::-1], {"label": "mel", "group": "g03", "split": "train"}),
    ]
    assert Here(folder(extra)).lint() == 0
    out = capsys.readouterr().out
    assert "WARNING real: 1 near-duplicates across splits" in out
    assert "i00.png (train, nv) ~ extra0.png (test, mel): correlation 1.0000" in out
    assert "WARNING real: 1 exact or near-duplicates with different labels" in out
    assert "NOTE real: 1 near-duplicates of one lesion in one split" in out
    assert "mirrored left to right" in out
    # and one of few images
    assert "0 errors; warnings: 3" in out
    # what leaks comes first
    assert out.index("across splits") < out.index("with different labels") < out.index("NOTE")


def test_a_divided_lesion_is_an_error_that_says_the_way_out(
    folder: Callable[..., Path], drawn: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, drawn[0].shape, dtype=np.uint8)
    extra = [(noise, {"label": "nv", "group": "g00", "split": "test"})]
    here = Here(folder(extra))
    assert here.lint() == 2
    out = capsys.readouterr().out
    assert out.startswith("ERROR ")
    assert "group 'g00' lies in test and train (state why in `leaky`, if it must)" in out


@pytest.mark.slow
def test_a_declared_leak_is_a_warning_with_its_reason(
    folder: Callable[..., Path], drawn: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, drawn[0].shape, dtype=np.uint8)
    extra = [(noise, {"label": "nv", "group": "g00", "split": "test"})]
    assert Here(folder(extra, leaky="split by image")).lint() == 0
    out = capsys.readouterr().out
    assert "WARNING real: 1 lesions divided between splits (declared: split by image)" in out
    assert "g00 (train, test)" in out


def test_samples_are_looked_at_once_they_are_drawn(
    folder: Callable[..., Path], drawn: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Here(folder())
    prepare = here.session.stages[0]
    parts = {"kind": "sample"}
    fit = Stage(kind="train", name="train/generator/x/seed=0", work={}, parts={"kind": "train"}, key="f" * 32)
    samples = Stage(kind="sample", name="sample/x/count=2", work={"model": {"plugin": "x"}}, parts=parts,
                    key=key_of(parts), inputs={"train": fit})  # fmt: skip
    about = {"of": "leakage", "what": "samples", "extractor": None}
    inputs = {"prepare": prepare, "samples0": samples}
    own = {"work": about, "inputs": {role: stage.key for role, stage in inputs.items()}}
    name = "score/leakage/x/count=2"
    stage = Stage(kind="score", name=name, work=about, parts=own, key=key_of(own), inputs=inputs)
    here.session = replace(here.session, stages=[*here.session.stages, samples, stage])
    assert here.lint() == 0
    assert "not checked: samples x/count=2 (not drawn yet)" in capsys.readouterr().out
    assert not any(name.startswith(("sample/", "train/")) for name in here.asked)

    store = here.session.store
    out = store.attempt_folder(samples.key) / "out"
    out.mkdir(parents=True)
    np.save(out / "images-00000.npy", drawn[[17, 3]].transpose(0, 3, 1, 2))
    Table.write(out / "table.parquet", {"id": ["drawn-0", "drawn-1"]})
    files = describe_files(out)
    told = Manifest(kind="sample", key=samples.key, name=samples.name, parts=parts, files=files, summary={"task": None})
    store.commit(out, told)
    assert here.lint() == 0
    text = capsys.readouterr().out
    assert "WARNING x/count=2: 1 generated images with the pixels of a real one in val or test" in text
    assert "drawn-0 ~ i17.png (test)" in text
    assert "not drawn yet" not in text


# -- other data sets and captions --------------------------------------------------------------------------------------


@pytest.fixture
def clinic(tmp_path: Path) -> Callable[..., Path]:
    """Write another folder of images, and let a suite evaluate on it."""

    def write(suite: Path, pictures: Sequence[np.ndarray], split: str = "test") -> Path:
        root = tmp_path / "clinic"
        root.mkdir()
        lines = ["path,label,group,split"]
        noise = np.random.default_rng(5).integers(0, 256, (2, *pictures[0].shape), dtype=np.uint8)
        for where, picture in zip(("train", "val"), noise, strict=True):
            Image.fromarray(picture).save(root / f"{where}.png")
            lines.append(f"{where}.png,nv,{where},{where}")
        for n, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / f"c{n}.png")
            lines.append(f"c{n}.png,{('nv', 'mel')[n % 2]},patient{n},{split}")
        (tmp_path / "clinic.csv").write_text("\n".join(lines) + "\n")
        params = {"root": str(root), "csv": str(tmp_path / "clinic.csv"), "image_size": SIZE}
        about = yaml.safe_load(suite.read_text())
        about["evaluate_on"] = {"clinic": {"plugin": "image-folder", "params": params}}
        suite.write_text(yaml.safe_dump(about, sort_keys=False))
        return suite

    return write


def test_another_set_is_prepared_and_compared(
    folder: Callable[..., Path],
    clinic: Callable[..., Path],
    drawn: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, drawn[0].shape, dtype=np.uint8)
    here = Here(clinic(folder(), [noise, drawn[0], drawn[9][::-1], drawn[15]]))
    assert here.lint() == 0
    out = capsys.readouterr().out
    assert "other set clinic: 4 images, 4 lesions: mel 2, nv 2" in out
    assert "WARNING clinic: fewer than 10 test images of diagnosis: mel (2), nv (2); their scores mean little" in out
    assert "WARNING other/clinic: 1 pairs of equal pixels in what is trained on and in the other set" in out
    assert "i00.png (train, nv) ~ c1.png (clinic, mel)" in out
    assert "WARNING other/clinic: 1 near-duplicates" in out
    assert "i09.png (val, mel) ~ c2.png (clinic, nv): correlation 1.0000" in out
    # its copy of a test image teaches nobody anything
    assert "c3.png" not in out
    # and two of few images
    assert "0 errors; warnings: 4" in out
    assert here.lint() == 0, "and a second time nothing is done again"


def test_another_set_without_test_images_is_an_error_by_name(
    folder: Callable[..., Path],
    clinic: Callable[..., Path],
    drawn: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = Here(clinic(folder(), [drawn[0], drawn[1]], split="train"))
    assert here.lint() == 2
    out = capsys.readouterr().out
    assert out.startswith("ERROR clinic: ")
    assert "clinic.csv: no image is in test" in out


def test_captions_are_told_with_their_words_and_what_they_give_away(
    folder: Callable[..., Path], drawn: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (24, *drawn[0].shape), dtype=np.uint8)
    facts = [{"label": ("nv", "mel")[n % 2], "group": f"x{n}", "split": "train"} for n in range(24)]
    extra = list(zip(noise, facts, strict=True))
    here = Here(folder(extra))
    table = [("id", "caption")]
    table += [(f"i{n:02d}.png", f"photograph {n}" + ", risky" * (n % 2)) for n in range(8)]
    table += [(f"extra{n}.png", f"picture {n}" + ", Melanoma" * (n % 2)) for n in range(24)]
    (tmp_path / "said.csv").write_text("".join(f'{name},"{text}"\n' for name, text in table))
    captions = {"file": str(tmp_path / "said.csv"), "template": None, "task": "diagnosis", "words": {}}
    about = {"of": "leakage", "what": "captions", "extractor": None, "captions": captions, "tasks": ["diagnosis"]}
    prepare = here.session.stages[0]
    own = {"work": about, "inputs": {"prepare": prepare.key}}
    name = "score/leakage/captions/said"
    stage = Stage(kind="score", name=name, work=about, parts=own, key=key_of(own), inputs={"prepare": prepare})
    here.session = replace(here.session, stages=[*here.session.stages, stage])
    assert here.lint() == 0
    out = capsys.readouterr().out
    assert "WARNING captions/said: 1 names of classes in the captions of their images" in out
    assert '  "melanoma": mel (diagnosis), 12 of 12 captions\n' in out
    assert "NOTE captions/said: the words of a caption give its diagnosis in " in out
    assert " of 32 captions; the most frequent class is 50.0% of them" in out


def test_without_the_data_it_says_so(folder: Callable[..., Path]) -> None:
    here = Here(folder())
    here.session = replace(here.session, absent=["no images in there"])
    with pytest.raises(DataMissing, match="no images in there"):
        here.lint()


def test_a_signal_ends_it_with_the_signals_code(folder: Callable[..., Path]) -> None:
    here = Here(folder())
    assert lint(here.session, lambda stages: Outcome(interrupted=2)) == 130
