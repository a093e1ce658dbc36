"""Advisories into PostgreSQL, all of them or none."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from django.db import connection, transaction
from django.utils import timezone

from checks.advisories.errors import AdvisoriesRefused
from checks.advisories.fixes import mark_fixes
from checks.advisories.parsing import Entry, Unreadable, parse
from checks.advisories.reading import Member, members
from checks.models import Advisory, AdvisoryPackage, AdvisorySnapshot
from releases.domain import ledger
from releases.models import User

#: Of what is there; an archive with less is more likely cut off than right.
LEAST_SHARE: Final = 0.5
MAX_NAMED: Final = 20
_BATCH: Final = 1000


@dataclass
class _Tally:
    files: int = 0
    withdrawn: int = 0
    unreadable: list[str] = field(default_factory=list)
    ecosystems: Counter[str] = field(default_factory=Counter)
    #: By ecosystem: when its newest advisory was changed.
    newest: dict[str, datetime] = field(default_factory=dict)


def import_advisories(
    *,
    source: Path | IO[bytes],
    name: str,
    actor: User | None,
    skip_unreadable: bool = False,
    may_shrink: bool = False,
) -> AdvisorySnapshot:
    """Replace the advisories of every ecosystem in ``source`` by those in it; others stay. Writes the ledger.

    ``source``: a folder, or an open .zip, .tar.gz or .tar that can be searched. Refused (AdvisoriesRefused, and what
    was there still counts): a damaged or outsized archive, no advisory, one that cannot be read (unless
    ``skip_unreadable``), and data that is older than what is there or much less (unless ``may_shrink``).
    """
    began = time.monotonic()
    digest = "" if isinstance(source, Path) else _digest(source)
    tally = _Tally()
    with transaction.atomic():
        _one_at_a_time()
        now = timezone.now()
        snapshot = AdvisorySnapshot.objects.create(
            source=name[:300], sha256=digest, files=0, advisories=1, withdrawn=0, newest=now, imported_at=now,
            imported_by=actor, seconds=0,
        )  # fmt: skip
        kept = _store(snapshot, _entries(members(source, name), tally, skip_unreadable), tally)
        if not kept:
            raise AdvisoriesRefused(f"{name} holds no advisory that counts. Nothing was imported.")
        snapshot.files, snapshot.advisories, snapshot.withdrawn = tally.files, kept, tally.withdrawn
        snapshot.unreadable, snapshot.ecosystems = tally.unreadable[:1000], dict(tally.ecosystems)
        # What is fresh of one ecosystem says nothing of another: all of it is as old as the oldest.
        snapshot.newest, snapshot.seconds = min(*tally.newest.values(), now), time.monotonic() - began
        if not may_shrink:
            _refuse_less(snapshot)
        snapshot.save()
        _drop_older(snapshot)
        mark_fixes(snapshot.ecosystems, now)
        ledger.append(
            action="advisories.imported", actor=actor, subject=snapshot,
            document={
                "source": snapshot.source, "sha256": digest, "advisories": kept, "ecosystems": snapshot.ecosystems,
                "newest": snapshot.newest, "withdrawn": tally.withdrawn, "unreadable": len(tally.unreadable),
            },
        )  # fmt: skip
    return snapshot


def _one_at_a_time() -> None:
    """Two imports at once would each remove what the other one brought."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('gonogo advisories'))")


def _digest(source: IO[bytes]) -> str:
    source.seek(0)
    found = hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]
    source.seek(0)
    return found


def _entries(read: Iterable[Member], tally: _Tally, skip_unreadable: bool) -> Iterator[Entry]:
    for name, data in read:
        tally.files += 1
        try:
            entry = parse(name, data)
        except Unreadable as error:
            tally.unreadable.append(f"{name}: {error}".replace("\x00", "")[:300])
            if not skip_unreadable and len(tally.unreadable) >= MAX_NAMED:
                break
            continue
        if entry.withdrawn:
            tally.withdrawn += 1
        elif entry.places:
            ecosystems = {ecosystem for ecosystem, _ in entry.places}
            tally.newest |= {one: max(tally.newest.get(one, entry.modified), entry.modified) for one in ecosystems}
            tally.ecosystems.update(ecosystems)
            yield entry
    if tally.unreadable and not skip_unreadable:
        raise AdvisoriesRefused(
            "Some files could not be read, and what they warn of would be missed, so nothing was imported. "
            + "; ".join(tally.unreadable[:MAX_NAMED])
        )


def _store(snapshot: AdvisorySnapshot, entries: Iterator[Entry], tally: _Tally) -> int:
    seen: set[str] = set()
    batch: list[Entry] = []
    for entry in entries:
        if entry.osv_id in seen:
            raise AdvisoriesRefused(f"{entry.osv_id} is in it twice. Nothing was imported.")
        seen.add(entry.osv_id)
        batch.append(entry)
        if len(batch) == _BATCH:
            _write(snapshot, batch)
            batch = []
    _write(snapshot, batch)
    return len(seen)


def _write(snapshot: AdvisorySnapshot, batch: list[Entry]) -> None:
    rows = Advisory.objects.bulk_create(
        Advisory(
            snapshot=snapshot, osv_id=entry.osv_id, names=entry.names, modified=entry.modified,
            document=entry.document,
        )
        for entry in batch
    )  # fmt: skip
    AdvisoryPackage.objects.bulk_create(
        AdvisoryPackage(advisory=row, ecosystem=ecosystem, package=package)
        for row, entry in zip(rows, batch, strict=True)
        for ecosystem, package in sorted(entry.places)
    )


def current() -> dict[str, AdvisorySnapshot]:
    """Ecosystem -> the snapshot that counts for it; one query."""
    found: dict[str, AdvisorySnapshot] = {}
    for snapshot in AdvisorySnapshot.objects.select_related("imported_by").order_by("imported_at", "pk"):
        found |= dict.fromkeys(snapshot.ecosystems, snapshot)
    return found


def _refuse_less(snapshot: AdvisorySnapshot) -> None:
    for ecosystem, before in current().items():
        many, had = snapshot.ecosystems.get(ecosystem, 0), before.ecosystems[ecosystem]
        if before.pk == snapshot.pk or not many:
            continue
        if many < had * LEAST_SHARE:
            raise AdvisoriesRefused(
                f"It has {many:,} advisories for {ecosystem}, and {had:,} are there: it looks cut off. Nothing was "
                "imported. Say that less is meant, if it is."
            )
        if snapshot.newest < before.newest:
            raise AdvisoriesRefused(
                f"Its newest advisory is of {snapshot.newest:%Y-%m-%d}, older than what is there for {ecosystem} "
                f"({before.newest:%Y-%m-%d}). Nothing was imported. Say that less is meant, if it is."
            )


def _drop_older(snapshot: AdvisorySnapshot) -> None:
    """What this snapshot replaces; the rows that tell of earlier imports stay."""
    old = AdvisoryPackage.objects.filter(ecosystem__in=snapshot.ecosystems)
    old.exclude(advisory__snapshot=snapshot)._raw_delete("default")
    bare = Advisory.objects.filter(packages__isnull=True).exclude(snapshot=snapshot)
    Advisory.objects.filter(pk__in=list(bare.values_list("pk", flat=True)))._raw_delete("default")
