"""Two real databases with one of every difference between them, and of everything that must be no difference."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from checks.tools.postgres import Address
from tests.kinds_data.support import admin, administration

TYPES = """
CREATE EXTENSION citext;
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TYPE place AS (street text, number integer);
CREATE DOMAIN percentage AS integer CHECK (VALUE BETWEEN 0 AND 100);
CREATE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'SELECT 42';
"""

VALUES = """
CREATE TABLE value (
    id integer PRIMARY KEY, a text, b text, n bigint, f double precision, r real, d numeric, at timestamptz, day date,
    span interval, j json, jb jsonb, raw bytea, tags text[], colour colour, home place, part percentage, folded citext,
    padded char(5), net inet, bits bit varying, valid int4range, unique_id uuid, money money, clock timetz
);
INSERT INTO value SELECT n, 'left ' || n, 'right ' || n, n, n / 7.0, n / 3.0, n / 4.0, '2026-01-01 00:00+00',
    '2026-01-01', '1 day', '{"a": 1, "b": 2}', '{"x": 1}', '\\x00ff', '{a,b}', 'red',
    ROW('Main', n)::place, n % 100, 'Word', 'ab', '10.0.0.1', B'101',
    '[1,5)', '00000000-0000-0000-0000-000000000001', 1.5, '03:04:05+02'
    FROM generate_series(1, 300) n;
