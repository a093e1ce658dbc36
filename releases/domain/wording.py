"""How the domain says times, lengths and lists in its sentences (in UTC; pages show the viewer's zone)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta


def moment(value: datetime) -> str:
    """'Sat 28 Nov 02:00 UTC', with the year where it is not this one."""
    value = value.astimezone(UTC)
    form = "%a %-d %b %H:%M UTC" if value.year == datetime.now(UTC).year else "%a %-d %b %Y %H:%M UTC"
    return value.strftime(form)


def stamp(value: datetime) -> str:
    """ISO 8601 in UTC with microseconds, for everything that is hashed."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def span(length: timedelta) -> str:
    """'4 d 9 h', '40 min', '25 s': the two largest units."""
    seconds = int(abs(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86400
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
