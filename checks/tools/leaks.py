"""The proof that nothing masked is left: no distinct value of a masked column occurs in any text of the clone.

Both sides hash their own values, 128 bits with random seeds of the run; hashes travel, values never do. Exact, not
sampled: every distinct value is looked for as a whole value of every text-like column, as a text inside of documents
and lists, and, where it is distinctive, as one to four words inside of longer texts. Those are cut only at words with
which such values begin, so most of their words are asked for once.
"""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, LiteralString

from psycopg import errors, sql

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import byte_texts, column_texts, document_keys, sampling, small_numbers
from checks.tools import column_facts as catalog
from checks.tools.background import patiently
from checks.tools.column_facts import Column
from checks.tools.inventory import InventoryEntry, PrivacySection
from checks.tools.postgres import Address, Connection, connected, one

#: A value shorter than this says nothing about anybody when it is met elsewhere.
SHORTEST: Final = 4
#: More than so many words are looked for as a whole only.
MOST_WORDS: Final = 4
_LOOKED_INTO: Final = ("text", "json", "array", "parts", "inet")
_PROVABLE: Final = (*_LOOKED_INTO, "number")
#: Where values are looked for. Bytes hold none that could be looked for as a whole, but may hold those of others.
_PLACES: Final = (*_PROVABLE, "bytes")

# One form for both sides: lower case, words parted by single spaces, punctuation at their ends dropped.
_FORM: Final[LiteralString] = (
    "btrim(CASE WHEN {0}{1} ~ '[^[:alnum:]@ ]|  ' THEN regexp_replace(lower({0}{1}),"
    " '[._+''-]*[^[:alnum:]@._+''-][^[:alnum:]@]*', ' ', 'g') ELSE lower({0}{1}) END, ' ._+''-')"
)
#: What is a letter, and which one is small, by Unicode and not by the locale of each database; since PostgreSQL 17.
_COLLATION: Final[LiteralString] = " COLLATE pg_catalog.pg_c_utf8"
#: Plans compiled or dealt out to workers do not help, sorts on disk hurt.
_SESSION: Final = {"jit": "off", "work_mem": "64MB"}
#: What both servers must hash equally, or a value could be missed.
_PROBE: Final = "The quick brown fox, “ŽLUŤOUČKÝ kůň”, 1234567890"


#: Masks that make digits of digits at random; whatever else is met of a short number was not masked.
_RANDOM_DIGITS: Final = ("shape", "json")
#: How likely one masked number becomes this one: see ``digits`` in ``pseudonyms``, which makes ten digits of sixteen.
#: An eight in front may have been a zero.
_CHANCE: Final[LiteralString] = (
    "(CASE WHEN form ~ '^8' THEN 1.5 ELSE 1 END * 0.125 ^ length(translate(form, '0357 .-', ''))"
    " * 0.0625 ^ length(regexp_replace(form, '[^0357]', '', 'g')))::double precision"
)
#: How many of these numbers are expected among as many masked ones of that length.
_EXPECTED: Final[LiteralString] = """
    SELECT COALESCE(sum(1 - exp(- s.there * s.chance)), 0) FROM (
        SELECT chance, count(*) OVER () AS there FROM pg_temp.gonogo_source WHERE number = %s AND digits = %s) AS s
"""


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


