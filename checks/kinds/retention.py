"""Retention of backups: keep what the plan's counts keep, remove the rest, never the last good one."""

from datetime import datetime
from typing import Any, ClassVar, Final

from django.utils import timezone
from pydantic import Field

from checks.enums import StepCategory
from checks.kinds.base import Artifact, Kind, Outcome, RunContext, Step, register
from checks.models import StoredBackup
from checks.plan import Plan
from checks.tools import catalogue, manifest, report_files, retention, storage
from checks.tools.crypto import KeyRing
from releases.templatetags.interface_format import size

MAX_ROWS = 500
#: Of the choices as a file.
COLUMNS: Final = ("manifest", "snapshot_at", "state", "stored_bytes", "becomes", "why")


class RetentionParams(retention.RetentionCounts):
    dry: bool = Field(default=False, description="Only say what would be removed.")
    read_again: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="So many are read and proved again: before anything goes the newest that stays, then the longest"
        " unread.",
    )
    read_also: list[str] = Field(
        default=[], max_length=100, description="Keys of manifests that are read and proved as well."
    )


@register
class Retention(Kind):
    """Passed means: a sound backup is left, those read again were whole, and what had to go is gone."""

    name: ClassVar[str] = "retention"
    title: ClassVar[str] = "Retention of backups"
    description: ClassVar[str] = (
        "Keeps the newest verified backup of each hour, day, week, month and year that the plan asks for, reads some of"
        " them again, and removes the others. The last verified one and one that a rollback needs are never removed."
    )
    Params: ClassVar[type[RetentionParams]] = RetentionParams
    follows: ClassVar[str] = "backup"
    valid_hours: ClassVar[int] = 168

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("look", "Compare the list with storage"),
            Step("read", "Read again what stays, and what was longest unread"),
            Step("choose", "Choose what is kept"),
            Step("remove", "Remove the rest", StepCategory.DATABASE),
        ]

    def run(self, context: RunContext) -> Outcome:
        return _Retention(context).run()


