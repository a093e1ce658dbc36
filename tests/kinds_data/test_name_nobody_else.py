"""A number that names a person in the source never comes to name another one in the target."""

from pathlib import Path
from typing import Any

import pytest

from checks.enums import RunState
from checks.tools.transition import naming
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: The person with the key 2 is somebody else on each side.
PERSON = "CREATE TABLE accounts_user (id serial PRIMARY KEY, email text NOT NULL UNIQUE);"
NOTE = "CREATE TABLE note (id serial PRIMARY KEY, {} int {}, created_by int {}, body text);"
WITH_KEY = "REFERENCES accounts_user"
THERE = "INSERT INTO accounts_user (email) VALUES ('other1@x'), ('other2@x'), ('other3@x');"
ROWS = """
INSERT INTO accounts_user (email) VALUES ('ann@x'), ('bob@x');
INSERT INTO note ({}, created_by, body) VALUES (2, 1, 'of bob'), (NULL, 2, 'of bob as well');
"""
USERS: dict[str, Any] = {"table": "accounts_user", "same": ["email"], "match": ["email"]}


def note(column: dict[str, Any], name: str = "user_id") -> list[dict[str, Any]]:
    return [{"table": "note", "same": ["body"], "columns": {name: column}}, USERS]


@pytest.mark.parametrize(
    ("name", "source_key", "target_key", "column", "how"),
    [
        ("user_id", WITH_KEY, "", {"column": "user_id"}, "as the source's foreign key note_user_id_fkey says"),
        ("author", WITH_KEY, "", {"sql": "coalesce(author, created_by)"}, "as the source's foreign key"),
        ("user_id", "", WITH_KEY, {"sql": "coalesce(user_id, created_by)"}, "as the target's foreign key"),
        ("user_id", "", "", {"column": "user_id"}, "as its own name says"),
    ],
)  # fmt: skip
def test_a_column_that_would_keep_the_number_of_a_person_who_gets_another_is_refused(
    tmp_path: Path, name: str, source_key: str, target_key: str, column: dict[str, Any], how: str
) -> None:
    source = PERSON + NOTE.format(name, source_key, "") + ROWS.format(name)
    with people(tmp_path, source=source, target=PERSON + NOTE.format(name, target_key, "") + THERE) as moving:
        run = moving.rehearse(note(column, name))
        assert run.state == RunState.ERRORED, (run.summary, run.result.get("tables"))
        assert f"public.note.{name} names rows of public.accounts_user, {how}" in run.error, run.error
        followed = moving.rehearse(note({**column, "references": "accounts_user"}, name))
        assert followed.state == RunState.PASSED, (followed.error, followed.summary, log_of(followed))


@pytest.mark.campaign
def test_constants_keys_that_stay_and_what_the_plan_takes_as_it_is_are_no_reason_to_refuse(tmp_path: Path) -> None:
    source = PERSON + NOTE.format("user_id", WITH_KEY, "") + ROWS.format("user_id")
    with people(tmp_path, source=source, target=PERSON + NOTE.format("user_id", "", "") + THERE) as moving:
        for column in ({"value": 1}, {"sql": "NULL"}, {"column": "user_id", "references": "-"}):
            run = moving.rehearse(note(column))
            assert run.state == RunState.PASSED, (column, run.error, run.summary, log_of(run))
        moving.sql("DELETE FROM accounts_user")
        kept = {**USERS, "keys": "keep", "match": []}
        run = moving.rehearse([{"table": "note", "same": ["user_id", "body"]}, kept])
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        run = moving.rehearse([{"table": "note", "same": ["user_id", "body"]}])
        assert "public.note.user_id names rows of public.accounts_user, as the source's" in run.error, run.summary
        assert "which is not in the mapping" in run.error


def test_a_key_of_its_own_is_not_called_after_another_table() -> None:
    assert {"user_id", "users_id", "accounts_user_id"} <= set(naming.names_for("public.accounts_users", "id"))
    assert "id" not in set(naming.names_for("public.users_", "id"))
