"""The ledger's list as CSV and JSON, in pieces."""

import json
from collections.abc import Iterator
from typing import Any

from releases import spreadsheet
from releases.domain.canonical import at_text
from releases.models import LedgerEntry

COLUMNS = (
    "sequence",
    "at",
    "action",
    "actor_id",
    "actor_name",
    "subject_type",
    "subject_id",
    "application_id",
    "release_id",
    "request_id",
    "document",
    "hash",
)


def as_csv(entries: Iterator[LedgerEntry]) -> Iterator[bytes]:
    """One line for each entry; the document as JSON text."""
    rows = (_facts(entry) for entry in entries)
    document = ({**row, "document": json.dumps(row["document"], ensure_ascii=False, sort_keys=True)} for row in rows)
    yield from spreadsheet.lines(COLUMNS, document)


def as_json(entries: Iterator[LedgerEntry]) -> Iterator[bytes]:
    """One array of objects."""
    separator = "[\n"
    for entry in entries:
        yield (separator + json.dumps(_facts(entry), ensure_ascii=False)).encode()
        separator = ",\n"
    yield b"[]\n" if separator == "[\n" else b"\n]\n"


def _facts(entry: LedgerEntry) -> dict[str, Any]:
    return {
        **{name: getattr(entry, name) for name in COLUMNS},
        "at": at_text(entry.at),
        "release_id": str(entry.release_id) if entry.release_id else None,
        "hash": bytes(entry.hash or b"").hex(),
    }
