"""The target's own rules are asked of merged rows as of new ones, beforehand; no sentence quotes a person's data."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of
from tests.kinds_data.test_name_conflicts import conflicts

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SOURCE = """
CREATE TABLE member (id int PRIMARY KEY, email text, age int, city int, nick text);
INSERT INTO member VALUES (1, 'a@x', 30, 1, 'one'), (2, 'b@x', -5, 1, 'two'), (3, 'c@x', 40, 99, 'three'),
    (4, 'd@x', 50, 1, 'taken');
CREATE TABLE slot (id int PRIMARY KEY, room int, floor int);
INSERT INTO slot VALUES (1, 1, NULL), (2, 1, NULL), (3, 2, NULL), (4, NULL, NULL), (5, 3, 3);
CREATE TABLE loose (id int, word text);
INSERT INTO loose VALUES (1, 'a'), (1, 'b'), (NULL, 'c'), (2, 'd');
"""
#: Everybody is there already, so that all of them would be merged.
TARGET = """
CREATE TABLE city (id int PRIMARY KEY);
INSERT INTO city VALUES (1);
CREATE TABLE member (id serial PRIMARY KEY, email text, age int CHECK (age >= 0), city int REFERENCES city,
    nick text UNIQUE);
INSERT INTO member (email, age) VALUES ('a@x', 1), ('b@x', 1), ('c@x', 1), ('d@x', 1);
INSERT INTO member (nick) VALUES ('taken');
CREATE TABLE slot (id serial PRIMARY KEY, room int, floor int, UNIQUE NULLS NOT DISTINCT (room, floor));
INSERT INTO slot (room, floor) VALUES (2, NULL), (NULL, NULL), (3, NULL);
CREATE TABLE loose (id serial PRIMARY KEY, word text);
"""
MEMBER: dict[str, Any] = {
    "table": "member", "same": ["email", "age", "nick"], "match": ["email"], "existing": "merge",
    "columns": {"city": {"column": "city", "references": "-"}},
    "merge": {"age": "source", "city": "fill", "nick": "fill"},
}  # fmt: skip


@pytest.mark.campaign
def test_a_merge_that_the_target_would_refuse_is_named_before_it_is_tried(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        before = moving.everything()
        run = moving.rehearse([MEMBER])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("member", "check", "member_age_check", 1, "2"),
            ("member", "orphan", "city", 1, "3"),
            ("member", "unique", "nick", 1, "4"),
        }
        assert moving.everything() == before
        keeping = {**MEMBER, "merge": {"age": "greatest"}}
        run = moving.rehearse([keeping])
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))


@pytest.mark.campaign
def test_nulls_that_an_index_takes_for_equal_are_named(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        run = moving.rehearse([{"table": "slot", "same": ["room", "floor"]}])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {
            ("slot", "unique", "room, floor", 2, "1 2"),
            ("slot", "unique", "room, floor", 1, "3"),
            ("slot", "unique", "room, floor", 1, "4"),
        }
        mapping = {"table": "slot", "same": ["room", "floor"], "skip": [{"when": "id < 5", "reason": "Not these."}]}
        assert moving.rehearse([mapping]).state == RunState.PASSED


def test_rows_that_their_key_does_not_name_are_told_before_anything_else(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        run = moving.rehearse([{"table": "loose", "same": ["word"]}])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {("loose", "key", "id", 1, ""), ("loose", "key", "id", 2, "1 1")}
        assert run.result["differences"] == [], "a conflict, and no loss that nothing explains"
        mapping = {"table": "loose", "same": ["word"], "key": ["word"], "target_key": ["id"]}
        assert moving.rehearse([mapping]).state == RunState.PASSED


def test_a_key_that_is_kept_must_not_be_null(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        mapping = {"table": "loose", "key": ["word"], "target_key": ["id"], "keys": "keep",
                   "columns": {"id": {"sql": "id + ascii(word)"}}, "same": ["word"]}  # fmt: skip
        run = moving.rehearse([mapping])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {("loose", "null", "id", 1, "c")}


def test_a_rule_that_nobody_can_ask_beforehand_ends_in_a_sentence_without_the_persons_data(tmp_path: Path) -> None:
    rule = """
        ALTER TABLE member ADD filled text, ADD CONSTRAINT alone UNIQUE (filled);
        CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN IF NEW.age > 20 THEN NEW.filled := NEW.email; END IF; RETURN NEW; END $$;
        CREATE TRIGGER fill BEFORE INSERT ON member FOR EACH ROW EXECUTE FUNCTION fill();
    """
    with people(tmp_path, source=SOURCE, target=TARGET + rule) as moving:
        moving.at_source("UPDATE member SET email = 'secret@x', age = 30, city = 1")
        before = moving.everything()
        run = moving.rehearse([{**MEMBER, "match": [], "existing": "stop", "merge": {},
                                "skip": [{"when": "nick = 'taken'", "reason": "Somebody else has it."}]}])  # fmt: skip
        assert run.state == RunState.ERRORED, (run.summary, log_of(run))
        assert 'violates unique constraint "alone"' in run.error
        assert "The target is as it was." in run.error
        assert "secret" not in run.error + log_of(run), "values stay in the databases"
        assert moving.everything() == before


def test_a_rule_about_no_column_is_asked_too(tmp_path: Path) -> None:
    closed = "ALTER TABLE loose ADD CONSTRAINT closed CHECK (false) NOT VALID"
    with people(tmp_path, source=SOURCE, target=TARGET + closed) as moving:
        run = moving.rehearse([{"table": "loose", "same": ["word"], "key": ["word"], "target_key": ["id"]}])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {("loose", "check", "closed", 4, "a b c d")}
