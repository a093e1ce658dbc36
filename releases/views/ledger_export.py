"""The ledger's list as CSV and JSON, in pieces."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

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
# A cell that begins like this is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(entries: Iterator[LedgerEntry]) -> Iterator[bytes]:
    """One line for each entry; the document as JSON text; texts that look like formulas get an apostrophe."""
    yield _csv_line(list(COLUMNS))
    for entry in entries:
        facts = _facts(entry)
        facts["document"] = json.dumps(facts["document"], ensure_ascii=False, sort_keys=True)
        yield _csv_line([cell(facts[name]) for name in COLUMNS])


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


def cell(value: Any) -> str:
    """A value for a spreadsheet; what looks like a formula gets an apostrophe."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().encode()
