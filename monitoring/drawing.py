"""Charts of probes: response times, wrong answers, with releases and incidents marked."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from monitoring.domain import slo
from monitoring.domain.probe import is_awaited
from monitoring.models import Incident, Probe
from releases.templatetags import interface_charts as charts

#: Labels nearer than this share of the span would lie over each other.
_LABELS_APART: Final = 0.09
#: From here on the axis goes to 100 %, and never beyond.
_MANY_PER_CENT: Final = 45.0


def response_chart(
    points: list[slo.Point],
    *,
    limit_ms: float | None,
    builds: Iterable[tuple[datetime, str]],
    incidents: Iterable[Incident],
    until: datetime,
) -> charts.Chart:
    """Median and 95th percentile over time; a release is a line, an incident a band, a time without data a gap."""
    first = points[0].at if points else until
    marks = [charts.Mark(at.timestamp(), version or "changed") for at, version in builds if at >= first]
    apart = (until - first).total_seconds() * _LABELS_APART
    for one in incidents:
        begin = max(one.opened_at, first).timestamp()
        # Two names must not be written over each other; the band itself is there all the same.
        free = all(abs(mark.x - begin) > apart for mark in marks if mark.label)
        marks.append(charts.Mark(begin, "down" if free else "", until=(one.closed_at or until).timestamp()))
    return charts.chart(
        [
            charts.Series("95th percentile", [(point.at.timestamp(), point.p95_ms) for point in points], "live", "ms"),
            charts.Series("median", [(point.at.timestamp(), point.p50_ms) for point in points], "go", "ms"),
        ],
        marks=marks,
        limit=limit_ms,
    )


def error_chart(points: list[slo.Point], *, limit: float | None = None) -> charts.Chart:
    """The share of wrong answers, in per cent."""
    shares = [(point.at.timestamp(), 100 * point.errors / point.answers if point.answers else None) for point in points]
    highest = max((share for _, share in shares if share is not None), default=0.0)
    return charts.chart(
        [charts.Series("wrong answers", shares, "nogo", "%")],
        limit=100 * limit if limit is not None else None,
        top=100.0 if highest > _MANY_PER_CENT else None,
    )


def shown_state(probe: Probe, figures: slo.Figures | None, *, is_stale: bool) -> str:
    """The state as the table of looks names it; old news are no news."""
    if not probe.enabled:
        return "paused"
    if probe.state == "unknown" and not is_stale and is_awaited(probe):
        return "awaited"
    if is_stale or probe.state == "unknown":
        return "unknown"
    if probe.state == "up" and probe.streak < 0:
        return "flapping"
    if probe.state == "up" and figures is not None and (figures.p95_ms or 0) > probe.slow_after_ms:
        return "slow"
    return str(probe.state)
