"""The columns of a database, as far as looking for personal data and masking it need to know them."""

from dataclasses import dataclass
from typing import Literal, LiteralString

from psycopg import sql

from checks.tools.postgres import Connection

#: What a column's values can be taken for. ``text``, ``json``, ``array`` (of texts) and ``parts`` are looked into.
#: ``bytes`` are looked through for stretches of text. ``parts``: a type that can hold texts without being one, such as
#: a composite type, a list of documents, a range, a search index or a type of an extension. ``other``: one that can
#: hold none.
Shape = Literal["text", "json", "array", "parts", "inet", "bytes", "date", "time", "number", "other"]
#: Truth, choices of the schema's own, times, intervals, bits: by PostgreSQL's category of the type.
_WORDLESS_CATEGORIES = "BEDTV"
_WORDLESS = {
    "uuid", "pg_lsn", "xid", "xid8", "cid", "tid", "pg_snapshot", "txid_snapshot", "char",
    "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
    "int4multirange", "int8multirange", "nummultirange", "tsmultirange", "tstzmultirange", "datemultirange",
}  # fmt: skip

_COLUMNS: LiteralString = """
    WITH RECURSIVE base AS (
        SELECT oid AS type, oid AS root, typtypmod AS modifier FROM pg_catalog.pg_type WHERE typtype <> 'd'
        UNION ALL
        SELECT d.oid, b.root, CASE WHEN d.typtypmod >= 0 THEN d.typtypmod ELSE b.modifier END
        FROM pg_catalog.pg_type d JOIN base b ON b.type = d.typbasetype WHERE d.typtype = 'd'
    )
    SELECT n.nspname, c.relname, a.attname, t.typname, t.typcategory::text, COALESCE(e.typcategory::text, ''),
           a.attnotnull, a.attgenerated <> '' OR a.attidentity = 'a',
           CASE WHEN t.typname IN ('varchar', 'bpchar')
                THEN NULLIF(CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE b.modifier END, -1) - 4 END,
           EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique
                   AND (a.attnum = ANY (i.indkey::int2[]) OR EXISTS (
                        SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                        AND d.objid = i.indexrelid AND d.refobjid = c.oid AND d.refobjsubid = a.attnum))),
           GREATEST(c.reltuples, 0)::bigint, pg_relation_size(c.oid)::bigint, c.relkind::text
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN base b ON b.type = a.atttypid
    JOIN pg_catalog.pg_type t ON t.oid = b.root
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typelem <> 0 AND t.typcategory = 'A'
    WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2, a.attnum
"""


@dataclass(frozen=True)
class Column:
    """One column. ``limit``: the most characters it takes, None without one. ``unique``: part of a unique index.

    ``computed``: generated, or an identity that cannot be written. ``rows`` is the server's estimate.
    """

    schema: str
    table: str
    name: str
    type: str
    shape: Shape
    not_null: bool
    computed: bool
    limit: int | None
    unique: bool
    rows: int
    size: int
    relation: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.schema, self.table, self.name

    @property
    def label(self) -> str:
        """'table.column', with the schema where it is not ``public``."""
        return f"{self.table_label}.{self.name}"

    @property
    def table_label(self) -> str:
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    @property
    def table_identifier(self) -> sql.Composable:
        """The table with its partitions, but without tables that inherit from it: those are listed themselves."""
        name = sql.Identifier(self.schema, self.table)
        return name if self.relation == "p" else sql.SQL("ONLY {}").format(name)


def columns(connection: Connection) -> list[Column]:
    """Every column of every ordinary, partitioned and foreign table, by table and position."""
    found = []
    for schema, table, name, kind, category, element, *rest in connection.execute(_COLUMNS).fetchall():
        found.append(Column(schema, table, name, kind, shape_of(kind, category, element), *rest))
    return found


def shape_of(kind: str, category: str, element: str) -> Shape:
    """The shape of a type by its name, its category and that of its elements, "" where it has none.

    What is not known to be wordless is looked into: a type nobody thought of must not hide a name.
    """
    if kind in ("json", "jsonb"):
        return "json"
    if kind == "xml" or kind == "hstore" or category == "S":
        return "text"
    if category == "A" and element == "S":
        return "array"
    if category == "I" or kind.startswith("macaddr"):
        return "inet"
    if kind in ("bytea", "_bytea"):
        return "bytes"
    if kind == "date":
        return "date"
    if kind.startswith("timestamp"):
        return "time"
    if category == "N" and not kind.startswith("reg"):
        return "number"
    wordless = (element or category) in _WORDLESS_CATEGORIES or kind.removeprefix("_") in _WORDLESS
    return "other" if wordless or kind.removeprefix("_").startswith("reg") else "parts"


def by_table(found: list[Column]) -> dict[tuple[str, str], list[Column]]:
    """(schema, table) -> its columns."""
    tables: dict[tuple[str, str], list[Column]] = {}
    for column in found:
        tables.setdefault((column.schema, column.table), []).append(column)
    return tables