@dataclass(frozen=True)
class _Reading:
    """How both servers read a text: by one collation, and hashed by two seeds, 64 bits by each."""

    seeds: tuple[int, int]
    collation: LiteralString

    @classmethod
    def by(cls, original: Connection, copy: Connection) -> "_Reading":
        """CheckError where the two would not bring a text into one form, or not to one hash: nothing would be found."""
        new = all(one(each, _KNOWS_COLLATION) for each in (original, copy))
        reading = cls((secrets.randbits(62), secrets.randbits(62)), _COLLATION if new else "")
        query = sql.SQL("SELECT {} FROM (SELECT {} AS form FROM (SELECT {}::text AS value) AS v) AS f").format(
            reading.both("form"), reading.form, sql.Literal(_PROBE)
        )
        if original.execute(query).fetchone() != copy.execute(query).fetchone():
            raise CheckError(
                "The two servers do not see texts in one way, so nothing can be proven between them.",
                remedy="Give both databases one encoding and locale, or use PostgreSQL 17 or later with UTF8 on both.",
            )
        return reading

    @property
    def form(self) -> sql.Composed:
        """Of ``v.value``."""
        return sql.SQL(_FORM).format(sql.SQL("v.value"), sql.SQL(self.collation))

    def of(self, text: LiteralString, which: int = 0) -> sql.Composed:
        return sql.SQL("pg_catalog.hashtextextended({}, {})").format(sql.SQL(text), sql.Literal(self.seeds[which]))

    def both(self, text: LiteralString) -> sql.Composed:
        return sql.SQL("{} AS h1, {} AS h2").format(self.of(text), self.of(text, 1))


def prove(
    context: RunContext,
    *,
    source: Address,
    clone: Address,
    section: PrivacySection,
    statement_timeout: timedelta,
    progress: Callable[[str, int, int], None] | None = None,
) -> Proof:
    """Compare ``source`` (read-only) with ``clone``, on any two servers.

    ``progress``: what is looked at, how many values of how many; told in the caller's thread.
    """
    proof = Proof()
    with connected(source, what="the original") as original, connected(clone, what="the clone") as copy:
        for connection in (original, copy):
            for name, value in _SESSION.items():
                connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        reading = _Reading.by(original, copy)
        sampling.read_only(original, statement_timeout)
        copy.execute(_TABLE)
        sources = _sources(catalog.columns(original), section, proof)
        places = [column for column in catalog.columns(copy) if column.shape in _PLACES and column.relation != "f"]
        proof.places = len(places)
        pace = _Pace([each.column for each in sources] + places, progress)
        for each in sources:
            pace.next(f"hashing {each.column.label}")
            _bring(context, original, copy, each, reading, proof)
        patiently(context, copy, lambda: _prepare(copy))
        entries = section.by_column()
        for place in places:
            pace.next(f"looking through {place.label}")
            own_words = document_keys.named([entries[place.key]] if place.key in entries else [])
            _look_through(context, copy, place, sources, reading, proof, own_words)
    return proof


class _Pace:
    """How many values are looked at, column after column; a column of a larger table is more of the whole."""

    def __init__(self, columns: list[Column], progress: Callable[[str, int, int], None] | None) -> None:
        self._ahead = [max(1, column.rows) for column in columns]
        self._total, self._done, self._progress = sum(self._ahead), 0, progress

    def next(self, text: str) -> None:
        if self._progress is not None:
            self._progress(text, self._done, self._total)
        self._done += self._ahead.pop(0)


_KNOWS_COLLATION: Final[LiteralString] = """
    SELECT current_setting('server_encoding') = 'UTF8' AND EXISTS (
        SELECT 1 FROM pg_catalog.pg_collation WHERE collname = 'pg_c_utf8' AND collprovider = 'b')
"""
_TABLE: Final[LiteralString] = """
    CREATE TEMPORARY TABLE gonogo_source (number integer, h1 bigint, h2 bigint, first bigint, words integer,
        own boolean, inside boolean, short bigint, digits integer, chance double precision)
"""


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
        if column.type in ("tsvector", "tsquery"):
            reason = f"words of a {column.type} are no whole values"
            proof.not_provable.append({"column": column.label, "values": None, "reason": reason})
            continue
        sources.append(_Source(len(sources), column, entry))
    return sources


