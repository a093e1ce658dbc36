"""The end of the transaction; and whether it came to that, where the connection is lost before the server answers."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import psycopg

from checks.errors import CheckError
from checks.tools.postgres import Connection, one

#: A server that waits for a standby goes on committing though its client is gone: until it has ended, nobody can say.
_DOUBT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.5


def commit(
    target: Connection,
    look: Callable[[], AbstractContextManager[Connection]],
    stands: Callable[[Connection], bool],
    unknown: CheckError,
    *,
    doubt_seconds: float = _DOUBT_SECONDS,
) -> None:
    """Commit; what goes wrong is raised only where nothing stands.

    ``look``: a new session of the same database. ``stands``: whether what was written is there, as that one sees it.
    ``unknown``: what is raised where nobody can say.
    """
    transaction = one(target, "SELECT pg_current_xact_id()::text")
    try:
        target.commit()
    except psycopg.OperationalError:
        if not _stands(look, stands, transaction, unknown, doubt_seconds):
            raise


def _stands(
    look: Callable[[], AbstractContextManager[Connection]],
    stands: Callable[[Connection], bool],
    transaction: str,
    unknown: CheckError,
    doubt_seconds: float,
) -> bool:
    until = time.monotonic() + doubt_seconds
    try:
        with look() as connection:
            while one(connection, "SELECT pg_xact_status(%s::xid8)", [transaction]) == "in progress":
                if time.monotonic() >= until:
                    raise CheckError("The server has still not ended it.")
                time.sleep(_PAUSE_SECONDS)
            return stands(connection)
    except (CheckError, psycopg.Error):
        raise unknown from None
