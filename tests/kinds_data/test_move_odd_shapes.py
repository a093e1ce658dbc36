"""Tables of unusual shape are moved like others, and what looks like another database and is none is refused."""

from pathlib import Path

import psycopg
import pytest

from checks.enums import RunState
from tests.kinds_data.people import People, people
from tests.kinds_data.support import log_of, shop
from tests.kinds_data.test_move_any_value import passed, thing
from tests.kinds_data.test_name_conflicts import conflicts

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

BY_CASE = """
CREATE DOMAIN address AS text;
CREATE TABLE account (id serial PRIMARY KEY, email address);
"""


def test_rows_are_recognised_by_case_in_a_column_of_a_domain(tmp_path: Path) -> None:
    source = BY_CASE + "INSERT INTO account (email) VALUES ('Ann@x'), ('bob@x'), ('BOB@x')"
    target = BY_CASE + "INSERT INTO account (email) VALUES ('ann@x')"
    mapping = {"table": "account", "same": ["email"], "match": ["email"], "ignoring": ["case"], "existing": "skip",
               "duplicates": "first"}  # fmt: skip
    with people(tmp_path, source=source, target=target) as made:
        run = made.rehearse([mapping])
        passed(run)
        assert [run.result["total"][name] for name in ("inserted", "skipped")] == [1, 2], "nobody comes twice"


def test_a_table_is_not_moved_into_itself(tmp_path: Path) -> None:
    schema = "CREATE TABLE thing (id serial PRIMARY KEY, a text); INSERT INTO thing (a) VALUES ('x')"
    with shop(tmp_path, schema=schema) as both:
        made = People(both.application, both.address, both.folder, both.role)
        made.sql("CREATE TABLE copied (id serial PRIMARY KEY, a text)")
        run = made.rehearse([{"table": "thing", "same": ["a"]}])
        assert run.state == RunState.ERRORED, run.summary
        assert "is the table in which the rows are to arrive" in run.error, run.error
        passed(made.rehearse([{"table": "copied", "source_table": "thing", "same": ["a"]}]))


RULED = """
CREATE TABLE ruled (id int PRIMARY KEY, a int);
CREATE FUNCTION right_row(ruled) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a < 100';
ALTER TABLE ruled ADD CONSTRAINT whole CHECK (right_row(ruled.*));
ALTER TABLE ruled ADD CONSTRAINT told CHECK (a > 5) NOT ENFORCED;
CREATE SEQUENCE down INCREMENT -1 START -1;
CREATE TABLE counted (id int PRIMARY KEY DEFAULT nextval('down'), a text);
INSERT INTO counted (a) VALUES ('x'), ('y');
"""
TO_RULE = """
CREATE TABLE ruled (id int PRIMARY KEY, a int); INSERT INTO ruled VALUES (1, 1), (2, 9);
CREATE TABLE counted (id int PRIMARY KEY, a text); INSERT INTO counted VALUES (1, 'x'), (2, 'z');
"""


def test_rules_about_whole_rows_rules_that_bind_nobody_and_numbers_that_go_down(tmp_path: Path) -> None:
    with people(tmp_path, source=TO_RULE, target=RULED) as made:
        run = made.rehearse([thing("ruled", "a"), {"table": "counted", "same": ["a"]}])
        passed(run)
        assert run.result["sequences"] == [{"sequence": "public.down", "from": -2, "to": -4}]


UNSURE = """
CREATE TABLE account (id serial PRIMARY KEY, email text, photo oid, other text);
CREATE UNIQUE INDEX ON account (lower(left(other, 3)));
INSERT INTO account (email) VALUES ('ann@x'), ('ann@x'), ('bob@x');
"""


def test_an_index_that_is_not_valid_and_one_on_a_part_of_a_value_settle_nothing(tmp_path: Path) -> None:
    source = "CREATE TABLE account (id int PRIMARY KEY, email text, photo oid, other text);"
    rows = "INSERT INTO account VALUES (1, 'ann@x', 1, 'abcd'), (2, 'carl@x', 2, 'ABCe'), (3, 'bob@x', 3, 'x')"
    by_email = {"table": "account", "same": ["email", "photo"], "match": ["email"], "existing": "skip"}
    by_other = {"table": "account", "same": ["other"], "match": ["other"], "ignoring": ["case"]}
    with people(tmp_path, source=source + rows, target=UNSURE) as made:
        with pytest.raises(psycopg.errors.UniqueViolation):
            made.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON account (email)")
        run = made.rehearse([by_email])
        assert run.state == RunState.FAILED, (run.error, log_of(run))
        assert conflicts(run) == {("account", "ambiguous", "email", 1, "1")}, "it is no loss of data"
        told = "public.account.photo is an oid: where it names a large object, that object does not move."
        assert told in run.result["notes"]
        made.sql("DROP INDEX broken")
        assert conflicts(made.rehearse([by_other])) == {("account", "unique", "account_lower_idx", 2, "1 2")}
