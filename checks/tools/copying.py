"""COPY out of a database in large pieces.

psycopg hands over row by row, and waits for each: for short rows that takes longer than either server works on them.
"""

from collections.abc import Generator
from typing import Final

from psycopg import errors, pq, sql
from psycopg.abc import PQGen
from psycopg.waiting import Wait

from checks.tools.postgres import Connection

_PIECE: Final = 1 << 18


def pieces(connection: Connection, statement: sql.Composed) -> Generator[tuple[bytes, int], None, None]:
    """(bytes, rows in them) of a COPY ... TO STDOUT; the end of a binary one counts as a row.

    Close it when it is left before its end: that cancels the statement.
    """
    with connection.cursor().copy(statement):
        ended = False
        while not ended:
            content, rows, ended = connection.wait(_piece(connection.pgconn))
            if rows:
                yield content, rows


def _piece(server: pq.abc.PGconn) -> PQGen[tuple[bytes, int, bool]]:
    """Messages up to the size of a piece, joined, how many, and whether they were the last."""
    messages: list[memoryview] = []
    size = 0
    while size < _PIECE:
        length, message = server.get_copy_data(1)
        if length < 0:
            _conclude(server)
            return b"".join(messages), len(messages), True
        if length == 0:
            while not (yield Wait.R):
                continue
            server.consume_input()
        else:
            messages.append(message)
            size += length
    return b"".join(messages), len(messages), False


def _conclude(server: pq.abc.PGconn) -> None:
    """The server's last word on the statement: that it is done, or why it is not."""
    while (result := server.get_result()) is not None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result)