def _bring(
    context: RunContext, original: Connection, copy: Connection, source: _Source, reading: _Reading, proof: Proof
) -> None:
    """Hash the distinct values of one column where they are, and bring the hashes over."""
    statement = sql.SQL("COPY ({}) TO STDOUT").format(_distinct(source, reading))

    def carry() -> None:
        with (
            original.cursor() as giving,
            copy.cursor() as taking,
            giving.copy(statement) as blocks,
            taking.copy("COPY pg_temp.gonogo_source FROM STDIN") as target,
        ):
            for block in blocks:
                target.write(block)

    patiently(context, original, carry)
    if source.column.shape == "json":
        small = partial(small_numbers.not_looked_for, original, source.column, source.entry)
        try:
            proof.not_provable += patiently(context, original, small)
        except (errors.QueryCanceled, errors.DiskFull):
            reason = f"below {column_texts.LEAST_NUMBER:,} in documents were not counted, since that took too much"
            proof.not_provable.append({"column": source.column.label, "values": None, "reason": reason})
    told = copy.execute(
        "SELECT count(h1), count(*) FILTER (WHERE own), sum(short) FROM pg_temp.gonogo_source WHERE number = %s",
        [source.number],
    ).fetchone()
    assert told is not None
    compared, own, short = told
    proof.compared += compared
    for values, reason in (
        (short, f"shorter than {SHORTEST} characters"),
        (own, "so common or so short a number that they are looked for in their own column only"),
    ):
        if values:
            proof.not_provable.append({"column": source.column.label, "values": int(values), "reason": reason})


def _distinct(source: _Source, reading: _Reading) -> sql.Composed:
    """Rows of gonogo_source: one for each distinct value, and one with the number of those that are too short."""
    return sql.SQL(
        "WITH counted AS (SELECT form, count(*) AS times, sum(count(*)) OVER () AS total"
        " FROM (SELECT {form} AS form FROM ({values}) AS v WHERE v.value IS NOT NULL) AS f WHERE form <> ''"
        " GROUP BY form)"
        " SELECT {number}, {hash}, {first}, 1 + length(form) - length(replace(form, ' ', '')),"
        " form !~ '@' AND (times > greatest(20, total / 100) OR form ~ '^[0-9 .-]{{1,6}}$'),"
        " form ~ '@' OR form ~ ' ' OR (form ~ '[0-9]' AND length(form) >= 8), NULL,"
        " CASE WHEN form ~ '^[0-9 .-]{{1,6}}$' THEN length(regexp_replace(form, '[^0-9]', '', 'g')) END,"
        " CASE WHEN form ~ '^[0-9 .-]{{1,6}}$' THEN {chance} END"
        " FROM counted WHERE length(form) >= {shortest}"
        " UNION ALL SELECT {number}, NULL, NULL, NULL, NULL, NULL, NULL, count(*), NULL, NULL FROM counted"
        " WHERE length(form) < {shortest} HAVING count(*) > 0"
    ).format(
        form=reading.form,
        values=column_texts.values(source.column, source.entry),
        number=sql.Literal(source.number),
        hash=reading.both("form"),
        first=reading.of("split_part(form, ' ', 1)"),
        chance=sql.SQL(_CHANCE),
        shortest=sql.Literal(SHORTEST),
    )


def _prepare(copy: Connection) -> None:
    """``gonogo_first``: the words with which distinctive values begin, and of how many words such values are."""
    copy.execute("DELETE FROM pg_temp.gonogo_source WHERE h1 IS NULL")
    copy.execute("CREATE INDEX ON pg_temp.gonogo_source USING hash (h1)")
    copy.execute("ANALYZE pg_temp.gonogo_source")
    copy.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE gonogo_first AS SELECT DISTINCT first, words FROM pg_temp.gonogo_source"
            " WHERE inside AND words <= {}"
        ).format(sql.Literal(MOST_WORDS))
    )
    copy.execute("ANALYZE pg_temp.gonogo_first")


