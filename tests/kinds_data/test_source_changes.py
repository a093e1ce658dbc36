"""The source goes on living while its people move: what is written there meanwhile is noticed and told."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_data.support import administration, in_a_thread, log_of

#: The move stands still for a while in its middle: long enough for somebody to write to the source.
PAUSE = """
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
CREATE TRIGGER pause AFTER INSERT ON person FOR EACH STATEMENT EXECUTE FUNCTION pause();
"""


@pytest.fixture
def moving(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[People]:
    with people(tmp_path) as made:
        made.sql(PAUSE)
        yield made


def until_it_pauses() -> None:
    with administration() as server:
        for _ in range(600):
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname LIKE 'gonogo_clone%'"
            )
            if server.execute(query).fetchone() == (1,):
                return
            time.sleep(0.05)
    raise AssertionError("The move never came to its pause.")


def moved_while(moving: People, statement: str, *, may_change: bool) -> Run:
    run = moving.queued("transition", source="staging", tables=TABLES, source_may_change=may_change)
    thread = in_a_thread(run)
    until_it_pauses()
    moving.at_source(statement)
    thread.join(120)
    run.refresh_from_db()
    return run


ADDED = "INSERT INTO person (email, joined) VALUES ('late@example.org', now())"
#: Values that are the same as before; only whom they belong to has changed.
REFERRED = "UPDATE person SET team_id = 3 - team_id WHERE id = 4"


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("statement", "now"),
    [(ADDED, "30 rows then, 31 now"), (REFERRED, "30 rows then, 30 now")],
    ids=["row", "reference"],
)
def test_a_source_that_is_written_to_meanwhile_fails_and_opens_no_risk(
    moving: People, statement: str, now: str
) -> None:
    before = moving.everything()
    run = moved_while(moving, statement, may_change=False)
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    told = f"public.person changed in the source while it was moved: {now}."
    assert run.summary == f"{told} Everything was taken back."
    assert run.result["refusals"] == [told]
    assert run.result["differences"] == [], "it is explained, so no data is lost"
    assert moving.everything() == before
    page = render_to_string("checks/kinds/transition.html", {"run": run})
    assert told in page
    assert "Stop what writes to the source" in page


@pytest.mark.campaign
def test_where_the_plan_allows_it_the_snapshot_moves_and_the_page_says_what_came_later(moving: People) -> None:
    run = moved_while(moving, ADDED, may_change=True)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.summary == "133 rows = 128 inserted + 2 merged + 3 skipped, proven on a clone."
    told = "public.person changed in the source while it was moved: 30 rows then, 31 now."
    assert run.result["changed_meanwhile"] == [told]
    assert f"{told} The plan allows that; what came later was not moved." in run.result["notes"]
    assert told in render_to_string("checks/kinds/transition.html", {"run": run})


@pytest.mark.campaign
def test_a_source_that_goes_away_is_the_one_that_is_named(moving: People) -> None:
    before = moving.everything()
    run = moving.queued("transition", source="staging", tables=TABLES)
    thread = in_a_thread(run)
    until_it_pauses()
    with administration() as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [moving.source.database]
        )
    thread.join(120)
    run.refresh_from_db()
    assert run.state == RunState.ERRORED, (run.summary, log_of(run))
    assert "the source" in run.error, run.error
    assert "The target is as it was." in run.error
    assert moving.everything() == before
