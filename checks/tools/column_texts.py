"""The texts of a column as SQL, one a row: as it is, element by element, or out of documents."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import sql

from checks.tools import byte_texts, document_keys
from checks.tools.column_facts import Column
from checks.tools.inventory import InventoryEntry

#: A number in a document that is at least so great may be somebody's: a telephone, a card, a birth date. Smaller ones
#: are versions, counts and choices, which an application does not work without.
LEAST_NUMBER: Final = 100_000


def looked_through(column: Column, own_words: Sequence[str]) -> sql.Composed:
    """The texts of a place as ``value``, with all keys of documents but these words of the plan's.

    ``common``: such a key is a word of the application, by how many documents have it.
    """
    if column.shape not in ("json", "parts"):
        return values(column)
    document_of = document(column, sql.SQL("t.{}").format(column.identifier))
    return sql.SQL(
        "SELECT leaves.value, false AS common FROM ({}) AS leaves"
        " UNION ALL SELECT k.key, {} FROM (SELECT e.key, count(*) AS times FROM ({}) AS e WHERE e.key <> ALL ({})"
        " GROUP BY 1) AS k"
    ).format(
        _leaves_of(column, None), document_keys.common("k.key", "k.times"), document_keys.every(column, document_of),
        sql.Literal(list(own_words)),
    )  # fmt: skip


def values(column: Column, entry: InventoryEntry | None = None) -> sql.Composed:
    """The texts of a column, one a row, as ``value``: elements of lists, texts and personal keys of documents, and
    stretches of text in bytes.

    Every name of ours is qualified, since the table's columns may be called anything.
    """
    name: sql.Composable = sql.SQL("t.{}").format(column.identifier)
    table = column.table_identifier
    if column.shape == "bytes":
        return byte_texts.values(column)
    if column.shape == "array":
        return sql.SQL("SELECT unnest({})::text AS value FROM {} AS t").format(name, table)
    if column.shape in ("json", "parts"):
        keys = document_keys.every(column, document(column, name))
        return sql.SQL("{} UNION ALL SELECT k.key FROM ({}) AS k WHERE {}").format(
            _leaves_of(column, entry), keys, document_keys.looks_personal("k.key")
        )
    if column.shape == "inet":
        # As the server prints it: its cast to text says /32 as well, which nobody writes.
        return sql.SQL("SELECT format('%s', {}) AS value FROM {} AS t WHERE {} IS NOT NULL").format(name, table, name)
    return sql.SQL("SELECT {}::text AS value FROM {} AS t").format(name, table)


def _leaves_of(column: Column, entry: InventoryEntry | None) -> sql.Composed:
    """The texts and numbers of documents as ``value``."""
    name = document(column, sql.SQL("t.{}").format(column.identifier))
    # Where documents are masked, their small numbers stay, so those are not looked for.
    small = column.shape == "json" and entry is not None
    kept, unless = _kept(name, entry.json_keys if entry else {})
    return sql.SQL(
        "SELECT parts.part #>> '{{}}' AS value"
        " FROM {table} AS t{kept}, jsonb_path_query({name}, 'strict $.**') AS parts(part) WHERE {leaves}{unless}"
    ).format(table=column.table_identifier, name=name, kept=kept, unless=unless, leaves=_leaves(but_small=small))


def numbers(column: Column) -> sql.Composed:
    """The numbers of documents that are masked whatever their keys are, one a row, as ``value``."""
    return sql.SQL(
        "SELECT parts.part #>> '{{}}' AS value FROM {} AS t, jsonb_path_query({}, 'strict $.**') AS parts(part)"
        " WHERE {}"
    ).format(column.table_identifier, document(column, sql.SQL("t.{}").format(column.identifier)), _great())


def _great() -> sql.Composed:
    return sql.SQL(
        "CASE WHEN jsonb_typeof(parts.part) = 'number' THEN abs((parts.part #>> '{{}}')::numeric) >= {} ELSE false END"
    ).format(sql.Literal(LEAST_NUMBER))


def _leaves(*, but_small: bool) -> sql.Composable:
    """Which parts of a document are told; all numbers, or all but small ones."""
    if not but_small:
        return sql.SQL("jsonb_typeof(parts.part) IN ('string', 'number')")
    return sql.SQL("(jsonb_typeof(parts.part) = 'string' OR {})").format(_great())


def document(column: Column, name: sql.Composable) -> sql.Composable:
    """A column of documents or of parts as jsonb, so that each text in it is found as one."""
    if column.shape == "json":
        return sql.SQL("{}::jsonb").format(name)
    if column.type == "tsvector":
        return sql.SQL("to_jsonb(tsvector_to_array({}))").format(name)
    if column.type == "ltree":
        return sql.SQL("to_jsonb(replace({}::text, '.', ' '))").format(name)
    return sql.SQL("to_jsonb({})").format(name)


def _kept(document: sql.Composable, rules: Mapping[str, str]) -> tuple[sql.Composable, sql.Composable]:
    """A join that gives the parts of each document which its rules keep, and the condition that leaves them out.

    A value that stands in the same document under a key that is kept as well is there to be found, so it is not looked
    for. What a rule for one path masks although one for any path keeps it is.
    """
    keeping = [path for path, mask in rules.items() if mask == "keep"]
    if not keeping:
        return sql.SQL(""), sql.SQL("")
    masked = [path for path, mask in rules.items() if mask != "keep" and f"*.{path.rpartition('.')[2]}" in keeping]

    def parts(paths: list[str]) -> sql.Composed:
        query = "SELECT jsonb_path_query({}, {}::jsonpath)"
        each = [sql.SQL(query).format(document, sql.Literal(_json_path(path))) for path in paths]
        return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(each))

    query = parts(keeping) if not masked else sql.SQL("{} EXCEPT {}").format(parts(keeping), parts(masked))
    join = sql.SQL(" CROSS JOIN LATERAL (SELECT ARRAY({}) AS parts) AS kept").format(query)
    return join, sql.SQL(" AND parts.part <> ALL (kept.parts)")


def _json_path(path: str) -> str:
    """'contact.email' and '*.email' -> what jsonpath calls it; lists on the way are looked into."""
    steps = [".**" if step == "*" else f".{json.dumps(step)}" for step in path.split(".")]
    return f"lax ${''.join(steps)}[*]"
