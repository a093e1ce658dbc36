"""Geometry of the charts that the server draws: lines over time or load, sparklines, uptime.

Places inside a plot are in its own 1000 by 200 units, stretched to the page; labels are placed by percentages, so
that text keeps its size on every screen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from django.utils import timezone

from releases.templatetags.interface_figures import Tick, percent
from releases.templatetags.interface_states import Tone

PLOT_WIDTH: Final = 1000.0
PLOT_HEIGHT: Final = 200.0
TABLE_ROWS: Final = 24
DAY: Final = 86_400.0
NEAR: Final = 14.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart. ``points`` are (x, y) in the data's own units; a y of None breaks the line."""

    name: str
    points: Sequence[tuple[float, float | None]]
    tone: Tone = "live"
    unit: str = ""
    dashed: bool = False
    own_scale: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at ``x``, such as a release, or a band up to ``until``, such as an incident."""

    x: float
    label: str
    until: float | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class DrawnSeries:
    name: str
    tone: Tone
    path: str
    dashed: bool
    last: str


@dataclass(frozen=True, slots=True)
class DrawnMark:
    x: str
    width: str
    label: str
    is_band: bool
    near_end: bool
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    series: list[DrawnSeries]
    x_ticks: list[Tick]
    y_ticks: list[tuple[str, str]]
    marks: list[DrawnMark]
    limit_y: str = ""
    limit_label: str = ""
    x_label: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[tuple[str, list[str]]] = field(default_factory=list)


def tidy_top(value: float) -> float:
    """Return the next of 1, 2, 2.5, 4, 5 times a power of ten at or above ``value``: the top of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 2.5, 4, 5) if step * power >= value), 10 * power)


