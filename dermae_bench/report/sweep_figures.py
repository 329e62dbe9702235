"""Curves of ratio sweeps: what generated images beside real ones, or in their place, do to a classifier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dermae_bench.report.charts import (
    LETTER,
    SIZE,
    Frame,
    Lines,
    Path,
    Picture,
    Text,
    file_names,
    fitted,
    mark,
    polyline,
    round_steps,
    spread,
    thinned,
    tick_texts,
)  # fmt: skip
from dermae_bench.report.leaderboard import Boards, MetricColumn, table
from dermae_bench.report.numbers import direction, places_of, range_text, shown
from dermae_bench.report.sweep_lines import Curve, Panel, Spot, panels_of
from dermae_bench.report.sweep_scales import Across, Scale
from dermae_bench.report.swept import swept
from dermae_bench.report.words import section_title

METRICS = 3
"""Columns that are drawn, the first ones of the board."""
WIDTH = 640
PLOT = (52.0, 48.0, 360.0, 224.0)
"""Left, top, width and height of a plot in its panel; names of the curves stand to its right."""
PANEL_HEIGHT = 320
"""Unless the names of its curves need more."""
GUTTER = 24
"""Pixels between a plot and the names of its curves."""
LINE = 14
"""Pixels from one name to the next."""
CONTROLS = ("dashed", "dashes-2", "dashes-3", "dashes-4")
"""Dash patterns of controls."""
ASIDE = 4
"""Pixels between the whiskers of controls, right of the plot."""
COLOURS = (5, 1, 0, 3, 2, 4)
"""Blue and orange first: they differ for every eye."""


def sweep_figures(boards: Boards) -> tuple[Picture, ...]:
    """A picture for each task, test set and one of the board's first three metrics, where some swept row has it."""
    if not any(swept(info) for info in boards.rows):
        return ()
    leaderboard = table(boards, "classifiers")
    columns = [column for column in leaderboard.metrics if not column.published][:METRICS]
    found = [
        (section, column, panels)
        for section, lines in leaderboard.sections()
        for column in columns
        if (panels := panels_of(lines, column.key))
    ]
    wanted = [(f"{section} {column.key}", [section, column.key]) for section, column, _ in found]
    names = file_names("sweep", wanted)
    return tuple(_picture(name, boards, *about) for name, about in zip(names, found, strict=True))


