"""The newest checkpoint damaged in every way there is, and kills while one is written."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from dermae_bench import faults
from dermae_bench.execute.checkpoints import Checkpoint, Checkpoints
from dermae_bench.execute.notes import read_note, write_note
from dermae_bench.execute.run import BudgetOf
from tests.counting import record_count
from tests.unit.execute.fits import Plain, TwoOptimizers, differing, everything, fit

BUDGET = BudgetOf(steps=6, batch_size=4, ema=0.9, checkpoint=1)
BEFORE, NEWEST = "step-0000000003", "step-0000000004"

Mutation = Callable[[Path, random.Random], None]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a fit that died after step 4, and those of other fits to take some from."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("killed")
    fit(Plain, root / "own", BUDGET, die_at=5)
    fit(TwoOptimizers, root / "optimisers", BUDGET, die_at=5)
    fit(Plain, root / "unaveraged", BudgetOf(steps=6, batch_size=4, checkpoint=1), die_at=5)
    assert sorted(path.name for path in (root / "own").iterdir()) == [BEFORE, NEWEST]
    return root


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return everything(*fit(Plain, tmp_path_factory.mktemp("unbroken"), BUDGET))


def _some_file(folder: Path, rng: random.Random) -> Path:
    return folder / NEWEST / rng.choice(["state.json", "state.safetensors"])


def flip(folder: Path, rng: random.Random) -> None:
    path = _some_file(folder, rng)
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def scramble(folder: Path, rng: random.Random) -> None:
    path = _some_file(folder, rng)
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    data[at : at + 64] = bytes(byte ^ 0xA5 for byte in data[at : at + 64])
    path.write_bytes(data)


def truncate(folder: Path, rng: random.Random) -> None:
    path = _some_file(folder, rng)
    os.truncate(path, rng.randrange(path.stat().st_size))


def extend(folder: Path, rng: random.Random) -> None:
    with _some_file(folder, rng).open("ab") as stream:
        stream.write(rng.randbytes(rng.randrange(1, 100)))


def remove(folder: Path, rng: random.Random) -> None:
    _some_file(folder, rng).unlink()


def empty_folder(folder: Path, rng: random.Random) -> None:
    for path in (folder / NEWEST).iterdir():
        path.unlink()


def swap(folder: Path, rng: random.Random) -> None:
    """One file of the newest is that of the one before, or both are."""
    for name in rng.choice([["state.json"], ["state.safetensors"], ["state.json", "state.safetensors"]]):
        shutil.copy(folder / BEFORE / name, folder / NEWEST / name)


def cross(folder: Path, rng: random.Random) -> None:
    """Each file is where the other should be."""
    one, two = folder / NEWEST / "state.json", folder / NEWEST / "state.safetensors"
    one.rename(folder / "aside")
    two.rename(one)
    (folder / "aside").rename(two)


def not_files(folder: Path, rng: random.Random) -> None:
    path = _some_file(folder, rng)
    path.unlink()
    rng.choice([path.mkdir, lambda: path.symlink_to(path), lambda: path.symlink_to("/nowhere/at/all")])()


def odd_json(folder: Path, rng: random.Random) -> None:
    words = ["", "{}", "[]", "null", "3", "NaN", '{"about":{},"digest":""}', '{"about":[],"digest":3}', "{", '"x"']
    bombs = ["[" * 200_000, '{"a":' * 100_000, '{"about":' + "[" * 50_000, "9" * 100_000, '{"about":1e999}']
    (folder / NEWEST / "state.json").write_text(rng.choice(words + bombs))


def huge_json(folder: Path, rng: random.Random) -> None:
    """A sparse file of gigabytes: nobody may read it whole."""
    os.truncate(folder / NEWEST / "state.json", 8 << 30)


def huge_tensors(folder: Path, rng: random.Random) -> None:
    os.truncate(folder / NEWEST / "state.safetensors", rng.choice([1 << 40, 1 << 33]))


def resealed(folder: Path, rng: random.Random) -> None:
    """Tensors that are none of safetensors', in a checkpoint whose digests are right."""
    header = b'{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    data = rng.choice(
        [
            b"",
            b"\xff" * 64,
            struct.pack("<Q", 1 << 60) + b"{}",
            struct.pack("<Q", 99_000_000) + b"{" * 1000,
            struct.pack("<Q", len(header)) + header + b"\0" * 15,
            struct.pack("<Q", 2) + b"{}",
        ]
    )
    _reseal(folder / NEWEST, data=data)


