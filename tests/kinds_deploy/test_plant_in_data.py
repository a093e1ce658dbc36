"""Faults of personal data and of people's data on their way are planted, and their checks say no and name them."""

from typing import Any

import psycopg
import pytest

from checks.models import Run
from tests.engine.support import check, log_text
from tests.kinds_data.support import databases
from tests.kinds_deploy.gate_world import World, verdicts

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = {
    "source": "staging",
    "tables": [
        {"table": "person", "same": ["email", "note"], "keys": "keep", "existing": "skip", "reason": "Theirs stands."},
        {"table": "visit", "same": ["person_id"], "keys": "keep", "existing": "skip", "reason": "Theirs stands."},
    ],
}
#: Two people and three visits that production does not know.
NEW = """
INSERT INTO person VALUES (101, 'ada', 'a note'), (102, 'bob', NULL);
INSERT INTO visit VALUES (101, 101), (102, 101), (103, 102)
"""


def moved(world: World, *faults: str, **params: Any) -> Run:
    people = check("transition", "production", params={**PEOPLE, **params})
    return world.run(more={"people": people}, faults=list(faults))


@pytest.mark.campaign
def test_a_row_that_vanishes_and_a_value_that_is_changed_on_the_way_are_caught(world: World) -> None:
    world.pair.sql("source", NEW)
    before = databases()
    run = moved(world, "vanishing-row", "changed-value")
    assert run.state == "passed", (run.result.get("faults"), log_text(run))
    gone, changed = run.result["faults"]
    assert gone["planted"] == "one row that goes to public.visit vanishes there"
    assert "1 of 3 inserted rows are not in the target" in gone["with"]["summary"]
    assert changed["planted"] == "one value that goes to public.person.email is changed there"
    assert "1 inserted rows differ from the source" in changed["with"]["summary"]
    assert gone["without"] == changed["without"]
    assert databases() == before
    for address in (world.pair.source, world.pair.target):
        with psycopg.connect(address.conninfo()) as connection:
            planted = connection.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'gonogo%'").fetchone()
        assert planted == (0,)


@pytest.mark.campaign
def test_where_nothing_is_moved_or_triggers_are_off_nothing_is_planted_on_the_way(world: World) -> None:
    run = moved(world, "vanishing-row", "changed-value")
    assert run.state == "errored"
    why = [row["why"] for row in run.result["faults"]]
    assert "no row is inserted now" in why[0]
    assert "is inserted now" in why[1]
    world.pair.sql("source", NEW)
    run = moved(world, "vanishing-row", "changed-value", triggers="off")
    why = "not tested, because the plan's transition turns triggers off while it moves"
    assert {row["why"] for row in run.result["faults"]} == {why}


def test_a_column_of_personal_data_that_is_classified_nowhere_is_caught(world: World) -> None:
    before = databases()
    kept = check("privacy", "production", params={"sample_rows": 50})
    entry = {"columns": ["person.email", "person.note"], "category": "contact", "basis": "contract",
             "retention": "a year", "mask": "text"}  # fmt: skip
    run = world.run(more={"kept": kept}, plan={"privacy": {"inventory": [entry]}}, faults=["unclassified-column"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed"), log_text(run)
    assert row["named"] == "aside.gonogo_planted_email"
    assert databases() == before


def test_a_column_is_planted_also_where_the_inventory_lacks_others(world: World) -> None:
    run = world.run(more={"kept": check("privacy", "production")}, faults=["unclassified-column"])
    assert verdicts(run) == {"unclassified-column": "caught"}, log_text(run)


@pytest.mark.campaign
def test_a_row_vanishes_only_where_no_moved_table_refers_to_it(world: World) -> None:
    """What other tables refer to is no matter: nothing there refers to a row that is only arriving."""
    world.pair.sql("source", NEW)
    people = {**PEOPLE, "tables": PEOPLE["tables"][:1]}
    run = world.run(more={"people": check("transition", "production", params=people)}, faults=["vanishing-row"])
    (row,) = run.result["faults"]
    assert (row["verdict"], row["planted"]) == ("caught", "one row that goes to public.person vanishes there"), row
