"""Everything that would go wrong with a move is named before a row is written, each with its keys."""

from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data.people import people
from tests.kinds_data.support import administration, log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: One table for each reason, so that no conflict hides another. 'e' + U+0301 is an é in two characters.
SOURCE = """
CREATE TABLE sizes (id int PRIMARY KEY, small bigint, price numeric, short text, kind text);
INSERT INTO sizes VALUES (1, 7, 1.25, 'ok', 'a'), (2, 99999, 2.5, 'ok', 'a'), (3, 8, 1.239, 'ok', 'a'),
    (4, 9, 1, 'far too long', 'a'), (5, 9, 1, 'ok', 'z'), (6, 70000, 1, 'ok', 'a');
CREATE TABLE rules (id int PRIMARY KEY, name text, age int, city int);
INSERT INTO rules VALUES (1, 'a', 1, 1), (2, NULL, 2, 1), (3, 'c', -3, 1), (4, 'd', 4, 99), (5, 'e', 5, NULL);
CREATE TABLE codes (id int PRIMARY KEY, code text, word text);
INSERT INTO codes VALUES (1, 'same', 'one'), (2, 'same', 'two'), (3, 'taken', 'three'), (4, 'd', 'Café'),
    (5, 'e', E'Cafe\\u0301'), (6, 'f', 'SIX'), (7, 'g', 'seven');
CREATE TABLE mother (id int PRIMARY KEY, name text);
INSERT INTO mother VALUES (1, 'here'), (2, 'here as well'), (3, 'left out');
CREATE TABLE child (id int PRIMARY KEY, mother_id int);
INSERT INTO child VALUES (1, 1), (2, 77), (3, NULL), (4, 3);
CREATE TABLE known (id int PRIMARY KEY, email text);
INSERT INTO known VALUES (1, 'there@x'), (2, 'new@x'), (3, 'twice@x'), (4, 'double@x'), (5, 'double@x');
"""
TARGET = """
CREATE TYPE kind AS ENUM ('a', 'b');
CREATE TABLE sizes (id int PRIMARY KEY, small smallint, price numeric(6, 2), short varchar(5), kind kind);
CREATE TABLE city (id int PRIMARY KEY);
INSERT INTO city VALUES (1);
CREATE TABLE rules (id int PRIMARY KEY, name text NOT NULL, age int CHECK (age >= 0), city int REFERENCES city,
    must int NOT NULL);
CREATE TABLE codes (id int PRIMARY KEY, code text UNIQUE, word text UNIQUE);
INSERT INTO codes VALUES (100, 'taken', 'x'), (101, 'y', 'six');
CREATE TABLE mother (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE child (id serial PRIMARY KEY, mother_id int REFERENCES mother);
CREATE TABLE known (id serial PRIMARY KEY, email text);
INSERT INTO known (email) VALUES ('there@x'), ('twice@x'), ('twice@x');
"""
TABLES: list[dict[str, Any]] = [
    {"table": "sizes", "keys": "keep", "same": ["small", "price", "short", "kind"]},
    {"table": "rules", "keys": "keep", "same": ["name", "age"],
     "columns": {"city": {"column": "city", "references": "-"}}},
    {"table": "codes", "keys": "keep", "same": ["code", "word"]},
    {"table": "mother", "same": ["name"], "match": ["name"],
     "skip": [{"when": "name = 'left out'", "reason": "Left out on purpose."}]},
    {"table": "child", "same": ["mother_id"]},
    {"table": "known", "same": ["email"], "match": ["email"]},
]  # fmt: skip


def conflicts(run: Run) -> set[tuple[str, str, str, int, str]]:
    return {
        (row["table"].removeprefix("public."), row["kind"], row["about"], row["rows"], " ".join(row["keys"]))
        for row in run.result["conflicts"]
    }


def test_each_conflict_is_named_with_its_keys_and_nothing_is_written(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        before = moving.everything()
        run = moving.rehearse(TABLES)
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("sizes", "overflow", "small", 2, "2 6"),
            ("sizes", "altered", "price", 1, "3"),
            ("sizes", "overflow", "short", 1, "4"),
            ("sizes", "overflow", "kind", 1, "5"),
            ("rules", "null", "name", 1, "2"),
            ("rules", "null", "must", 5, "1 2 3 4 5"),
            ("rules", "check", "rules_age_check", 1, "3"),
            ("rules", "orphan", "city", 1, "4"),
            ("codes", "unique", "code", 2, "1 2"),
            ("codes", "unique", "code", 1, "3"),
            ("codes", "near", "word", 2, "4 5"),
            ("codes", "near", "word", 1, "6"),
            ("child", "orphan", "", 2, "2 4"),
            ("known", "existing", "email", 1, "1"),
            ("known", "duplicate", "email", 1, "5"),
            ("known", "ambiguous", "email", 1, "3"),
        }
        assert "Nothing was written" in run.summary
        assert moving.everything() == before
        total = run.result["total"]
        assert total["source"] == sum(total[name] for name in ("inserted", "merged", "skipped", "stopped"))
        assert run.result["undo"] == {"done": False, "why": "nothing was moved", "differences": []}
        assert not [row for row in run.result["conflicts"] if "far too long" in str(row)], "values stay where they are"


@pytest.mark.campaign
def test_characters_without_a_place_in_the_target_are_named(tmp_path: Path) -> None:
    with people(tmp_path, source="", target="CREATE TABLE word (id int PRIMARY KEY, text text)") as moving:
        moving.sql("INSERT INTO word VALUES (1, 'plain'), (2, 'Zoë'), (3, 'Ωmega'), (4, '東京')")
        latin = sql.Identifier(moving.source.database)
        with administration() as server:
            server.execute(sql.SQL("DROP DATABASE {}").format(latin))
            server.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").format(
                    latin, sql.Identifier(moving.role)
                )
            )
        moving.at_source("CREATE TABLE word (id int PRIMARY KEY, text text)")
        tables = [{"table": "word", "keys": "keep", "same": ["text"]}]
        run = moving.run("transition", environment="staging", source="production", tables=tables)
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {("word", "encoding", "text", 2, "3 4")}
        tables[0]["skip"] = [{"when": "id > 2", "reason": "Not in Latin letters."}]
        tables[0]["columns"] = {"text": {"sql": "CASE WHEN id > 2 THEN '' ELSE text END"}}
        tables[0]["same"] = []
        run = moving.run("transition", environment="staging", source="production", tables=tables)
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
