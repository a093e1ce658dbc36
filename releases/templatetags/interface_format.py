"""How the interface writes durations, sizes, digests and times. Pure functions, without markup."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from django.utils import timezone

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
DASH: Final = "–"
SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def seconds_of(value: timedelta | float | str | None) -> float | None:
    """Return seconds for a timedelta, a number of seconds, or a duration as a plan keeps it: ``900s``."""
    if isinstance(value, str):
        return float(value.removesuffix("s"))
    return value.total_seconds() if isinstance(value, timedelta) else value


def duration(value: timedelta | float | str | None) -> str:
    """Write a duration in at most two units: ``85 ms``, ``0.4 s``, ``41 s``, ``1 m 52 s``, ``6 h 12 m``, ``4 d 9 h``.

    ``value`` is a timedelta or seconds; None gives a dash. A negative one keeps its sign. Whole minutes, such as those
    of a target, have no seconds behind them: ``15 m``.
    """
    seconds = seconds_of(value)
    if seconds is None:
        return DASH
    if seconds < 0:
        return "−" + duration(-seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR and seconds % MINUTE:
        return f"{whole // MINUTE} m {whole % MINUTE:02d} s"
    return coarse(whole)


def coarse(seconds: float) -> str:
    """Write a distance in time without seconds once it is a minute or more: ``40 m``, ``6 h 12 m``, ``4 d 9 h``."""
    whole = int(abs(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} m"
    if whole < DAY:
        return _two(whole // HOUR, "h", whole % HOUR // MINUTE, "m")
    if whole < 60 * DAY:
        return _two(whole // DAY, "d", whole % DAY // HOUR, "h")
    return f"{whole // DAY} d"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def relative(value: datetime, *, now: datetime | None = None) -> str:
    """Write how long until or since ``value``: ``in 4 d 9 h``, ``2 h ago``, ``now``."""
    distance = (value - (now or timezone.now())).total_seconds()
    if abs(distance) < 1:
        return "now"
    return f"in {coarse(distance)}" if distance > 0 else f"{coarse(distance)} ago"


def absolute(value: datetime, *, now: datetime | None = None) -> str:
    """Write a time in the viewer's zone: ``Sat 28 Nov 02:00``, with the year when it is another one."""
    local = timezone.localtime(value)
    year = "" if local.year == timezone.localtime(now or timezone.now()).year else f" {local.year}"
    return f"{local:%a} {local.day} {local:%b}{year} {local:%H:%M}"


def zone_name(value: datetime | None = None) -> str:
    """Return the short name of the viewer's zone at that time: ``UTC``, ``CET``."""
    return timezone.localtime(value or timezone.now()).tzname() or timezone.get_current_timezone_name()


def iso(value: datetime) -> str:
    """Return ISO 8601 in UTC to the second, as <time datetime> wants it."""
    return value.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def size(value: float | None) -> str:
    """Write a number of bytes: ``412 B``, ``88.2 MB``, ``1.2 GB`` (powers of 1000)."""
    if value is None:
        return DASH
    number = float(value)
    for unit in SIZES:
        if abs(number) < 999.5 or unit == SIZES[-1]:
            return f"{number:.0f} {unit}" if unit == "B" or abs(number) >= 99.95 else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("the last unit always returns")


def short_digest(value: str | bytes | None) -> str:
    """Shorten a digest: ``sha256:9f1c…e07a``. A short text stays as it is; nothing gives a dash."""
    text = value.hex() if isinstance(value, bytes) else str(value or "")
    if not text:
        return DASH
    prefix, colon, rest = text.rpartition(":")
    return text if len(rest) <= 12 else f"{prefix}{colon}{rest[:4]}…{rest[-4:]}"


def count(value: float | None) -> str:
    """Group thousands: ``12,480``."""
    if value is None:
        return DASH
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percentage(fraction: float | None) -> str:
    """Write a fraction as a percentage with at most two decimals: ``99.87 %``, ``0.5 %``.

    What is not all of it is never rounded up to ``100 %``, and what is not nothing never down to ``0 %``.
    """
    if fraction is None:
        return DASH
    percent = round(fraction * 100, 2)
    if percent == 100 and fraction < 1:
        percent = 99.99
    if percent == 0 and fraction > 0:
        return "< 0.01 %"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + " %"


def change(value: float | None) -> str:
    """Write a relative change, given as a fraction: ``+38 %``, ``−3 %``, ``±0``."""
    if value is None:
        return DASH
    percent = round(value * 100)
    if percent == 0:
        return "±0"
    return f"{'+' if percent > 0 else '−'}{abs(percent)} %"


def span_words(name: str) -> str:
    """Write a span of the address with its unit apart: ``24h`` gives ``24 h``."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", name)


def instant(text: str | None) -> datetime | None:
    """Read a time that a result keeps as ISO 8601, for ``moment`` and ``ago``; None where there is none to read."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
