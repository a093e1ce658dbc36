"""The checksum of a table sees each of these, and sees nothing where nothing is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from checks.tools import comparing, digest, schema
from checks.tools.postgres import Connection, connect
from checks.tools.reconciling import surroundings
from checks.tools.reconciling.options import Options
from tests.kinds_data.support import admin

TABLE = """
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE TABLE t (
    id integer PRIMARY KEY, a text, b text, n bigint, f double precision, d numeric, at timestamptz,
    j json, jb jsonb, raw bytea, tags text[], colour colour
);
INSERT INTO t VALUES
    (1, '', 'NULL', 1, 0.0, 1.0, '2026-01-01 00:00:00+00', '{"a": 1, "b": 2}', '{"x": 1}', '\\x00ff', '{a,b}', 'red'),
    (2, 'xy', 'z', 2, 0.1, 2.50, '2026-06-01 12:00:00+00', '{}', '[1, 2]', '', '{}', 'green'),
    (3, 'p', 'q', 3, 1e308, 3, '2026-06-02 12:00:00+00', '[]', '{}', NULL, NULL, NULL);
"""


@pytest.fixture(scope="module")
def database() -> Iterator[Connection]:
    """A database of its own, inside a transaction that is rolled back at the end of each test."""
    name = "digest_tests"
    with psycopg.connect(admin().named("postgres").conninfo(), autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        connection = connect(admin().named(name), autocommit=True)
        connection.execute("SET search_path TO public")
        connection.execute(TABLE)
        connection.autocommit = False
        yield connection
        connection.close()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def _rolled_back(database: Connection) -> Iterator[None]:
    yield
    database.rollback()


Checksum = Callable[..., tuple[int, str]]


@pytest.fixture(params=["recorded", "chained"])
def checksum(database: Connection, request: pytest.FixtureRequest) -> Checksum:
    """Rows and checksum of the only table, in either form of the hash of a row."""

    def taken(seed: int = 5) -> tuple[int, str]:
        (table,) = digest.tables(database)
        found = digest.digest_table(database, table, seed, chained=request.param == "chained")
        return found.rows, found.checksum

    return taken


@pytest.mark.parametrize("strict", [False, True], ids=["nullable", "not null"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE t SET a = NULL WHERE id = 1",
        "UPDATE t SET b = NULL WHERE id = 1",
        "UPDATE t SET a = 'x', b = 'yz' WHERE id = 2",
        "UPDATE t SET a = b, b = a WHERE id = 3",
        "UPDATE t SET n = 4294967296 WHERE id = 1",
        "UPDATE t SET n = 4294967298 WHERE id = 2",
        "UPDATE t SET f = '-0' WHERE id = 1",
        "UPDATE t SET f = 'NaN' WHERE id = 1",
        "UPDATE t SET f = 'Infinity' WHERE id = 3",
        "UPDATE t SET f = 4.9e-324 WHERE id = 1",
        "UPDATE t SET f = 0.1 + 1e-17 * 2 WHERE id = 2",
        "UPDATE t SET d = 1.00 WHERE id = 1",
        "UPDATE t SET d = 2.5 WHERE id = 2",
        "UPDATE t SET at = at + interval '1 microsecond' WHERE id = 1",
        "UPDATE t SET at = at + interval '1 hour'",
        """UPDATE t SET j = '{"b": 2, "a": 1}' WHERE id = 1""",
        """UPDATE t SET jb = '{"x": 1.0}' WHERE id = 1""",
        "UPDATE t SET jb = '[2, 1]' WHERE id = 2",
        "UPDATE t SET raw = '\\x00fe' WHERE id = 1",
        "UPDATE t SET raw = '' WHERE id = 3",
        "UPDATE t SET tags = '{b,a}' WHERE id = 1",
        "UPDATE t SET tags = '{}' WHERE id = 3",
        "UPDATE t SET colour = 'green' WHERE id = 1",
        "UPDATE t SET n = 3 - n WHERE id < 3",  # the values of two rows swapped
        "DELETE FROM t WHERE id = 2",
        "UPDATE t SET id = id + 10",
    ],
)
def test_one_change_changes_the_checksum(
    database: Connection, checksum: Checksum, change: str, *, strict: bool
) -> None:
    if strict:
        make_strict(database, except_for=change)
    before = checksum()
    changed = database.execute(change).rowcount  # type: ignore[call-overload]
    assert changed
    assert checksum() != before


def make_strict(database: Connection, *, except_for: str) -> None:
    """NOT NULL for each column that no row leaves empty, and that is not made so now."""
    for name in ("a", "b", "n", "f", "d", "at", "j", "jb", "raw", "tags", "colour"):
        if f"{name} = NULL" in except_for:
            continue
        column = sql.Identifier(name)
        database.execute(
            sql.SQL("UPDATE t SET {0} = (SELECT {0} FROM t WHERE id = 1) WHERE {0} IS NULL").format(column)
        )
        database.execute(sql.SQL("ALTER TABLE t ALTER {} SET NOT NULL").format(column))


def test_the_order_of_rows_their_place_and_dropped_columns_change_nothing(
    database: Connection, checksum: Checksum
) -> None:
    before = checksum()
    database.execute("ALTER TABLE t ADD COLUMN gone text DEFAULT 'x'")
    database.execute("ALTER TABLE t DROP COLUMN gone")
    database.execute("CREATE TABLE copy AS SELECT * FROM t ORDER BY id DESC")
    database.execute("DELETE FROM t")
    database.execute("INSERT INTO t SELECT * FROM copy ORDER BY a")
    database.execute("DROP TABLE copy")
    assert checksum() == before


def test_rows_that_are_there_twice_are_seen(database: Connection, checksum: Checksum) -> None:
    database.execute("ALTER TABLE t DROP CONSTRAINT t_pkey")
    before = checksum()
    database.execute("INSERT INTO t SELECT * FROM t WHERE id = 1")
    database.execute("INSERT INTO t SELECT * FROM t WHERE id = 1 LIMIT 1")
    assert checksum()[1] != before[1]


def test_another_seed_gives_other_checksums(database: Connection, checksum: Checksum) -> None:
    assert checksum(1)[1] != checksum(2)[1]


def test_an_enum_made_anew_hashes_alike_although_its_number_differs(database: Connection, checksum: Checksum) -> None:
    before = checksum()
    database.execute("ALTER TABLE t ALTER colour TYPE text")
    database.execute("DROP TYPE colour")
    database.execute("CREATE TYPE colour AS ENUM ('green', 'red')")
    database.execute("ALTER TABLE t ALTER colour TYPE colour USING colour::colour")
    assert checksum() == before


def test_the_session_of_the_other_side_does_not_matter(database: Connection, checksum: Checksum) -> None:
    before = checksum()
    for setting in ("SET LOCAL timezone = 'Asia/Tokyo'", "SET LOCAL extra_float_digits = 0"):
        database.execute(setting)
    assert checksum() == before


def test_forms_of_nan_that_no_dump_keeps_apart_are_equal(database: Connection) -> None:
    database.execute("DROP TABLE t")
    database.execute("CREATE TABLE n (a float8 NOT NULL, b float4, c float8[] NOT NULL, d point)")
    forms = []
    values: tuple[LiteralString, ...] = (
        "SELECT 'NaN'::float8",
        "SELECT 'Infinity'::float8 - 'Infinity'::float8",  # with its sign bit set
    )
    for value in values:
        database.execute("TRUNCATE n")
        database.execute("INSERT INTO n SELECT x, x::float4, ARRAY[x], point(x, 0) FROM (" + value + ") v(x)")
        (table,) = digest.tables(database)
        forms.append(digest.digest_table(database, table, 5, chained=True).checksum)
    assert forms[0] == forms[1]


def test_a_row_that_breaks_a_constraint_not_yet_validated_is_hashed_all_the_same(
    database: Connection, checksum: Checksum
) -> None:
    database.execute("UPDATE t SET f = 3 WHERE id = 3")
    database.execute("UPDATE t SET raw = NULL WHERE id = 3")
    database.execute("ALTER TABLE t ADD CONSTRAINT raw_there NOT NULL raw NOT VALID")
    before = checksum()
    database.execute("ALTER TABLE t DROP CONSTRAINT raw_there")
    database.execute("UPDATE t SET f = 4 WHERE id = 3")
    database.execute("ALTER TABLE t ADD CONSTRAINT raw_there NOT NULL raw NOT VALID")
    assert checksum() != before


def test_a_table_of_as_many_columns_as_there_can_be_is_hashed(database: Connection, checksum: Checksum) -> None:
    database.execute("DROP TABLE t")
    columns = [
        sql.SQL("{} int NOT NULL DEFAULT {}").format(sql.Identifier(f"c{number}"), sql.Literal(number))
        for number in range(1600)
    ]
    database.execute(sql.SQL("CREATE TABLE t ({})").format(sql.SQL(", ").join(columns)))
    database.execute("INSERT INTO t DEFAULT VALUES")
    before = checksum()
    database.execute("UPDATE t SET c799 = 0")
    assert checksum() != before


@contextmanager
def encoded(encoding: LiteralString) -> Iterator[Connection]:
    """A database in that encoding, and a session in it."""
    name = f"digest_{encoding.lower()}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    make = sql.SQL("CREATE DATABASE {} TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc ENCODING {}").format(
        sql.Identifier(name), sql.Literal(encoding)
    )
    with psycopg.connect(admin().named("postgres").conninfo(), autocommit=True) as server:
        server.execute(drop)
        server.execute(make)
        try:
            with connect(admin().named(name), autocommit=True) as connection:
                yield connection
        finally:
            server.execute(drop)


def test_the_encoding_of_the_database_does_not_matter() -> None:
    found = []
    encodings: tuple[LiteralString, ...] = ("UTF8", "LATIN1")
    for encoding in encodings:
        with encoded(encoding) as connection:
            connection.execute("CREATE TYPE public.mood AS ENUM ('très bien')")
            connection.execute("CREATE TABLE public.t (a text NOT NULL, b varchar(9), c public.mood NOT NULL)")
            connection.execute("INSERT INTO public.t VALUES ('été', 'Öl', 'très bien')")
            (table,) = digest.tables(connection)
            found.append(digest.digest_table(connection, table, 5, chained=True))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("ALTER TABLE t ALTER a SET NOT NULL", "column public.t.a"),
        ("ALTER TABLE t ALTER n TYPE integer", "column public.t.n"),
        ("ALTER TABLE t ALTER a SET DEFAULT 'x'", "column public.t.a"),
        ("ALTER TYPE colour RENAME VALUE 'red' TO 'rosso'", "type public.colour"),
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "table public.t"),
    ],
)
def test_a_change_of_the_schema_is_named(database: Connection, change: str, name: str) -> None:
    database.execute("UPDATE t SET a = '' WHERE a IS NULL")
    before = schema.schema_objects(database)
    database.execute(change)  # type: ignore[call-overload]
    missing, surplus, changed = schema.differences(before, schema.schema_objects(database))
    assert (missing, surplus, changed) == ([], [], [name])


def test_a_sequence_behind_its_column_is_found(database: Connection) -> None:
    database.execute("CREATE TABLE s (id serial PRIMARY KEY)")
    database.execute("INSERT INTO s VALUES (7)")
    assert digest.behind_their_column(database) == [("public.s_id_seq", None, 7)]
    database.execute("SELECT setval('s_id_seq', 7)")
    assert digest.behind_their_column(database) == []


@pytest.mark.parametrize(
    ("state", "following", "behind"),
    [
        ("setval('s_id_seq', 8, false)", 8, False),
        ("setval('s_id_seq', 7, false)", 7, True),
        ("setval('s_id_seq', 7)", 8, False),
        ("setval('s_id_seq', 6)", 7, True),
    ],
)
def test_what_comes_next_tells_whether_a_sequence_is_behind_its_column(
    database: Connection, state: LiteralString, following: int, behind: bool
) -> None:
    database.execute("CREATE TABLE s (id serial PRIMARY KEY)")
    database.execute("INSERT INTO s VALUES (7)")
    database.execute("SELECT " + state)
    assert digest.sequences(database)["public.s_id_seq"].following == following
    assert bool(digest.behind_their_column(database)) == behind


def test_a_sequence_that_goes_down_is_behind_where_it_would_give_out_what_is_there(database: Connection) -> None:
    database.execute("CREATE TABLE s (id serial PRIMARY KEY)")
    database.execute("ALTER SEQUENCE s_id_seq INCREMENT -1 MINVALUE -99 MAXVALUE 9 RESTART 9")
    database.execute("INSERT INTO s VALUES (9)")
    assert digest.behind_their_column(database) == [("public.s_id_seq", None, 9)]
    database.execute("SELECT nextval('s_id_seq')")
    assert digest.behind_their_column(database) == []


def test_a_sequence_that_no_column_owns_is_behind_each_column_whose_default_takes_from_it(database: Connection) -> None:
    database.execute("CREATE SEQUENCE numbers")
    database.execute("CREATE TABLE s (id int DEFAULT nextval('numbers'), code text DEFAULT 'c' || nextval('numbers'))")
    database.execute("CREATE TABLE r (id bigint DEFAULT nextval('numbers'))")
    database.execute("INSERT INTO s VALUES (3, 'c9')")
    database.execute("INSERT INTO r VALUES (5)")
    assert digest.behind_their_column(database) == [("public.numbers", None, 5)]
    database.execute("SELECT setval('numbers', 4)")
    assert digest.behind_their_column(database) == [("public.numbers", 4, 5)]
    database.execute("SELECT setval('numbers', 5)")
    assert digest.behind_their_column(database) == []


def test_two_unused_sequences_that_begin_elsewhere_are_told() -> None:
    ours, theirs = digest.SequenceState(None, 500, 1, None), digest.SequenceState(None, 1, 1, None)
    everything = surroundings.Selection(Options())
    (told,) = surroundings.sequence_differences({"public.s": ours}, {"public.s": theirs}, [], everything)
    assert (told.name, told.source, told.target) == ("public.s", None, None)
    assert told.said == "stands behind the source: 500 comes next there, and 1 here"
    same = digest.SequenceState(499, 500, 1, None)
    assert surroundings.sequence_differences({"public.s": ours}, {"public.s": same}, [], everything) == []


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ({"before": None, "after": None, "next_before": 500, "next_after": 500}, 1),
        ({"before": None, "after": None, "next_before": 1, "next_after": 3}, 0),
        ({"before": None, "after": None}, 0),  # of the time when nobody noted it
        ({"before": 4, "after": 4}, 1),
    ],
)
def test_a_restored_sequence_must_give_out_next_what_the_backup_s_would(
    database: Connection, noted: dict[str, int | None], told: int
) -> None:
    database.execute("CREATE SEQUENCE single")
    differences = comparing.sequence_differences(database, {"sequences": {"public.single": noted}, "behind": []})
    assert len(differences) == told, differences
