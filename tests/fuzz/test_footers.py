"""Footers of parquet files: our count of values is Arrow's, and a contradictory footer does not end the process."""

from __future__ import annotations

import io
import random
from pathlib import Path

import hostile
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dermae_bench.bounded.files import Unreadable
from dermae_bench.bounded.footers import declared_by
from dermae_bench.bounded.tables import read_parquet

LARGEST = 1 << 24


def table(rows: int) -> pa.Table:
    return pa.table(
        {
            "image_id": [f"ISIC_{n:07d}" for n in range(rows)],
            "label": pa.array([n % 7 if n % 5 else None for n in range(rows)], pa.int64()),
            "logit": pa.array([n / 3 for n in range(rows)], pa.float32()),
            "features": pa.array([[0.5] * (n % 4) for n in range(rows)], pa.list_(pa.float32())),
        }
    )


@pytest.mark.parametrize("rows", [0, 1, 20, 300])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_values_are_counted_as_arrow_counts_them(tmp_path: Path, rows: int, compression: str) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(table(rows), path, row_group_size=70, compression=compression)
    about = pq.ParquetFile(path).metadata
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    columns = [[group.column(number) for group in groups] for number in range(about.num_columns)]
    expected = [(sum(c.num_values for c in its), sum(c.total_uncompressed_size for c in its)) for its in columns]
    with path.open("rb") as stream:
        found = declared_by(stream, LARGEST)
    assert found == (expected if groups else [])


def test_damaged_footers_are_refused_and_never_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(table(300), path, row_group_size=70)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    chance = random.Random(0)
    refused = 0
    for _ in range(600):
        footer = bytearray(data[-8 - length : -8])
        for _ in range(chance.choice((1, 1, 2, 4))):
            footer[chance.randrange(length)] = chance.randrange(256)
        path.write_bytes(data[: -8 - length] + footer + data[-8:])
        with hostile.bounded():
            try:
                read_parquet(path)
            except Unreadable:
                refused += 1
    assert refused > 300


NONE = (
    b"", b"PAR1", b"\xff\xff\xff\x7fPAR1",
    b"\x19\xfc" + b"\xff" * 9 + b"\x01\x00\x00\x00PAR1",
    b"\x49\xfc\x80\x89\x7a" + bytes(2_000_001) + (2_000_006).to_bytes(4, "little") + b"PAR1",
    b"\x1c" * 400 + (400).to_bytes(4, "little") + b"PAR1",
)  # fmt: skip


@pytest.mark.parametrize("data", NONE)
def test_what_is_no_footer_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ValueError, match="its footer is damaged"):
        declared_by(io.BufferedReader(io.BytesIO(data)), LARGEST)  # type: ignore[arg-type]
