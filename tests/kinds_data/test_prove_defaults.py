"""What the mapping does not name holds what the target's default says: a trigger that writes there is found."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SOURCE = """
CREATE TABLE person (id serial PRIMARY KEY, email text NOT NULL);
INSERT INTO person (email) VALUES ('ann@x'), ('bob@x'), ('eve@x');
"""
#: Defaults of every sort: none, constants, of a domain, of the clock, and one that nobody can foretell.
TARGET = """
CREATE DOMAIN level AS numeric(6, 2) DEFAULT 1.5;
CREATE TYPE mood AS ENUM ('calm', 'cross');
CREATE TABLE person (id serial PRIMARY KEY, email text NOT NULL, is_staff boolean NOT NULL DEFAULT false,
    note text, level level, mood mood DEFAULT 'calm', extra json NOT NULL DEFAULT '{}', born timestamptz DEFAULT now(),
    token uuid DEFAULT gen_random_uuid(), place serial);
CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER spoil BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION spoil();
"""
SPOIL = """
CREATE OR REPLACE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.email LIKE 'eve%' THEN NEW.is_staff := true; NEW.note := 'chosen'; END IF; RETURN NEW; END $$
"""
PERSON: list[dict[str, Any]] = [{"table": "person", "same": ["email"]}]


def test_rights_that_a_trigger_gives_to_somebody_who_moves_are_found_and_may_be_declared(tmp_path: Path) -> None:
    with people(tmp_path, source=SOURCE, target=TARGET) as moving:
        run = moving.rehearse(PERSON)
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert (
            "public.person fills place, token by itself, with another value in each row: what triggers put there is"
            " not proven." in run.result["notes"]
        )
        moving.sql(SPOIL)
        run = moving.rehearse(PERSON)
        assert run.state == RunState.FAILED, (run.error, run.summary)
        assert run.result["differences"] == [
            "public.person: 1 inserted rows hold something else in is_staff than its default: 3.",
            "public.person: 1 inserted rows hold something else in note than its default: 3.",
        ]
        why = "The shop's own trigger does this."
        run = moving.rehearse(PERSON, may_change={"person.is_staff": why, "person.note": why})
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
