"""Canonical bytes: the one spelling of some facts, so that a digest of them means something (RFC 8785)."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final
from uuid import UUID

import rfc8785

from releases.errors import LedgerMisuse


def at_text(moment: datetime) -> str:
    """A moment in UTC with microseconds, as `2026-01-31T09:05:00.000001Z`. LedgerMisuse: it has no zone."""
    if moment.tzinfo is None:
        raise LedgerMisuse(f"The time {moment.isoformat()} has no zone. Nothing was written; give it in UTC.")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain(value: Any) -> Any:
    """The same facts in what JSON knows: moments become UTC texts, UUIDs and decimals texts, enums their values.

    LedgerMisuse names the type that has no such form, a text with a NUL, or a number that JSON cannot carry exactly.
    """
    for kind, rule in _RULES:
        if isinstance(value, kind):
            return rule(value)
    if type(value).__name__ == "__proxy__":  # a translated text of Django, which becomes a text when it is read
        return _plain_text(str(value))
    raise LedgerMisuse(f"The ledger cannot hold a {type(value).__name__}. Nothing was written; give its plain facts.")


def canonical_json(value: Any) -> bytes:
    """RFC 8785 JSON of the facts in UTF-8. LedgerMisuse: see `plain`."""
    return rfc8785.dumps(plain(value))


def digest(value: Any) -> str:
    """SHA-256 of the canonical bytes of some facts, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _plain_text(value: str) -> str:
    if "\x00" in value:
        raise LedgerMisuse("A text holds a NUL character, which the database cannot keep. Nothing was written.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise LedgerMisuse("A text holds half a character (a lone surrogate). Nothing was written.") from error
    return str(value)


def _plain_float(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise LedgerMisuse(f"The number {value} has no place in JSON. Nothing was written; leave it out or say why.")
    return float(value)


def _plain_integer(value: int) -> int:
    if abs(value) >= 2**53:
        raise LedgerMisuse(f"The number {value} is beyond 2^53. Nothing was written; give it as a text.")
    return int(value)


def _plain_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {_plain_text(str(key)): plain(item) for key, item in value.items()}


def _plain_list(value: Iterable[Any]) -> list[Any]:
    return [plain(item) for item in value]


def _plain_set(value: Iterable[Any]) -> list[Any]:
    return sorted((plain(item) for item in value), key=str)


# In this order: an enum may be a text as well, a bool is an int, a datetime is a date.
_RULES: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...]] = (
    (Enum, lambda value: plain(value.value)),
    (str, _plain_text),
    ((bool, NoneType), lambda value: value),
    (int, _plain_integer),
    (float, _plain_float),
    (Mapping, _plain_mapping),
    ((list, tuple), _plain_list),
    ((set, frozenset), _plain_set),
    (datetime, at_text),
    (date, date.isoformat),
    (timedelta, timedelta.total_seconds),
    ((UUID, Decimal), str),
)
