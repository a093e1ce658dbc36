"""Which backups are kept: grandfather, father, son. Nothing here touches storage.

Only sound backups count: read back whole, and nothing found wrong since. The newest one of each hour, day, week,
month and year stands for that time; of each rhythm the newest so many are kept. Times are UTC, weeks are ISO weeks.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field, model_validator

from checks.enums import ACTIVE_STATES, RunState
from checks.kinds.base import KindParams
from checks.models import Run, StoredBackup
from checks.plan import Duration
from releases.models import Environment

TIERS: Final[Mapping[str, Callable[[datetime], tuple[int, ...]]]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: tuple(at.isocalendar()[:2]),
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}


class RetentionCounts(KindParams):
    """How many of each are kept; what none of them keeps is removed."""

    hourly: int = Field(default=24, ge=0, le=10_000, description="The newest backup of each of so many hours.")
    daily: int = Field(default=7, ge=0, le=10_000, description="The newest backup of each of so many days.")
    weekly: int = Field(default=5, ge=0, le=10_000, description="The newest backup of each of so many weeks.")
    monthly: int = Field(default=12, ge=0, le=10_000, description="The newest backup of each of so many months.")
    yearly: int = Field(default=3, ge=0, le=1_000, description="The newest backup of each of so many years.")
    unverified_for: Duration = Field(
        default=timedelta(days=7),
        description="How long a backup that was never read back whole, or is faulty, stays for a person to look at.",
    )

    @model_validator(mode="after")
    def keeps_something(self) -> "RetentionCounts":
        if not any(getattr(self, tier) for tier in TIERS):
            raise ValueError("keep at least one backup: every count is 0")
        return self


@dataclass(frozen=True)
class Choice:
    """One backup and what becomes of it. ``reasons``: why it is kept; ``because``: why it goes."""

    backup: StoredBackup
    reasons: Sequence[str] = ()
    because: str = ""

    @property
    def goes(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class Selection:
    """``choices``: every backup, newest first."""

    choices: list[Choice] = field(default_factory=list)

    @property
    def kept(self) -> list[Choice]:
        return [choice for choice in self.choices if not choice.goes]

    @property
    def going(self) -> list[Choice]:
        return [choice for choice in self.choices if choice.goes]

    @property
    def freed(self) -> int:
        return sum(choice.backup.stored_bytes for choice in self.going)


def select(
    backups: Iterable[StoredBackup], counts: RetentionCounts, protected: Mapping[str, str], now: datetime
) -> Selection:
    """``protected``: manifest key -> why it must stay, whatever the counts say."""
    rows = sorted(backups, key=lambda row: (row.snapshot_at, row.pk), reverse=True)
    sound = [row for row in rows if row.is_sound]
    reasons: dict[str, list[str]] = {row.manifest_key: [] for row in rows}
    for row, why in _by_tier(sound, counts):
        reasons[row.manifest_key].append(why)
    if sound:
        reasons[sound[0].manifest_key].append("the newest verified one")
    proved = next((row for row in sound if row.drilled_at is not None), None)
    if proved is not None:
        reasons[proved.manifest_key].append("the newest one that a drill restored")
    for key, why in protected.items():
        if key in reasons:
            reasons[key].append(why)
    return Selection([_choice(row, reasons[row.manifest_key], sound, counts, now) for row in rows])


def _by_tier(sound: Sequence[StoredBackup], counts: RetentionCounts) -> Iterable[tuple[StoredBackup, str]]:
    for tier, period in TIERS.items():
        seen: set[tuple[int, ...]] = set()
        for row in sound:
            if len(seen) == getattr(counts, tier):
                break
            bucket = period(row.snapshot_at)
            if bucket not in seen:
                seen.add(bucket)
                yield row, tier


def _choice(
    row: StoredBackup, reasons: list[str], sound: Sequence[StoredBackup], counts: RetentionCounts, now: datetime
) -> Choice:
    if reasons:
        return Choice(row, reasons)
    if row.is_sound:
        return Choice(row, because="no count keeps it, and newer verified ones are there")
    if not any(other.snapshot_at > row.snapshot_at for other in sound):
        return Choice(row, ["not verified, and there is no newer verified one"])
    if now - row.snapshot_at < counts.unverified_for:
        return Choice(row, ["not verified; kept for a person to look at"])
    return Choice(row, because="not verified for longer than the plan allows, and a newer verified one is there")


def protected(environment: Environment) -> dict[str, str]:
    """Manifest key -> why it must stay: what a rollback of what runs there would restore, and what a run works with."""
    found: dict[str, str] = {}
    exclusive = Run.objects.filter(environment=environment, exclusive=True).order_by("-number")
    needed = list(exclusive.filter(state__in=[*ACTIVE_STATES, RunState.UNKNOWN]))
    # What never began has nothing to take back: a rollback looks past it, to the newest that did.
    needed += exclusive.filter(started_at__isnull=False)[:1]
    needed += exclusive.filter(result__has_key="restore_point").exclude(result__restore_point="")[:1]
    if environment.current_release_id is not None:
        needed += exclusive.filter(release=environment.current_release_id)
    for run in needed:
        if key := run.result.get("restore_point"):
            found[key] = f"the rollback of run #{run.number} needs it"
    reading = Run.objects.filter(environment=environment, kind__in=("drill", "disaster"), state__in=ACTIVE_STATES)
    for params, started_at in reading.values_list("params", "started_at"):
        if key := params.get("backup") or _newest_at(environment, started_at):
            found[key] = "a drill works with it"
    return found


def _newest_at(environment: Environment, moment: datetime | None) -> str:
    """The key of the newest backup that was there when a drill chose, "" where none was; None: it did not begin yet."""
    there = StoredBackup.objects.filter(environment=environment, removed_at=None, missing_at=None)
    if moment is not None:
        there = there.filter(finished_at__lte=moment)
    return there.order_by("-manifest_key").values_list("manifest_key", flat=True).first() or ""


def as_json(choice: Choice) -> dict[str, Any]:
    """One row of the report of a retention run."""
    return {
        "manifest": choice.backup.manifest_key,
        "snapshot_at": choice.backup.snapshot_at.isoformat(),
        "stored_bytes": choice.backup.stored_bytes,
        "look": choice.backup.look,
        "kept": list(choice.reasons),
        "because": choice.because,
    }
