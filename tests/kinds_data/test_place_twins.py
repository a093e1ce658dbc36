"""In a circle the first of several same rows may turn out not to arrive: then the next one takes its place."""

from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from checks.enums import RunState
from checks.tools.postgres import Connection
from checks.tools.transition import matching, moving
from checks.tools.transition.work import Action, TableWork
from tests.kinds_data.people import people
from tests.kinds_data.support import log_of

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

SCHEMA = """
CREATE TABLE person (id serial PRIMARY KEY, email text, team_id int);
CREATE TABLE team (id serial PRIMARY KEY, name text, captain_id int REFERENCES person);
ALTER TABLE person ADD FOREIGN KEY (team_id) REFERENCES team DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE comment (id serial PRIMARY KEY, person_id int, body text);
"""
#: Ann has four rows: the first two are in a team that stays, so the third is the one that arrives. Carl has no other.
ROWS = """
INSERT INTO team (name) VALUES ('closed'), ('open');
INSERT INTO person (email, team_id) VALUES ('ann@x', 1), ('Ann@x', 1), ('ANN@x', 2), ('aNN@x', 2), ('bob@x', 2),
    ('carl@x', 1), ('Carl@x', 1);
INSERT INTO comment (person_id, body) VALUES (3, 'by Ann'), (4, 'by Ann again'), (5, 'by Bob'), (7, 'by Carl');
"""
PERSON: dict[str, Any] = {
    "table": "person", "same": ["email", "team_id"], "match": ["email"], "ignoring": ["case"], "existing": "skip",
    "duplicates": "first", "orphans": "skip",
}  # fmt: skip
TEAM: dict[str, Any] = {
    "table": "team", "same": ["name", "captain_id"],
    "skip": [{"when": "name = 'closed'", "reason": "Closed teams stay."}],
}  # fmt: skip
COMMENT: dict[str, Any] = {
    "table": "comment", "same": ["body"], "orphans": "skip",
    "columns": {"person_id": {"column": "person_id", "references": "person"}},
}  # fmt: skip
HELD = "SELECT p.email, t.name, c.body FROM person p JOIN team t ON t.id = p.team_id LEFT JOIN comment c" \
    " ON c.person_id = p.id ORDER BY 1, 3"  # fmt: skip
DANGLING = "SELECT count(*) FROM comment WHERE person_id NOT IN (SELECT id FROM person)"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the target holds when the move is about to stand: rows of people, and comments that lead nowhere."""
    seen: list[Any] = []
    commit = moving.Mover._commit

    def look(self: moving.Mover, target: Connection) -> None:
        target.execute("SET LOCAL search_path = public")
        seen.append((target.execute(HELD).fetchall(), target.execute(DANGLING).fetchall()))  # type: ignore[call-overload]
        commit(self, target)

    monkeypatch.setattr(moving.Mover, "_commit", look)
    return seen


@pytest.mark.parametrize("keep", [False, True], ids=["new keys", "keys are kept"])
@pytest.mark.parametrize("merge", [False, True], ids=["nobody there", "Ann is there"])
def test_when_the_first_of_several_same_rows_does_not_arrive_the_next_one_does(
    tmp_path: Path, held: list[Any], keep: bool, merge: bool
) -> None:
    person = PERSON | ({"keys": "keep"} if keep else {})
    if merge:
        person |= {"existing": "merge", "merge": {"team_id": "source", "email": "source"}}
    with people(tmp_path, source=SCHEMA + ROWS, target=SCHEMA) as made:
        if merge:
            made.sql("INSERT INTO person (id, email) VALUES (77, 'ann@X')")
        run = made.rehearse([person, TEAM, COMMENT])
        assert run.state == RunState.PASSED, (run.error, run.result.get("differences"), log_of(run))
        rows, dangling = held[0]
        assert rows == [
            ("ANN@x", "open", "by Ann"), ("ANN@x", "open", "by Ann again"), ("bob@x", "open", "by Bob"),
        ]  # fmt: skip
        assert dangling == [(0,)]
        told = {(row["table"], row["reason"]): row["rows"] for row in run.result["skipped"]}
        assert sum(rows for (table, _), rows in told.items() if table == "public.person") == 5
        assert run.result["undo"]["differences"] == []


def test_a_place_that_leads_to_no_row_of_the_target_is_never_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault itself, planted: a twin keeps its place, and the row that it is the twin of does not arrive."""
    follow = matching.follow_late_references

    def spoil(target: Connection, works: list[TableWork], late: Any) -> None:
        follow(target, works, late)
        target.execute(
            sql.SQL("UPDATE {} SET action = {}, t1 = NULL WHERE k1 = 5").format(
                works[0].map, sql.Literal(int(Action.ORPHAN))
            )
        )

    monkeypatch.setattr(matching, "follow_late_references", spoil)
    with people(tmp_path, source=SCHEMA + ROWS, target=SCHEMA) as made:
        made.at_source("INSERT INTO person (email, team_id) VALUES ('Bob@x', 2)")
        made.at_source("UPDATE comment SET person_id = 8 WHERE person_id = 5")
        run = made.rehearse([PERSON, TEAM, COMMENT])
        assert run.state == RunState.FAILED, (run.error, run.summary)
        told = "\n".join(run.result["differences"])
        assert "public.person: 1 rows were skipped as the same as another row, which is not in the target: 8." in told
        assert "public.person: 1 rows lead to a row that the target does not have: 8." in told
