"""Reading the chain in its order, in batches, with the same memory however long it is."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import rfc8785
from django.db import connection

from releases.domain.canonical import at_text
from releases.verify_ledger import Entry

BATCH = 2_000
_COLUMNS = (
    "at, actor_id, actor_name, action, subject_type, subject_id, application_id, release_id, request_id, document::text"
)


class Columns(NamedTuple):
    """What the columns of an entry say, beside its canonical bytes."""

    at: datetime
    actor_id: int | None
    actor_name: str
    action: str
    subject_type: str
    subject_id: str
    application_id: int | None
    release_id: UUID | None
    request_id: str
    document: str

    def facts(self) -> dict[str, Any]:
        """The facts that the canonical bytes must spell."""
        return {
            "action": self.action,
            "actor_id": self.actor_id,
            "actor_name": self.actor_name,
            "application_id": self.application_id,
            "at": at_text(self.at),
            "document": json.loads(self.document, parse_int=_number),
            "release_id": str(self.release_id) if self.release_id else None,
            "request_id": self.request_id,
            "subject_id": self.subject_id,
            "subject_type": self.subject_type,
            "v": 1,
        }


def head_sequence() -> int:
    """How many entries are sealed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(sequence), 0) FROM releases_ledgerentry")
        return int(cursor.fetchone()[0])


def read_entries(*, after: int, until: int) -> Iterator[Entry]:
    """The entries with `after` < sequence <= `until`, in order."""
    for batch in _batches("", after, until):
        for row in batch:
            yield _entry(row)


def read_rows(*, after: int, until: int) -> Iterator[tuple[Entry, Columns]]:
    """The same entries with their columns."""
    for batch in _batches(f", {_COLUMNS}", after, until):
        for row in batch:
            yield _entry(row), Columns(*row[4:])


def disagreeing(canonical: bytes, columns: Columns) -> list[str]:
    """The names of the columns that do not say what the canonical bytes say; empty where they agree.

    Bytes that are not the canonical spelling of their facts answer ["canonical"].
    """
    facts = columns.facts()
    quick = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if quick.encode("utf-8", "replace") == canonical:
        return []
    try:
        if rfc8785.dumps(facts) == canonical:
            return []
        sealed = json.loads(canonical)
        wrong = [key for key, value in facts.items() if rfc8785.dumps(value) != rfc8785.dumps(sealed.get(key))]
    except (ValueError, AttributeError, rfc8785.CanonicalizationError):
        return ["canonical"]
    return wrong or ["canonical"]


def _number(text: str) -> int | float:
    number = int(text)
    return number if abs(number) < 2**53 else float(text)


def _batches(columns: str, after: int, until: int) -> Iterator[list[tuple[Any, ...]]]:
    query = (
        f"SELECT sequence, canonical, previous, hash{columns} FROM releases_ledgerentry"  # noqa: S608 - constants only
        " WHERE sequence > %s AND sequence <= %s ORDER BY sequence LIMIT %s"
    )
    while after < until:
        with connection.cursor() as cursor:
            cursor.execute(query, [after, until, BATCH])
            batch = cursor.fetchall()
        if not batch:
            return
        yield batch
        after = batch[-1][0]


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(row[0], bytes(row[1]), bytes(row[2] or b""), bytes(row[3] or b""))
