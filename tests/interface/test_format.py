"""How durations, sizes, digests and times are written."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from releases.templatetags import interface_format as write

NOW = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0 ms"), (0.085, "85 ms"), (0.4, "0.4 s"), (3.0, "3 s"), (9.94, "9.9 s"), (9.96, "10 s"),
     (59.6, "1 m 00 s"), (112, "1 m 52 s"), (900, "15 m"), (900.2, "15 m 00 s"), (303, "5 m 03 s"),
     (timedelta(hours=6, minutes=12), "6 h 12 m"),
     (timedelta(days=4, hours=9, minutes=59), "4 d 9 h"), (timedelta(days=2), "2 d"), (-30, "−30 s"),
     (timedelta(days=400), "400 d"), ("900s", "15 m"), ("0.25s", "0.2 s")],
)  # fmt: skip
def test_a_duration_is_written_in_at_most_two_units(value: timedelta | float | str | None, text: str) -> None:
    assert write.duration(value) == text


@pytest.mark.parametrize(
    ("distance", "text"),
    [(timedelta(days=4, hours=9), "in 4 d 9 h"), (timedelta(hours=-2), "2 h ago"), (timedelta(0), "now"),
     (timedelta(minutes=40, seconds=59), "in 40 m"), (timedelta(seconds=-12), "12 s ago")],
)  # fmt: skip
def test_a_moment_tells_how_long_until_or_since(distance: timedelta, text: str) -> None:
    assert write.relative(NOW + distance, now=NOW) == text


def test_a_moment_is_written_in_the_zone_of_the_viewer_and_names_it() -> None:
    moment = datetime(2026, 11, 28, 2, 0, tzinfo=UTC)
    with timezone.override(ZoneInfo("Europe/Berlin")):
        assert write.absolute(moment, now=NOW) == "Sat 28 Nov 03:00"
        assert write.zone_name(moment) == "CET"
    with timezone.override(UTC):
        assert write.absolute(moment, now=NOW) == "Sat 28 Nov 02:00"
        assert write.zone_name(moment) == "UTC"


def test_another_year_is_named() -> None:
    assert write.absolute(datetime(2027, 1, 2, 3, 4, tzinfo=UTC), now=NOW) == "Sat 2 Jan 2027 03:04"


def test_the_machine_readable_time_is_utc_to_the_second() -> None:
    moment = datetime(2026, 11, 28, 3, 0, 0, 999_999, tzinfo=ZoneInfo("Europe/Berlin"))
    assert write.iso(moment) == "2026-11-28T02:00:00Z"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0 B"), (412, "412 B"), (999, "999 B"), (1000, "1.0 kB"), (88_213_004, "88.2 MB"),
     (1_200_000_000, "1.2 GB"), (999_960, "1.0 MB"), (123_456_789, "123 MB")],
)  # fmt: skip
def test_a_size_is_written_in_powers_of_a_thousand(value: int | None, text: str) -> None:
    assert write.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("sha256:9f1c2e4b7a90d133e07a", "sha256:9f1c…e07a"), ("9f1c2e4b7a90d133e07a", "9f1c…e07a"), ("short", "short"),
     (b"\x9f\x1c" + bytes(28) + b"\xe0\x7a", "9f1c…e07a"), ("", "–"), (None, "–")],
)  # fmt: skip
def test_a_digest_is_shortened_to_its_ends(value: str | bytes | None, text: str) -> None:
    assert write.short_digest(value) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.9987, "99.87 %"), (0.5, "50 %"), (1, "100 %"), (0, "0 %"), (None, "–"), (0.001852, "0.19 %"),
     (0.99999, "99.99 %"), (0.00001, "< 0.01 %")],
)  # fmt: skip
def test_a_percentage_is_neither_rounded_to_all_nor_to_nothing(fraction: float | None, text: str) -> None:
    assert write.percentage(fraction) == text


@pytest.mark.parametrize(("value", "text"), [(0.38, "+38 %"), (-0.031, "−3 %"), (0.001, "±0"), (None, "–")])
def test_a_change_has_a_sign(value: float | None, text: str) -> None:
    assert write.change(value) == text
