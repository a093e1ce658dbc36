"""Tables as CSV (RFC 4180). What begins like a formula, a spreadsheet would run; an apostrophe keeps it text."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any) -> str:
    """``value`` as text: nothing for None, ISO 8601 for moments, parts of a list after semicolons; safe to open."""
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    text = "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def line(values: Iterable[Any]) -> bytes:
    """One line, UTF-8."""
    out = io.StringIO()
    csv.writer(out).writerow([cell(value) for value in values])
    return out.getvalue().encode()


def lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The names of the columns, then each row as it comes; what a row holds besides is left out."""
    yield line(columns)
    for row in rows:
        yield line(row.get(name) for name in columns)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return not text.startswith(("\t", "\r"))
