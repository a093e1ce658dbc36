"""Leaving out a table takes along what belongs to it, and nothing else; a selection says what it omits."""

from typing import Any

from checks.tools.reconciling import Comparison, Options, compare
from tests.kinds_data.database_pair import database_pair

SHOP = """
CREATE TYPE mood AS ENUM ('fine', 'sad');
CREATE TABLE person (id serial PRIMARY KEY, email text, mood mood);
INSERT INTO person (email) VALUES ('ann@example.org');
CREATE INDEX person_email ON person (email);
CREATE VIEW people AS SELECT email FROM person;
CREATE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'SELECT 42';
CREATE SEQUENCE invoice_number; SELECT setval('invoice_number', 10);
CREATE TABLE django_session (id serial, session_key text, at date) PARTITION BY RANGE (at);
CREATE TABLE django_session_old PARTITION OF django_session FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX session_at ON django_session (at);
"""
OTHERWISE = """
DROP INDEX person_email; DROP VIEW people; CREATE EXTENSION hstore; ALTER TYPE mood ADD VALUE 'angry';
CREATE OR REPLACE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'SELECT 43'; SELECT setval('invoice_number', 12);
"""
#: All of it belongs to the table that is left out.
ASIDE = """
DROP INDEX session_at; CREATE INDEX session_key ON django_session_old (session_key);
ALTER TABLE django_session ADD CHECK (id > 0); SELECT setval('django_session_id_seq', 70);
INSERT INTO django_session VALUES (5, 'x', '2025-03-01');
CREATE TABLE django_session_new PARTITION OF django_session FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
"""


def compared(target: str, **options: Any) -> Comparison:
    with database_pair("reconcile_selects", source=SHOP, target=f"{SHOP}; {target}") as pair:
        return compare(pair.source, pair.target, Options(**options))


def test_a_table_left_out_takes_nothing_with_it_but_its_own() -> None:
    found = compared(OTHERWISE + ASIDE, leave_out=["django_session"])
    assert found.data_agrees
    assert not found.agrees
    assert {sort: set(names) for sort, names in found.schema.items()} == {
        "missing": {"index public.person_email", "view public.people", "options of view public.people",
                    "column public.people.email"},
        "extra": {"extension hstore"},
        "changed": {"function public.answer()", "type public.mood"},
    }  # fmt: skip
    assert [(item.name, item.source, item.target) for item in found.sequences] == [("public.invoice_number", 10, 12)]
    assert found.not_compared == ""
    assert ("public.django_session", "the plan says so") in found.left_out


def test_what_belongs_to_a_table_left_out_is_left_out_with_it() -> None:
    found = compared(ASIDE, leave_out=["django_session"])
    assert (found.agrees, dict(found.schema), found.sequences) == (
        True,
        {"missing": [], "extra": [], "changed": []},
        [],
    )


def test_of_tables_that_are_selected_their_indexes_are_compared_and_what_is_not_is_told() -> None:
    found = compared(OTHERWISE + ASIDE, tables=["person"])
    assert dict(found.schema) == {"missing": ["index public.person_email"], "extra": [], "changed": []}
    assert found.sequences == []
    assert found.not_compared.startswith("Only what belongs to the selected tables was compared")
