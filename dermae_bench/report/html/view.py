"""The boards as the page shows them: texts, sort values and geometry, decided here and only placed by the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dermae_bench.report.escape import visible
from dermae_bench.report.feature_figures import feature_figures
from dermae_bench.report.html.behind import Behind, behind
from dermae_bench.report.html.boards import BoardView, board_view
from dermae_bench.report.html.chart import Drawn, draw
from dermae_bench.report.html.flat import flat
from dermae_bench.report.html.grid import Grid, contamination_grid, timings_grid
from dermae_bench.report.html.inside import Inside, inside
from dermae_bench.report.html.pictures import Shown, shown
from dermae_bench.report.html.png import data_uri, strip
from dermae_bench.report.leaderboard import table
from dermae_bench.report.records import Boards, Figure
from dermae_bench.report.subgroup_words import HOW_TO_READ
from dermae_bench.report.sweep_figures import sweep_figures
from dermae_bench.report.words import CONTAMINATION, warnings_of

_SAMPLE_SIDE = 64
"""Least side in CSS pixels at which a sample is shown; smaller images are enlarged by whole factors."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A line of images; sizes in CSS pixels."""

    label: str
    uri: str
    width: int
    height: int
    starts: bool
    """Whether a band begins with it."""


@dataclass(frozen=True, kw_only=True)
class Page:
    title: str
    description: str
    chips: tuple[tuple[str, str], ...]
    boards: tuple[BoardView, ...]
    figures: tuple[tuple[str, str, tuple[Strip, ...]], ...]
    """Title, caption, strips."""
    curves: tuple[Drawn, ...]
    classes: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, tuple[int, ...]], ...]], ...]
    """Task, splits, class -> images in each split."""
    subgroups: tuple[Inside, ...]
    subgroup_words: tuple[str, ...]
    behind: Behind
    """What stands behind distances: curves and nearest pairs."""
    sweeps: tuple[Shown, ...]
    """Curves over the ratio of generated images."""
    features: tuple[Shown, ...]
    """Generated images among real ones in feature space."""
    contamination: Grid | None
    contamination_words: tuple[str, ...]
    timings: Grid | None
    environment: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]
    """Text, and which cells carry it (empty where it is about the whole suite)."""


def page(boards: Boards) -> Page:
    """Everything the template needs. `boards` must be `published` already."""
    tables = [table(boards, "classifiers").for_readers(), table(boards, "generators").for_readers()]
    views = tuple(board_view(boards, leaderboard) for leaderboard in tables if leaderboard.lines)
    warned = warnings_of(boards, tables)
    chips = [("dataset", boards.dataset), ("image size", f"{boards.image_size} px" if boards.image_size else "")]
    chips += [("split", boards.split_rule), ("split digest", boards.split_digest), *boards.facts.items()]
    return Page(
        title=visible(boards.title),
        description=visible(boards.description, 4000),
        chips=tuple((visible(name), visible(text)) for name, text in chips if text),
        boards=views,
        figures=tuple(_figure(figure) for figure in boards.figures if figure.rows),
        curves=tuple(drawn for drawn in map(draw, boards.curves) if drawn is not None),
        classes=tuple(_classes(task, counts) for task, counts in boards.class_counts.items()),
        subgroups=inside(boards),
        subgroup_words=HOW_TO_READ,
        behind=behind(boards),
        sweeps=tuple(map(shown, sweep_figures(boards))),
        features=tuple(map(shown, feature_figures(boards))),
        contamination=contamination_grid(boards) if boards.contamination else None,
        contamination_words=CONTAMINATION,
        timings=timings_grid(boards) if boards.timings else None,
        environment=tuple(flat(boards.environment)),
        warnings=tuple((visible(text, 1000), visible(where)) for text, where in warned),
    )


def _figure(figure: Figure) -> tuple[str, str, tuple[Strip, ...]]:
    strips = []
    for number, (label, images) in enumerate(figure.rows):
        joined, side = strip(images)
        factor = max(1, -(-_SAMPLE_SIDE // side))
        starts = bool(figure.bands and number and figure.bands[number] != figure.bands[number - 1])
        size = {"width": joined.shape[1] * factor, "height": side * factor}
        strips.append(Strip(label=visible(label), uri=data_uri(joined), starts=starts, **size))
    return visible(figure.title), visible(figure.caption, 4000), tuple(strips)


def _classes(
    task: str, counts: Mapping[str, Mapping[str, int]]
) -> tuple[str, tuple[str, ...], tuple[tuple[str, tuple[int, ...]], ...]]:
    splits = tuple(dict.fromkeys(split for by_split in counts.values() for split in by_split))
    rows = tuple((visible(name), tuple(by.get(split, 0) for split in splits)) for name, by in counts.items())
    return visible(task), tuple(map(visible, splits)), rows
