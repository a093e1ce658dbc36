"""The geometry of the figures: what they claim about evidence, risks and series is so."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from releases.templatetags.interface_charts import Mark, Series, axis_top, chart, number, polyline, sparkline, tidy_top
from releases.templatetags.interface_figures import Timeline, bar_segments, risk_matrix, risk_tone, timeline

NOW = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
OPENS = NOW + timedelta(days=4, hours=9)
CLOSES = OPENS + timedelta(hours=2)
DAY = timedelta(days=1)


def one(**row: Any) -> Timeline:
    return timeline([{"label": "Drill", "start": NOW - DAY, **row}], opens=OPENS, closes=CLOSES, now=NOW)


def places(drawn: Timeline) -> tuple[float, float]:
    row = drawn.rows[0]
    return float(row.x.rstrip("%")), float(row.x.rstrip("%")) + float(row.width.rstrip("%"))


def test_evidence_past_the_window_is_green() -> None:
    row = one(end=CLOSES + timedelta(minutes=1)).rows[0]
    assert row.tone == "go"


def test_evidence_that_ends_before_the_window_says_by_how_much() -> None:
    row = one(end=OPENS - timedelta(minutes=40)).rows[0]
    assert (row.tone, row.note) == ("hold", "ends 40 m before it")


def test_evidence_that_ends_inside_the_window_is_not_green() -> None:
    row = one(end=CLOSES - timedelta(minutes=1)).rows[0]
    assert (row.tone, row.note) == ("hold", "ends inside the window")


def test_evidence_that_ends_as_the_window_closes_holds() -> None:
    assert one(end=CLOSES).rows[0].tone == "go"


def test_expired_evidence_is_red() -> None:
    row = one(end=NOW - timedelta(hours=5)).rows[0]
    assert (row.tone, row.note) == ("nogo", "expired 5 h ago")


def test_failed_evidence_is_red_however_long_it_holds() -> None:
    assert one(end=CLOSES + DAY, failed=True).rows[0].tone == "nogo"


def test_missing_evidence_has_no_bar() -> None:
    row = one(start=None, end=None).rows[0]
    assert (row.tone, row.note, row.width) == ("idle", "no evidence", "0%")


def test_evidence_without_an_end_reaches_the_edge() -> None:
    drawn = one(end=None)
    assert drawn.rows[0].is_open
    assert places(drawn)[1] == pytest.approx(100, abs=2)


def test_the_bar_ends_left_of_the_window_exactly_when_the_evidence_does() -> None:
    before, after = one(end=OPENS - timedelta(hours=6)), one(end=CLOSES + timedelta(hours=6))
    assert places(before)[1] < float(before.window_x.rstrip("%"))
    assert places(after)[1] > float(after.window_end_x.rstrip("%"))


def test_without_a_window_nothing_is_drawn_for_it() -> None:
    drawn = timeline([{"label": "Tests", "start": NOW, "end": NOW + DAY}], opens=None, closes=None, now=NOW)
    assert drawn.window_x == ""
    assert drawn.rows[0].tone == "go"


def test_an_empty_timeline_still_shows_the_window() -> None:
    assert timeline([], opens=OPENS, closes=CLOSES, now=NOW).window_x


def test_a_bar_never_grows_over_its_whole() -> None:
    segments = bar_segments([("go", 3), ("nogo", 4)], 5)
    assert [(segment.tone, segment.x, segment.width) for segment in segments] == [
        ("go", "0%", "60%"),
        ("nogo", "60%", "40%"),
    ]


def test_a_bar_of_nothing_is_empty() -> None:
    assert bar_segments([("go", 0)], 0) == []


@pytest.mark.parametrize(
    ("likelihood", "impact", "tone"),
    [(1, 1, "go"), (3, 2, "go"), (4, 1, "go"), (5, 1, "hold"), (1, 5, "hold"), (2, 4, "hold"), (3, 4, "hold"),
     (3, 5, "nogo"), (4, 4, "nogo"), (5, 5, "nogo")],
)  # fmt: skip
def test_a_position_in_the_matrix_has_a_tone(likelihood: int, impact: int, tone: str) -> None:
    assert risk_tone(likelihood, impact) == tone


def test_each_risk_stands_in_one_cell() -> None:
    risks = [
        {"title": "Data loss", "likelihood": 1, "impact": 5},
        {"title": "Load", "likelihood": 3, "impact": 5},
        {"title": "Privacy", "likelihood": 1, "impact": 5},
    ]
    rows = risk_matrix(risks, appetite=10)
    filled = {(cell.likelihood, cell.impact): len(cell.risks) for row in rows for cell in row.cells if cell.risks}
    assert filled == {(1, 5): 2, (3, 5): 1}
    assert [row.likelihood for row in rows] == [5, 4, 3, 2, 1]
    assert rows[2].cells[4].over_appetite
    assert not rows[4].cells[4].over_appetite


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.3, 0.4), (1, 1), (17, 20), (420, 500), (501, 1000), (0.07, 0.1), (-3, 1)]
)
def test_the_top_of_an_axis_is_a_round_figure_above_the_data(value: float, top: float) -> None:
    assert tidy_top(value) == pytest.approx(top)


@pytest.mark.parametrize("value", [0.3, 1, 17, 420, 501, 0.07, 2100, 2401])
def test_the_quarters_of_an_axis_are_round_figures_too(value: float) -> None:
    top = axis_top(value)
    assert value <= top <= 2 * value
    assert float(f"{top / 4:.1e}") == pytest.approx(top / 4), "a quarter has more than two figures"


def test_a_line_breaks_where_there_is_no_data() -> None:
    path = polyline([(0, 0), (1, 10), (2, None), (3, 10)], (0, 3), 10)
    assert path.count("M") == 2
    assert "NaN" not in path


def test_no_data_is_said_and_not_drawn_as_zero() -> None:
    drawn = chart([Series("p95", [(0, 10.0), (1, None)], "live", "ms")], times=False)
    assert drawn.series[0].last == "no data"
    assert drawn.rows[-1] == ("1", ["no data"])


def test_a_limit_above_the_data_is_inside_the_chart() -> None:
    drawn = chart([Series("p95", [(0, 10.0), (1, 20.0)], "live", "ms")], limit=400, times=False)
    assert 0 < float(drawn.limit_y.rstrip("%")) < 100
    assert drawn.limit_label == "limit 400 ms"


def test_an_incident_is_a_band_and_a_release_a_line() -> None:
    points = [(float(x), 1.0) for x in range(101)]
    drawn = chart([Series("p95", points)], marks=[Mark(10, "incident", until=20), Mark(90, "1.1")], times=False)
    assert [(mark.is_band, mark.x, mark.width) for mark in drawn.marks] == [(True, "10%", "10%"), (False, "90%", "0%")]


def test_a_mark_outside_the_series_stands_at_the_edge() -> None:
    """So a release after the newest answer makes no page wider."""
    points: list[tuple[float, float | None]] = [(0, 1.0), (10, 1.0)]
    drawn = chart([Series("p95", points)], marks=[Mark(14, "1.1"), Mark(-3, "1.0")], times=False)
    assert sorted(mark.x for mark in drawn.marks) == ["0%", "100%"]


def test_names_of_marks_never_stand_on_each_other() -> None:
    points = [(float(x), 1.0) for x in range(101)]
    marks = [Mark(50, "incident", until=52), Mark(53, "1.1"), Mark(90, "1.2")]
    drawn = chart([Series("p95", points)], marks=marks, times=False)
    assert [(mark.label, mark.is_named) for mark in drawn.marks] == [("incident", False), ("1.1", True), ("1.2", True)]


def test_the_table_behind_a_chart_stays_short() -> None:
    drawn = chart([Series("p95", [(float(x), float(x)) for x in range(1000)])], times=False)
    assert len(drawn.rows) <= 24


def test_a_chart_without_points_is_drawn_empty() -> None:
    drawn = chart([Series("p95", [])])
    assert drawn.series[0].path == ""
    assert drawn.series[0].last == "no data"


def test_a_sparkline_of_equal_values_is_flat() -> None:
    assert {step.split()[1] for step in sparkline([5, 5, 5]).replace("h.1", "").lstrip("M").split("L")} == {"19.0"}


def test_figures_have_their_unit() -> None:
    assert [number(612, "ms"), number(0.25, "s"), number(1234.5), number(None, "ms")] == [
        "612 ms",
        "0.2 s",
        "1,234",
        "no data",
    ]
