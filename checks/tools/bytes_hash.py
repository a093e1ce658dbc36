"""SQL of a 64-bit hash of bytes under a seed, with one value on every server that this program works with."""

from typing import Final

from psycopg import sql
from psycopg.sql import SQL, Composable

#: From here on there is a function for it. Before, bytes can only be hashed as the elements of a list, whose hash is 31
#: and that of its only element.
HASHES_BYTES: Final = 180000


def of(value: Composable, seed: int, server: int) -> Composable:
    """``server``: the version of the one that is asked, or the oldest of those that are asked alike."""
    return SQL("{}{}{}").format(opening(value, server), sql.Literal(seed), closing(server))


def opening(value: Composable, server: int) -> Composable:
    """The hash up to its seed."""
    if server >= HASHES_BYTES:
        return SQL("hashbyteaextended({}, ").format(value)
    return SQL("(hash_array_extended(ARRAY[{}], ").format(value)


def closing(server: int) -> SQL:
    return SQL(")") if server >= HASHES_BYTES else SQL(") - 31)")