def _pieces(reading: _Reading) -> sql.Composed:
    """The hashes of as many words of longer texts as a value may have that begins with the first of them."""
    return sql.SQL(
        " UNION ALL SELECT {hash}, true, false FROM ("
        "SELECT array_to_string(parted.words[w.o : w.o + f.words - 1], ' ') AS piece"
        " FROM (SELECT string_to_array(form, ' ') AS words FROM forms WHERE strpos(form, ' ') > 0) AS parted"
        " CROSS JOIN LATERAL unnest(parted.words) WITH ORDINALITY AS w(word, o)"
        " JOIN pg_temp.gonogo_first AS f ON f.first = {word}"
        " WHERE w.o + f.words - 1 <= cardinality(parted.words) AND f.words < cardinality(parted.words)"
        " OFFSET 0) AS p"
    ).format(hash=reading.both("piece"), word=reading.of("w.word"))


def _look_through(
    context: RunContext, copy: Connection, place: Column, sources: list[_Source], reading: _Reading, proof: Proof,
    own_words: list[str],
) -> None:  # fmt: skip
    """Which masked columns have values in this column of the clone, and how many distinct ones."""
    if place.shape == "bytes":
        _tell_longer(context, copy, place, proof)
    own = next((source.number for source in sources if source.column.key == place.key), -1)
    query = sql.SQL(
        "WITH forms AS (SELECT {form} AS form, {whole} AS whole, {common} AS common"
        " FROM ({values}) AS v WHERE v.value IS NOT NULL),"
        " hashes AS (SELECT {hash}, NOT whole AS inside, common FROM forms WHERE length(form) >= {shortest}{pieces})"
        " SELECT s.number, s.digits, h.common AND NOT s.inside, count(DISTINCT s.h1)"
        " FROM hashes h JOIN pg_temp.gonogo_source s USING (h1, h2)"
        " WHERE (s.inside OR NOT h.inside) AND (NOT s.own OR s.number = {own} AND NOT h.inside)"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    ).format(
        form=reading.form,
        # Four letters in the midst of a picture are nobody's name.
        whole=sql.SQL("v.whole" if place.shape == "bytes" else "true"),
        common=sql.SQL("v.common" if place.shape in ("json", "parts") else "false"),
        values=column_texts.looked_through(place, own_words),
        hash=reading.both("form"),
        shortest=sql.Literal(SHORTEST),
        pieces=_pieces(reading) if place.shape != "number" else sql.SQL(""),
        own=sql.Literal(own),
    )
    found: dict[int, int] = {}
    for number, digits, common, values in patiently(context, copy, lambda: copy.execute(query).fetchall()):
        if common:
            reason = f"are keys of more than {document_keys.MANY} documents, and taken for words of the application"
            proof.not_provable.append({"column": place.label, "values": values, "reason": reason})
        elif digits is not None and _by_chance(copy, sources[number], digits, values):
            reason = f"of {digits} digits stand in the masked column too, as many as chance puts there"
            proof.not_provable.append({"column": place.label, "values": values, "reason": reason})
        else:
            found[number] = found.get(number, 0) + values
    for number, values in found.items():
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


def _by_chance(copy: Connection, source: _Source, digits: int, found: int) -> bool:
    """Whether so many of a column's short numbers may be there although every one was replaced by another."""
    return source.entry.mask in _RANDOM_DIGITS and is_chance(found, one(copy, _EXPECTED, [source.number, digits]))


def is_chance(found: int, expected: float) -> bool:
    """Whether so many come about once in ten thousand times or more often, where so many are expected (Poisson)."""
    if expected > 50:
        return found <= expected + 4 * math.sqrt(expected)
    fewer = sum(expected**count / math.factorial(count) for count in range(min(found, 150)))
    return 1 - math.exp(-expected) * fewer >= 1e-4


def _tell_longer(context: RunContext, copy: Connection, place: Column, proof: Proof) -> None:
    """Bytes that are not looked through to their end are no pass in silence."""
    ((long,),) = patiently(context, copy, lambda: copy.execute(byte_texts.longer(place)).fetchall())
    if long:
        reason = f"of more than {byte_texts.MOST_BYTES // 1024} KiB: only the beginning was looked through"
        proof.not_provable.append({"column": place.label, "values": long, "reason": reason})