def foreign(folder: Path, rng: random.Random) -> None:
    """Sound, but of a fit with other optimisers or without an average."""
    shutil.rmtree(folder / NEWEST)
    shutil.copytree(folder.parent / rng.choice(["optimisers", "unaveraged"]) / NEWEST, folder / NEWEST)


def other_stage(folder: Path, rng: random.Random) -> None:
    _reseal(folder / NEWEST, about={"key": "another"})


def other_format(folder: Path, rng: random.Random) -> None:
    _reseal(folder / NEWEST, about={"format": rng.choice([0, 2, "1", None])})


def future(folder: Path, rng: random.Random) -> None:
    """Of a step that the budget does not have."""
    step = rng.choice([7, 600, 9_999_999_999])
    target = folder / f"step-{step:010d}"
    (folder / NEWEST).rename(target)
    _reseal(target, about={"step": step}, facts={"step": step})


def odd_facts(folder: Path, rng: random.Random) -> None:
    changes: list[dict[str, Any]] = [
        {"groups": []},
        {"groups": None},
        {"groups": [[{"params": []}]]},
        {"groups": [[[1, 2]]]},
        {"plain": {"optimizer.7.0.x": 1}},
        {"plain": {"optimizer": 1, "optimizer.a.b.c": 1}},
        {"plain": None},
        {"curves": [{"loss": "low"}]},
        {"curves": [1]},
        {"best": [3, 0.5]},
        {"step": "4"},
        {"step": 5},
        {"images_seen": None},
        {"images_seen": "many"},
    ]
    _reseal(folder / NEWEST, facts=rng.choice(changes))


def missing_facts(folder: Path, rng: random.Random) -> None:
    about = read_note(folder / NEWEST / "state.json")
    about["facts"].pop(rng.choice(["step", "best", "curves", "groups", "plain", "images_seen"]))
    write_note(folder / NEWEST / "state.json", about)


def other_shapes(folder: Path, rng: random.Random) -> None:
    """The weights of a wider model, sealed as this stage's."""
    own = Checkpoints(folder)
    found = own.load()
    assert found is not None
    name = rng.choice([name for name in found.tensors if name.startswith(("model.", "ema."))])
    changed = dict(found.tensors)
    if rng.random() < 0.5:
        changed.pop(name)
    else:
        changed[name] = torch.zeros(*found.tensors[name].shape, 2)
    shutil.rmtree(folder / NEWEST)
    own.save(Checkpoint(found.step, changed, found.facts))


def _reseal(
    folder: Path, about: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, data: bytes | None = None
) -> None:
    """Change a checkpoint and make its digests right again."""
    import hashlib

    note = read_note(folder / "state.json")
    if data is not None:
        (folder / "state.safetensors").write_bytes(data)
        note |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_note(folder / "state.json", {**note, **(about or {}), "facts": {**note["facts"], **(facts or {})}})


MUTATIONS: list[Mutation] = [
    flip, scramble, truncate, extend, remove, empty_folder, swap, cross, not_files, odd_json, huge_json, huge_tensors,
    resealed, foreign, other_stage, other_format, future, odd_facts, missing_facts, other_shapes,
]  # fmt: skip


