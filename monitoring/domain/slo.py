"""Figures of probes over a span of time, computed by PostgreSQL: uptime, error rate, response times, series.

All times are aware datetimes, response times are milliseconds, rates are fractions of 1. Percentiles are over right
answers only: an error page that comes fast must not make a slow application look well.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

#: Most points of one line of a chart.
MAX_POINTS: Final = 120


@dataclass(frozen=True)
class Figures:
    """Answers of one or several probes. Everything but the counts is None where there was no answer to compute from."""

    answers: int = 0
    errors: int = 0
    slow: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.answers if self.answers else None

    @property
    def uptime(self) -> float | None:
        """The share of answers that were as expected."""
        return 1 - self.errors / self.answers if self.answers else None

    def as_json(self) -> dict[str, Any]:
        data = asdict(self) | {"error_rate": self.error_rate, "uptime": self.uptime}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in data.items()}


@dataclass(frozen=True)
class Point:
    """One piece of a series; ``answers`` 0 is a gap."""

    at: datetime
    answers: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None


_FIGURES: Final = """
    SELECT r.probe_id, count(*), count(*) FILTER (WHERE NOT r.up),
           count(*) FILTER (WHERE r.up AND r.response_ms > p.slow_after_ms),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.response_ms) FILTER (WHERE r.up),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY r.response_ms) FILTER (WHERE r.up),
           min(r.at), max(r.at)
      FROM monitoring_proberesult r JOIN monitoring_probe p ON p.id = r.probe_id
     WHERE r.probe_id = ANY(%s) AND r.at >= %s AND r.at <= %s
     GROUP BY GROUPING SETS ((r.probe_id), ())
"""
_SERIES: Final = """
    SELECT date_bin(make_interval(secs => %s), r.at, %s), count(*), count(*) FILTER (WHERE NOT r.up),
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.response_ms) FILTER (WHERE r.up),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY r.response_ms) FILTER (WHERE r.up)
      FROM monitoring_proberesult r
     WHERE r.probe_id = ANY(%s) AND r.at >= %s AND r.at < %s
     GROUP BY 1 ORDER BY 1
"""


def figures(probe_ids: Iterable[int], since: datetime, until: datetime) -> tuple[Figures, dict[int, Figures]]:
    """All probes together, and each by its id, in one query. A probe without any answer has no entry."""
    together, each = Figures(), {}
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, [list(probe_ids), since, until])
        for probe_id, *values in cursor.fetchall():
            if probe_id is None:
                together = Figures(*values)
            else:
                each[probe_id] = Figures(*values)
    return together, each


def series(probe_ids: Iterable[int], since: datetime, until: datetime, *, points: int = MAX_POINTS) -> list[Point]:
    """At most ``points`` pieces of equal length from ``since`` to ``until``, gaps included."""
    seconds = (until - since).total_seconds()
    step = max(seconds / points, 1.0)
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, [step, since, list(probe_ids), since, until])
        rows = cursor.fetchall()
    found = {round((row[0] - since).total_seconds() / step): Point(*row) for row in rows}
    return [
        found.get(index) or Point(since + timedelta(seconds=index * step), 0, 0, None, None)
        for index in range(min(points, math.ceil(seconds / step)))
    ]


def worst_p95(each: dict[int, Figures]) -> float | None:
    """The slowest probe's 95th percentile: a slow page must not hide behind fast ones."""
    return max((figure.p95_ms for figure in each.values() if figure.p95_ms is not None), default=None)


def expected_answers(intervals: Sequence[int], seconds: float) -> int:
    """How many answers a prober that never rested would have brought."""
    return sum(int(seconds // interval) for interval in intervals)