def _picture(name: str, boards: Boards, section: str, column: MetricColumn, panels: Sequence[Panel]) -> Picture:
    scale = Scale.of(panels)
    paths, texts = list[Path](), list[Text]()
    across, looks, dashes = min(2, len(panels)), _looks(panels), _dashes(panels)
    names = max(len(panel.curves) + len(panel.levels) for panel in panels)
    tall = max(PANEL_HEIGHT, round(PLOT[1]) + LINE * (names + 1))
    for number, panel in enumerate(panels):
        at = number % across * WIDTH, number // across * tall
        more, words = _panel(panel, looks[number], dashes, scale, at, column)
        paths += more
        texts += words
    title = f"{column.key} over the ratio of generated images; {section_title('classifiers', section)}"
    curves = [curve for panel in panels for curve in panel.curves]
    return Picture(
        name=name,
        title=title,
        caption=" ".join(_caption(boards, panels, scale)),
        alt=f"{title}: {len(curves)} curve{'s' if len(curves) > 1 else ''}. Its numbers are in the table.",
        width=across * WIDTH,
        height=-(-len(panels) // across) * tall,
        paths=tuple(paths),
        texts=tuple(texts),
        table=_table(panels, column),
    )


def _looks(panels: Sequence[Panel]) -> list[list[int]]:
    """A number for the colour, dash and mark of every curve: what is called alike looks alike in all panels."""
    known: dict[tuple[str, ...], int] = {}
    found = []
    for panel in panels:
        mixed = len({curve.real for curve in panel.curves}) > 1
        keys = [(c.classifier, c.generator, str(c.repeat), c.real if mixed else "") for c in panel.curves]
        found.append([known.setdefault(key, len(known)) for key in keys])
    return found


def _dashes(panels: Sequence[Panel]) -> dict[str, str]:
    """The dash of every control by its name: what is called alike looks alike in all panels."""
    names = dict.fromkeys(level.label for panel in panels for level in panel.levels if not level.floor)
    return {name: CONTROLS[number % len(CONTROLS)] for number, name in enumerate(names)}


def _caption(boards: Boards, panels: Sequence[Panel], scale: Scale) -> Iterator[str]:
    spots = [spot for panel in panels for curve in panel.curves for spot in curve.spots]
    yield "Mean over seeds; a point with no number is a gap."
    if any(spot.cell.low is not None for spot in spots):
        yield (
            f"Whiskers: where each mean would lie on other test sets ({boards.interval or '95 %'}); curves stand a "
            "little apart, so that none covers another."
        )
    if any(panel.alone for panel in panels):
        yield "Without real images the axis counts generated ones."
    if any(level for panel in panels for level in panel.levels if not level.floor):
        yield (
            "Dashed, each in its own way: controls, trained on the same real images alone; their whiskers stand right "
            "of the plot."
        )
    if any(level for panel in panels for level in panel.levels if level.floor):
        yield "Dotted: the answer of the majority class." + (" It lies below the plot." if scale.floor_below else "")
    if any(spot.cell.apart for spot in spots):
        yield "Hollow: apart from the ranking, of another identity; not to be compared with the others."


def _panel(
    panel: Panel,
    looks: Sequence[int],
    dashes: Mapping[str, str],
    scale: Scale,
    at: tuple[float, float],
    column: MetricColumn,
) -> tuple[list[Path], list[Text]]:
    across = Across(panel)
    left, top, width, height = at[0] + PLOT[0], at[1] + PLOT[1], PLOT[2], PLOT[3]
    # the outermost points stand off the borders, and so do their whiskers
    margin = 0.04 * (across.high - across.low)
    frame = Frame(
        left=left, top=top, width=width, height=height, x_low=across.low - margin, x_high=across.high + margin,
        y_low=scale.low, y_high=scale.high,
    )  # fmt: skip
    paths, texts = _axes(frame, across, panel, column)
    texts.append(Text(x=at[0] + 8, y=at[1] + 18, text=fitted(panel.title, WIDTH - 24), css="ink head"))
    ends: list[tuple[float, float, str, str]] = []
    for place, level in enumerate(panel.levels):
        value = level.cell.value
        if value is None or not scale.low <= value <= scale.high:
            continue
        y = frame.y(value)
        css, right = "soft dotted", frame.right
        if not level.floor:
            css = f"ink {dashes[level.label]}"
            low, high = level.cell.low, level.cell.high
            if low is not None and high is not None:
                # no curve has a point there
                right += ASIDE * (place % 3) + ASIDE / 2
                paths.append(Path(d=_whisker(right, frame.y(low), frame.y(high)), css="ink whisker"))
        paths.append(Path(d=polyline([(frame.left, y), (right, y)]), css=css))
        ends.append((right, y, level.label, "soft" if level.floor else "ink"))
    for number, curve in enumerate(panel.curves):
        shift = (number - (len(panel.curves) - 1) / 2) * min(4.0, 16 / max(1, len(panel.curves)))
        more, end = _curve(curve, looks[number], frame, across, shift)
        paths += more
        name = ", ".join(panel.names[number]) or curve.generator
        if end is not None:
            ends.append((*end, name, f"c{COLOURS[looks[number] % 6]}"))
    more, words = _names(ends, frame, at[0] + WIDTH - 6)
    return paths + more, texts + words


def _axes(frame: Frame, across: Across, panel: Panel, column: MetricColumn) -> tuple[list[Path], list[Text]]:
    heights = round_steps(frame.y_low, frame.y_high)
    paths = [Path(d=polyline([(frame.left, frame.y(v)), (frame.right, frame.y(v))]), css="rule") for v in heights]
    texts = [
        Text(x=frame.left - 6, y=frame.y(value) + 4, text=text, anchor="end")
        for value, text in zip(heights, tick_texts(heights), strict=True)
    ]
    places = [frame.x(across.place(value)) for value in across.values]
    names = [f"{value:,.0f}" if panel.alone else f"{value:g}" for value in across.values]
    kept = thinned(places, [len(name) * SIZE * LETTER for name in names])
    paths += [Path(d=polyline([(x, frame.bottom), (x, frame.bottom + 4)]), css="rule") for x in places]
    texts += [
        Text(x=x, y=frame.bottom + 17, text=name, anchor="middle")
        for x, name, stays in zip(places, names, kept, strict=True)
        if stays
    ]
    texts.append(Text(x=(frame.left + frame.right) / 2, y=frame.bottom + 36, text=across.title(panel), anchor="middle"))
    heading = fitted(column.key + direction(column.unit, column.better), frame.width)
    texts.append(Text(x=frame.left - 44, y=frame.top - 14, text=heading))
    return paths, texts


def _curve(
    curve: Curve, number: int, frame: Frame, across: Across, shift: float
) -> tuple[list[Path], tuple[float, float] | None]:
    """Its paths, and where its last point lies; None where it has no number."""
    dash = ("", " dashed", " dotted")[number // 6 % 3]
    css, pieces = f"c{COLOURS[number % 6]}", list[list[tuple[float, float]]]([[]])
    paths, solid, hollow = list[Path](), "", ""
    for spot in curve.spots:
        cell = spot.cell
        if cell.value is None:
            pieces.append([])
            continue
        x, y = frame.x(across.place(spot.x)) + shift, frame.y(cell.value)
        pieces[-1].append((x, y))
        if cell.low is not None and cell.high is not None:
            paths.append(Path(d=_whisker(x, frame.y(cell.low), frame.y(cell.high)), css=f"{css} whisker"))
        if cell.apart:
            hollow += mark(number, x, y)
        else:
            solid += mark(number, x, y)
    paths += [Path(d=polyline(piece), css=f"{css} line{dash}") for piece in pieces if len(piece) > 1]
    paths += [Path(d=d, css=f"{css} {kind}") for d, kind in ((solid, "mark"), (hollow, "mark hollow")) if d]
    last = [place for piece in pieces for place in piece]
    return paths, last[-1] if last else None


def _whisker(x: float, low: float, high: float) -> str:
    return polyline([(x, low), (x, high)]) + polyline([(x - 2, low), (x + 2, low)]) + polyline(
        [(x - 2, high), (x + 2, high)]
    )  # fmt: skip


def _names(ends: Sequence[tuple[float, float, str, str]], frame: Frame, right: float) -> tuple[list[Path], list[Text]]:
    """What each line is called, beside its end and apart from the others, with a thread where it had to move."""
    ys = spread([y for _, y, _, _ in ends], frame.top, frame.bottom, LINE)
    left = frame.right + GUTTER
    paths, texts = [], []
    for (x, y, name, css), there in zip(ends, ys, strict=True):
        paths.append(Path(d=polyline([(x + 6 if x < frame.right else x, y), (left - 14, y), (left - 4, there)]),
                          css=f"{css} thread"))  # fmt: skip
        texts.append(Text(x=left, y=there + 4, text=fitted(name, right - left), css=css))
    return paths, texts


def _table(panels: Sequence[Panel], column: MetricColumn) -> Lines:
    places = places_of(spot.cell.value for panel in panels for curve in panel.curves for spot in curve.spots)
    rows = []
    for panel in panels:
        for curve in panel.curves:
            repeat = f" ({curve.repeat})" if curve.repeat > 1 else ""
            for spot in curve.spots:
                ratio = f"{spot.x:,.0f} images" if panel.alone else f"{spot.x:g}"
                own = (curve.classifier, curve.generator + repeat, curve.real, ratio)
                rows.append((*own, *_numbers(spot, places), spot.note))
        for level in panel.levels:
            spot = Spot(x=0, cell=level.cell, note="floor" if level.floor else "control")
            own = (level.classifier, "", level.real, "" if level.floor else "0")
            rows.append((*own, *_numbers(spot, places), spot.note))
    heads = ("classifier", "generator", "real images", "ratio", column.key, "interval", "note")
    return Lines(heads=heads, numeric=(False, False, True, True, True, True, False), rows=tuple(dict.fromkeys(rows)))


def _numbers(spot: Spot, places: int | None) -> tuple[str, str]:
    cell = spot.cell
    value = "-" if cell.value is None else shown(cell.value, places)
    return value, range_text(cell.low, cell.high, places)
