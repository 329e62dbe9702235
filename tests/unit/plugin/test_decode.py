"""Decoding: sound pictures become squares; everything else is refused, by reason, before it costs anything."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from dermae_bench.plugin.decode import MAX_PIXELS, UnreadableImage, find_duplicates, inspect, read_image, read_images

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def reason(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(UnreadableImage) as caught:
        read_image(path, 16)
    return str(caught.value)


JPEG = encoded(Image.fromarray(NOISE), "JPEG", quality=90)
PNG = encoded(Image.fromarray(NOISE))


def test_png_of_the_asked_size_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(NOISE[:, :48])))
    image = read_image(tmp_path / "a.png", 48)
    assert image.dtype == np.uint8
    assert np.array_equal(image, NOISE[:, :48].transpose(2, 0, 1))


def test_jpeg_is_squashed_whole_to_the_square(tmp_path: Path) -> None:
    halves = np.zeros((60, 120, 3), np.uint8)
    halves[:, 60:] = (200, 40, 40)
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(halves), "JPEG", quality=95, subsampling=0))
    image = read_image(tmp_path / "a.jpg", 20).astype(int)
    assert image.shape == (3, 20, 20)
    assert abs(image[:, :, :9]).max() < 12
    assert abs(image[:, :, 11:] - np.array([200, 40, 40])[:, None, None]).max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_applied(tmp_path: Path, kind: str) -> None:
    upright = np.zeros((32, 32, 3), np.uint8)
    upright[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(upright), kind, exif=exif))
    image = read_image(tmp_path / "a", 32)
    assert image[:, 26:].min() > 230
    assert image[:, :20].max() < 25


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("L", (9, 9), 100), (100, 100, 100)),
        (Image.new("1", (9, 9), 1), (255, 255, 255)),
        (Image.new("RGB", (9, 9), (255, 0, 0)).convert("P"), (255, 0, 0)),
        (Image.new("RGBA", (9, 9), (1, 2, 3, 255)), (1, 2, 3)),
        (Image.new("LA", (9, 9), (7, 255)), (7, 7, 7)),
        (Image.fromarray(np.full((9, 9), 0x8012, np.uint16)), (0x80, 0x80, 0x80)),
    ],
    ids=["grey", "bilevel", "palette", "opaque-rgba", "opaque-la", "grey-16"],
)
def test_other_png_modes_become_rgb(tmp_path: Path, picture: Image.Image, expected: tuple[int, int, int]) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture))
    assert tuple(read_image(tmp_path / "a.png", 9)[:, 4, 4]) == expected


def test_grey_and_progressive_jpeg_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(Image.new("L", (20, 20), 90), "JPEG", progressive=True))
    assert abs(read_image(tmp_path / "a.jpg", 20).astype(int) - 90).max() <= 2


def test_the_name_does_not_matter_only_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(JPEG)
    assert inspect(tmp_path / "a.png") is None
    assert read_image(tmp_path / "a.png", 8).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(40), "GIF"),
        (b"II*\0" + bytes(40), "TIFF"),
        (b"%!PS-Adobe-3.0 EPSF", "EPS"),
        (b"  <svg xmlns='x'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"no image at all", "unknown format"),
        (encoded(Image.new("CMYK", (9, 9)), "JPEG"), "4 channels"),
        (encoded(Image.new("RGBA", (9, 9), (1, 2, 3, 4))), "transparent"),
        (PNG[:20], "truncated PNG"),
        (JPEG[:12], "truncated JPEG"),
    ],
)
def test_other_content_is_refused_by_name(tmp_path: Path, data: bytes, word: str) -> None:
    assert word in reason(tmp_path / "a.jpg", data)


def test_inspect_agrees_with_reading_about_headers(tmp_path: Path) -> None:
    for name, data in (("a", b""), ("b", b"GIF89a"), ("c", JPEG), ("d", PNG)):
        (tmp_path / name).write_bytes(data)
    assert [inspect(tmp_path / name) is None for name in "abcde"] == [False, False, True, True, False]
    assert inspect(tmp_path / "e") == "is missing"
    assert inspect(tmp_path) == "is not a file"


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert inspect(tmp_path / "pipe.jpg") == "is not a file"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    assert "truncated" in reason(tmp_path / "a.jpg", JPEG[: int(len(JPEG) * share)])
    assert "PNG" in reason(tmp_path / "a.png", PNG[: int(len(PNG) * share)])


def test_jpeg_damage_that_the_decoder_paints_over_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "corrupt JPEG" in reason(tmp_path / "a.jpg", JPEG[: len(JPEG) // 2] + b"\xff\xd9")
    hole = bytearray(JPEG)
    hole[len(JPEG) // 2 : len(JPEG) // 2 + 400] = bytes(400)
    assert "corrupt JPEG" in reason(tmp_path / "a.jpg", bytes(hole))
    assert "Corrupt JPEG" not in capfd.readouterr().err


def test_what_others_wrote_to_stderr_is_passed_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)

    def decode(*words: object, **more: object) -> object:
        os.write(2, b"a heartbeat\n")
        return original(*words, **more)

    original = torchvision.io.decode_jpeg
    monkeypatch.setattr(torchvision.io, "decode_jpeg", decode)
    read_image(tmp_path / "a.jpg", 8)
    assert "a heartbeat" in capfd.readouterr().err


def test_any_flipped_byte_of_a_png_is_noticed_and_never_ends_the_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    small = encoded(Image.fromarray(NOISE[:12, :12]))
    for place in rng.choice(np.arange(8, len(small)), 60, replace=False):
        broken = bytearray(small)
        broken[place] ^= 0xFF
        assert reason(tmp_path / "a.png", bytes(broken))


def test_more_than_50_megapixels_are_refused_from_the_header(tmp_path: Path) -> None:
    big = bytearray(PNG)
    big[16:24] = (10_000).to_bytes(4, "big") + (MAX_PIXELS // 10_000 + 1).to_bytes(4, "big")
    assert "50 MPix" in reason(tmp_path / "a.png", bytes(big))
    frame = JPEG.index(b"\xff\xc0")
    big = bytearray(JPEG)
    big[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") + (60_000).to_bytes(2, "big")
    (tmp_path / "a.jpg").write_bytes(big)
    assert inspect(tmp_path / "a.jpg") == "has 60000 x 60000 pixels, more than 50 MPix"


def test_all_failures_are_returned_and_their_rows_left_alone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.jpg" for i in range(5)]
    for i in (0, 2, 3):
        paths[i].write_bytes(JPEG)
    paths[3].write_bytes(JPEG[:300])
    paths[4].write_bytes(b"")
    out = np.full((5, 3, 16, 16), 7, np.uint8)
    failures = read_images(paths, 16, out)
    assert [index for index, _ in failures] == [1, 3, 4]
    assert [why.split()[1] for _, why in failures] == ["missing", "a", "empty"]
    assert (out[[1, 3, 4]] == 7).all()
    assert np.array_equal(out[0], read_image(paths[0], 16))
    assert np.array_equal(out[0], out[2])


def test_the_array_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        read_images([tmp_path / "a"], 16, np.zeros((1, 3, 8, 8), np.uint8))


def test_duplicates_are_found_by_content(tmp_path: Path) -> None:
    contents = (b"aa", b"bb", b"aa", b"ccc", b"aa")
    paths = [tmp_path / str(i) for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert find_duplicates([*paths, tmp_path / "missing"]) == [(paths[0], paths[2]), (paths[0], paths[4])]
