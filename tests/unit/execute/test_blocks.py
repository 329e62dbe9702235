"""Arrays made block by block: the bytes of an unbroken one, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dermae_bench.errors import InvalidOutput
from dermae_bench.execute import blocks as module
from dermae_bench.execute.blocks import Block, Blocks, write_array
from dermae_bench.execute.steps import Stopped

ROWS, SIZE, BATCH = 23, 6, 2


class Squares:
    """Row i is (i, i * i); notes which rows it was asked for."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, block: Block, first: int) -> Iterator[NDArray[np.float32]]:
        for start in range(first, block.last, BATCH):
            rows = list(range(start, min(start + BATCH, block.last)))
            self.made += rows
            block.facts["last"] = rows[-1]
            yield np.array([[i, i * i] for i in rows], dtype=np.float32)


def blocks(folder: Path, stop: Callable[[], bool] = lambda: False, **changes: Any) -> Blocks:
    asked: dict[str, Any] = {"rows": ROWS, "size": SIZE, "row": (2,), "dtype": np.float32, "stop": stop}
    return Blocks(folder / "kept", "squares", changes.pop("key", "this stage"), **{**asked, **changes})


def dying_at(row: int) -> Callable[[Block, int], Iterator[NDArray[np.float32]]]:
    """Gives the squares of all rows before `row`."""

    def give(block: Block, first: int) -> Iterator[NDArray[np.float32]]:
        for rows in Squares()(block, first):
            if rows[0, 0] == row:
                raise KeyboardInterrupt
            yield rows

    return give


def filled_again(folder: Path) -> tuple[Squares, Blocks]:
    """Another attempt at the same blocks, and what it was asked for."""
    squares, made = Squares(), blocks(folder)
    made.fill(squares)
    return squares, made


def expected() -> NDArray[np.float32]:
    return np.array([[i, i * i] for i in range(ROWS)], dtype=np.float32)


def as_saved(values: NDArray[Any], path: Path) -> bytes:
    np.save(path, values)
    return path.read_bytes()


@pytest.mark.parametrize("rows", [0, 1, 5, 6, 7, ROWS])
def test_the_joined_file_is_what_numpy_would_save(tmp_path: Path, rows: int) -> None:
    made = blocks(tmp_path, rows=rows)
    made.fill(Squares())
    made.join(tmp_path / "joined.npy")
    assert (tmp_path / "joined.npy").read_bytes() == as_saved(expected()[:rows], tmp_path / "saved.npy")
    assert np.array_equal(made.whole(), expected()[:rows])
    keep = np.arange(rows) % 3 != 1
    made.join(tmp_path / "some.npy", keep)
    assert (tmp_path / "some.npy").read_bytes() == as_saved(expected()[:rows][keep], tmp_path / "saved.npy")
    for block, part in made.read():
        assert made.path(block).read_bytes() == as_saved(np.asarray(part), tmp_path / "saved.npy")


@pytest.mark.parametrize("asked", range(1, 12))
def test_a_stop_at_any_place_loses_no_row(tmp_path: Path, asked: int) -> None:
    told = iter([False] * (asked - 1) + [True])
    first = Squares()
    with pytest.raises(Stopped):
        blocks(tmp_path, stop=lambda: next(told)).fill(first)
    second, again = filled_again(tmp_path)
    assert first.made + second.made == list(range(ROWS))
    assert np.array_equal(again.whole(), expected())
    assert [block.facts["last"] for block in again.blocks] == [5, 11, 17, 22]
    assert not list(again.folder.glob("*.part*"))


def test_who_is_asked_to_stop_at_the_very_end_has_finished(tmp_path: Path) -> None:
    made = Squares()
    blocks(tmp_path, stop=lambda: len(made.made) == ROWS).fill(made)


