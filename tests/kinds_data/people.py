"""Two real databases, staging and production, with people who move from one to the other."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from checks.models import Run
from checks.tools.postgres import Address
from tests.kinds_data.support import Shop, shop

#: A circle (a team has a captain, a person has a team), a table that refers to itself, keys of two columns.
SOURCE = """
CREATE TABLE team (id serial PRIMARY KEY, name text NOT NULL UNIQUE, captain_id bigint);
CREATE TABLE person (id bigserial PRIMARY KEY, email varchar(200) NOT NULL UNIQUE, name text, points integer,
    joined timestamptz NOT NULL, team_id integer REFERENCES team, invited_by bigint REFERENCES person, robot boolean);
ALTER TABLE team ADD FOREIGN KEY (captain_id) REFERENCES person;
CREATE TABLE progress (person_id bigint REFERENCES person, lesson integer, score integer,
    PRIMARY KEY (person_id, lesson));
CREATE TABLE preferences (id serial PRIMARY KEY, person_id bigint NOT NULL UNIQUE REFERENCES person, theme text,
    news boolean NOT NULL);
INSERT INTO team (name) VALUES ('red'), ('blue');
INSERT INTO person (email, name, points, joined, team_id, robot)
    SELECT 'p' || n || '@example.org', 'Person ' || n, n, '2026-01-01Z'::timestamptz + n * interval '1 hour', n % 2 + 1,
        n = 9
    FROM generate_series(1, 30) n;
UPDATE person SET invited_by = 31 - id WHERE id > 25;
UPDATE team SET captain_id = id + 3;
INSERT INTO progress SELECT p, l, p * l FROM generate_series(1, 30) p, generate_series(1, 3) l WHERE p <> 9;
INSERT INTO preferences (person_id, theme, news) SELECT n, CASE WHEN n % 2 = 0 THEN 'dark' END, n % 3 = 0
    FROM generate_series(1, 30, 2) n WHERE n <> 9;
"""
#: Other types, other names, a foreign key that may not wait, a column that the table computes, a log by trigger.
TARGET = """
CREATE TABLE team (id serial PRIMARY KEY, name text NOT NULL UNIQUE, captain_id bigint);
CREATE TABLE person (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email varchar(200) NOT NULL, name text,
    points bigint NOT NULL DEFAULT 0, joined timestamptz NOT NULL, team_id integer REFERENCES team,
    invited_by bigint REFERENCES person, twice bigint GENERATED ALWAYS AS (points * 2) STORED);
CREATE UNIQUE INDEX person_email ON person (lower(email));
ALTER TABLE team ADD FOREIGN KEY (captain_id) REFERENCES person;
CREATE TABLE progress (person_id bigint REFERENCES person, lesson integer, score smallint CHECK (score >= 0),
    PRIMARY KEY (person_id, lesson));
CREATE TYPE theme AS ENUM ('light', 'dark');
CREATE TABLE preferences (id serial PRIMARY KEY, person_id bigint NOT NULL UNIQUE REFERENCES person
    DEFERRABLE INITIALLY DEFERRED, theme theme NOT NULL, digest text NOT NULL DEFAULT 'never');
CREATE TABLE untouched (id serial PRIMARY KEY, note text);
INSERT INTO untouched (note) SELECT 'n' || n FROM generate_series(1, 50) n;
INSERT INTO team (name) VALUES ('green'), ('red');
INSERT INTO person (email, name, points, joined) SELECT 'old' || n || '@example.org', 'Old', n, now()
    FROM generate_series(1, 40) n;
INSERT INTO person (email, name, points, joined) VALUES ('P3@Example.org', NULL, 100, '2025-01-01Z');
INSERT INTO progress SELECT n, 1, n FROM generate_series(1, 41) n;
INSERT INTO preferences (person_id, theme, digest) VALUES (41, 'light', 'daily');
"""
TABLES: list[dict[str, Any]] = [
    {"table": "team", "same": ["name", "captain_id"], "match": ["name"], "existing": "merge",
     "merge": {"captain_id": "fill"}},
    {"table": "person", "same": ["email", "name", "joined", "team_id", "invited_by"],
     "columns": {"points": {"sql": "points + 1"}}, "match": ["email"], "ignoring": ["case"], "existing": "merge",
     "merge": {"name": "fill", "points": "greatest", "joined": "least", "team_id": "fill"},
     "skip": [{"when": "robot", "reason": "Robots have no account."}]},
    {"table": "progress", "key": ["person_id", "lesson"], "keys": "keep", "same": ["score"], "existing": "skip",
     "reason": "What production knows of a lesson stands."},
    {"table": "preferences", "same": ["person_id"], "match": ["person_id"], "existing": "skip",
     "columns": {"theme": {"sql": "coalesce(theme, 'light')"},
                 "digest": {"sql": "CASE WHEN news THEN 'weekly' ELSE 'never' END"}}},
]  # fmt: skip


class People(Shop):
    """The shop of production with a second database, staging, from which people move."""

    @property
    def source(self) -> Address:
        return self.address.named(f"{self.address.database}_staging")

    def at_source(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.source.conninfo(), autocommit=True) as database:
            cursor = database.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def rehearse(self, tables: list[dict[str, Any]] | None = None, **params: Any) -> Run:
        return self.run("transition", source="staging", tables=tables or TABLES, **params)

    def everything(self) -> dict[str, Any]:
        """Every row of every table and where each sequence stands, to compare before with after."""
        names = self.sql(
            "SELECT n.nspname || '.' || c.relname, c.relkind FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'S') AND n.nspname !~ '^(pg_|information)'"
        )
        return {
            name: sorted(map(str, self.sql(f"SELECT last_value, is_called FROM {name}" if kind == "S"
                                           else f"SELECT t FROM {name} t")))
            for name, kind in names
        }  # fmt: skip


@contextmanager
def people(
    folder: Path, *, source: str = SOURCE, target: str = TARGET, plan: Mapping[str, Any] | None = None, **more: Any
) -> Iterator[People]:
    with shop(folder, schema=target, plan=plan, staging="_staging", **more) as made:
        moving = People(made.application, made.address, made.folder, made.role)
        if source:
            moving.at_source(source)
        yield moving
