"""The mirror of the backups in storage, one row each: written when one is published, proved, drilled or removed.

A row that could not be written is written by the next look at storage (``look``), so nothing rests on it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from checks.kinds.base import RunContext
from checks.models import Run, StoredBackup
from checks.tools import manifest, storage
from checks.tools.crypto import KeyRing
from releases.domain import ledger
from releases.models import Environment


def of(environment: Environment) -> QuerySet[StoredBackup]:
    """The backups that stand in storage, newest first."""
    return StoredBackup.objects.filter(environment=environment, removed_at=None, missing_at=None)


def record(environment: Environment, key: str, document: Mapping[str, Any], *, verified: bool) -> StoredBackup:
    """Write down a published backup; one that is known already stays as it is, but stands again."""
    parts = manifest.parts(document).values()
    run = Run.objects.filter(pk=document["run"], environment=environment).first()
    row, is_new = StoredBackup.objects.get_or_create(
        manifest_key=key,
        defaults={
            "application_id": environment.application_id,
            "environment": environment,
            "run": run,
            "snapshot_at": datetime.fromisoformat(document["snapshot_at"]),
            "finished_at": datetime.fromisoformat(document["finished_at"]),
            "seconds": document["seconds"],
            "stored_bytes": sum(part.size for part in parts),
            "plain_bytes": sum(part.plain_size for part in parts),
            "database_bytes": document["database"]["size"],
            "tables": len(document["tables"]),
            "rows": sum(table["rows"] for table in document["tables"].values()),
            "key_id": document["key"]["id"],
            "server": document["server"]["name"],
            "verified_at": timezone.now() if verified else None,
        },
    )
    if not is_new:
        _stands_again(row.pk, verified=verified)
    return row


def _stands_again(number: int, *, verified: bool) -> None:
    """What was away may be something else now: it counts as read only if it was read since."""
    StoredBackup.objects.filter(pk=number).update(
        removed_at=None, removed_because="", missing_at=None, verified_at=timezone.now() if verified else None
    )


def look(context: RunContext, environment: Environment) -> list[str]:
    """Compare the rows with storage: what stands there and was not known comes in, what is gone is marked, and every
    object has to be there as long as it was written.

    Returns a sentence for each manifest that stands there and is no backup: it cannot be read, or an object of it is
    missing or of another size. Such a one is faulty until it is read back whole.
    """
    there = set(manifest.published(environment.application.slug, environment.name))
    known = dict(StoredBackup.objects.filter(environment=environment).values_list("manifest_key", "pk"))
    standing = set(of(environment).values_list("manifest_key", flat=True))
    unusable = []
    for key in sorted(standing - there):
        _gone(context, key)
    ring = KeyRing.from_settings() if there else None
    for key in sorted(there):
        context.check()
        if key in known and key not in standing:
            _stands_again(known[key], verified=False)
            context.note(f"{key} stands in storage again; it counts when it was read back whole.")
        try:
            document = manifest.load(key, ring)
            if key not in known:
                record(environment, key, document, verified=False)
                context.note(f"Found {key}, which was not known here.")
            manifest.stands(document)
        except manifest.UnusableBackupError as error:
            unusable.append(_faulty(context, key, error))
        except storage.MissingObjectError:
            _gone(context, key)  # its manifest was removed since the list was read
    return unusable


def stands(context: RunContext, key: str) -> str:
    """Whether a backup stands in storage whole, by presence and size; what is wrong, "" where nothing is."""
    try:
        manifest.stands(manifest.load(key))
    except manifest.UnusableBackupError as error:
        return _faulty(context, key, error)
    except storage.MissingObjectError as error:
        _gone(context, key)
        return error.message
    return ""


def _faulty(context: RunContext, key: str, error: manifest.UnusableBackupError) -> str:
    found_faulty(key, error.message)
    context.warn(error.message)
    return error.message


def _gone(context: RunContext, key: str) -> None:
    if _vanished(key):
        context.warn(f"{key} is not in storage any more, and this program did not remove it.")


@transaction.atomic
def _vanished(key: str) -> bool:
    """Mark it, once; False where it is marked, or another run removed it meanwhile."""
    row = StoredBackup.objects.select_for_update().filter(manifest_key=key).first()
    if row is not None and row.is_there:
        StoredBackup.objects.filter(pk=row.pk).update(missing_at=timezone.now())
        ledger.append(action="backup.missing", actor=None, subject=row, document={"manifest": key})
        return True
    return False


def found_whole(key: str) -> None:
    """Every byte was read and is what was written."""
    StoredBackup.objects.filter(manifest_key=key).update(verified_at=timezone.now(), fault="")


def found_faulty(key: str, fault: str) -> None:
    """Something is wrong with it; it counts for nothing until a later look finds it whole."""
    StoredBackup.objects.filter(manifest_key=key).update(fault=fault[:2000], verified_at=None)


def drilled(run: Run, key: str, *, fault: str) -> None:
    """A drill ended. ``fault``: what is wrong with the backup itself, "" where it came back equal."""
    now = timezone.now()
    row = StoredBackup.objects.filter(manifest_key=key, environment=run.environment_id)
    if fault:
        row.update(fault=fault[:2000], verified_at=None, drill=run)
    else:
        row.update(drilled_at=now, verified_at=now, drill=run, fault="")


@transaction.atomic
def removing(row: StoredBackup, *, because: str, run: Run) -> bool:
    """Write down, before anything is touched, that a backup goes, and why; False where it is gone already."""
    done = StoredBackup.objects.filter(pk=row.pk, removed_at=None, missing_at=None).update(
        removed_at=timezone.now(), removed_because=because[:300], removed_by=run
    )
    if done:
        document = {
            "manifest": row.manifest_key,
            "snapshot_at": row.snapshot_at,
            "stored_bytes": row.stored_bytes,
            "because": because,
            "run": run.number,
        }
        ledger.append(action="backup.removed", actor=run.started_by, subject=row, document=document)
    return bool(done)
