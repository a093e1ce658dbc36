"""Retention: what is kept, what goes, what never goes; on paper with many backups, and for real with a few."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from checks.enums import RunState
from checks.models import Run, StoredBackup
from checks.tools import manifest, retention, storage
from releases.models import Environment, LedgerEntry
from tests.factories import make_application
from tests.kinds_data.support import Shop, log_of
from tests.kinds_data.test_download_results import kept as kept_file
from tests.kinds_data.test_download_results import offers, table

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def paper(moment: datetime, **more: Any) -> StoredBackup:
    """A row that is in no database."""
    values = {"verified_at": moment, "stored_bytes": 100, **more}
    return StoredBackup(manifest_key=f"{moment.isoformat()}", snapshot_at=moment, **values)


def every(hours: float, days: int) -> list[StoredBackup]:
    return [paper(NOW - timedelta(hours=hours * number)) for number in range(int(days * 24 / hours))]


def counts(**more: int) -> retention.RetentionCounts:
    return retention.RetentionCounts(**{"hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0, **more})


def kept(rows: list[StoredBackup], counted: retention.RetentionCounts, **protected: str) -> list[datetime]:
    chosen = retention.select(rows, counted, protected, NOW)
    return [choice.backup.snapshot_at for choice in chosen.kept]


def test_the_newest_of_each_day_is_kept_and_no_more_days_than_asked_for() -> None:
    assert kept(every(6, 10), counts(daily=3)) == [
        NOW, datetime(2026, 11, 22, 18, tzinfo=UTC), datetime(2026, 11, 21, 18, tzinfo=UTC),
    ]  # fmt: skip


def test_days_without_a_backup_take_no_place() -> None:
    rows = [paper(NOW - timedelta(days=days)) for days in (0, 1, 9, 30, 31)]
    assert len(kept(rows, counts(daily=5))) == 5


def test_grandfather_father_and_son_are_kept_beside_each_other() -> None:
    found = kept(every(1, 800), counts(hourly=24, daily=7, weekly=5, monthly=12, yearly=3))
    assert found[:24] == [NOW - timedelta(hours=hours) for hours in range(24)]
    # 24 hours, then 5 more days, 4 more weeks (one ends a kept day), 11 more months, and 2025 and 2024 by their last.
    assert datetime(2025, 12, 31, 23, tzinfo=UTC) in found
    assert datetime(2024, 12, 31, 23, tzinfo=UTC) in found
    assert 40 <= len(found) <= 24 + 7 + 5 + 12 + 3


def test_only_verified_ones_count() -> None:
    rows = [
        paper(NOW - timedelta(days=8), verified_at=None), paper(NOW - timedelta(days=9), fault="flipped"),
        paper(NOW - timedelta(days=10)), paper(NOW - timedelta(days=11)),
    ]  # fmt: skip
    assert NOW - timedelta(days=10) in kept(rows, counts(daily=1))
    assert NOW - timedelta(days=11) not in kept(rows, counts(daily=1))


def test_the_last_verified_one_never_goes_however_old_it_is() -> None:
    rows = [paper(NOW - timedelta(days=900)), paper(NOW - timedelta(days=1), fault="flipped")]
    assert NOW - timedelta(days=900) in kept(rows, counts(hourly=1))


def test_the_newest_one_that_a_drill_restored_never_goes() -> None:
    drilled = paper(NOW - timedelta(days=60), drilled_at=NOW)
    assert drilled.snapshot_at in kept([*every(24, 5), drilled], counts(daily=2))


def test_what_a_rollback_needs_never_goes() -> None:
    rows = every(24, 5)
    oldest = rows[-1]
    assert oldest.snapshot_at not in kept(rows, counts(daily=1))
    assert oldest.snapshot_at in kept(rows, counts(daily=1), **{oldest.manifest_key: "the rollback needs it"})


@pytest.mark.django_db
@pytest.mark.parametrize("retry", [RunState.QUEUED, RunState.CANCELLED])
def test_a_retry_that_never_began_takes_no_protection_from_the_deploy_before_it(retry: RunState) -> None:
    application = make_application()
    place = application.environments.get(name="production")
    broken, _ = deploy_row(place, RunState.FAILED, "half-way"), deploy_row(place, retry)
    assert retention.protected(place) == {"half-way": f"the rollback of run #{broken.number} needs it"}


def deploy_row(place: Environment, state: RunState, restore_point: str = "") -> Run:
    """A deploy that took a backup, or one that never began."""
    now = timezone.now()
    result = {"previous": {}, "restore_point": restore_point} if restore_point else {}
    return Run.objects.create(
        number=Run.objects.count() + 1, application=place.application, environment=place, kind="deploy",
        plan_version=place.application.plan_versions.get(), section="deploy", section_digest="0" * 64, exclusive=True,
        state=state, result=result, started_at=now if restore_point else None, queued_at=now, created_at=now,
        ended_at=None if state == RunState.QUEUED else now,
    )  # fmt: skip


def test_an_unverified_one_stays_a_while_and_while_nothing_newer_is_verified() -> None:
    young, old = paper(NOW - timedelta(days=2), verified_at=None), paper(NOW - timedelta(days=20), verified_at=None)
    assert kept([young, old], counts(daily=1)) == [young.snapshot_at, old.snapshot_at]
    newest = paper(NOW)
    assert kept([newest, young, old], counts(daily=1)) == [newest.snapshot_at, young.snapshot_at]


def test_counts_that_keep_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="every count is 0"):
        counts()


# --- for real ---------------------------------------------------------------------------------------------------------

ONE = {"hourly": 0, "daily": 1, "weekly": 0, "monthly": 0, "yearly": 0, "read_again": 0}


@pytest.fixture
def three_backups(plain_shop: Shop) -> Shop:
    for number in range(3):
        run = plain_shop.run("backup")
        assert run.state == RunState.PASSED, run.error
        aged = timezone.now() - timedelta(days=10 - number)
        StoredBackup.objects.filter(run=run).update(snapshot_at=aged, verified_at=aged)
    return plain_shop


def keys(shop: Shop) -> set[str]:
    return set(manifest.published(shop.application.slug, "production"))


def test_what_no_count_keeps_is_removed_whole_and_told_in_the_ledger(three_backups: Shop, storage_folder: Path) -> None:
    newest = StoredBackup.objects.order_by("-snapshot_at").first()
    assert newest is not None
    run = three_backups.run("retention", **ONE)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert keys(three_backups) == {newest.manifest_key}
    assert len([path for path in storage_folder.rglob("backups/**/*") if path.is_file()]) == 2
    assert run.result["removed"] == 2
    gone = StoredBackup.objects.filter(removed_at__isnull=False)
    assert {row.removed_by for row in gone} == {run}
    entries = LedgerEntry.objects.filter(action="backup.removed")
    assert {entry.document["manifest"] for entry in entries} == {row.manifest_key for row in gone}
    rows = table(run, "backups.csv")
    assert [row["becomes"] for row in rows] == ["kept", "removed", "removed"]
    assert rows[0]["manifest"] == newest.manifest_key
    assert rows[0]["why"].startswith("daily; the newest verified one")
    assert rows[1]["why"] == "no count keeps it, and newer verified ones are there"
    assert [row["manifest"] for row in json.loads(kept_file(run, "retention.json"))["choices"]] == [
        row["manifest"] for row in rows
    ]
    assert offers(run, "retention.json", "backups.csv")


@pytest.mark.campaign
def test_a_dry_run_removes_nothing(three_backups: Shop) -> None:
    run = three_backups.run("retention", dry=True, **ONE)
    assert run.state == RunState.PASSED
    assert "2 would go" in run.summary
    assert [row["becomes"] for row in table(run, "backups.csv")] == ["kept", "would be removed", "would be removed"]
    assert len(keys(three_backups)) == 3


@pytest.mark.campaign
def test_the_backup_of_the_deploy_that_runs_there_stays(three_backups: Shop) -> None:
    oldest = StoredBackup.objects.order_by("snapshot_at").first()
    assert oldest is not None
    deploy = three_backups.queued("deploy")
    rows, now = Run.objects.filter(pk=deploy.pk), timezone.now()
    rows.update(state=RunState.RUNNING, attempt=1, token=2**40, owner=uuid.uuid4(), lease_until=now)
    restore_point = {"restore_point": oldest.manifest_key}
    rows.update(state=RunState.PASSED, exclusive=True, result=restore_point, ended_at=now)
    run = three_backups.run("retention", **ONE)
    assert run.result["removed"] == 1
    assert oldest.manifest_key in keys(three_backups)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["drill", "disaster"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "newest"])
def test_what_a_drill_works_with_stays(three_backups: Shop, kind: str, *, named: bool) -> None:
    oldest, *newer = StoredBackup.objects.order_by("snapshot_at")
    drill = three_backups.queued(kind, **({"backup": oldest.manifest_key} if named else {}))
    rows, now = Run.objects.filter(pk=drill.pk), timezone.now()
    rows.update(state=RunState.RUNNING, attempt=1, token=2**40, owner=uuid.uuid4(), lease_until=now, started_at=now)
    for row in newer:  # they came after it had chosen
        StoredBackup.objects.filter(pk=row.pk).update(finished_at=now + timedelta(minutes=1))
    run = three_backups.run("retention", **ONE)
    assert run.result["removed"] == 1
    assert oldest.manifest_key in keys(three_backups)


@pytest.mark.campaign
def test_a_damaged_one_is_found_and_counts_no_more(three_backups: Shop, storage_folder: Path) -> None:
    newest = StoredBackup.objects.order_by("-snapshot_at").first()
    assert newest is not None
    part = next(storage_folder.rglob(f"{newest.manifest_key.rsplit('/')[-1].removesuffix('.manifest.json')}.database"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    run = three_backups.run("retention", **{**ONE, "read_again": 3})
    assert run.state == RunState.FAILED
    assert "was changed after it was written" in run.summary
    newest.refresh_from_db()
    assert (newest.look, newest.is_sound) == ("faulty", False)
    # The day's place went to the next one, which is sound; the faulty one stays for a person to look at.
    assert len(keys(three_backups)) == 2


@pytest.mark.campaign
def test_backups_unknown_here_and_gone_from_storage_are_noticed(three_backups: Shop) -> None:
    lost, unknown, _ = StoredBackup.objects.order_by("snapshot_at")
    unknown_key = unknown.manifest_key
    storage.remove(lost.manifest_key)
    unknown.delete()
    run = three_backups.run("retention", dry=True, read_again=1)
    assert run.state == RunState.PASSED, (run.error, run.summary)
    lost.refresh_from_db()
    assert lost.look == "missing"
    assert LedgerEntry.objects.filter(action="backup.missing").count() == 1
    # It came in unverified, was read again first, and counts since then.
    assert StoredBackup.objects.get(manifest_key=unknown_key).look == "verified"


def test_without_a_backup_it_says_no(plain_shop: Shop) -> None:
    run = plain_shop.run("retention")
    assert (run.state, run.summary) == (RunState.FAILED, "There is no backup at all.")


@pytest.mark.campaign
def test_a_storage_that_refuses_to_remove_is_told_and_the_list_stays_true(
    three_backups: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.files.storage import FileSystemStorage

    def refuse(self: FileSystemStorage, name: str) -> None:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(FileSystemStorage, "delete", refuse)
    run = three_backups.run("retention", **ONE)
    assert run.state == RunState.ERRORED
    assert "The storage refuses this program" in run.error
    monkeypatch.undo()
    run = three_backups.run("retention", **ONE)
    assert run.state == RunState.PASSED
    assert len(keys(three_backups)) == 1


@pytest.mark.campaign
def test_a_drill_marks_what_it_restored_and_what_it_found_faulty(plain_shop: Shop, storage_folder: Path) -> None:
    plain_shop.run("backup")
    drill = plain_shop.run("drill")
    row = StoredBackup.objects.get()
    assert (row.look, row.drill) == ("drilled", drill)
    part = next(storage_folder.rglob("*.database"))
    part.write_bytes(part.read_bytes()[:-1])
    plain_shop.run("drill")
    row.refresh_from_db()
    assert row.look == "faulty"
    assert "cut at its end" in row.fault


def object_of(row: StoredBackup, folder: Path, part: str = "database") -> Path:
    return folder / f"{row.manifest_key.removesuffix('.manifest.json')}.{part}"


def test_a_newest_backup_whose_object_is_gone_stands_in_for_none_and_is_named(
    three_backups: Shop, storage_folder: Path
) -> None:
    _, middle, newest = StoredBackup.objects.order_by("snapshot_at")
    object_of(newest, storage_folder).unlink()
    run = three_backups.run("retention", **ONE)
    assert run.state == RunState.FAILED, run.summary
    assert f"{newest.manifest_key.removesuffix('.manifest.json')}.database of the backup is missing" in run.summary
    newest.refresh_from_db()
    assert (newest.look, newest.is_sound) == ("faulty", False)
    # The newest whole one took its place, and what no restore could use is left for a person to look at.
    assert keys(three_backups) == {middle.manifest_key, newest.manifest_key}
    drill = three_backups.run("drill", backup=middle.manifest_key)
    assert drill.state == RunState.PASSED, (drill.summary, drill.error)


def test_the_last_restorable_backup_stays_when_every_newer_one_lost_an_object(
    three_backups: Shop, storage_folder: Path
) -> None:
    oldest, *newer = StoredBackup.objects.order_by("snapshot_at")
    for row in newer:
        object_of(row, storage_folder).unlink()
    run = three_backups.run("retention", **{**ONE, "read_again": 1})
    assert (run.state, run.result["removed"]) == (RunState.FAILED, 0)
    assert len(run.result["wrong"]) == 2
    assert oldest.manifest_key in keys(three_backups)
    again = three_backups.run("retention", **{**ONE, "read_again": 1})
    assert (again.state, again.result["removed"]) == (RunState.FAILED, 0), "it is named as long as it stands there"


@pytest.mark.campaign
def test_an_object_of_another_size_counts_as_none_for_the_alarm_too(three_backups: Shop, storage_folder: Path) -> None:
    newest = StoredBackup.objects.order_by("snapshot_at").last()
    assert newest is not None
    now = timezone.now()
    StoredBackup.objects.filter(pk=newest.pk).update(snapshot_at=now)
    part = object_of(newest, storage_folder)
    part.write_bytes(part.read_bytes()[:-7])
    run = three_backups.run("retention", **ONE)
    assert run.state == RunState.FAILED
    assert "were written" in run.summary
    sound = StoredBackup.objects.filter(removed_at=None, missing_at=None, fault="", verified_at__isnull=False)
    assert newest.pk not in sound.values_list("pk", flat=True)


def test_the_newest_that_stays_is_read_before_anything_goes_and_nothing_goes_on_the_word_of_a_rotten_one(
    three_backups: Shop, storage_folder: Path
) -> None:
    newest = StoredBackup.objects.order_by("snapshot_at").last()
    assert newest is not None
    part = object_of(newest, storage_folder)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    run = three_backups.run("retention", **{**ONE, "read_again": 1})
    assert (run.state, run.result["removed"]) == (RunState.FAILED, 0), run.summary
    assert "was changed after it was written" in run.summary
    assert len(keys(three_backups)) == 3
    # The next one reads the one that took its place, and lets go what that one stands in for.
    again = three_backups.run("retention", **{**ONE, "read_again": 1})
    assert again.result["removed"] == 1
    assert newest.manifest_key in keys(three_backups)


def test_a_manifest_that_vanished_and_came_back_has_to_be_read_again(three_backups: Shop, storage_folder: Path) -> None:
    newest = StoredBackup.objects.order_by("snapshot_at").last()
    assert newest is not None
    path = storage_folder / newest.manifest_key
    text = path.read_bytes()
    path.unlink()
    three_backups.run("retention", **{**ONE, "dry": True})
    path.write_bytes(text)
    three_backups.run("retention", **{**ONE, "dry": True})
    newest.refresh_from_db()
    assert (newest.look, newest.verified_at) == ("unverified", None)
    three_backups.run("retention", **{**ONE, "dry": True, "read_again": 1})
    newest.refresh_from_db()
    assert newest.look == "verified"
