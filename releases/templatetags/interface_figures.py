"""Geometry of the figures that the server draws: bars, the timeline of evidence, the risk matrix.

Everything here is arithmetic over plain values and returns frozen dataclasses; the markup is in
templates/components/. Horizontal places are percentages of the drawing's width, so that text keeps its size on
every screen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from releases.templatetags.interface_format import absolute, coarse
from releases.templatetags.interface_states import Tone

NEAR: Final = 14.0
SCALE: Final = (1, 2, 3, 4, 5)
LIKELIHOOD_WORDS: Final = ("rare", "unlikely", "possible", "likely", "almost certain")
IMPACT_WORDS: Final = ("negligible", "minor", "moderate", "major", "severe")


def read(row: Any, name: str, default: Any = None) -> Any:
    """Read a value of a mapping or an attribute of an object, so that pages may pass either."""
    return row.get(name, default) if isinstance(row, Mapping) else getattr(row, name, default)


def percent(value: float) -> str:
    """Write a percentage for an SVG attribute."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


@dataclass(frozen=True, slots=True)
class Segment:
    tone: str
    x: str
    width: str


def bar_segments(parts: Iterable[tuple[str, float]], total: float) -> list[Segment]:
    """Lay ``(tone, amount)`` side by side over ``total``; what is missing stays empty."""
    segments, at = [], 0.0
    if total <= 0:
        return []
    for tone, amount in parts:
        share = max(0.0, min(100.0 * amount / total, 100.0 - at))
        if share > 0:
            segments.append(Segment(tone, percent(at), percent(share)))
        at += share
    return segments


