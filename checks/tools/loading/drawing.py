"""Charts of a load: over time, live or afterwards, and over the load of its steps."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from django.utils import timezone

from releases.templatetags.interface_charts import Chart, Mark, Series, chart

#: A second that began longer ago is not called now.
NOW: Final = timedelta(seconds=8)


def pictures(result: Mapping[str, Any], live: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``latency`` and ``traffic`` over time, ``growth`` and ``waiting`` over load; what has no figures is left out."""
    rows = result.get("seconds") or [row for figures in live for row in figures.get("seconds", [])]
    found: dict[str, Any] = {}
    if len(rows) > 1:
        marks = _beginnings_of(result) if result.get("seconds") else _beginnings(live)
        found |= {"latency": _latency(rows, marks), "traffic": _traffic(rows), "last": _last(rows[-1])}
    steps = result.get("steps") or []
    if len(steps) > 1:
        found |= _over_load(steps, result)
    return found


def _beginnings(live: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """Of the steps after the first, while they go on: by their arrivals in open mode, whose users are a pool."""
    steps = [figures["seconds"] for figures in live if figures.get("seconds")]
    return [
        Mark(rows[0][0], f"{most:.0f} /s" if (most := max(row[7] for row in rows)) else f"{rows[0][1]:.0f} users")
        for _, rows in pairwise(steps)
    ]


def _beginnings_of(result: Mapping[str, Any]) -> list[Mark]:
    """The same of a load that is over, from how long each step was held."""
    rows, steps, unit = result["seconds"], result.get("steps") or [], result.get("unit", "users")
    marks = [
        Mark(rows[0][0] + number * result.get("hold", 0), f"{step['load']:g} {unit.replace('requests/s', '/s')}")
        for number, step in enumerate(steps)
    ]
    return [mark for mark in marks[1:] if mark.x <= rows[-1][0]]


def _last(row: Sequence[float]) -> dict[str, Any]:
    """The newest second; ``over``: it is no longer now, since the steps are over or nothing comes any more."""
    names = ("at", "users", "answered", "failed", "p50", "p95", "p99", "intended", "cpu")
    at = datetime.fromtimestamp(row[0], UTC)
    over = timezone.now() - at > NOW
    return {**dict(zip(names, row, strict=False)), "moment": at, "over": over}


def _latency(rows: Sequence[Sequence[float]], marks: Sequence[Mark]) -> Chart:
    def points(place: int) -> list[tuple[float, float | None]]:
        return [(row[0], row[place] if row[2] else None) for row in rows]

    return chart(
        [
            Series("p99", points(6), tone="nogo", unit="ms"), Series("p95", points(5), tone="hold", unit="ms"),
            Series("median", points(4), tone="live", unit="ms"),
        ],
        marks=marks,
    )  # fmt: skip


def _traffic(rows: Sequence[Sequence[float]]) -> Chart:
    series = [
        Series("answers", [(row[0], row[2]) for row in rows], tone="live", unit="/s"),
        Series("failures", [(row[0], row[3]) for row in rows], tone="nogo", unit="/s"),
        Series("users", [(row[0], row[1]) for row in rows], tone="idle", dashed=True, own_scale=True),
    ]
    if any(row[7] for row in rows):
        series.insert(1, Series("intended", [(row[0], row[7]) for row in rows], tone="hold", unit="/s", dashed=True))
    return chart(series)


def _over_load(steps: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> dict[str, Chart]:
    knee = (result.get("knee") or {}).get("load")
    marks = [Mark(knee, "knee")] if knee else []
    unit = result.get("unit", "users")
    needed = (result.get("figures") or {}).get("needed") or None
    growth = chart(
        [Series("answers", [(step["load"], step["rate"]) for step in steps], unit="/s")],
        marks=marks, times=False, x_label=unit, limit=needed, limit_label=f"needed {needed:g} /s" if needed else "",
    )  # fmt: skip
    waiting = chart(
        [
            Series("p99", [(step["load"], step["p99"]) for step in steps], tone="nogo", unit="ms"),
            Series("p95", [(step["load"], step["p95"]) for step in steps], tone="hold", unit="ms"),
            Series("median", [(step["load"], step["p50"]) for step in steps], tone="live", unit="ms"),
        ],
        marks=marks, times=False, x_label=unit,
    )  # fmt: skip
    return {"growth": growth, "waiting": waiting}