def axis_top(value: float) -> float:
    """Return a top at or above ``value`` whose quarters, which are written beside the axis, are round as well."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8) if step * power >= value), 10 * power)


def number(value: float | None, unit: str = "") -> str:
    """Write a figure with its unit, without needless decimals."""
    if value is None:
        return "no data"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"
    return f"{text} {unit}".strip()


def polyline(
    points: Sequence[tuple[float, float | None]], x_range: tuple[float, float], top: float, height: float = PLOT_HEIGHT
) -> str:
    """Return an SVG path through the points; a None breaks it, a lone point becomes a dot."""
    first, last = x_range
    width = (last - first) or 1.0
    commands, pen_down = [], False
    for x, y in points:
        if y is None:
            pen_down = False
            continue
        place = f"{PLOT_WIDTH * (x - first) / width:.1f} {height - height * min(max(y / top, 0.0), 1.0):.1f}"
        commands.append(f"L{place}" if pen_down else f"M{place}h.1")
        pen_down = True
    return "".join(commands)


def chart(
    series: Sequence[Series],
    *,
    marks: Sequence[Mark] = (),
    limit: float | None = None,
    limit_label: str = "",
    x_label: str = "",
    times: bool = True,
    top: float | None = None,
) -> Chart:
    """Draw series over one horizontal scale.

    With ``times`` the x values are seconds since 1970 and the axis shows times in the viewer's zone; else they are
    plain numbers, such as users. The vertical scale starts at 0 and is shared, except by series with ``own_scale``.
    """
    xs = [x for one in series for x, _ in one.points] + [mark.x for mark in marks]
    x_range = (min(xs, default=0.0), max(xs, default=1.0))
    shared = [y for one in series if not one.own_scale for _, y in one.points if y is not None]
    highest = top or axis_top(max([*shared, *([limit] if limit is not None else [])], default=1.0) * 1.05)
    unit = next((one.unit for one in series if not one.own_scale), "")
    return Chart(
        series=[_draw(one, x_range, highest) for one in series],
        x_ticks=_time_ticks(x_range) if times else _number_ticks(x_range),
        y_ticks=[(percent(100 - 25.0 * step), number(highest * step / 4, unit)) for step in range(5)],
        marks=_place_marks(marks, x_range),
        limit_y=percent(100 - 100 * limit / highest) if limit is not None else "",
        limit_label=limit_label or (f"limit {number(limit, unit)}" if limit is not None else ""),
        x_label=x_label,
        columns=[f"{one.name}, {one.unit}" if one.unit else one.name for one in series],
        rows=_table(series, times=times),
    )


def _draw(one: Series, x_range: tuple[float, float], shared_top: float) -> DrawnSeries:
    known = [y for _, y in one.points if y is not None]
    top = axis_top(max(known, default=1.0) * 1.05) if one.own_scale else shared_top
    return DrawnSeries(
        name=one.name,
        tone=one.tone,
        path=polyline(one.points, x_range, top),
        dashed=one.dashed,
        last=number(one.points[-1][1] if one.points else None, one.unit),
    )


def _place_marks(marks: Sequence[Mark], x_range: tuple[float, float]) -> list[DrawnMark]:
    """Place bands, then lines. A name that would stand on another is left to the title; lines are named first."""
    named: list[float] = []
    drawn = []
    for mark in sorted(marks, key=lambda mark: mark.until is not None):
        placed = _place_mark(mark, x_range)
        x = float(placed.x.rstrip("%"))
        is_named = all(abs(x - other) >= NEAR for other in named)
        if is_named:
            named.append(x)
        drawn.append(replace(placed, is_named=is_named))
    return sorted(drawn, key=lambda mark: not mark.is_band)


def _place_mark(mark: Mark, x_range: tuple[float, float]) -> DrawnMark:
    first, last = x_range
    width = (last - first) or 1.0
    # What lies outside the series, such as a release after the newest answer, stands at the edge of the chart.
    x = min(max(100 * (mark.x - first) / width, 0.0), 100.0)
    until = 100 * (min(mark.until, last) - first) / width if mark.until is not None else x
    return DrawnMark(percent(x), percent(max(until - x, 0.0)), mark.label, mark.until is not None, near_end=x > 80)


def _time_ticks(x_range: tuple[float, float]) -> list[Tick]:
    first, last = x_range
    width = (last - first) or 1.0
    pattern = "%H:%M" if width <= 1.5 * DAY else "%a %d"
    pattern = pattern if width >= 600 else "%H:%M:%S"
    ticks = []
    for step in range(1, 6):
        at = first + width * step / 6
        local = timezone.localtime(datetime.fromtimestamp(at, tz=UTC))
        ticks.append(Tick(percent(100 * step / 6), f"{local:{pattern}}", minor=step % 2 == 0))
    return ticks


def _number_ticks(x_range: tuple[float, float]) -> list[Tick]:
    first, last = x_range
    width = (last - first) or 1.0
    step = tidy_top(width / 6)
    at = math.ceil(first / step) * step
    ticks: list[Tick] = []
    while at <= last + step / 1000:
        ticks.append(Tick(percent(100 * (at - first) / width), number(round(at, 6)), minor=len(ticks) % 2 == 1))
        at += step
    return ticks


def _table(series: Sequence[Series], *, times: bool) -> list[tuple[str, list[str]]]:
    """The figures behind the drawing, thinned to at most TABLE_ROWS rows, for readers who do not see it."""
    xs = sorted({x for one in series for x, _ in one.points})
    thinned = xs[:: max(1, -(-len(xs) // TABLE_ROWS))]
    columns = [dict(one.points) for one in series]

    def name(x: float) -> str:
        local = timezone.localtime(datetime.fromtimestamp(x, tz=UTC)) if times else None
        return f"{local:%d %b %H:%M:%S}" if local else number(x)

    return [(name(x), [number(column.get(x)) for column in columns]) for x in thinned]


def sparkline(values: Sequence[float | None]) -> str:
    """Return the path of a sparkline in a 100 by 20 drawing, scaled from the least to the greatest value."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    last = max(len(values) - 1, 1)
    commands, pen_down = [], False
    for index, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        place = f"{100 * index / last:.1f} {19 - 18 * (value - low) / span:.1f}"
        commands.append(f"L{place}" if pen_down else f"M{place}h.1")
        pen_down = True
    return "".join(commands)
