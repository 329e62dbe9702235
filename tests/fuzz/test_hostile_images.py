"""Damaged and hostile images: each is refused by name or is the right picture; no crash, no hang, no lost row."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile_images import PIXELS, hostile, mutated, sound

from dermae_bench.plugin.decode import UnreadableImage, inspect, read_image, read_images
from tests.counting import record_count

SECONDS = 2.0
MEMORY = 2 * 2**30


@pytest.fixture(autouse=True, scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Importing the decoders takes seconds, which are not theirs."""
    path = tmp_path_factory.mktemp("first") / "a.jpg"
    path.write_bytes(sound()["baseline.jpg"])
    read_image(path, 8)


def in_child(work: Callable[[Path], dict[str, int]], folder: Path) -> dict[str, int]:
    """What `work` returns in a process of its own, which must not crash and not grow beyond `MEMORY`."""
    pid = os.fork()
    if pid == 0:
        try:
            (folder / "told.json").write_text(json.dumps(work(folder)))
        except BaseException as error:
            (folder / "error").write_text(repr(error))
            os._exit(1)
        os._exit(0)
    _, status, used = os.wait4(pid, 0)
    told = (folder / "error").read_text() if (folder / "error").exists() else ""
    assert os.waitstatus_to_exitcode(status) == 0, told
    assert used.ru_maxrss * 1024 < MEMORY
    return dict(json.loads((folder / "told.json").read_text()))


def test_hostile_images_are_refused_by_reason_or_right(tmp_path: Path) -> None:
    def work(folder: Path) -> dict[str, int]:
        refused = 0
        for name, (content, word) in hostile().items():
            path = folder / name
            path.write_bytes(content)
            began = time.process_time()
            try:
                assert read_image(path, 8).shape == (3, 8, 8)
                assert word is None, name
            except UnreadableImage as error:
                assert word is not None, (name, str(error))
                assert (word or "") in str(error), (name, str(error))
                assert "\n" not in str(error) and str(folder) not in str(error)
                refused += 1
            assert time.process_time() - began < SECONDS, name
        return {"refused": refused, "all": len(hostile())}

    told = in_child(work, tmp_path)
    assert told["all"] >= 40
    assert told["refused"] >= 25
    record_count("hostile images read", told["all"])


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to("loop.png")
    found = [inspect(tmp_path / f"{name}.png") for name in ("pipe", "folder", "device", "loop", "lost")]
    assert found == ["is not a file"] * 3 + ["cannot be opened: Too many levels of symbolic links", "is missing"]


def test_twenty_kinds_are_read_and_lossless_ones_exactly(tmp_path: Path) -> None:
    samples = sound()
    assert len(samples) == 20
    for name, content in samples.items():
        (tmp_path / name).write_bytes(content)
    found = {name: read_image(tmp_path / name, 24).transpose(1, 2, 0) for name in samples}
    for name in ("rgb.png", "text.png", "profile.png", "rgb-alpha.png"):
        assert np.array_equal(found[name], PIXELS), name
    assert np.array_equal(found["exif.png"], PIXELS[::-1, ::-1])
    assert np.array_equal(found["deep.png"], PIXELS[..., :1].repeat(3, axis=2))


def damage(folder: Path, count: int) -> dict[str, int]:
    """Read `count` mutations of the twenty, five at a time; every one is refused by its index or has its pixels."""
    rng = np.random.default_rng(11)
    samples = sound()
    expected = {}
    for name, content in samples.items():
        (folder / name).write_bytes(content)
        expected[name] = read_image(folder / name, 24)
    names = list(samples)
    refused = 0
    for start in range(0, count, 5):
        chosen = [names[(start + offset) % len(names)] for offset in range(5)]
        paths = [folder / f"damaged-{offset}" for offset in range(5)]
        for path, name in zip(paths, chosen, strict=True):
            path.write_bytes(mutated(samples[name], rng))
        out = np.full((5, 3, 24, 24), 7, np.uint8)
        began = time.process_time()
        failures = dict(read_images(paths, 24, out))
        assert time.process_time() - began < SECONDS
        refused += len(failures)
        for offset, name in enumerate(chosen):
            if offset in failures:
                assert failures[offset].startswith(("is ", "has ", "states ")), failures[offset]
                assert (out[offset] == 7).all()
            elif name.endswith(".png"):
                assert np.array_equal(out[offset], expected[name]), name
    return {"refused": refused}


def test_damaged_images_are_refused_or_right(tmp_path: Path) -> None:
    assert in_child(lambda folder: damage(folder, 60), tmp_path)["refused"] > 30


@pytest.mark.slow
def test_two_thousand_damaged_images(tmp_path: Path) -> None:
    assert in_child(lambda folder: damage(folder, 2_000), tmp_path)["refused"] > 1_000
    record_count("damaged images read", 2_000)


@pytest.mark.slow
def test_every_cut_of_the_twenty_is_refused(tmp_path: Path) -> None:
    def work(folder: Path) -> dict[str, int]:
        cuts = 0
        for name, content in sound().items():
            for end in range(0, len(content), 16):
                (folder / name).write_bytes(content[:end])
                with pytest.raises(UnreadableImage):
                    read_image(folder / name, 24)
                cuts += 1
        return {"cuts": cuts}

    record_count("damaged images read", in_child(work, tmp_path)["cuts"])