def survives(
    killed: Path,
    unbroken: dict[str, Any],
    root: Path,
    mutation: Mutation,
    seed: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Damage, resume, compare: the one before is used, the damage is named, and nothing in the result tells of it."""
    shutil.copytree(killed, root / "fits")
    mutation(root / "fits" / "own", random.Random(seed))
    capsys.readouterr()
    begun: list[int] = []

    class Noting(Plain):
        def fit(self, train: Any, run: Any, teacher: Any = None) -> None:
            inner = run.batches

            def batches(data: Any) -> Iterator[Any]:
                for batch in inner(data):
                    begun.append(run.step_index)
                    yield batch

            run.batches = batches
            super().fit(train, run)

    resumed = everything(*fit(Noting, root / "fits" / "own", BUDGET))
    told = capsys.readouterr().out
    assert begun[0] == 3, f"{mutation.__name__} {seed}: went on from step {begun[0]}; {told}"
    assert differing(resumed, unbroken) == [], f"{mutation.__name__} {seed}"
    assert "is damaged" in told
    assert "Traceback" not in told
    shutil.rmtree(root / "fits")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_the_one_before_is_used(
    killed: Path, unbroken: dict[str, Any], tmp_path: Path, mutation: Mutation, capsys: pytest.CaptureFixture[str]
) -> None:
    survives(killed, unbroken, tmp_path, mutation, 0, capsys)


@pytest.mark.slow
def test_five_hundred_mutations_of_the_newest(
    killed: Path, unbroken: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(1, 501):
        survives(killed, unbroken, tmp_path, MUTATIONS[seed % len(MUTATIONS)], seed, capsys)
    record_count("mutations of checkpoints found", 500)


def test_with_both_damaged_the_fit_begins_anew(
    killed: Path, unbroken: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(killed / "own", tmp_path / "own")
    for path in tmp_path.glob("own/*/state.json"):
        path.write_text("{}")
    assert differing(everything(*fit(Plain, tmp_path / "own", BUDGET)), unbroken) == []
    assert "no sound checkpoint is left; the fit begins anew" in capsys.readouterr().out


def _in_a_child(work: Callable[[], None]) -> int:
    """Do `work` in a process group of its own; returns how it ended (a signal as a negative number)."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            torch.set_num_threads(1)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_kill_at_any_point_of_saving_leaves_two_sound_ones(tmp_path: Path) -> None:
    """A kill inside the save of step 3, at every write, flush, rename and removal."""

    def at(step: int) -> Checkpoint:
        return Checkpoint(step, {"w": torch.full((4,), float(step))}, {"step": step})

    kills = 0
    while True:
        folder = tmp_path / str(kills)
        for step in (1, 2):
            Checkpoints(folder).save(at(step))

        def save(number: int = kills + 1, folder: Path = folder) -> None:
            os.environ["DERMAE_FAULT"] = f"kill@{number}"
            faults.arm()
            Checkpoints(folder).save(at(3))

        ended = _in_a_child(save)
        sound = [path.name for path in sorted(folder.glob("step-*")) if (path / "state.json").exists()]
        # both are there whole, or the new one is and the older of the two had begun to go
        found = Checkpoints(folder).load()
        assert found is not None
        assert found.step in (2, 3)
        assert [f"step-{found.step - 1:010d}", f"step-{found.step:010d}"] == sound[-2:]
        assert len(list(folder.iterdir())) <= 3
        Checkpoints(folder).save(at(4))
        after = sorted(path.name for path in folder.iterdir())
        assert after[-1] == "step-0000000004"
        assert len(after) == 2
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        kills += 1
    assert kills >= 8
    record_count("kills inside the saving of a checkpoint survived", kills)


def test_notes_are_what_they_were(tmp_path: Path) -> None:
    about = {"a": [1, 2.5, None], "ö": {"b": "\n"}}
    write_note(tmp_path / "note.json", about)
    assert read_note(tmp_path / "note.json") == about
    assert set(json.loads((tmp_path / "note.json").read_text())) == {"about", "digest"}
