"""Small sets in the official layouts of public ones: tables with the real columns, and tiny JPEGs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dermae_bench import api


@cache
def picture(number: int, kind: str = "JPEG") -> bytes:
    """A file of 8 x 8 pixels of one colour, another for every number."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number * 37 % 256, number * 11 % 256, number // 256)).save(stream, kind)
    return stream.getvalue()


def pictures(folder: Path, names: Iterable[str], *, real: bool = True) -> None:
    """A file for every name; `real`: one that can be decoded."""
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        kind = "PNG" if file.suffix == ".png" else "JPEG"
        file.write_bytes(picture(number, kind) if real else b"pixels are not read here")


def table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any] | Sequence[Any]]) -> None:
    """A CSV as pandas and the archives write it; a row may be ragged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([row[name] for name in columns] if isinstance(row, Mapping) else row for row in rows)


def problems(dataset: api.Dataset) -> str:
    """What the dataset says is wrong, a line each."""
    with pytest.raises(api.DataError) as caught:
        dataset.examples()
    assert not isinstance(caught.value, api.DataMissing)
    return "\n".join(caught.value.names) or str(caught.value)


def missing(dataset: api.Dataset) -> str:
    """The one line about data that are not there."""
    with pytest.raises(api.DataMissing) as caught:
        dataset.examples()
    assert "\n" not in str(caught.value)
    assert type(dataset).home in str(caught.value)
    return str(caught.value)


def holds(text: str, *words: str) -> None:
    """Every one of `words` stands in `text`."""
    for word in words:
        assert word in text, f"{word!r} is not in:\n{text}"


def assert_decodable(examples: Sequence[api.Example]) -> None:
    """Every example names an image file that can be read."""
    assert examples
    for example in examples:
        assert example.source is not None
        with Image.open(example.source) as opened:
            assert opened.convert("RGB").size == (8, 8)
