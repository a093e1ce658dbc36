"""Reading the ledger for people: who may see what, filters, one page, one entry with its proof."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from releases.domain.ledger.rows import head_sequence
from releases.domain.ledger.tree import Tree
from releases.enums import Role
from releases.errors import LedgerBroken
from releases.models.application import Application
from releases.models.ledger import LedgerCheckpoint, LedgerEntry, LedgerVerification
from releases.models.user import User
from releases.verify_ledger import GENESIS, root_from_inclusion, seal_hash

# Whoever holds one of these roles in an application also reads what belongs to no application.
READERS = (Role.AUDITOR, Role.RELEASE_MANAGER, Role.ADMINISTRATOR)
_EXPORT_BATCH = 1_000
_HASH = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Scope:
    """What of the ledger one person may read."""

    applications: frozenset[int]
    reads_the_rest: bool
    reads_all: bool

    def restrict(self, entries: QuerySet[LedgerEntry]) -> QuerySet[LedgerEntry]:
        if self.reads_all:
            return entries
        allowed = Q(application_id__in=self.applications)
        return entries.filter(allowed | Q(application_id=None) if self.reads_the_rest else allowed)


@dataclass(frozen=True)
class Filters:
    """What the reader looks for; empty values filter nothing."""

    text: str = ""
    action: str = ""
    actor_id: int | None = None
    application_id: int | None = None
    release_id: Any = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Part:
    """Some entries of a list, newest first, and whether there are more on either side."""

    entries: list[LedgerEntry]
    older: int | None
    newer: int | None


@dataclass(frozen=True)
class Proof:
    """How far one entry is proven: its own seal, its link, and its place in the first checkpoint that covers it.

    `state` is "verified", "broken" or "unchecked" (sealed, but under no checkpoint yet).
    """

    state: str
    text: str
    checkpoint: LedgerCheckpoint | None
    path: list[str]


@dataclass(frozen=True)
class Summary:
    """The state of the whole ledger."""

    entries: int
    checkpoint: LedgerCheckpoint | None
    verification: LedgerVerification | None


def scope_of(user: User) -> Scope:
    """What this person may read: the applications where they hold any role; a reader's role adds the rest."""
    held = user.held_roles
    read_in = {application for application, role in held if role in READERS}
    everywhere = bool(read_in) and not Application.objects.exclude(pk__in=read_in).exists()
    return Scope(frozenset(application for application, _role in held), bool(read_in), everywhere)


def filtered(scope: Scope, filters: Filters) -> QuerySet[LedgerEntry]:
    """The sealed entries that somebody may see and looks for, in no order yet."""
    entries = scope.restrict(LedgerEntry.objects.filter(sequence__isnull=False))
    exact = {
        "action": filters.action or None,
        "actor_id": filters.actor_id,
        "application_id": filters.application_id,
        "release_id": filters.release_id,
        "at__gte": filters.since,
        "at__lt": filters.until,
    }
    entries = entries.filter(**{name: value for name, value in exact.items() if value is not None})
    return _search(entries, filters.text.strip()) if filters.text.strip() else entries


def part(entries: QuerySet[LedgerEntry], *, before: int | None, after: int | None, size: int = 50) -> Part:
    """The entries older than `before`, or newer than `after`, or the newest; one query."""
    light = entries.defer("canonical", "previous", "document")
    if after is not None:
        rows = list(light.filter(sequence__gt=after).order_by("sequence")[: size + 1])
        more, rows = len(rows) > size, rows[:size][::-1]
        older, newer = bool(rows), more
    else:
        if before is not None:
            light = light.filter(sequence__lt=before)
        rows = list(light.order_by("-sequence")[: size + 1])
        older, rows = len(rows) > size, rows[:size]
        newer = before is not None and bool(rows)
    return Part(rows, rows[-1].sequence if older else None, rows[0].sequence if newer else None)


def every(entries: QuerySet[LedgerEntry]) -> Iterator[LedgerEntry]:
    """All of them, newest first, some at a time: for exports of any length."""
    rows = list(entries.order_by("-sequence")[:_EXPORT_BATCH])
    while rows:
        yield from rows
        last = rows[-1].sequence
        rows = list(entries.filter(sequence__lt=last).order_by("-sequence")[:_EXPORT_BATCH])


def known_actions() -> list[str]:
    """Each action that was ever taken, by jumps through the index: as many steps as there are actions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE known AS ((SELECT action FROM releases_ledgerentry ORDER BY action LIMIT 1) UNION ALL"
            " SELECT (SELECT action FROM releases_ledgerentry WHERE action > known.action ORDER BY action LIMIT 1)"
            " FROM known WHERE known.action IS NOT NULL) SELECT action FROM known WHERE action IS NOT NULL"
        )
        return [row[0] for row in cursor.fetchall()]


def summary() -> Summary:
    """The state of the whole ledger, in three queries."""
    finished = LedgerVerification.objects.filter(state__in=["passed", "failed"]).select_related("requested_by")
    return Summary(head_sequence(), LedgerCheckpoint.objects.order_by("-size").first(), finished.first())


def neighbours(entry: LedgerEntry) -> tuple[LedgerEntry | None, LedgerEntry | None]:
    """The entries right before and after in the chain, one query."""
    sequence = entry.sequence or 0
    rows = LedgerEntry.objects.filter(sequence__in=[sequence - 1, sequence + 1]).defer("document")
    found = {row.sequence: row for row in rows}
    return found.get(sequence - 1), found.get(sequence + 1)


def prove(entry: LedgerEntry, before: LedgerEntry | None) -> Proof:
    """Computes an entry's seal, its link to the one before, and its proof of inclusion, right now."""
    sequence = entry.sequence or 0
    previous, sealed = bytes(entry.previous or b""), bytes(entry.hash or b"")
    linked = bytes(before.hash or b"") if before else (GENESIS if sequence == 1 else b"")
    if seal_hash(previous, sequence, bytes(entry.canonical)) != sealed or previous != linked:
        text = "This entry's hash is not that of its bytes and of the entry before it. Verify the ledger."
        return Proof("broken", text, None, [])
    checkpoint = LedgerCheckpoint.objects.filter(size__gte=sequence).order_by("size").first()
    if checkpoint is None:
        text = "Sealed into the chain; the next checkpoint, within a minute or so, will cover it."
        return Proof("unchecked", text, None, [])
    try:
        path = Tree(checkpoint.size).inclusion(sequence)
        root = root_from_inclusion(sealed, sequence - 1, checkpoint.size, path)
    except (LedgerBroken, ValueError):
        path, root = [], b""
    if root != bytes(checkpoint.root):
        text = f"The checkpoint over {checkpoint.size} entries does not contain this entry. Verify the ledger."
        return Proof("broken", text, checkpoint, [])
    return Proof("verified", "", checkpoint, [node.hex() for node in path])


def _search(entries: QuerySet[LedgerEntry], text: str) -> QuerySet[LedgerEntry]:
    """Entries that say `text` anywhere; a whole hash or a number finds the entry of that hash or place as well."""
    entries = entries.alias(document_text=Cast("document", TextField()))
    wanted = (
        Q(action__icontains=text)
        | Q(actor_name__icontains=text)
        | Q(subject_type__icontains=text)
        | Q(subject_id__icontains=text)
        | Q(request_id=text)
        | Q(document_text__icontains=text)
    )
    if text.isascii() and text.isdigit() and int(text) < 2**63:
        wanted |= Q(sequence=int(text))
    if _HASH.match(text.lower()):
        wanted |= Q(hash=bytes.fromhex(text))
    return entries.filter(wanted)
