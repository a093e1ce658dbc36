"""Two schemas are equal where one was restored from the other, and where nothing else differs."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString, cast

import psycopg
import pytest
from psycopg import sql

from checks.tools import printed_sql, schema
from checks.tools.postgres import Connection, binary, connected
from tests.kinds_data.support import SHOP, admin

#: What PostgreSQL prints otherwise once it read its own printing, beside much that it prints the same.
PRINTED = (
    SHOP
    + """
CREATE DOMAIN state AS varchar(10) DEFAULT 'new' CHECK (VALUE IN ('new', 'kept')) CHECK (VALUE NOT IN ('x', 'y'));
CREATE DOMAIN share AS numeric NOT NULL CHECK (VALUE BETWEEN 0 AND 1 AND VALUE <> 0.5);
CREATE TABLE much (
    a varchar(9) DEFAULT '(none)' CHECK (a IN ('x', 'y', NULL)) CHECK (a NOT IN ('p', 'q')),
    b char(4) CHECK (b IN ('a', 'b')), c smallint CHECK (c IN (1, 2) OR c BETWEEN 5 AND 9 OR c = 11),
    d numeric(9, 2) DEFAULT 0 CHECK (d BETWEEN 0 AND 9 AND c BETWEEN 1 AND 2 AND a > 'x'),
    e date CHECK (e BETWEEN '2020-01-01' AND '2030-01-01' AND (a = 'x' OR (b = 'y' AND c = 1))),
    f timestamptz DEFAULT now() + interval '1 day', g jsonb DEFAULT '{"a": [1,  2]}', h text[] DEFAULT ARRAY['a', 'b'],
    i varchar(5)[] DEFAULT ARRAY['a', 'b']::varchar[], j integer DEFAULT -1 CHECK (j > -5 AND (j < 5 AND j <> 0)),
    k text CHECK (k ~ '^[a-z(]+\\)$' AND length(k) > 2 AND k NOT LIKE '%''%') DEFAULT E'back\\\\slash''s',
    l integer GENERATED ALWAYS AS ((c + j) * 2) STORED, m double precision DEFAULT 1e10, n bit(3) DEFAULT B'101',
    o varchar(20) CHECK (lower(o) = ANY (ARRAY['x', 'y'])), p state, q share, "a""b c" text DEFAULT '"',
    CHECK (CASE WHEN a IN ('x', 'y') THEN c > 1 AND c < 5 AND j > 1 ELSE NOT (c = 1 OR j = 2) END),
    CHECK ((a, b) = ('x', 'y') OR a IS DISTINCT FROM o OR coalesce(a, o, 'x') IN ('x', 'z'))
);
CREATE INDEX ON much ((g->>'n'));
CREATE INDEX ON much (((g->>'n')::integer), lower(k) varchar_pattern_ops) WHERE a IN ('x', 'y') AND c BETWEEN 1 AND 3;
CREATE VIEW seen AS SELECT m.a, m.b || ' x' AS b, count(*) FILTER (WHERE m.a IN ('x', 'y')) AS n,
    sum(j) OVER (ORDER BY m.a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s
    FROM much m LEFT JOIN customer c ON c.email = m.a AND c.state IN ('new', 'gone') AND c.id BETWEEN 1 AND 2
    WHERE EXISTS (SELECT 1 FROM purchase p WHERE p.id = m.j AND (p.amount > 1 OR p.amount < 0))
    GROUP BY m.a, m.b, m.j HAVING count(*) > 1 UNION ALL (SELECT 'x', 'y', 1, 2 ORDER BY 1 LIMIT 3);
CREATE MATERIALIZED VIEW kept AS SELECT a, x FROM much, LATERAL unnest(h) WITH ORDINALITY AS t(x, y)
    WHERE a NOT IN ('x', 'y') OR a ILIKE 'z%';
ALTER TABLE much ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON much USING (a IN ('x', 'y') AND c BETWEEN 1 AND 2) WITH CHECK (a = current_user);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN  -- two  spaces
    RETURN NEW;
END $$;
CREATE FUNCTION tell() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
CREATE TRIGGER looks AFTER UPDATE OF a, c ON much FOR EACH ROW
    WHEN (OLD.a IN ('x', 'y') AND NEW.c BETWEEN 1 AND 2 AND NEW IS DISTINCT FROM OLD)
    EXECUTE FUNCTION look('a  b', '(');
CREATE VIEW guarded WITH (security_invoker = on, check_option = local) AS SELECT id, state FROM customer WHERE id > 0;
CREATE RULE quiet AS ON DELETE TO much WHERE old.a IN ('x', 'y') AND old.c BETWEEN 1 AND 2 DO INSTEAD NOTHING;
CREATE POLICY theirs ON much TO pg_monitor, pg_read_all_data USING (c BETWEEN 1 AND 2);
CREATE TABLE heir (x integer) INHERITS (nothing);
CREATE AGGREGATE total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0', COMBINEFUNC = int4pl);
CREATE TYPE stretch AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE COLLATION plain (PROVIDER = builtin, LOCALE = 'C.UTF-8');
ALTER TABLE nothing ADD COLUMN y integer;
ALTER TABLE nothing ADD CONSTRAINT y_told NOT NULL y NOT VALID;
CREATE EVENT TRIGGER told ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION tell();
"""
)


@contextmanager
def fresh(name: str) -> Iterator[Connection]:
    """An empty database of its own."""
    identifier = sql.Identifier(name)
    with psycopg.connect(admin().named("postgres").conninfo(), autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        server.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            with connected(admin().named(name)) as connection:
                connection.execute("SET search_path TO public")
                yield connection
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def carried(source: str, target: str) -> None:
    """Dump one database and restore it into another."""
    urls = [admin().named(name).url() for name in (source, target)]
    dumped = subprocess.run([binary("pg_dump"), "-Fc", urls[0]], check=True, capture_output=True)
    subprocess.run([binary("pg_restore"), "-d", urls[1]], input=dumped.stdout, check=True, capture_output=True)


def test_a_schema_that_was_restored_once_or_twice_is_equal() -> None:
    with fresh("schema_first") as first, fresh("schema_second") as second, fresh("schema_third") as third:
        first.execute(cast("LiteralString", PRINTED))
        carried("schema_first", "schema_second")
        carried("schema_second", "schema_third")
        expected = found(first)
        for restored in (second, third):
            again = found(restored)
            assert {name: (text, again.get(name)) for name, text in expected.items() if again.get(name) != text} == {}
            assert again.keys() == expected.keys()


def found(connection: Connection) -> dict[str, str]:
    connection.execute("SET search_path TO ''")
    return schema.schema_definitions(connection)


@pytest.fixture(scope="module")
def database() -> Iterator[Connection]:
    with fresh("schema_pairs") as connection:
        yield connection


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ("CREATE TABLE t (a bool, b bool, c bool, CONSTRAINT k CHECK ((a OR b) AND c))",
         "CREATE TABLE t (a bool, b bool, c bool, CONSTRAINT k CHECK (a OR (b AND c)))", "constraint k on public.t"),
        ("CREATE TABLE t (a text DEFAULT '(none)')", "CREATE TABLE t (a text DEFAULT 'none')", "column public.t.a"),
        ("CREATE TABLE t (a text DEFAULT 'a  b')", "CREATE TABLE t (a text DEFAULT 'a b')", "column public.t.a"),
        ("CREATE TABLE t (a text DEFAULT 'x::text')", "CREATE TABLE t (a text DEFAULT 'x')", "column public.t.a"),
        ("CREATE TABLE t (d jsonb); CREATE INDEX i ON t (((d->>'n')::integer))",
         "CREATE TABLE t (d jsonb); CREATE INDEX i ON t ((d->>'n'))", "index public.i"),
        ("CREATE TABLE t (a int, b int, c int GENERATED ALWAYS AS ((a + b) * 2) STORED)",
         "CREATE TABLE t (a int, b int, c int GENERATED ALWAYS AS (a + b * 2) STORED)", "column public.t.c"),
        ("CREATE VIEW v AS SELECT 1.5::int AS n",
         "CREATE VIEW v AS SELECT 1.5::int::numeric::int AS n", "view public.v"),
        ("CREATE DOMAIN d AS int CONSTRAINT k CHECK (VALUE > 0)",
         "CREATE DOMAIN d AS int CONSTRAINT k CHECK (VALUE > 1)", "constraint k on domain public.d"),
        ("CREATE DOMAIN d AS int DEFAULT 1", "CREATE DOMAIN d AS int DEFAULT 2", "default of domain public.d"),
        ("CREATE DOMAIN d AS text COLLATE \"C\"", "CREATE DOMAIN d AS text", "collation of domain public.d"),
        ("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT 'a  b'$$",
         "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT 'a b'$$", "function public.f()"),
        ("CREATE VIEW v WITH (security_invoker) AS SELECT 1 AS n", "CREATE VIEW v AS SELECT 1 AS n",
         "options of view public.v"),
        ("CREATE TABLE t (a int); CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING",
         "CREATE TABLE t (a int); CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING", "rule r on public.t"),
        ("CREATE TABLE t (a int); CREATE POLICY p ON t TO pg_monitor USING (true)",
         "CREATE TABLE t (a int); CREATE POLICY p ON t USING (true)", "roles of policy p on public.t"),
        ("CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE TABLE c () INHERITS (t)",
         "CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE TABLE c () INHERITS (u)",
         "parents of table public.c"),
        ("CREATE AGGREGATE g (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')",
         "CREATE AGGREGATE g (int) (SFUNC = int4mul, STYPE = int, INITCOND = '0')", "aggregate public.g(integer)"),
        ("CREATE TYPE r AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi)",
         "CREATE TYPE r AS RANGE (SUBTYPE = float8)", "range of type public.r"),
        ("CREATE COLLATION c (PROVIDER = builtin, LOCALE = 'C')",
         "CREATE COLLATION c (PROVIDER = builtin, LOCALE = 'C.UTF-8')", "collation public.c"),
        ("CREATE TABLE t (a int); ALTER TABLE t ADD CONSTRAINT k NOT NULL a NOT VALID",
         "CREATE TABLE t (a int, CONSTRAINT k NOT NULL a)", "unproven constraint k on public.t"),
        ("CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;"
         "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
         "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;"
         "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()", "event trigger e"),
    ],
)  # fmt: skip
def test_a_bracket_a_cast_or_a_rule_that_means_something_is_a_difference(
    database: Connection, one: str, other: str, differing: str
) -> None:
    made = []
    for statements in (one, other):
        database.execute("CREATE SCHEMA IF NOT EXISTS public")
        database.execute(cast("LiteralString", statements))
        made.append(schema.schema_objects(database))
        database.execute("DROP SCHEMA public CASCADE")
    missing, surplus, changed = schema.differences(*made)
    assert [*missing, *surplus, *changed] == [differing]


@pytest.mark.parametrize(
    ("printed", "settled"),
    [
        ("((s)::text = ANY ((ARRAY['a'::character varying, 'b,)'::character varying])::text[]))",
         "((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b,)'::character varying)::text]))"),
        ("((ARRAY[a, b])::character varying(5)[])", "(ARRAY[(a)::character varying(5), (b)::character varying(5)])"),
        ("(((a > 1) AND (a < 2)) AND b)", "((a > 1) AND (a < 2) AND b)"),
        ("((a AND b) OR c)", "((a AND b) OR c)"),
        ("((a OR (b OR c)) AND d)", "((a OR b OR c) AND d)"),
        ("'((  a AND b) AND  c)'", "'((  a AND b) AND  c)'"),
        ("E'it\\'s (  ' || \"odd (  \"", "E'it\\'s (  ' || \"odd (  \""),
        ("((unbalanced", "((unbalanced"),
    ],
)  # fmt: skip
def test_only_what_a_restore_changes_is_written_in_one_form(printed: str, settled: str) -> None:
    assert printed_sql.settled(printed) == settled
    assert printed_sql.settled(settled) == settled