UPDATE value SET a = NULL WHERE id IN (1, 2);
UPDATE value SET a = 'xy', b = 'z' WHERE id = 3;
UPDATE value SET f = 0 WHERE id IN (11, 12, 13, 15);
UPDATE value SET f = 0.1 WHERE id = 16;
UPDATE value SET f = 'NaN' WHERE id = 60;
UPDATE value SET tags = '{}' WHERE id = 25;
UPDATE value SET tags = '{1,2}' WHERE id = 26;
"""

#: name -> (what happens in the target, rows changed by it: id -> the columns that differ)
CHANGES: dict[str, tuple[str, dict[str, set[str]]]] = {
    "NULL against an empty text": ("UPDATE value SET a = '' WHERE id = 1", {"1": {"a"}}),
    "NULL against the text NULL": ("UPDATE value SET a = 'NULL' WHERE id = 2", {"2": {"a"}}),
    "a text shifted over a column border": ("UPDATE value SET a = 'x', b = 'yz' WHERE id = 3", {"3": {"a", "b"}}),
    "two rows swapped": (
        "UPDATE value SET a = 'left ' || (9 - id), b = 'right ' || (9 - id) WHERE id IN (4, 5)",
        {"4": {"a", "b"}, "5": {"a", "b"}},
    ),
    "two columns swapped": ("UPDATE value SET a = b, b = a WHERE id = 6", {"6": {"a", "b"}}),
    "a space at the end": ("UPDATE value SET a = a || ' ' WHERE id = 7", {"7": {"a"}}),
    "another Unicode form": ("UPDATE value SET a = U&'e\\0301' WHERE id = 8", {"8": {"a"}}),
    "one microsecond": ("UPDATE value SET at = at + interval '1 microsecond' WHERE id = 9", {"9": {"at"}}),
    "a shift of the time zone": ("UPDATE value SET at = at + interval '1 hour' WHERE id = 10", {"10": {"at"}}),
    "minus zero": ("UPDATE value SET f = '-0' WHERE id = 11", {"11": {"f"}}),
    "not a number": ("UPDATE value SET f = 'NaN' WHERE id = 12", {"12": {"f"}}),
    "a denormal number": ("UPDATE value SET f = 4.9e-324 WHERE id = 13", {"13": {"f"}}),
    "infinity": ("UPDATE value SET f = 'Infinity' WHERE id = 14", {"14": {"f"}}),
    "minus infinity": ("UPDATE value SET f = '-Infinity' WHERE id = 15", {"15": {"f"}}),
    "the last digit of a double": ("UPDATE value SET f = 0.10000000000000002 WHERE id = 16", {"16": {"f"}}),
    "the last digit of a real": ("UPDATE value SET r = r + 2e-6 WHERE id = 17", {"17": {"r"}}),
    "the scale of a numeric": ("UPDATE value SET d = trim_scale(d) WHERE id = 18", {"18": {"d"}}),
    "the order of keys of a json": ("""UPDATE value SET j = '{"b": 2, "a": 1}' WHERE id = 19""", {"19": {"j"}}),
    "a space in a json": ("""UPDATE value SET j = '{"a": 1,"b": 2}' WHERE id = 20""", {"20": {"j"}}),
    "jsonb 1 against 1.0": ("""UPDATE value SET jb = '{"x": 1.0}' WHERE id = 21""", {"21": {"jb"}}),
    "an integer beyond 32 bits": ("UPDATE value SET n = n + 4294967296 WHERE id = 22", {"22": {"n"}}),
    "another value of an enum": ("UPDATE value SET colour = 'green' WHERE id = 23", {"23": {"colour"}}),
    "one byte": ("UPDATE value SET raw = '\\x00fe' WHERE id = 24", {"24": {"raw"}}),
    "an empty array against none": ("UPDATE value SET tags = NULL WHERE id = 25", {"25": {"tags"}}),
    "the order of an array": ("UPDATE value SET tags = '{2,1}' WHERE id = 26", {"26": {"tags"}}),
    "where an array begins": ("UPDATE value SET tags = '[0:1]={a,b}' WHERE id = 27", {"27": {"tags"}}),
    "a day against 24 hours": ("UPDATE value SET span = '24 hours' WHERE id = 28", {"28": {"span"}}),
    "a field of a composite value": ("UPDATE value SET home.number = 0 WHERE id = 29", {"29": {"home"}}),
    "a domain": ("UPDATE value SET part = 99 WHERE id = 30", {"30": {"part"}}),
    "the case of a citext": ("UPDATE value SET folded = 'word' WHERE id = 31", {"31": {"folded"}}),
    "a network": ("UPDATE value SET net = '10.0.0.1/8' WHERE id = 32", {"32": {"net"}}),
    "the length of a bit string": ("UPDATE value SET bits = B'0101' WHERE id = 33", {"33": {"bits"}}),
    "a range": ("UPDATE value SET valid = '[1,6)' WHERE id = 34", {"34": {"valid"}}),
    "a uuid": (
        "UPDATE value SET unique_id = '00000000-0000-0000-0000-000000000002' WHERE id = 35", {"35": {"unique_id"}},
    ),
    "a cent": ("UPDATE value SET money = 1.51 WHERE id = 36", {"36": {"money"}}),
    "the zone of a time": ("UPDATE value SET clock = '01:04:05+00' WHERE id = 37", {"37": {"clock"}}),
    "a day": ("UPDATE value SET day = 'infinity' WHERE id = 39", {"39": {"day"}}),
}  # fmt: skip

#: Types of keys: name -> (type of the key, its value made of n, its value of a row that only the target has).
KEYS = {
    "small": ("smallint", "n::smallint", "-5"),
    "big": ("bigint", "n * 5000000000", "-9000000000000000000"),
    "scattered": ("bigint", "hashint8extended(n, 1)", "7"),
    "text": ("text", "'key ' || n", "'schlüssel'"),
    "varchar": ("varchar(20)", "n::text", "'x'"),
    "char": ("char(8)", "n::text", "'x'"),
    "uuid": ("uuid", "md5(n::text)::uuid", "'00000000-0000-0000-0000-000000000002'"),
    "bytea": ("bytea", "decode(md5(n::text), 'hex')", "'\\x00'"),
    "numeric": ("numeric", "n / 100.0", "-0.5"),
    "double": ("double precision", "n / 3.0", "'-Infinity'"),
    "moment": ("timestamptz", "'2026-01-01'::timestamptz + n * interval '1 microsecond'", "'2020-01-01'"),
    "day": ("date", "'2026-01-01'::date + n", "'2020-01-01'"),
    "span": ("interval", "n * interval '1 hour'", "'-1 hour'"),
    "net": ("inet", "'10.0.0.0'::inet + n", "'::1'"),
    "array": ("integer[]", "ARRAY[n, n + 1]", "'{}'"),
    "domain": ("natural_number", "n", "100000"),
    "jsonb": ("jsonb", "jsonb_build_object('n', n)", "'[]'"),
    "citext": ("citext", "'Key ' || n", "'other'"),
    "range": ("int8range", "int8range(n, n + 1)", "'empty'"),
}
ROWS = 400

_KEYED = "CREATE TABLE key_{name} (key {type} PRIMARY KEY, value text); INSERT INTO key_{name} SELECT {made}, 'v' || n FROM generate_series(1, {rows}) n;"  # noqa: E501
_UNLIKE = """
UPDATE key_{name} SET value = 'other' WHERE key = (SELECT {made} FROM (SELECT 77 AS n) s);
DELETE FROM key_{name} WHERE key = (SELECT {made} FROM (SELECT 333 AS n) s);
INSERT INTO key_{name} VALUES ({extra}, 'new');
"""

COMPOSITE = """
CREATE TABLE composite (tenant integer, code text, colour colour, value text, PRIMARY KEY (tenant, code, colour));
INSERT INTO composite SELECT n % 10, 'c' || n / 10, 'red', 'v' || n FROM generate_series(1, 400) n;
CREATE TABLE no_key (a integer, b text);
INSERT INTO no_key SELECT n % 50, NULLIF('b' || n % 50, 'b7') FROM generate_series(1, 500) n;
CREATE TABLE declared_key (code integer, value text);
INSERT INTO declared_key SELECT n, 'v' || n FROM generate_series(1, 300) n;
CREATE TABLE nullable_key (code integer UNIQUE, value text);
INSERT INTO nullable_key SELECT NULLIF(n, 5), 'v' || n FROM generate_series(1, 20) n;
CREATE TABLE keeps_secrets (id integer PRIMARY KEY, password text, api_key text, note text);
INSERT INTO keeps_secrets VALUES (1, 'hunter2', 'k1', 'n'), (2, 'hunter3', 'k2', 'n');
CREATE TABLE many (id integer PRIMARY KEY, value text);
INSERT INTO many SELECT n, 'v' || n FROM generate_series(1, 3000) n;
CREATE TABLE event (id integer, at date, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE event_old PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE event_new PARTITION OF event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO event SELECT n, '2025-07-01'::date + n, 'e' || n FROM generate_series(1, 300) n;
CREATE TABLE generated (id integer PRIMARY KEY, n integer, twice integer GENERATED ALWAYS AS (n * 2) STORED,
    thrice integer GENERATED ALWAYS AS (n * 3) VIRTUAL);
INSERT INTO generated SELECT n, n FROM generate_series(1, 50) n;
CREATE TABLE "Odd name; DROP" ("select" integer PRIMARY KEY, "a b" text, "%s" text);
INSERT INTO "Odd name; DROP" VALUES (1, 'x', 'y'), (2, NULL, '');
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE pointer (id integer PRIMARY KEY, to_table regclass);
INSERT INTO pointer VALUES (1, 'value'), (2, 'many');
CREATE TABLE empty (id integer PRIMARY KEY);
CREATE SEQUENCE ahead; SELECT setval('ahead', 10);
CREATE SEQUENCE behind; SELECT setval('behind', 10);
CREATE SEQUENCE same; SELECT setval('same', 10);
CREATE TABLE numbered (id serial PRIMARY KEY); INSERT INTO numbered DEFAULT VALUES; INSERT INTO numbered DEFAULT VALUES;
CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM many;
SELECT lo_from_bytea(70001, 'the same'), lo_from_bytea(70002, 'was'), lo_from_bytea(70003, 'gone');
"""

#: What makes the target's rows lie, look and be numbered otherwise, without being other rows.
NO_DIFFERENCE = """
CREATE TABLE copy AS TABLE key_big; TRUNCATE key_big; INSERT INTO key_big SELECT * FROM copy ORDER BY value DESC;
DROP TABLE copy;
ALTER TABLE composite ADD gone text DEFAULT 'x'; ALTER TABLE composite DROP gone;
UPDATE value SET f = 'NaN'::float8 * -1 WHERE id = 60;
UPDATE value SET tags = array_append(array_remove(tags, 'b'), NULL) WHERE id = 61;
UPDATE value SET tags = array_replace(tags, NULL, 'b') WHERE id = 61;
UPDATE many SET value = value; DELETE FROM many WHERE id > 2900;
INSERT INTO many SELECT n, 'v' || n FROM generate_series(2901, 3000) n;
"""

TARGET = """
UPDATE composite SET value = 'other' WHERE tenant = 3 AND code = 'c7';
DELETE FROM composite WHERE tenant = 4 AND code = 'c9';
INSERT INTO composite VALUES (4, 'c9', 'blue', 'v');
INSERT INTO no_key VALUES (7, NULL), (7, NULL), (1000, 'new');
DELETE FROM no_key WHERE ctid = (SELECT min(ctid) FROM no_key WHERE a = 9);
UPDATE declared_key SET value = 'other' WHERE code IN (5, 6);
UPDATE keeps_secrets SET password = 'changed', note = 'm' WHERE id = 1;
UPDATE many SET value = 'w' || id WHERE id % 3 = 0;
DELETE FROM many WHERE id % 300 = 1;
UPDATE event SET note = 'other' WHERE id = 250;
UPDATE generated SET n = 0 WHERE id = 9;
UPDATE pointer SET to_table = 'event' WHERE id = 2;
SELECT setval('ahead', 12); SELECT setval('behind', 8); CREATE SEQUENCE surplus;
SELECT setval('numbered_id_seq', 1);
SELECT lo_unlink(70003), lo_put(70002, 0, 'is!'), lo_from_bytea(70004, 'new');
CREATE TABLE only_here (id integer); INSERT INTO only_here VALUES (1), (2);
ALTER TABLE keeps_secrets ADD added integer;
ALTER TABLE empty ADD CHECK (id > 0);
CREATE OR REPLACE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'SELECT 43';
CREATE INDEX surplus_index ON many (value);
"""
SOURCE = "CREATE TABLE only_there (id integer); INSERT INTO only_there VALUES (1); CREATE EXTENSION hstore;"


def schema() -> str:
    keyed = "".join(_KEYED.format(name=name, type=kind, made=made, rows=ROWS) for name, (kind, made, _) in KEYS.items())
    return f"{TYPES} CREATE DOMAIN natural_number AS integer CHECK (VALUE > 0); {VALUES} {keyed} {COMPOSITE}"


def changes() -> str:
    keyed = "".join(_UNLIKE.format(name=name, made=made, extra=extra) for name, (_, made, extra) in KEYS.items())
    return ";".join([NO_DIFFERENCE, keyed, *(statement for statement, _ in CHANGES.values()), TARGET])


@dataclass(frozen=True)
class DatabasePair:
    source: Address
    target: Address

    def sql(self, side: str, statements: str) -> None:
        with psycopg.connect(getattr(self, side).conninfo(), autocommit=True) as connection:
            connection.execute(statements)  # type: ignore[call-overload]


@contextmanager
def database_pair(name: str, *, source: str = "", target: str = "") -> Iterator[DatabasePair]:
    """Two new databases with these statements carried out in them; dropped at the end."""
    names = {"source": f"{name}_source", "target": f"{name}_target"}
    with administration() as server:
        for database in names.values():
            server.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")  # type: ignore[call-overload]
            server.execute(f"CREATE DATABASE {database}")  # type: ignore[call-overload]
    pair = DatabasePair(*(admin().named(names[side]) for side in ("source", "target")))
    try:
        for side, statements in (("source", source), ("target", target)):
            if statements:
                pair.sql(side, f"{statements}; ANALYZE")
        yield pair
    finally:
        with administration() as server:
            for database in names.values():
                server.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")  # type: ignore[call-overload]


@contextmanager
def differing_pair() -> Iterator[DatabasePair]:
    """Everything above. In the target types have other numbers, and rows lie elsewhere."""
    numbers = "CREATE TYPE shifts AS ENUM ('numbers'); CREATE TABLE shifts_too (n integer); DROP TABLE shifts_too;"
    target = f"{numbers} {schema()} {changes()}; DROP TYPE shifts"
    with database_pair("reconcile_tests", source=f"{schema()} {SOURCE}", target=target) as pair:
        yield pair
