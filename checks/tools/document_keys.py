"""Keys of documents that are somebody's data: as SQL which ones they are, and what a mask makes of them.

A key is masked that looks like an address, a telephone number or a name, or that is a masked value of another place.
A short word that is a key of many documents is taken for the application's own, and so is one that ``json_keys`` name.
"""

from collections.abc import Iterable
from typing import Final, LiteralString

from psycopg import sql

from checks.tools.column_facts import Column
from checks.tools.given_names import GIVEN_NAMES
from checks.tools.inventory import InventoryEntry
from checks.tools.postgres import Connection, one

#: A word that is a key more often than this is one of the application's.
MANY: Final = 20
_PHONE: Final[LiteralString] = (
    "({0} ~ '^([+]|00|[(]?0)[0-9(][0-9 ()./-]{{5,18}}[0-9]$'"
    " AND length(regexp_replace({0}, '[^0-9]', '', 'g')) BETWEEN 8 AND 15"
    " AND {0} !~ '^[0-9]{{1,4}}[-./][0-9]{{1,2}}[-./][0-9]{{1,4}}$')"
)
_NAME: Final[LiteralString] = (
    "({0} ~ '^[[:alpha:]]+([ -][[:alpha:]][[:alpha:].''’-]*){{1,3}}$' AND length({0}) <= 60"
    " AND lower(split_part(translate({0}, '-', ' '), ' ', 1)) = ANY ({1}))"
)
_COMMON: Final[LiteralString] = (
    "({times} > {many} AND {key} ~ '^[[:alnum:]_-]+$' AND NOT ({key} ~ '[0-9]' AND length({key}) >= 8))"
)


def looks_personal(key: LiteralString) -> sql.Composed:
    """A condition on the key of that name."""
    return sql.SQL("({} OR {} OR {})").format(sql.SQL(key + " ~ '@'"), phone(key), _name(key))


def phone(key: LiteralString) -> sql.Composed:
    return sql.SQL(_PHONE).format(sql.SQL(key))


def _name(key: LiteralString) -> sql.Composed:
    return sql.SQL(_NAME).format(sql.SQL(key), sql.Literal(sorted(GIVEN_NAMES)))


def common(key: LiteralString, times: LiteralString) -> sql.Composed:
    """Whether a key is a word of the application, by how often it is one."""
    return sql.SQL(_COMMON).format(key=sql.SQL(key), times=sql.SQL(times), many=sql.Literal(MANY))


def named(entries: Iterable[InventoryEntry]) -> list[str]:
    """Keys that the plan itself names."""
    return sorted({step for entry in entries for path in entry.json_keys for step in path.split(".") if step != "*"})


def every(column: Column, document: sql.Composable) -> sql.Composed:
    """Each key of each document, one a row, as ``key``. ``document``: the column as jsonb, of the table ``t``."""
    return sql.SQL(
        "SELECT keys.key FROM {} AS t, jsonb_path_query({}, 'strict $.**') AS parts(part),"
        " jsonb_object_keys(CASE WHEN jsonb_typeof(parts.part) = 'object' THEN parts.part ELSE '{{}}' END) AS keys(key)"
    ).format(column.table_identifier, document)


def prepare(connection: Connection, keys: list[sql.Composed], own_words: list[str]) -> bool:
    """Gather the keys that may have to be masked; False where there is none. ``keys``: of each masked column."""
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE gonogo_candidate AS SELECT e.key, count(*) AS times FROM ({}) AS e"
            " WHERE length(e.key) >= 4 AND e.key <> ALL ({}) AND e.key !~ '@' GROUP BY 1"
        ).format(sql.SQL(" UNION ALL ").join(keys), sql.Literal(own_words))
    )
    connection.execute(sql.SQL("DELETE FROM pg_temp.gonogo_candidate WHERE {}").format(common("key", "times")))
    return bool(one(connection, "SELECT EXISTS (SELECT FROM pg_temp.gonogo_candidate)"))


def mask_equal(connection: Connection, values: sql.Composed, function: LiteralString) -> None:
    """Keys that are one of these values, in whatever case, get what the function makes of them."""
    connection.execute(
        sql.SQL(
            "INSERT INTO pg_temp.gonogo_key SELECT c.key, {}(c.key) FROM pg_temp.gonogo_candidate AS c"
            " WHERE lower(c.key) IN (SELECT lower(v.value) FROM ({}) AS v WHERE v.value IS NOT NULL)"
            " ON CONFLICT DO NOTHING"
        ).format(sql.SQL(function), values)
    )


def mask_personal(connection: Connection) -> None:
    """Keys that look like somebody's; and no two keys become one, or a document would lose what stands under them."""
    connection.execute(
        sql.SQL(
            "INSERT INTO pg_temp.gonogo_key SELECT c.key, CASE WHEN {} THEN pg_temp.phone(c.key)"
            " ELSE pg_temp.name(c.key) END FROM pg_temp.gonogo_candidate AS c WHERE {} ON CONFLICT DO NOTHING"
        ).format(phone("c.key"), looks_personal("c.key"))
    )
    connection.execute(
        "UPDATE pg_temp.gonogo_key AS k SET masked = k.masked || ' ' || p.place FROM (SELECT value,"
        " row_number() OVER (PARTITION BY masked ORDER BY value) AS place FROM pg_temp.gonogo_key) AS p"
        " WHERE p.value = k.value AND p.place > 1"
    )
    connection.execute("ANALYZE pg_temp.gonogo_key")
