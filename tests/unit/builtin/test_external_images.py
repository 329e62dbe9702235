"""Images made elsewhere: in the order of their paths, from a folder or an archive, every bad one named."""

from __future__ import annotations

import io
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dermae_bench import api
from dermae_bench.archives.members import Refused
from dermae_bench.archives.reading import PackedFiles
from dermae_bench.builtin.external.images import ExternalImages, ExternalImagesLabelled, dermae_generators
from dermae_bench.builtin.external.pictures import IMAGES
from dermae_bench.plugin.decode import read_image
from dermae_bench.plugin.params import build
from tests.fuzz.hostile_archives import hostile

SIZE = 16
UNLABELLED = api.Task(name="", classes=(), image_size=SIZE)
TASK = api.Task(name="diagnosis", classes=("nv", "mel"), image_size=SIZE)


ALLOWED = ["deep.zip", "folders-twice.zip", "many.tar", "many.zip"]
"""8 folders deep, 5,001 files, and folders that differ in case alone: nothing is wrong with these for images."""


def encoded(grey: int, form: str = "PNG", shape: tuple[int, int] = (SIZE, SIZE)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", shape, (grey, grey, grey)).save(stream, form)
    return stream.getvalue()


def put(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def packed(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def images(path: Path, labelled: bool = False, **params: Any) -> ExternalImages:
    cls = ExternalImagesLabelled if labelled else ExternalImages
    where = {"archive" if path.is_file() else "path": str(path)}
    return cls(build(cls.Config, {"source": "a test", **where, **params}), TASK if labelled else UNLABELLED)


def drawn(model: ExternalImages, *indices: int) -> list[int]:
    """Grey levels of the images at these places."""
    conditions = api.Conditions(count=len(indices), indices=indices, nth=indices)
    return greys(model.sample(conditions, None, api.Noise(0, indices)), len(indices))


def of_class(model: ExternalImages, *asked: tuple[int, int]) -> list[int]:
    """Grey levels of the images that are asked for by (class, number)."""
    conditions = api.Conditions(
        count=len(asked),
        labels=torch.tensor([label for label, _ in asked]),
        indices=tuple(range(len(asked))),
        nth=tuple(nth for _, nth in asked),
    )
    return greys(model.sample(conditions, None, api.Noise(0, range(len(asked)))), len(asked))


def greys(found: torch.Tensor, count: int) -> list[int]:
    assert found.dtype == torch.uint8 and found.shape == (count, 3, SIZE, SIZE)
    return [int(image.float().mean().round()) for image in found]


def problems(model: ExternalImages) -> str:
    with pytest.raises(api.DataError) as caught:
        model.available()
    return str(caught.value)


FILES = {
    "b/2.png": encoded(20),
    "a/10.png": encoded(110),
    "b.png": encoded(99),
    "a/2.png": encoded(12),
    "a/deep/er/1.jpg": encoded(130, "JPEG"),
    "README.md": b"# what this is",
    "a/LICENSE": b"CC-BY",
    ".hidden/1.png": encoded(1),
    "a/.DS_Store": b"x",
}
"""In no order, beside texts and what is hidden."""
ORDER = [110, 12, 130, 99, 20]
"""Code points: a/10.png, a/2.png, a/deep/er/1.jpg, b.png, b/2.png."""


def test_both_are_declared_and_never_fitted() -> None:
    assert dermae_generators() == {
        "external-images": ExternalImages, "external-images-labelled": ExternalImagesLabelled
    }  # fmt: skip
    assert (ExternalImages.fits, ExternalImages.conditional) == (False, False)
    assert (ExternalImagesLabelled.fits, ExternalImagesLabelled.conditional) == (False, True)


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar", ".tar.gz"])
def test_images_come_in_the_order_of_their_paths(tmp_path: Path, kind: str) -> None:
    place = put(tmp_path / "folder", FILES) if kind == "folder" else packed(tmp_path / f"release{kind}", FILES)
    model = images(place)
    assert model.available() == 5
    assert drawn(model, 0, 1, 2, 3, 4) == ORDER
    # in any order, any number, and the same one twice
    assert drawn(model, 4, 0) + drawn(model, 2, 2) == [20, 110, 130, 130]


def test_pixels_are_those_of_the_prepared_images(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG")
    place = put(tmp_path / "i", {"wide.jpg": stream.getvalue()})
    found = images(place).sample(api.Conditions(count=1, indices=(0,)), None, api.Noise(0, [0]))
    assert np.array_equal(found[0].numpy(), read_image(place / "wide.jpg", SIZE))


def test_a_part_of_it_counts_alone(tmp_path: Path) -> None:
    for place in (put(tmp_path / "folder", FILES), packed(tmp_path / "r.zip", FILES)):
        model = images(place, inside="a/deep")
        assert (model.available(), drawn(model, 0)) == (1, [130])
        assert "there is no folder" in problems(images(place, inside="c"))


def test_more_than_there_are_cannot_be_had(tmp_path: Path) -> None:
    model = images(put(tmp_path / "folder", FILES))
    with pytest.raises(api.DataError, match="image 8 is asked for, and there are 5\n  ask for fewer"):
        drawn(model, 3, 7, 5)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "exactly one of `path` .* and `archive`"),
        ({"path": "a", "archive": "b"}, "exactly one of `path` .* and `archive`"),
        ({"path": "a", "source": " "}, "`source` is empty"),
        ({"path": "a", "inside": "../b"}, "not a path like release/images"),
        ({"path": "a", "inside": "/b"}, "not a path like release/images"),
        ({"path": "a", "inside": ".git"}, "not a path like release/images"),
    ],
)
def test_params_that_contradict_each_other(params: dict[str, str], said: str) -> None:
    with pytest.raises(api.PluginError, match=said):
        build(ExternalImages.Config, {"source": "a test", **params})


def test_a_part_by_hash_is_of_all_folders_and_always_the_same(tmp_path: Path) -> None:
    files = {f"{name}/{i}.png": encoded(100 * place + i) for place, name in enumerate("ab") for i in range(40)}
    found = []
    for place in (put(tmp_path / "folder", files), packed(tmp_path / "r.tar", dict(reversed(files.items())))):
        model = images(place, order="hash")
        assert sorted(drawn(model, *range(80))) == [*range(40), *range(100, 140)]
        found.append(drawn(model, *range(20)))
    assert found[0] == found[1]
    assert found[0][:6] == [139, 125, 19, 100, 123, 137]
    assert {grey // 100 for grey in drawn(images(tmp_path / "folder"), *range(20))} == {0}


def test_what_is_not_there(tmp_path: Path) -> None:
    for model in (images(tmp_path / "nowhere"), ExternalImages(
        build(ExternalImages.Config, {"source": "a test", "archive": str(tmp_path / "nowhere.zip")}), UNLABELLED
    )):  # fmt: skip
        with pytest.raises(api.DataMissing, match=r"there is no f.*nowhere"):
            model.available()
    (tmp_path / "empty").mkdir()
    assert "there are no images in" in problems(images(tmp_path / "empty"))
    assert "there are 5 images, and `expected` says 6,000" in problems(
        images(put(tmp_path / "f", FILES), expected=6000)
    )


def test_every_bad_image_is_named_and_none_is_left_out_unasked(tmp_path: Path) -> None:
    sound = encoded(50, "JPEG")
    bad = {"a.jpg": sound[:-40], "c.webp": b"RIFF....WEBP", "e.png": b"", "z.png": b"version https://git-lfs"}
    place = put(tmp_path / "folder", {"b.png": encoded(2), "d.png": encoded(4), **bad})
    archive = packed(tmp_path / "r.tar", {"b.png": encoded(2), "d.png": encoded(4), **bad})
    for where in (place, archive):
        assert drawn(images(where), 1) == [2]
        with pytest.raises(api.DataError) as caught:
            drawn(images(where), 0)
        assert str(caught.value).startswith("4 of 6 images cannot be read\n  a.jpg: is a ")
        assert [name.partition(":")[0] for name in caught.value.names] == list(bad)
        assert "state `skip: 4`" in str(caught.value)
        assert problems(images(where, skip=3)).startswith("4 of 6 images cannot be read")
        model = images(where, skip=4)
        assert (model.available(), drawn(model, 0, 1)) == (2, [2, 4])


def test_what_is_no_image_by_its_name_is_told(tmp_path: Path) -> None:
    said = problems(images(put(tmp_path / "f", {**FILES, "weights.bin": b"x", "a/0001": encoded(3)})))
    assert "2 problem(s)\n  a/0001: by its name neither an image nor a text" in said and "  weights.bin: " in said


def test_links_that_lead_out_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "else", {"1.png": encoded(7), "d/1.png": encoded(8)})
    place = put(tmp_path / "f", {"a.png": encoded(5)})
    (place / "b.png").symlink_to(place / "a.png")
    assert drawn(images(place), 0, 1) == [5, 5]
    (place / "out.png").symlink_to(tmp_path / "else" / "1.png")
    (place / "folder").symlink_to(tmp_path / "else" / "d")
    (place / "gone.png").symlink_to(tmp_path / "f" / "nothing")
    said = problems(images(place))
    assert "out.png: is a link that leads to '1.png', outside" in said
    assert "folder: a link to a folder is not followed" in said and "gone.png: neither a file" in said
    assert "leads to" in problems(images(place, inside="folder"))
    (place / "folder").unlink()
    (place / "gone.png").unlink()
    monkeypatch.setenv("DERMAE_BENCH_DATA_ROOTS", str(tmp_path / "else"))
    assert drawn(images(place), 2) == [7]


def test_hostile_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that lead out, links, devices, bombs, lies, damage; images may be more, and lie deeper, than results."""
    monkeypatch.setattr("dermae_bench.archives.members.FREE_BYTES", 2**20)
    (tmp_path / "given").mkdir()
    read = []
    for name, content in hostile().items():
        path, out = tmp_path / "given" / name, tmp_path / "out" / name
        path.write_bytes(content)
        out.mkdir(parents=True)
        try:
            files = PackedFiles(path, IMAGES)
            for member in files.names[:50]:
                files.copy(member, out)
        except Refused:
            continue
        read.append(name)
    assert sorted(read) == ALLOWED
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["given", "out"]


def test_a_bomb_and_a_traversal_by_name(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stream:
        stream.writestr("a.png", bytes(66 * 2**20))
    assert problems(images(archive)).startswith("bomb.zip is not read: it expands to 66 MiB, more than 65")
    climbing = packed(tmp_path / "climbing.tar", {"../a.png": encoded(1)})
    assert "member '../a.png' has a name that leads elsewhere" in problems(images(climbing))
    assert "is not read: it is no archive" in problems(images(put(tmp_path, {"x.png": encoded(1)}) / "x.png"))


LABELLED = {
    "mel/a.png": encoded(1),
    "mel/deep/b.png": encoded(2),
    "nevus/a.png": encoded(11),
    "nevus/b.png": encoded(12),
    "nevus/c.png": encoded(13),
}


@pytest.mark.parametrize("kind", ["folder", ".zip"])
def test_sub_folders_are_classes(tmp_path: Path, kind: str) -> None:
    place = put(tmp_path / "f", LABELLED) if kind == "folder" else packed(tmp_path / "r.zip", LABELLED)
    model = images(place, labelled=True, names={"nevus": "nv"})
    assert model.available() == (3, 2)
    assert of_class(model, (0, 0), (1, 0), (0, 2), (1, 1), (0, 1)) == [11, 1, 13, 2, 12]
    with pytest.raises(api.DataError, match=r"image 4 of 'nv' is asked for, and there are 3; image 9 of 'mel'.* are 2"):
        of_class(model, (0, 3), (1, 8), (0, 0))
    stray = images(put(tmp_path / "g", {**LABELLED, "stray.png": b""}), labelled=True)
    said = problems(stray)
    assert "2 problem(s)" in said and "stray.png: lies in no class folder" in said
    assert "nevus: a folder of 3 image(s) that is named as no class\n  classes: nv, mel;" in said


def test_a_table_says_the_classes(tmp_path: Path) -> None:
    place = put(tmp_path / "f", {"1.png": encoded(1), "d/2.png": encoded(2), "3.png": encoded(3)})
    table = tmp_path / "labels.csv"
    table.write_text("label,path\nmelanoma,3.png\nnv,./d//2.png\nmel,1.png\n")
    model = images(place, labelled=True, labels=str(table), names={"melanoma": "mel"})
    assert model.available() == (1, 2)
    assert of_class(model, (1, 0), (1, 1), (0, 0)) == [1, 3, 2]
    table.write_text("label,path\nscc,3.png\nnv,d/2.png\nmel,./d/2.png\nnv,4.png\nnv\n")
    said = problems(images(place, labelled=True, labels=str(table)))
    for line in (
        "5 problem(s)", "line 2: 'scc' is no class", "line 4: 'd/2.png' stands on line 3 already, and contradicts it",
        "line 5: there is no image '4.png'", "line 6: 1 cells instead of 2", "1.png: no row in labels.csv",
        "`names` says what they are called",
    ):  # fmt: skip
        assert line in said, line
    with pytest.raises(api.DataMissing, match=r"no file .*nowhere\.csv"):
        images(place, labelled=True, labels=str(tmp_path / "nowhere.csv")).available()


def test_skipped_images_leave_their_class(tmp_path: Path) -> None:
    place = put(tmp_path / "f", {**LABELLED, "mel/aa.png": b"no image"})
    model = images(place, labelled=True, names={"nevus": "nv"}, skip=1)
    assert model.available() == (3, 2)
    assert of_class(model, (1, 1)) == [2]


def test_many_files_are_listed_once_and_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"part-{i % 4}/{i:05d}.png" for i in range(4000)]
    archive = packed(tmp_path / "many.zip", dict.fromkeys(names, b"none of these is an image"))
    put(tmp_path / "f", dict.fromkeys(names, b""))
    for place in (tmp_path / "f", archive):
        model = images(place)
        began = time.process_time()
        assert model.available() == 4000
        assert time.process_time() - began < 2
        monkeypatch.setattr("dermae_bench.builtin.external.images.pictures", None)
        assert model.available() == 4000
        monkeypatch.undo()


def test_the_limits_hold_the_largest_releases() -> None:
    """40,000 images of 512 pixels, as PNG."""
    assert IMAGES.entries > 40_000 and IMAGES.bytes > 40_000 * 512 * 512 * 3
