"""Images that one row decides rightly and the other wrongly, and their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dermae_bench.commands.comparing import flips_asked
from dermae_bench.errors import UserError
from dermae_bench.plugin.data import Task
from dermae_bench.plugin.measures import Predictions
from dermae_bench.report.compare.answers import Answered
from dermae_bench.report.compare.flips import flips
from dermae_bench.report.compare.recorded import Results
from dermae_bench.report.compare.sheets import Pixels, refuse_public, write_sheets
from dermae_bench.store.manifests import Damaged
from tests.result_folders import KEY, Folder, Images, pixels

TASK = Task(name="t", classes=("nv", "mel", "bkl"))
LABELS = np.array([0, 0, 1, 2])
IDS = ["one", "two", "three", "four"]


def answered(*seeds: list[int], sure: tuple[float, ...] = (1, 1, 1, 1)) -> Answered:
    """Decisions of each seed; `sure` are the logits behind them."""
    made = [
        Predictions(
            task=TASK,
            ids=IDS,
            groups=["L1", "L1", "L2", "L3"],
            labels=LABELS,
            logits=(np.eye(3)[decided] * np.array(sure)[:, None]).astype(np.float32),
        )
        for decided in seeds
    ]
    return Answered(seeds=tuple({"classifier": seed} for seed in range(len(made))), predictions=tuple(made))


def test_flips_of_one_seed_stand_by_the_change_of_confidence() -> None:
    found = flips(answered([0, 0, 0, 2]), answered([1, 2, 1, 2], sure=(1, 5, 1, 1)))
    assert [(flip.id, flip.label, flip.a, flip.b) for flip in found.lost] == [
        ("two", "nv", "nv", "bkl"),
        ("one", "nv", "nv", "mel"),
    ]
    assert [(flip.id, flip.group, flip.a, flip.b) for flip in found.won] == [("three", "L2", "nv", "mel")]
    assert found.undecided == ()
    e = np.exp(1)
    assert found.won[0].change == pytest.approx(e / (e + 2) - 1 / (e + 2))
    assert found.lost[1].change == pytest.approx(-found.won[0].change)


def test_most_seeds_decide_and_ties_are_undecided() -> None:
    a = answered([0, 0, 1, 2], [0, 1, 1, 2], [1, 0, 1, 2])
    b = answered([1, 0, 0, 2], [1, 1, 0, 1])
    found = flips(a, b)
    assert [(flip.id, flip.a, flip.b) for flip in found.lost] == [("three", "mel", "nv"), ("one", "nv 2/3", "mel")]
    assert {flip.id: flip.b for flip in found.undecided} == {"two": "nv or mel 1/2", "four": "mel or bkl 1/2"}


def test_identical_answers_have_no_flips() -> None:
    found = flips(answered([0, 1, 1, 2]), answered([0, 1, 1, 2]))
    assert (found.lost, found.won, found.undecided) == ((), (), ())


def test_pictures_show_the_photographs_of_the_right_images(tmp_path: Path) -> None:
    from PIL import Image

    which = Images(ids=IDS, groups=["L1", "L1", "L2", "L3"], labels=LABELS)
    folder = tmp_path / "suite"
    digest = pixels(folder, which, side=160)
    made = Folder(folder, metrics=())
    made.data = digest
    results = Results(made.write())
    found = flips(answered([0, 0, 0, 2]), answered([1, 0, 1, 2]))
    lost, won = write_sheets(found, "vit | train", Pixels(results), tmp_path / "out")
    assert [lost.name, won.name] == ["vit-train--a-right-b-wrong.png", "vit-train--b-right-a-wrong.png"]
    stored = np.load(tmp_path / "store" / "prepare" / KEY / "images.npy")
    shown = np.asarray(Image.open(won))[8:168, 8:168]
    assert np.array_equal(shown, stored[2].transpose(1, 2, 0))


def test_other_pixels_or_none_are_refused(tmp_path: Path) -> None:
    made = Folder(tmp_path / "suite", metrics=())
    results = Results(made.write())
    with pytest.raises(UserError, match="not in the store beside"):
        Pixels(results)
    pixels(tmp_path / "suite", Images(ids=IDS, groups=IDS, labels=LABELS))
    with pytest.raises(UserError, match="the pixels in the store differ"):
        Pixels(results)


@pytest.mark.parametrize("key", ["../../elsewhere", "", None, 7, "FEED" * 8, "a" * 33, "a" * 31 + "/"])
def test_what_is_no_key_never_becomes_a_path(tmp_path: Path, key: object) -> None:
    made = Folder(tmp_path / "suite", metrics=())
    made.data = pixels(tmp_path / "suite", Images(ids=IDS, groups=IDS, labels=LABELS))
    made.write()
    about = json.loads((tmp_path / "suite" / "evidence.json").read_text())
    about["prepared"]["key"] = key
    (tmp_path / "suite" / "evidence.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="names no prepared data by a key"):
        Pixels(Results(tmp_path / "suite"))


def test_damaged_pixels_are_found_before_they_are_shown(tmp_path: Path) -> None:
    made = Folder(tmp_path / "suite", metrics=())
    made.data = pixels(tmp_path / "suite", Images(ids=IDS, groups=IDS, labels=LABELS))
    results = Results(made.write())
    with pytest.raises(UserError, match=r"answers to \\u202ex, which is no image of its data"):
        Pixels(results)["\u202ex"]
    place = tmp_path / "store" / "prepare" / KEY / "images.npy"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    with pytest.raises(Damaged, match=r"images\.npy of store entry prepare/"):
        Pixels(results)


def test_photographs_never_lie_in_a_results_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "suite", metrics=()).write()
    (tmp_path / "link").symlink_to(folder)
    for place in (folder, folder / "flips", folder / "a" / "b", tmp_path / "link" / "x"):
        with pytest.raises(UserError, match="made to be published"):
            refuse_public(place)
    refuse_public(folder / "real-images")
    refuse_public(folder / "real-images" / "flips")
    refuse_public(tmp_path / "flips")
    assert not (folder / "real-images").exists()


@pytest.mark.parametrize("word", ["-3", "--3", "-x", "+3", "2.5", "1e3"])
def test_what_is_no_number_of_images_is_no_folder_either(word: str) -> None:
    with pytest.raises(UserError, match="is no number of images") as caught:
        flips_asked((word,))
    assert caught.value.exit_code == 2
    assert flips_asked((f"./{word}",)).folder == Path(word)
