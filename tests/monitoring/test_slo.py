"""Figures and series, computed by PostgreSQL."""

from datetime import timedelta

import pytest
from django.utils import timezone

from monitoring import queries
from monitoring.domain import slo
from monitoring.domain.probe import Answer, record_results
from tests.monitoring.support import Watched, record

pytestmark = pytest.mark.django_db


def test_uptime_errors_and_percentiles(watched: Watched) -> None:
    probe, since = watched.probe, timezone.now() - timedelta(seconds=200)
    record_results(
        [Answer(probe.pk, since + timedelta(seconds=index), index > 10, 200, float(index)) for index in range(1, 101)]
    )
    together, each = slo.figures([probe.pk], since, timezone.now())
    assert (together.answers, together.errors) == (100, 10)
    assert together.error_rate == pytest.approx(0.1)
    assert together.uptime == pytest.approx(0.9)
    # Of the right answers only, 11 to 100 ms.
    assert together.p50_ms == pytest.approx(55.5)
    assert together.p95_ms == pytest.approx(95.55)
    assert each == {probe.pk: together}


def test_no_answer_gives_no_figure(watched: Watched) -> None:
    together, each = slo.figures([watched.probe.pk], timezone.now() - timedelta(hours=1), timezone.now())
    assert (together.answers, together.uptime, together.error_rate, together.p95_ms) == (0, None, None, None)
    assert each == {}
    assert slo.worst_p95(each) is None


def test_slow_answers_are_counted(watched: Watched) -> None:
    record(watched.probe, "uuuu", ms=2500)
    assert slo.figures([watched.probe.pk], timezone.now() - timedelta(hours=1), timezone.now())[0].slow == 4


def test_a_series_has_gaps_where_nothing_was_asked(watched: Watched) -> None:
    probe, until = watched.probe, timezone.now()
    since = until - timedelta(minutes=10)
    record(probe, "ud", since=since + timedelta(seconds=61), ms=10)
    record(probe, "u", since=since + timedelta(minutes=5, seconds=1), ms=30)
    points = slo.series([probe.pk], since, until, points=10)
    assert [point.answers for point in points] == [0, 2, 0, 0, 0, 1, 0, 0, 0, 0]
    assert [point.errors for point in points][1] == 1
    assert [point.p50_ms for point in points] == [None, 10, None, None, None, 30, None, None, None, None]
    assert points[0].at == since


def test_a_long_span_gives_no_more_points(watched: Watched) -> None:
    record(watched.probe, "u" * 300)
    # Of this many microseconds 120 equal pieces are, as a floating-point number, a little more than 120.
    since = timezone.now() - timedelta(days=30)
    points = slo.series([watched.probe.pk], since, since + timedelta(days=30, microseconds=3))
    assert len(points) == slo.MAX_POINTS
    assert sum(point.answers for point in points) == 300


def test_a_strip_says_for_each_piece_what_was(watched: Watched) -> None:
    probe, until = watched.probe, timezone.now()
    since = until - timedelta(minutes=5)
    record(probe, "uu", since=since + timedelta(seconds=1))
    record(probe, "u" * 20 + "d", since=since + timedelta(seconds=61))
    record(probe, "ud", since=since + timedelta(seconds=121))
    record(probe, "uu", since=since + timedelta(seconds=181), ms=5000)
    assert queries.strips([probe.pk], since, until, 5) == {probe.pk: ["up", "flapping", "down", "slow", "unknown"]}
