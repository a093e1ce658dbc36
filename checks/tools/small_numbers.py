"""Small numbers of documents, of which the proof says nothing: how many are masked, and how many stay in clear.

A number of so few digits is met by chance in any other place, masked or not, so looking for it would say nothing. What
can be said is which of them a mask replaces, by their keys, and which it leaves.
"""

import json
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.tools import column_texts, personal
from checks.tools.column_facts import Column
from checks.tools.inventory import InventoryEntry
from checks.tools.personal_names import NUMBER_NAME
from checks.tools.postgres import Connection

MOST_KEYS: Final = 8
#: Whether the key «key» names a number that tells something of a person, by the pattern «names».
NAMED: Final[LiteralString] = r"""(
    SELECT plain.snake ~ «names» AND plain.snake !~
        '^(is|has|can|allow|allows|show|hide|require|requires|enable|use|num|max|min|number_of)_'
    FROM (SELECT btrim(regexp_replace(lower(regexp_replace(«key», '([a-z0-9])([A-Z])', '\1_\2', 'g')),
        '[^a-z0-9]+', '_', 'g'), '_') AS snake) AS plain)"""
# Every leaf with its path, the last key on it, and whether it goes with what is around it, as pg_temp.document walks.
_NUMBERS: Final[LiteralString] = r"""
    WITH RECURSIVE rules AS MATERIALIZED (SELECT {rules}::jsonb AS of), parts AS (
        SELECT ''::text AS path, ''::text AS key, {document} AS part, false AS gone FROM {table} AS t
        WHERE {column} IS NOT NULL
        UNION ALL
        SELECT inside.path, inside.key, inside.part, parts.gone OR COALESCE(
            jsonb_typeof(parts.part) = 'object' AND (SELECT rules.of FROM rules) ->> parts.path = 'null', false)
        FROM parts CROSS JOIN LATERAL (
            SELECT CASE WHEN parts.path = '' THEN m.key ELSE parts.path || '.' || m.key END, m.key, m.value
            FROM jsonb_each(CASE WHEN jsonb_typeof(parts.part) = 'object' THEN parts.part ELSE '{{}}' END) AS m
            UNION ALL SELECT parts.path, regexp_replace(parts.path, '^.*\.', ''), e.value
            FROM jsonb_array_elements(CASE WHEN jsonb_typeof(parts.part) = 'array' THEN parts.part ELSE '[]' END) AS e
        ) AS inside(path, key, part) WHERE jsonb_typeof(parts.part) IN ('object', 'array')
    ), small AS (
        SELECT parts.path, parts.key, parts.part #>> '{{}}' AS number, parts.gone, COALESCE(rules.of ->> parts.path,
            rules.of ->> ('*.' || regexp_replace(parts.key, '^.*\.', '')), 'text') AS rule
        FROM parts CROSS JOIN rules
        WHERE CASE WHEN jsonb_typeof(parts.part) = 'number' THEN abs((parts.part #>> '{{}}')::numeric) < {least} END
    ), ruled AS (
        SELECT small.path, small.number, small.gone OR small.rule <> 'text' OR {every} OR COALESCE({named}, false)
            AS masked
        FROM small WHERE small.gone OR small.rule <> 'keep'
    )
    SELECT ruled.masked, count(DISTINCT ruled.number), (array_agg(DISTINCT ruled.path))[:{most}],
        count(DISTINCT ruled.path)
    FROM ruled GROUP BY 1 ORDER BY 1
"""


def not_looked_for(connection: Connection, column: Column, entry: InventoryEntry) -> list[dict[str, Any]]:
    """Rows of {column, reason, values} for ``leaks.Proof``: the distinct small numbers of a column of documents."""
    named = sql.SQL(NAMED.replace("«key»", "small.key").replace("«names»", "{}")).format(sql.Literal(NUMBER_NAME))
    name = sql.SQL("t.{}").format(column.identifier)
    query = sql.SQL(_NUMBERS).format(
        document=column_texts.document(column, name), table=column.table_identifier, column=name,
        rules=sql.Literal(json.dumps(entry.json_keys)), least=sql.Literal(column_texts.LEAST_NUMBER),
        every=sql.Literal(entry.mask != "json"), named=named, most=sql.Literal(MOST_KEYS),
    )  # fmt: skip
    return [
        {"column": column.label, "values": values, "reason": _MASKED if masked else _kept(paths, count)}
        for masked, values, paths, count in connection.execute(query).fetchall()
    ]


_MASKED: Final = (
    f"below {column_texts.LEAST_NUMBER:,} in documents that are masked by their keys, but not looked for:"
    " so short a number stands in many places by chance"
)


def _kept(paths: list[str], count: int) -> str:
    """What stays in clear, at which keys, and what would be needed for it to be masked."""
    keys = ", ".join(personal.told_path(path) or "the document itself" for path in paths)
    more = f" and {count - len(paths):,} more" if count > len(paths) else ""
    return (
        f"below {column_texts.LEAST_NUMBER:,} in documents that stay as they are, since no key of theirs names a"
        f" person's number: {keys}{more}; give such a key a mask in json_keys where it does"
    )
