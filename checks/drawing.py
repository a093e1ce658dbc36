"""Geometry of the figures about backups: a calendar of days, and the curve of their size."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from django.utils import timezone

from checks.models import StoredBackup
from releases.templatetags.interface_charts import Chart, Mark, Series, chart
from releases.templatetags.interface_format import size

WEEKS: Final = 12
CELL: Final = 24
STEP: Final = 27
LEFT: Final = 34
TOP: Final = 20
MEGABYTE: Final = 1_000_000
#: What the calendar reads of a backup.
FIELDS: Final = (
    "snapshot_at", "stored_bytes", "fault", "drilled_at", "verified_at", "removed_at", "missing_at",
)  # fmt: skip


@dataclass(frozen=True)
class Day:
    """One cell of the calendar. ``mark``: what stands in it, so that no state is colour alone."""

    x: int
    y: int
    tone: str
    mark: str
    label: str


@dataclass(frozen=True)
class Calendar:
    """Weeks from left to right, Monday on top; the last column holds today."""

    width: int
    height: int
    days: list[Day]
    months: list[tuple[int, str]] = field(default_factory=list)
    weekdays: list[tuple[int, str]] = field(default_factory=list)


def first_day(today: date) -> date:
    """The day in the calendar's upper left corner."""
    return today - timedelta(days=today.weekday(), weeks=WEEKS - 1)


def calendar(backups: Iterable[StoredBackup], today: date | None = None) -> Calendar:
    """``backups``: all since ``first_day``, also those that are not there any more; days are of the viewer's zone."""
    today = today or timezone.localdate()
    by_day: dict[date, list[StoredBackup]] = defaultdict(list)
    for row in backups:
        by_day[timezone.localtime(row.snapshot_at).date()].append(row)
    first = first_day(today)
    days, months = [], []
    for offset in range((today - first).days + 1):
        day = first + timedelta(days=offset)
        week, weekday = divmod(offset, 7)
        x, y = LEFT + week * STEP, TOP + weekday * STEP
        if day.day <= 7 and weekday == 0:
            months.append((x, f"{day:%b}"))
        days.append(_day(x, y, f"{day:%a %d %b %Y}, {_ago((today - day).days)}", by_day.get(day, [])))
    weekdays = [(TOP + number * STEP + CELL // 2, name) for number, name in ((0, "Mon"), (2, "Wed"), (4, "Fri"))]
    return Calendar(LEFT + WEEKS * STEP, TOP + 7 * STEP, days, months, weekdays)


def _day(x: int, y: int, name: str, rows: list[StoredBackup]) -> Day:
    there = [row for row in rows if row.is_there]
    missing = [row for row in rows if row.missing_at is not None]
    if not rows:
        return Day(x, y, "idle", "", f"{name}: no backup")
    if missing:
        return Day(x, y, "nogo", "!", f"{name}: {_many(len(missing))} missing from storage, {len(there)} there")
    if not there:
        return Day(x, y, "idle", "–", f"{name}: {_many(len(rows))}, removed since")
    stored = size(sum(row.stored_bytes for row in there))
    if any(row.fault for row in there):
        return Day(x, y, "nogo", "!", f"{name}: {_many(len(there))}, {stored}, at least one is faulty")
    if any(row.drilled_at for row in there):
        return Day(x, y, "go", "D", f"{name}: {_many(len(there))}, {stored}, drilled")
    if all(row.verified_at for row in there):
        return Day(x, y, "live", str(len(there)), f"{name}: {_many(len(there))}, {stored}, verified")
    return Day(x, y, "hold", "?", f"{name}: {_many(len(there))}, {stored}, not verified")


def _ago(days: int) -> str:
    return {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")


def _many(number: int) -> str:
    return "1 backup" if number == 1 else f"{number:,} backups"


def size_curve(backups: Iterable[StoredBackup]) -> Chart | None:
    """Stored size beside the database's own, in MB over time; None for fewer than two backups."""
    rows = sorted(backups, key=lambda row: row.snapshot_at)
    if len(rows) < 2:
        return None
    marks = [Mark(row.snapshot_at.timestamp(), "drilled") for row in rows if row.drilled_at][-3:]
    return chart(
        [
            Series("stored", [(row.snapshot_at.timestamp(), row.stored_bytes / MEGABYTE) for row in rows], unit="MB"),
            Series(
                "database", [(row.snapshot_at.timestamp(), row.database_bytes / MEGABYTE) for row in rows],
                tone="idle", unit="MB", dashed=True,
            ),
        ],
        marks=marks,
    )  # fmt: skip