def test_a_crash_costs_at_most_the_block_it_happened_in(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        blocks(tmp_path).fill(dying_at(16))
    second, again = filled_again(tmp_path)
    assert second.made == list(range(12, ROWS))
    assert np.array_equal(again.whole(), expected())


def test_a_slow_block_is_put_down_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", -1.0)

    with pytest.raises(KeyboardInterrupt):
        blocks(tmp_path).fill(dying_at(4))
    second, again = filled_again(tmp_path)
    assert second.made == list(range(4, ROWS))
    assert np.array_equal(again.whole(), expected())


def _flip(path: Path, at: float = 0.9) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 4
    path.write_bytes(data)


DAMAGE: list[tuple[str, Callable[[Path], Any]]] = [
    ("npy", _flip),
    ("npy", lambda path: _flip(path, 0.0)),
    ("npy", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    ("npy", lambda path: path.write_bytes(path.read_bytes() + b"x")),
    ("npy", lambda path: path.write_bytes(b"")),
    ("npy", Path.unlink),
    ("npy", lambda path: path.write_bytes((path.parent / "squares-00002.npy").read_bytes())),
    ("json", _flip),
    ("json", lambda path: path.write_text("")),
    ("json", lambda path: path.write_text("[" * 100_000)),
    ("json", lambda path: path.write_text('{"about": {}, "digest": "x"}')),
    ("json", lambda path: path.write_bytes(b"\xff\xfe")),
    ("json", lambda path: path.write_text(path.read_text().replace('"last":11', '"last":10'))),
    ("json", lambda path: path.write_bytes((path.parent / "squares-00002.json").read_bytes())),
]


@pytest.mark.parametrize(("of", "damage"), DAMAGE)
def test_a_damaged_block_is_named_and_it_alone_is_made_again(
    tmp_path: Path, of: str, damage: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    blocks(tmp_path).fill(Squares())
    damage(tmp_path / "kept" / f"squares-00001.{of}")
    second, again = filled_again(tmp_path)
    assert second.made == list(range(6, 12))
    assert np.array_equal(again.whole(), expected())
    told = capsys.readouterr().out
    assert "block squares-00001.npy is damaged" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("of", ["part", "part.json"])
def test_a_damaged_beginning_is_named_and_made_again(
    tmp_path: Path, of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = iter([False, True])
    with pytest.raises(Stopped):
        blocks(tmp_path, stop=lambda: next(told)).fill(Squares())
    _flip(tmp_path / "kept" / f"squares-00000.{of}")
    second, again = filled_again(tmp_path)
    assert second.made == list(range(ROWS))
    assert np.array_equal(again.whole(), expected())
    assert "the begun block squares-00000.npy is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"key": "another"}, {"size": 4}, {"dtype": np.float64}, {"row": (3,)}])
def test_blocks_of_another_stage_or_shape_are_not_taken(tmp_path: Path, change: dict[str, Any]) -> None:
    blocks(tmp_path).fill(Squares())

    def zeros(block: Block, first: int) -> Iterator[NDArray[Any]]:
        yield np.zeros((block.last - first, *change.get("row", (2,))), change.get("dtype", np.float32))

    other = blocks(tmp_path, **change)
    other.fill(zeros)
    assert not other.whole()[:4].any()


@pytest.mark.parametrize(
    "rows",
    [np.zeros((2, 3), np.float32), np.zeros((2, 2)), np.zeros((7, 2), np.float32), np.zeros((2, 2), np.float32)],
    ids=["shape", "type", "too many", "too few"],
)
def test_what_does_not_fit_is_no_block(tmp_path: Path, rows: NDArray[Any]) -> None:
    with pytest.raises(InvalidOutput, match="squares: "):
        blocks(tmp_path).fill(lambda block, first: iter([rows]))


def test_a_dropped_block_is_made_again(tmp_path: Path) -> None:
    made = blocks(tmp_path)
    made.fill(Squares())
    made.drop(made.blocks[3])
    second, _ = filled_again(tmp_path)
    assert second.made == list(range(18, ROWS))


def test_an_array_is_written_as_numpy_does(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.int64).reshape(6, 2)
    write_array(tmp_path / "a.npy", np.int64, (6, 2), (values[:4], values[4:]))
    assert (tmp_path / "a.npy").read_bytes() == as_saved(values, tmp_path / "b.npy")
