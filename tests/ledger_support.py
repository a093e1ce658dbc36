"""What tests of the ledger share: writing real entries, and tampering as an owner of the database could."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from releases.domain import ledger
from releases.models import LedgerEntry, User


def write(count: int = 1, *, action: str = "test.happened", actor: User | None = None, **where: Any) -> None:
    """Writes `count` sealed entries: each commits, or is sealed at once where the test is one transaction itself."""
    for number in range(count):
        with transaction.atomic():
            ledger.append(action=action, actor=actor, document={"number": number, "text": "Grüße"}, **where)
        if connection.in_atomic_block:
            ledger.seal_now()


@contextmanager
def tampering() -> Iterator[Any]:
    """A cursor with all triggers off, which takes a superuser; what it does is committed."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield cursor
        cursor.execute("SET LOCAL session_replication_role = origin")


def chain() -> list[LedgerEntry]:
    """All sealed entries, first to last."""
    return list(LedgerEntry.objects.order_by("sequence"))