@dataclass(frozen=True, slots=True)
class Tick:
    x: str
    label: str
    minor: bool


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One piece of evidence: from when to when it holds, and what that means at the window."""

    label: str
    url: str
    tone: Tone
    x: str
    width: str
    starts: datetime | None
    ends: datetime | None
    note: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    rows: list[TimelineRow]
    ticks: list[Tick]
    now_x: str
    names_now: bool = True
    window_x: str = ""
    window_width: str = ""
    window_middle: str = ""
    window_end_x: str = ""
    opens: datetime | None = None
    closes: datetime | None = None


def timeline(
    rows: Sequence[Any], *, opens: datetime | None, closes: datetime | None, now: datetime | None = None
) -> Timeline:
    """Lay evidence out against the go-live window.

    Each row is an object or mapping with ``label``, ``start`` and ``end`` (aware datetimes; no end means it does not
    expire; no start means there is no evidence), and optionally ``url``, ``failed`` (the evidence says no) and
    ``note``. The scale covers two days before now to a day after the window, and what ends near it.
    """
    now = now or timezone.now()
    first, last = _bounds(rows, opens, closes, now)
    span = (last - first).total_seconds()

    def place(moment: datetime) -> float:
        return min(100.0, max(0.0, 100.0 * (moment - first).total_seconds() / span))

    laid = [_timeline_row(row, place, last, opens, closes, now) for row in rows]
    ticks = _day_ticks(first, last, place)
    if opens is None or closes is None:
        return Timeline(laid, ticks, percent(place(now)))
    left, right = place(opens), max(place(closes), place(opens) + 0.6)
    return Timeline(
        rows=laid,
        ticks=ticks,
        now_x=percent(place(now)),
        # The word "now" gives way to the word "window" where they would stand on each other.
        names_now=abs(place(now) - (left + right) / 2) > NEAR,
        window_x=percent(left),
        window_width=percent(right - left),
        window_middle=percent(min(max((left + right) / 2, 4.0), 96.0)),
        window_end_x=percent(right),
        opens=opens,
        closes=closes,
    )


def _bounds(
    rows: Sequence[Any], opens: datetime | None, closes: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    starts = [start for row in rows if (start := read(row, "start"))]
    ends = [end for row in rows if (end := read(row, "end"))]
    first = max(min([now, *([opens] if opens else []), *starts]), now - timedelta(days=7))
    anchor = closes or now + timedelta(days=3)
    last = max(anchor + timedelta(days=1), min(max([anchor, *ends]), anchor + timedelta(days=4)))
    margin = (last - first) * 0.02
    return first - margin, last + margin


def _timeline_row(
    row: Any, place: Any, last: datetime, opens: datetime | None, closes: datetime | None, now: datetime
) -> TimelineRow:
    start, end = read(row, "start"), read(row, "end")
    tone, note = _timeline_verdict(row, start, end, opens, closes, now)
    left = place(start) if start else 0.0
    right = place(end or last) if start else 0.0
    return TimelineRow(
        label=str(read(row, "label")),
        url=str(read(row, "url", "") or ""),
        tone=tone,
        x=percent(left),
        width=percent(max(right - left, 0.4) if start else 0.0),
        starts=start,
        ends=end,
        note=str(read(row, "note", "") or "") or note,
        is_open=bool(start) and end is None,
    )


def _timeline_verdict(
    row: Any,
    start: datetime | None,
    end: datetime | None,
    opens: datetime | None,
    closes: datetime | None,
    now: datetime,
) -> tuple[Tone, str]:
    if start is None:
        return "idle", "no evidence"
    if read(row, "failed", False):
        return "nogo", "failed"
    if end is None:
        return "go", "does not expire"
    if end <= now:
        return "nogo", f"expired {coarse((now - end).total_seconds())} ago"
    if opens is not None and end < opens:
        return "hold", f"ends {coarse((opens - end).total_seconds())} before it"
    if closes is not None and end < closes:
        return "hold", "ends inside the window"
    return "go", f"until {absolute(end)}"


def _day_ticks(first: datetime, last: datetime, place: Any) -> list[Tick]:
    day = timezone.localtime(first).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = []
    while day < last:
        days.append(day)
        day += timedelta(days=1)
    step = max(1, -(-len(days) // 7))
    shown = days[::step]
    return [
        Tick(percent(place(tick)), f"{tick:%a} {tick.day}", minor=index % 2 == 1) for index, tick in enumerate(shown)
    ]


@dataclass(frozen=True, slots=True)
class MatrixCell:
    likelihood: int
    impact: int
    tone: Tone
    score: int
    risks: tuple[Any, ...]
    label: str
    over_appetite: bool


@dataclass(frozen=True, slots=True)
class MatrixRow:
    likelihood: int
    word: str
    cells: list[MatrixCell]


def risk_tone(likelihood: int, impact: int) -> Tone:
    """Return the tone of a position: nogo from a score of 15, hold from 8 or at an extreme of either axis, else go."""
    score = likelihood * impact
    if score >= 15:
        return "nogo"
    return "hold" if score >= 8 or 5 in (likelihood, impact) else "go"


def risk_matrix(risks: Iterable[Any], *, appetite: int | None = None) -> list[MatrixRow]:
    """Sort risks (``likelihood``, ``impact`` of 1 to 5, ``title``) into rows from almost certain down to rare."""
    places: dict[tuple[int, int], list[Any]] = {}
    for risk in risks:
        places.setdefault((read(risk, "likelihood"), read(risk, "impact")), []).append(risk)
    return [
        MatrixRow(
            likelihood,
            LIKELIHOOD_WORDS[likelihood - 1],
            [_matrix_cell(likelihood, impact, places.get((likelihood, impact), []), appetite) for impact in SCALE],
        )
        for likelihood in reversed(SCALE)
    ]


def _matrix_cell(likelihood: int, impact: int, risks: list[Any], appetite: int | None) -> MatrixCell:
    titles = ", ".join(str(read(risk, "title")) for risk in risks)
    return MatrixCell(
        likelihood=likelihood,
        impact=impact,
        tone=risk_tone(likelihood, impact),
        score=likelihood * impact,
        risks=tuple(risks),
        label=f"{titles}: likelihood {likelihood}, impact {impact}" if titles else "",
        over_appetite=appetite is not None and likelihood * impact > appetite,
    )
