"""Where generated images lie among real ones: densities along components, and the first two (Class-N-Diff, Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dermae_bench.report.charts import (
    LETTER,
    SIZE,
    Frame,
    Lines,
    Path,
    Picture,
    Text,
    dots,
    file_names,
    fitted,
    polyline,
    round_steps,
    tick_texts,
)
from dermae_bench.report.details import name_of
from dermae_bench.report.numbers import shown
from dermae_bench.report.records import Boards, RowInfo

WIDTH, HEIGHT = 960, 400
PANEL = (250.0, 118.0)
"""Width and height of one plot of densities."""
COLUMNS = (14.0, 288.0)
ROWS = (64.0, 234.0)
SCATTER = (602.0, 64.0, 344.0, 288.0)
"""Left, top, width, height."""
REAL, GENERATED = "grey", "c1"
LEAST_SHARE = 0.001
"""Share of generated images outside a plot that is told in it."""
CUT = 2.5
"""Times the highest real density above which a generated one is cut."""


def feature_figures(boards: Boards) -> tuple[Picture, ...]:
    """A picture for each row and extractor of which the boards hold densities, in the order of the rows."""
    found = [
        (info, metric, its)
        for info in boards.rows
        for metric, its in boards.details.get(info.row, {}).items()
        if "scatter" in its
    ]
    rows = [info.row for info, _, _ in found]
    wanted = [
        (name_of(info) + (f" {metric}" if rows.count(info.row) > 1 else ""), [info.row, metric])
        for info, metric, _ in found
    ]
    names = file_names("features", wanted)
    return tuple(_picture(name, *about) for name, about in zip(names, found, strict=True))


def _picture(name: str, info: RowInfo, metric: str, its: Mapping[str, Any]) -> Picture:
    paths, texts = _key(its, info)
    for k, about in enumerate(its["components"]):
        if "grid" in about:
            more, words = _densities(k, about)
            paths, texts = paths + more, texts + words
    more, words, beyond = _scatter(its)
    kind = "" if info.kind == "measured" else f" ({info.kind})"
    against = info.names.get("against", "")
    title = f"{name_of(info)}{kind}: features among those of real images" + (f" ({against})" if against else "")
    overlaps = [float(about["overlap"]) for about in its["components"]]
    return Picture(
        name=name,
        title=title,
        caption=_caption(info, metric, its, beyond),
        alt=f"{title}. Overlap of densities by component: {', '.join(shown(one, 2) for one in overlaps)}; "
        f"mean {shown(sum(overlaps) / len(overlaps), 3)}.",
        width=WIDTH,
        height=HEIGHT,
        paths=tuple(paths + more),
        texts=tuple(texts + words),
        table=Lines(
            heads=("component", "share of variance", "overlap"),
            numeric=(True, True, True),
            rows=tuple(
                (str(k), shown(float(about["explained"]), 4), shown(float(about["overlap"]), 4))
                for k, about in enumerate(its["components"], start=1)
            ),
        ),
    )


def _caption(info: RowInfo, metric: str, its: Mapping[str, Any], beyond: Mapping[str, int]) -> str:
    extractor = metric.partition("[")[2].rstrip("]") or metric
    others = "generated" if info.kind == "measured" else "other"
    dotted = {side: len(its["scatter"][side]) for side in ("real", "generated")}
    words = (
        f"Features: {extractor}. Principal components are fitted on the real set alone, so every generator is seen in "
        "the same directions. Densities: Gaussian kernels, Scott's bandwidth of each side; their overlap is 1 where "
        f"both are alike. n = {its['n_real']:,} real and {its['n_generated']:,} {others} images; the dots are "
        f"{dotted['real']:,} and {dotted['generated']:,} of them, chosen by a digest of their names."
    )
    if any(beyond.values()):
        words += f" Outside the frame: {beyond['real']:,} of the real and {beyond['generated']:,} of the {others} dots."
    if any(max(one["generated"]) > CUT * max(one["real"]) for one in its["components"] if "grid" in one):
        words += f" Peaks above {CUT:g} times the real one are cut."
    if len(info.seeds) > 1:
        words += f" Of the first of {len(info.seeds)} seeds."
    return words


def _key(its: Mapping[str, Any], info: RowInfo) -> tuple[list[Path], list[Text]]:
    """Which colour is which, in its colour."""
    other = info.names.get("generator", "") or "generated"
    if info.kind == "floor" and info.names.get("sampling"):
        # real images may stand on both sides
        other += f", {info.names['sampling']}"
    label = fitted(f"{other}, n = {its['n_generated']:,}", 420)
    real = f"real, n = {its['n_real']:,}"
    left = COLUMNS[0]
    step = left + 26 + len(real) * SIZE * LETTER + 24
    paths = [Path(d=dots([(left + 6, 14.0)]), css=f"{REAL} key"), Path(d=dots([(step, 14.0)]), css=f"{GENERATED} key")]
    texts = [
        Text(x=left + 16, y=18, text=real, css=f"{REAL} head"),
        Text(x=step + 10, y=18, text=label, css=f"{GENERATED} head"),
        Text(x=left, y=40, text="Densities along the first principal components", css="ink"),
        Text(x=SCATTER[0], y=40, text="First two principal components", css="ink"),
    ]
    return paths, texts


def _densities(k: int, about: Mapping[str, Any]) -> tuple[list[Path], list[Text]]:
    grid, real, generated = (
        [float(one) for one in numbers] for numbers in (about["grid"], about["real"], about["generated"])
    )
    # a collapsed generator must not press the real density flat
    highest = min(max(*real, *generated), CUT * max(real))
    frame = Frame(
        left=COLUMNS[k % 2], top=ROWS[k // 2], width=PANEL[0], height=PANEL[1],
        x_low=grid[0], x_high=grid[-1], y_low=0.0, y_high=highest * 1.04 or 1.0,
    )  # fmt: skip
    paths = []
    for css, values in ((REAL, real), (GENERATED, generated)):
        line = [(frame.x(x), max(frame.top, frame.y(y))) for x, y in zip(grid, values, strict=True)]
        paths.append(
            Path(d=polyline([(frame.left, frame.bottom), *line, (frame.right, frame.bottom)]) + "z", css=f"{css} area")
        )
        paths.append(Path(d=polyline(line), css=f"{css} line"))
    paths.append(Path(d=polyline([(frame.left, frame.bottom), (frame.right, frame.bottom)]), css="rule"))
    title = f"{k + 1}: {100 * float(about['explained']):.0f} % of variance, overlap {shown(float(about['overlap']), 2)}"
    texts = [Text(x=frame.left, y=frame.top - 6, text=title), *_ticks_below(frame)]
    share = float(about["outside"]["generated"])
    if share >= LEAST_SHARE:
        texts.append(_outside(frame, f"{100 * share:.3g} % outside", (real, generated)))
    return paths, texts


def _outside(frame: Frame, text: str, curves: Sequence[Sequence[float]]) -> Text:
    """How much of the generated side is not in the plot, at the end of it that the curves leave free."""
    covered = math.ceil(len(text) * SIZE * LETTER / frame.width * len(curves[0]))
    left, right = (max(max(part) for part in ends) for ends in zip(
        *((values[:covered], values[-covered:]) for values in curves), strict=True
    ))  # fmt: skip
    y = frame.top + SIZE
    if right <= left:
        return Text(x=frame.right, y=y, text=text, css=GENERATED, anchor="end")
    return Text(x=frame.left, y=y, text=text, css=GENERATED)


def _scatter(its: Mapping[str, Any]) -> tuple[list[Path], list[Text], dict[str, int]]:
    """Paths, texts, and how many dots of either side the frame does not show."""
    first, second = its["components"][:2]
    left, top, width, height = SCATTER
    frame = Frame(
        left=left + 34, top=top, width=width - 34, height=height,
        x_low=float(first["grid"][0]), x_high=float(first["grid"][-1]),
        y_low=float(second["grid"][0]), y_high=float(second["grid"][-1]),
    )  # fmt: skip
    corners = [(frame.left, frame.top), (frame.right, frame.top), (frame.right, frame.bottom),
               (frame.left, frame.bottom)]  # fmt: skip
    paths = [Path(d=polyline(corners) + "z", css="rule")]
    for css, side in ((REAL, "real"), (GENERATED, "generated")):
        inside = [(frame.x(x), frame.y(y)) for x, y in its["scatter"][side] if frame.holds(x, y)]
        if inside:
            paths.append(Path(d=dots(inside), css=f"{css} dots"))
    beyond = {side: sum(not frame.holds(x, y) for x, y in places) for side, places in its["scatter"].items()}
    heights = round_steps(frame.y_low, frame.y_high, 6)
    texts = [
        *_ticks_below(frame),
        *(
            Text(x=frame.left - 6, y=frame.y(value) + 4, text=text, anchor="end")
            for value, text in zip(heights, tick_texts(heights), strict=True)
        ),
        Text(x=(frame.left + frame.right) / 2, y=frame.bottom + 32, anchor="middle",
             text=f"component 1 ({100 * float(first['explained']):.0f} % of variance)"),
        Text(x=left - 4, y=(frame.top + frame.bottom) / 2, anchor="middle", turned=True,
             text=f"component 2 ({100 * float(second['explained']):.0f} % of variance)"),
    ]  # fmt: skip
    if beyond["generated"]:
        text = f"{beyond['generated']:,} of {len(its['scatter']['generated']):,} dots outside"
        texts.append(Text(x=frame.right, y=frame.top - 6, text=text, css=GENERATED, anchor="end"))
    return paths, texts, beyond


def _ticks_below(frame: Frame) -> list[Text]:
    values = round_steps(frame.x_low, frame.x_high, 6)
    return [
        Text(x=frame.x(value), y=frame.bottom + 14, text=text, anchor="middle")
        for value, text in zip(values, tick_texts(values), strict=True)
    ]
