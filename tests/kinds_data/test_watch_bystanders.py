"""Tables that a mapping does not name: whatever a move does to them is told, and what it cannot touch is not read."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SOURCE = "CREATE TABLE word (id serial PRIMARY KEY, a text); INSERT INTO word (a) VALUES ('x'), ('y')"
TARGET = """
CREATE TABLE word (id serial PRIMARY KEY, a text);
CREATE TABLE beside (id serial PRIMARY KEY, note text);
INSERT INTO beside (note) VALUES ('one'), ('two');
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER meddle AFTER INSERT ON word FOR EACH STATEMENT EXECUTE FUNCTION meddle();
"""
MEDDLE = "CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NULL; END $$"
WORD: list[dict[str, Any]] = [{"table": "word", "same": ["a"]}]
CHANGED = ["public.beside changed, which the mapping does not name."]


@pytest.mark.campaign
def test_what_a_trigger_does_elsewhere_is_told_and_what_leaves_no_trace_is_not(tmp_path: Path) -> None:
    cases: list[tuple[str, list[str]]] = [
        ("UPDATE public.beside SET note = 'other' WHERE id = 2;", CHANGED),
        ("TRUNCATE public.beside;", CHANGED),
        ("ALTER TABLE public.beside ADD more int;", CHANGED),
        ("DROP TABLE public.beside;", CHANGED),
        ("CREATE TABLE public.more (a int);", ["public.more changed, which the mapping does not name."]),
        ("UPDATE public.beside SET note = note;", []),
        ("BEGIN DELETE FROM public.beside; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END;", []),
    ]
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        for statement, told in cases:
            moving.sql(MEDDLE.format(statement))
            run = moving.rehearse(WORD, rehearse_undo=False)
            assert (run.state == RunState.PASSED) is not bool(told), (statement, run.error, run.summary, log_of(run))
            assert run.result["differences"] == told, statement
            assert run.result["locked_seconds"] > 0
