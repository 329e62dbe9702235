"""Twenty sound pictures of every usual kind, and what hostile or broken files do instead."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SIZE = 24
PIXELS = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(SIZE) * 4, np.arange(SIZE) * 3)[..., None].repeat(3, axis=2).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def sound() -> dict[str, bytes]:
    """Name -> file of 24 x 24 pixels."""
    rgb, smooth = Image.fromarray(PIXELS), Image.fromarray(SMOOTH)
    grey = rgb.convert("L")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 200, zip=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "baseline.jpg": encoded(rgb, "JPEG", quality=90),
        "smooth.jpg": encoded(smooth, "JPEG", quality=60),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "grey.jpg": encoded(grey, "JPEG"),
        "full-colour.jpg": encoded(rgb, "JPEG", subsampling=0),
        "restarts.jpg": encoded(rgb, "JPEG", restart_marker_blocks=1),
        "exif.jpg": encoded(rgb, "JPEG", exif=turned(6)),
        "profile.jpg": encoded(rgb, "JPEG", icc_profile=profile),
        "comment.jpg": encoded(rgb, "JPEG", comment=b"c" * 300),
        "rgb.png": encoded(rgb, "PNG"),
        "smooth.png": encoded(smooth, "PNG", optimize=True),
        "grey.png": encoded(grey, "PNG"),
        "bilevel.png": encoded(rgb.convert("1"), "PNG"),
        "palette.png": encoded(rgb.quantize(16), "PNG"),
        "deep.png": encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "PNG"),
        "grey-alpha.png": encoded(Image.merge("LA", (grey, Image.new("L", grey.size, 255))), "PNG"),
        "rgb-alpha.png": encoded(rgb.convert("RGBA"), "PNG"),
        "text.png": encoded(rgb, "PNG", pnginfo=text),
        "exif.png": encoded(rgb, "PNG", exif=turned(3)),
        "profile.png": encoded(rgb, "PNG", icc_profile=profile),
    }


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 4, height: int = 4, before: bytes = b"", depth: int = 8, colour: int = 2, data: bytes | None = None
) -> bytes:
    """A PNG of one colour, with chunks before its pixels, or other compressed bytes in their place."""
    rows = bytes(height * (1 + width * 3)) if data is None else b""
    pixels = zlib.compress(rows) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def hostile() -> dict[str, tuple[bytes, str | None]]:
    """File name -> (content, a word of the reason); None where it must decode."""
    rgb = Image.fromarray(PIXELS)
    jpeg = encoded(rgb, "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    twelve = bytearray(jpeg)
    twelve[frame + 4] = 12
    arithmetic = bytearray(jpeg)
    arithmetic[frame + 1] = 0xC9
    lossless = bytearray(jpeg)
    lossless[frame + 1] = 0xC3
    scan = jpeg.index(b"\xff\xda")
    wide = bytearray(jpeg)
    wide[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 700)
    many = bytearray(encoded(rgb, "JPEG", progressive=True))
    many[many.index(b"\xff\xc2") + 5 : many.index(b"\xff\xc2") + 9] = struct.pack(">HH", 7_000, 7_000)
    last = many.rindex(b"\xff\xda")
    scans = bytes(many[:-2]) + bytes(many[last:-2]) * 60 + b"\xff\xd9"
    junk = np.random.default_rng(5).bytes(3000)
    exif = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n9\nzz"))
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    zeros = zlib.compress(bytes(2**23), 9)
    return {
        "empty.png": (b"", "empty"),
        "one-byte.jpg": (b"\xff", "unknown format"),
        "start-only.jpg": (b"\xff\xd8\xff", "truncated JPEG"),
        "gif.png": (encoded(rgb, "GIF"), "GIF"),
        "tiff.png": (encoded(rgb, "TIFF"), "TIFF"),
        "webp.png": (encoded(rgb, "WEBP"), "not JPEG or PNG"),
        "bmp.jpg": (encoded(rgb, "BMP"), "BMP"),
        "eps.png": (encoded(rgb, "EPS"), "EPS"),
        "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "SVG"),
        "xml.png": (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", "XML"),
        "pdf.jpg": (b"%PDF-1.7\n", "PDF"),
        "zip.jpg": (b"PK\x03\x04" + bytes(40), "ZIP"),
        "jpeg.png": (jpeg, None),
        "png.jpg": (encoded(rgb, "PNG"), None),
        "bomb.png": (png(65_535, 65_535, data=zeros), "65535 x 65535 pixels"),
        "wide.png": (png(2**31 - 1, 1, data=zeros), "MPix"),
        "negative.png": (png(2**32 - 1, 2**32 - 1, data=zeros), "MPix"),
        "nothing.png": (png(0, 0), "0 x 0"),
        "short-pixels.png": (png(4_000, 4_000, data=zlib.compress(bytes(100))), "corrupt PNG"),
        "long-pixels.png": (png(data=zeros), None),
        "text-bomb.png": (png(before=chunk(b"zTXt", b"a\0\0" + zeros)), "corrupt PNG"),
        "profile-bomb.png": (png(before=chunk(b"iCCP", b"a\0\0" + zeros)), "corrupt PNG"),
        "international-bomb.png": (png(before=chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)), "corrupt PNG"),
        "exif-bomb.png": (png(before=exif), "corrupt PNG"),
        "exif-junk.png": (png(before=chunk(b"eXIf", junk)), "corrupt PNG"),
        "profile-junk.png": (png(before=chunk(b"iCCP", b"a\0\0" + junk)), None),
        "chunks.png": (png(before=chunk(b"teXt", b"") * 100_001), "more than 100000 chunks"),
        "pieces.png": (png(before=chunk(b"IDAT", b"") * 90_000), None),
        "depth.png": (png(depth=3), "corrupt PNG"),
        "colour.png": (png(colour=5), "corrupt PNG"),
        "critical.png": (png(before=chunk(b"ABCD", b"x")), None),
        "animated.png": (encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), "animated"),
        "transparent.png": (encoded(Image.new("RGBA", (8, 8), (1, 2, 3, 4)), "PNG"), "transparent"),
        "cmyk.jpg": (encoded(Image.new("CMYK", (8, 8)), "JPEG"), "4 channels"),
        "twelve-bits.jpg": (bytes(twelve), "12 bits"),
        "arithmetic.jpg": (bytes(arithmetic), "JPEG"),
        "lossless.jpg": (bytes(lossless), "JPEG"),
        "wide.jpg": (bytes(wide), "JPEG"),
        "scans.jpg": (scans, "more scans"),
        "exif-junk.jpg": (jpeg[:2] + segment(0xE1, b"Exif\0\0" + junk) + jpeg[2:], None),
        "exif-great.jpg": (jpeg[:2] + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 10 + jpeg[2:], None),
        "profiles.jpg": (jpeg[:2] + segment(0xE2, b"ICC_PROFILE\0\1\1" + junk) * 20 + jpeg[2:], None),
        "profiles-great.jpg": (jpeg[:2] + segment(0xE2, bytes(65_000)) * 20 + jpeg[2:], "1 MiB of profiles"),
        "no-frame.jpg": (jpeg[:2] + jpeg[scan:], "no frame header"),
        "no-tables.jpg": (jpeg[:2] + jpeg[frame:scan] + jpeg[scan:], "corrupt JPEG"),
    }  # fmt: skip


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A cut, flipped bits, a piece lost, doubled or zeroed, or an end of random bytes."""
    found = bytearray(data)
    place, length = int(rng.integers(2, len(found))), int(rng.integers(1, 40))
    match int(rng.integers(6)):
        case 0:
            del found[place:]
        case 1:
            for at in rng.integers(len(found), size=1 + length // 8):
                found[at] ^= 1 << int(rng.integers(8))
        case 2:
            del found[place : place + length]
        case 3:
            found[place:place] = found[place : place + length]
        case 4:
            found[place : place + length] = bytes(length)
        case _:
            found[place:] = rng.bytes(len(found) - place)
    return bytes(found)
