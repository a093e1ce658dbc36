"""The proof that nothing masked is left: no distinct value of a masked column occurs in any text of the clone.

Both sides hash their own values with a random key of the run; hashes travel, values never do. Exact, not sampled: every
distinct value is looked for as a whole value of every text-like column, as a text inside of documents and lists, and,
where it is distinctive, as one to four words inside of longer texts.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.kinds.base import RunContext
from checks.tools import column_facts as catalog
from checks.tools import sampling
from checks.tools.background import patiently
from checks.tools.column_facts import Column
from checks.tools.inventory import InventoryEntry, PrivacySection
from checks.tools.postgres import Address, Connection, connected

#: A value shorter than this says nothing about anybody when it is met elsewhere.
SHORTEST: Final = 4
#: More than so many words are looked for as a whole only.
MOST_WORDS: Final = 4
_LOOKED_INTO: Final = ("text", "json", "array", "inet")
_PROVABLE: Final = (*_LOOKED_INTO, "number")

# One form for both sides: lower case, words parted by single spaces, punctuation at their ends dropped.
_FORM: Final[LiteralString] = (
    "regexp_replace(btrim(regexp_replace(lower({}), '[^[:alnum:]@._+''-]+', ' ', 'g'), ' ._+''-'),"
    " '[._+''-]*( [._+''-]*)+', ' ', 'g')"
)
_HASH: Final[LiteralString] = "substr(sha256({} || convert_to({}, 'UTF8')), 1, 16)"


@dataclass
class Proof:
    """``leaks``: rows of {table, column, found_table, found_column, values}.

    ``not_provable``: rows of {column, reason, values}; ``values`` is None where all of the column is meant.
    ``compared``: distinct values that were looked for; ``places``: text-like columns that were looked through.
    """

    leaks: list[dict[str, Any]] = field(default_factory=list)
    not_provable: list[dict[str, Any]] = field(default_factory=list)
    compared: int = 0
    places: int = 0


@dataclass(frozen=True)
class _Source:
    number: int
    column: Column
    entry: InventoryEntry


def prove(
    context: RunContext,
    *,
    source: Address,
    clone: Address,
    section: PrivacySection,
    statement_timeout: timedelta,
    progress: Callable[[str, int, int], None] | None = None,
) -> Proof:
    """Compare ``source`` (read-only) with ``clone``, on any two servers."""
    proof = Proof()
    salt = secrets.token_bytes(32)
    with connected(source, what="the original") as original, connected(clone, what="the clone") as copy:
        sampling.read_only(original, statement_timeout)
        copy.execute(
            "CREATE TEMPORARY TABLE gonogo_source (number integer, hash bytea, words integer, own boolean,"
            " inside boolean)"
        )
        sources = _sources(catalog.columns(original), section, proof)
        for index, each in enumerate(sources):
            if progress is not None:
                progress(f"hashing {each.column.label}", index, 2 * len(sources))
            _bring(context, original, copy, each, salt, proof)
        patiently(context, copy, lambda: _prepare(copy))
        places = [column for column in catalog.columns(copy) if column.shape in _PROVABLE and column.relation != "f"]
        proof.places = len(places)
        for index, place in enumerate(places):
            if progress is not None:
                progress(f"looking through {place.label}", len(places) + index, 2 * len(places))
            _look_through(context, copy, place, sources, salt, proof)
    return proof


def _sources(found: list[Column], section: PrivacySection, proof: Proof) -> list[_Source]:
    entries = section.by_column()
    masked = [(column, entries[column.key]) for column in found if column.key in entries]
    sources: list[_Source] = []
    for column, entry in masked:
        if entry.mask == "keep" or column.relation == "f":
            continue
        if column.shape not in _PROVABLE:
            proof.not_provable.append(
                {"column": column.label, "values": None, "reason": f"values of type {column.type} are no texts"}
            )
            continue
        sources.append(_Source(len(sources), column, entry))
    return sources


def _bring(
    context: RunContext, original: Connection, copy: Connection, source: _Source, salt: bytes, proof: Proof
) -> None:
    """Hash the distinct values of one column where they are, and bring the hashes over."""
    column = source.column
    query = sql.SQL(
        "WITH every AS (SELECT {form} AS form FROM ({values}) AS v WHERE v.value IS NOT NULL),"
        " counted AS (SELECT form, count(*) AS times, (SELECT count(*) FROM every) AS total FROM every"
        " WHERE form <> '' GROUP BY form)"
        " SELECT {number}, {hash}, 1 + length(form) - length(replace(form, ' ', '')),"
        " form !~ '@' AND (times > greatest(20, total / 100) OR form ~ '^[0-9 .-]{{1,6}}$'),"
        " form ~ '@' OR form ~ ' ' OR (form ~ '[0-9]' AND length(form) >= 8)"
        " FROM counted WHERE length(form) >= {shortest}"
    ).format(
        form=sql.SQL(_FORM).format(sql.SQL("v.value")),
        values=_values(column, source.entry),
        number=sql.Literal(source.number),
        hash=sql.SQL(_HASH).format(sql.Literal(salt), sql.SQL("form")),
        shortest=sql.Literal(SHORTEST),
    )
    statement = sql.SQL("COPY ({}) TO STDOUT").format(query)
    with (
        original.cursor() as reading,
        copy.cursor() as writing,
        reading.copy(statement) as blocks,
        writing.copy("COPY pg_temp.gonogo_source FROM STDIN") as target,
    ):
        for block in blocks:
            context.check()
            target.write(block)
    short = original.execute(
        sql.SQL("SELECT count(DISTINCT v.value) FROM ({}) AS v WHERE length({}) BETWEEN 1 AND {}").format(
            _values(column, source.entry), sql.SQL(_FORM).format(sql.SQL("v.value")), sql.Literal(SHORTEST - 1)
        )
    ).fetchone()
    if short and short[0]:
        proof.not_provable.append(
            {"column": column.label, "values": short[0], "reason": f"shorter than {SHORTEST} characters"}
        )
    told = copy.execute(
        "SELECT count(*), count(*) FILTER (WHERE own) FROM pg_temp.gonogo_source WHERE number = %s", [source.number]
    ).fetchone()
    assert told is not None
    proof.compared += told[0]
    if told[1]:
        reason = "so common or so short a number that they are looked for in their own column only"
        proof.not_provable.append({"column": column.label, "values": told[1], "reason": reason})


def _values(column: Column, entry: InventoryEntry | None = None) -> sql.Composed:
    """The texts of a column, one a row, as ``value``: elements of lists, and texts and odd keys of documents."""
    name, table = column.identifier, column.table_identifier
    if column.shape == "array":
        return sql.SQL("SELECT unnest({})::text AS value FROM {}").format(name, table)
    if column.shape == "json":
        document: sql.Composable = sql.SQL("{}::jsonb").format(name)
        for path, mask in (entry.json_keys if entry else {}).items():
            if mask == "keep" and "*" not in path:
                document = sql.SQL("({} #- {})").format(document, sql.Literal(path.split(".")))
        return sql.SQL(
            "SELECT j #>> '{{}}' AS value FROM {table}, jsonb_path_query({document}, 'strict $.**') AS j"
            " WHERE jsonb_typeof(j) = 'string' UNION ALL"
            " SELECT k.key FROM {table}, jsonb_path_query({document}, 'strict $.**') AS j,"
            " jsonb_object_keys(CASE WHEN jsonb_typeof(j) = 'object' THEN j ELSE '{{}}' END) AS k(key)"
            " WHERE k.key ~ '@'"
        ).format(table=table, document=document)
    return sql.SQL("SELECT {}::text AS value FROM {}").format(name, table)


def _prepare(copy: Connection) -> None:
    copy.execute("CREATE INDEX ON pg_temp.gonogo_source USING hash (hash)")
    copy.execute("ANALYZE pg_temp.gonogo_source")


def _look_through(
    context: RunContext, copy: Connection, place: Column, sources: list[_Source], salt: bytes, proof: Proof
) -> None:
    """Which masked columns have values in this column of the clone, and how many distinct ones."""
    own = next((source.number for source in sources if source.column.key == place.key), -1)
    form = sql.SQL(_FORM).format(sql.SQL("v.value"))
    pieces: sql.Composable = sql.SQL("")
    if place.shape != "number":
        pieces = sql.SQL(
            " UNION SELECT {hash}, true FROM (SELECT DISTINCT array_to_string(words[i : i + n - 1], ' ') AS piece"
            " FROM (SELECT string_to_array(form, ' ') AS words FROM forms WHERE form ~ ' ') AS parted,"
            " generate_subscripts(words, 1) AS i, generate_series(1, {most}) AS n"
            " WHERE i + n - 1 <= cardinality(words) AND n < cardinality(words)) AS p WHERE length(piece) >= {shortest}"
        ).format(
            hash=sql.SQL(_HASH).format(sql.Literal(salt), sql.SQL("piece")),
            most=sql.Literal(MOST_WORDS),
            shortest=sql.Literal(SHORTEST),
        )
    query = sql.SQL(
        "WITH forms AS (SELECT DISTINCT {form} AS form FROM ({values}) AS v WHERE v.value IS NOT NULL),"
        " hashes AS (SELECT {hash} AS hash, false AS inside FROM forms WHERE length(form) >= {shortest}{pieces})"
        " SELECT s.number, count(DISTINCT s.hash) FROM hashes h JOIN pg_temp.gonogo_source s USING (hash)"
        " WHERE (s.inside OR NOT h.inside) AND (NOT s.own OR s.number = {own} AND NOT h.inside) GROUP BY 1 ORDER BY 1"
    ).format(
        form=form,
        values=_values(place),
        hash=sql.SQL(_HASH).format(sql.Literal(salt), sql.SQL("form")),
        shortest=sql.Literal(SHORTEST),
        pieces=pieces,
        own=sql.Literal(own),
    )
    for number, values in patiently(context, copy, lambda: copy.execute(query).fetchall()):
        source = sources[number].column
        proof.leaks.append(
            {
                "table": source.table_label,
                "column": source.name,
                "found_table": place.table_label,
                "found_column": place.name,
                "values": values,
            }
        )