class _Retention:
    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.params: RetentionParams = context.params
        self.environment = context.run.environment
        self.wrong: list[str] = []
        self.read: set[str] = set()
        self.removed: list[StoredBackup] = []

    def run(self) -> Outcome:
        context = self.context
        with context.step("look") as step:
            self.wrong += catalogue.look(context, self.environment)
            step.figure("backups", catalogue.of(self.environment).count())
        with context.step("read") as step:
            self._read_again(step)
            if self.wrong:
                step.fail(self.wrong[0])
        with context.step("choose") as step:
            chosen = self._select()
            for choice in chosen.going:
                context.note(f"Goes: {choice.backup.manifest_key}: {choice.because}.")
            step.figure("kept", len(chosen.kept))
            step.figure("going", len(chosen.going))
        with context.step("remove") as step:
            if self.params.dry:
                step.skip("a dry run")
            elif not chosen.going:
                step.skip("nothing has to go")
            elif why := self._why_nothing_may_go(chosen):
                step.skip(why[:300])
                context.warn(f"Nothing was removed: {why}.")
            else:
                self._remove(chosen, step)
        return self._outcome(chosen)

    def _select(self) -> retention.Selection:
        rows = list(catalogue.of(self.environment))
        return retention.select(rows, self.params, retention.protected(self.environment), timezone.now())

    def _read_again(self, step: Any) -> None:
        """What stands in for what would go, those longest unread, and those that are named."""
        ring = KeyRing.from_settings()
        while len(self.read) < self.params.read_again and (row := self._next_to_read()) is not None:
            self._read(step, row.manifest_key, ring)
        for key in self.params.read_also:
            self._read(step, key, ring)

    def _read(self, step: Any, key: str, ring: KeyRing) -> None:
        step.doing(key)
        self.read.add(key)
        try:
            manifest.authenticate(manifest.load(key, ring), ring, lambda *_: self.context.check())
        except (manifest.UnusableBackupError, storage.MissingObjectError) as error:
            catalogue.found_faulty(key, error.message)
            self.context.warn(error.message)
            if error.message not in self.wrong:  # the look at storage may have said it
                self.wrong.append(error.message)
        else:
            catalogue.found_whole(key)

    def _next_to_read(self) -> StoredBackup | None:
        """Where something would go, what stands in for it; then those never read back, then those longest unread."""
        chosen = self._select()
        newest = _newest_sound(chosen)
        if chosen.going and not self.params.dry and newest is not None and newest.manifest_key not in self.read:
            return newest
        unread = [choice.backup for choice in chosen.choices if choice.backup.manifest_key not in self.read]
        return min(unread, key=lambda row: (row.verified_at or row.NEVER, row.pk), default=None)

    def _why_nothing_may_go(self, chosen: retention.Selection) -> str:
        """The newest that stays has to stand there now, and was read in this run where the plan lets any be read."""
        newest = _newest_sound(chosen)
        if newest is None:
            return "no verified backup stands in for it"
        if self.params.read_again and newest.manifest_key not in self.read:
            return f"{newest.manifest_key}, which stands in for it, was not read back in this run"
        wrong = catalogue.stands(self.context, newest.manifest_key)
        if wrong:
            self.wrong.append(wrong)
        return wrong

    def _remove(self, chosen: retention.Selection, step: Any) -> None:
        for number, choice in enumerate(chosen.going, 1):
            self.context.check()
            # A rollback may have begun to need it, or a drill to read it, since the choice was made.
            if choice.backup.manifest_key in retention.protected(self.environment):
                continue
            if catalogue.removing(choice.backup, because=choice.because, run=self.context.run):
                manifest.remove(choice.backup.manifest_key)
                self.removed.append(choice.backup)
                self.context.note(f"Removed {choice.backup.manifest_key}.")
            step.progress(number, len(chosen.going), "backups")

    def _outcome(self, chosen: retention.Selection) -> Outcome:
        sound = [choice for choice in chosen.kept if choice.backup.is_sound]
        if not sound:
            self.wrong.append("No verified backup is left." if chosen.choices else "There is no backup at all.")
        freed = sum(row.stored_bytes for row in self.removed)
        figures = {
            "kept": len(chosen.kept),
            "removed": len(self.removed),
            "freed_bytes": freed,
            "going": len(chosen.going),
            "would_free_bytes": chosen.freed,
            "read_again": len(self.read),
            "faults": len(self.wrong),
        }
        result = {
            **figures,
            "dry": self.params.dry,
            "wrong": self.wrong,
            "counts": [{"tier": tier, "kept": getattr(self.params, tier)} for tier in retention.TIERS],
            "choices": [shown(choice) for choice in chosen.choices[:MAX_ROWS]],
            "left_out": max(0, len(chosen.choices) - MAX_ROWS),
        }
        files = self._files(chosen, result)
        if self.wrong:
            more = f" (and {len(self.wrong) - 1} more)" if len(self.wrong) > 1 else ""
            return Outcome(False, (self.wrong[0] + more)[:500], figures=figures, result=result, artifacts=files)
        if self.params.dry:
            text = f"{len(chosen.kept)} would be kept, {len(chosen.going)} would go ({size(chosen.freed)})."
        else:
            text = f"{len(chosen.kept)} kept, {len(self.removed)} removed ({size(freed)})."
        return Outcome(True, text, figures=figures, result=result, artifacts=files)

    def _files(self, chosen: retention.Selection, result: dict[str, Any]) -> list[Artifact]:
        """Every backup and what became of it; the page shows the newest ones only."""
        removed = {row.manifest_key for row in self.removed}
        rows = [
            {**row, "state": row["look"], "becomes": self._becomes(choice, removed),
             "why": choice.reasons or choice.because}
            for choice in chosen.choices
            for row in [retention.as_json(choice)]
        ]  # fmt: skip
        document = {**result, "choices": [retention.as_json(choice) for choice in chosen.choices], "left_out": 0}
        return report_files.keep(self.context, "retention", document, {"backups": (COLUMNS, rows)})

    def _becomes(self, choice: retention.Choice, removed: set[str]) -> str:
        if not choice.goes:
            return "kept"
        if self.params.dry:
            return "would be removed"
        # Since the choice was made a rollback or a drill may have begun to need it, or somebody else removed it.
        return "removed" if choice.backup.manifest_key in removed else "not removed: needed or gone since it was chosen"


def _newest_sound(chosen: retention.Selection) -> StoredBackup | None:
    return next((choice.backup for choice in chosen.kept if choice.backup.is_sound), None)


def shown(choice: retention.Choice) -> dict[str, Any]:
    row = retention.as_json(choice)
    return {**row, "snapshot_text": f"{datetime.fromisoformat(row['snapshot_at']):%Y-%m-%d %H:%M} UTC"}
