"""What several transitions keep in one target stays apart, though numbers of runs come again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string

from checks.tools.transition import keeping
from releases.domain import environment as environments
from releases.models import Environment
from tests.factories import check, make_approved, make_release, make_team
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, Shop, step

pytestmark = pytest.mark.django_db(transaction=True)

SMOKE = [{"path": "/"}]
FIRST = {"key": "people", "title": "Move the people", "category": "database", "transition": "people"}
SECOND = {"key": "words", "title": "Move the words", "category": "database", "transition": "words"}
WORDS = {"table": "word", "same": ["a"]}
TABLE = "CREATE TABLE word (id serial PRIMARY KEY, a text); INSERT INTO word (a) VALUES ('x'), ('y')"
#: As the rehearsal of the next release finds it: the same check, another build, and nothing to match by.
NEXT_RELEASE = "UPDATE gonogo_transition.journal SET section = 'checks.transition' WHERE section = 'checks.words'"
#: What a trigger writes and what the clock says differs systematically; the target counts further than the source.
STAMPED = {**WORDS, "same": ["a", "n"], "columns": {"moved_at": {"sql": "now()"}}}
LOUD = {"word.a": "A trigger writes it in capitals."}
COUNTED = "CREATE TABLE word (id serial PRIMARY KEY, a text, n {}); INSERT INTO word (a, n) VALUES ('x', 1), ('y', 2);"
CAPITALS = """
ALTER TABLE word ADD moved_at timestamptz;
CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a = upper(NEW.a); RETURN NEW; END';
CREATE TRIGGER louder BEFORE INSERT ON word FOR EACH ROW EXECUTE FUNCTION louder();
"""


@contextmanager
def approved(
    folder: Path, server: LocalServer, here: str = TABLE, there: str = TABLE, words: Mapping[str, Any] | None = None
) -> Iterator[tuple[Shop, People]]:
    server.replies["/"] = Reply()
    params: dict[str, Mapping[str, Any]] = {"people": {"tables": TABLES}, "words": words or {"tables": [WORDS]}}
    moves = {
        name: check("transition", "production", params={"source": "staging", **more}) for name, more in params.items()
    }
    plan: dict[str, Any] = {
        "checks": moves,
        "deploy": {"steps": [FIRST, SECOND, step("switch", '[ ! -e "$GONOGO_PLAN_DIR/broken" ]')], "smoke": SMOKE},
        "rollback": {"steps": [SECOND, FIRST], "smoke": SMOKE},
    }
    with people(folder, plan=plan, url=server.url) as data:
        data.sql(here)
        data.at_source(there)
        team = make_team(data.application)
        production = Environment.objects.get(application=data.application, name="production")
        environments.adopt_build(
            environment=production, version="1.0", build_digest=OLD, actor=None, reason="It was there."
        )
        release = make_release(application=data.application, requester=team.engineer, version="2.0")
        make_approved(release, team)
        yield Shop(data.application, team, release, folder, server), data


def number_by_runs(data: People, run: int) -> None:
    """The journal as it was before it had places of its own: numbered by runs, with one transition in it."""
    data.sql("DELETE FROM gonogo_transition.journal WHERE section = 'checks.words'")
    (place,) = data.sql("SELECT place FROM gonogo_transition.journal")[0]
    for number in range(1, len(TABLES) + 1):
        for made in (keeping.keys_table, keeping.before_table):
            old, new = (made(each, number).as_string().split(".") for each in (place, run))
            if old != new:
                data.sql(f"ALTER TABLE {'.'.join(old)} RENAME TO {new[1]}")
    data.sql("ALTER TABLE gonogo_transition.journal DROP COLUMN place, ADD PRIMARY KEY (run)")


def test_two_steps_of_one_deploy_move_and_are_both_undone(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        before = data.everything()
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        assert data.sql("SELECT count(*) FROM word") == [(4,)]
        assert data.sql("SELECT run, section FROM gonogo_transition.journal ORDER BY place") == [
            (run.number, "checks.people"), (run.number, "checks.words"),
        ]  # fmt: skip
        data.sql("ALTER TABLE word ADD note text")
        back = shop.roll_back()
        assert back.state == "failed"
        assert "public.word has other columns than when its rows were moved (note)." in back.summary
        data.sql("ALTER TABLE word DROP note")
        back = shop.roll_back()
        assert back.state == "passed", (back.error, back.summary)
        assert data.everything() == before


def test_a_move_with_the_number_and_the_check_of_another_installation_is_kept_apart(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        foreign = "INSERT INTO gonogo_transition.journal (run, run_id, section, build, document) VALUES"
        before = data.everything()
        (tmp_path / "broken").touch()
        run = shop.deploy()
        assert run.result["failed_step"] == "switch", (run.error, run.summary)
        # As the same deploy by an installation elsewhere would leave it: its own place, and any number.
        data.sql(
            f"{foreign} (%s, gen_random_uuid(), 'checks.people', 'sha256:other', '{{\"tables\": []}}')", run.number + 1
        )
        (tmp_path / "broken").unlink()
        again = shop.deploy()
        assert again.state == "passed", (again.error, again.summary)
        assert data.sql("SELECT count(*) FROM word") == [(4,)], "theirs is no reason to move ours twice"
        back = shop.roll_back()
        assert back.state == "failed", "what was moved later goes first, and only they know how"
        assert f"Runs #{run.number + 1} of " in back.summary
        assert f"moved data after run #{run.number} of " in back.summary
        data.sql("DELETE FROM gonogo_transition.journal WHERE build = 'sha256:other'")
        assert shop.roll_back().state == "passed"
        assert data.everything() == before


def test_what_was_dropped_can_no_longer_be_undone(tmp_path: Path, server: LocalServer, storage_folder: Path) -> None:
    with approved(tmp_path, server) as (shop, data):
        assert shop.deploy().state == "passed"
        (place,) = data.sql("SELECT place FROM gonogo_transition.journal WHERE section = 'checks.words'")[0]
        data.sql(f"DROP TABLE gonogo_transition.r{place}_1_keys, gonogo_transition.r{place}_1_before")
        moved = data.everything()
        back = shop.roll_back()
        assert back.state == "failed"
        assert "needs was dropped from gonogo_transition, so it stays." in back.summary, back.summary
        assert data.everything() == moved


def test_what_was_kept_when_runs_gave_the_numbers_can_still_be_undone(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        before = data.everything()
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        number_by_runs(data, run.number)
        back = shop.roll_back()
        assert back.state == "passed", (back.error, back.summary)
        left = data.everything()
        assert {name: rows for name, rows in left.items() if name in before and "word" not in name} == {
            name: rows for name, rows in before.items() if "word" not in name
        }


def test_the_next_rehearsal_passes_where_runs_gave_the_numbers(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        number_by_runs(data, run.number)
        kept = data.sql("SELECT * FROM gonogo_transition.journal")
        rehearsed = data.rehearse()
        assert rehearsed.state == "passed", (rehearsed.error, rehearsed.summary)
        assert rehearsed.result["undo"]["done"]
        assert data.sql("SELECT * FROM gonogo_transition.journal") == kept, "the target itself is left as it is"


def test_a_move_of_nothing_and_one_by_another_mapping_do_not_stand_for_this_one(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        data.at_source("DELETE FROM word")
        run = shop.deploy()
        assert run.result["failed_step"] == "words", (run.error, run.summary)
        assert "The source holds no row of the declared tables, so nothing was moved." in run.summary
        data.at_source("INSERT INTO word (a) VALUES ('x'), ('y')")
        data.sql('UPDATE gonogo_transition.journal SET document = document || \'{"mapping": "of before"}\'')
        run = shop.deploy()
        assert run.result["failed_step"] == "people", (run.error, run.summary)
        assert "moved them for this build by another mapping than the plan has now" in run.summary
        data.sql("UPDATE gonogo_transition.journal SET document = document - 'mapping'")
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        assert data.sql("SELECT count(*) FROM word") == [(4,)]


def test_rows_that_stand_are_not_moved_again_for_another_build(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        assert shop.deploy().state == "passed"
        data.sql(NEXT_RELEASE)
        run = data.rehearse([WORDS])
        assert run.state == "failed", (run.error, run.summary)
        assert [(row["kind"], row["keys"]) for row in run.result["conflicts"]] == [("again", ["1", "2"])]
        assert "already, and are in the target. Nothing was written." in run.summary
        data.at_source("UPDATE word SET a = 'another one' WHERE id = 1")
        assert data.rehearse([WORDS]).result["conflicts"][0]["keys"] == ["2"]
        data.at_source("DELETE FROM word WHERE id = 2")
        again = data.rehearse([WORDS])
        assert again.state == "passed", (again.error, again.summary)


def test_rows_that_stand_are_known_whatever_the_clock_and_triggers_made_of_them(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    here, there = COUNTED.format("bigint") + CAPITALS, COUNTED.format("integer")
    words = {"tables": [STAMPED], "may_change": LOUD}
    with approved(tmp_path, server, here, there, words) as (shop, data):
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        assert data.sql("SELECT a, n FROM word ORDER BY id") == [("x", 1), ("y", 2), ("X", 1), ("Y", 2)]
        data.sql(NEXT_RELEASE)
        again = data.rehearse([STAMPED], may_change=LOUD)
        assert again.state == "failed", (again.error, again.summary)
        assert [(row["kind"], row["keys"]) for row in again.result["conflicts"]] == [("again", ["1", "2"])]


def test_rows_that_stand_are_known_beside_one_that_the_source_could_not_hold(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    counted = {**WORDS, "same": ["a", "n"]}
    with approved(tmp_path, server, COUNTED.format("bigint"), COUNTED.format("integer"), {"tables": [counted]}) as (
        shop,
        data,
    ):
        assert shop.deploy().state == "passed"
        data.sql(NEXT_RELEASE)
        data.sql("UPDATE word SET n = 5000000000 WHERE id = 3")
        again = data.rehearse([counted])
        assert again.state == "failed", (again.error, again.summary)
        assert [(row["kind"], row["keys"]) for row in again.result["conflicts"]] == [("again", ["2"])]


def test_what_triggers_may_write_keeps_nobody_from_going_back(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    stamped = """
    ALTER TABLE word ADD touched timestamptz;
    CREATE TABLE audit (id serial PRIMARY KEY, what text);
    CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.audit (what) VALUES (TG_OP);
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        NEW.touched := clock_timestamp(); RETURN NEW; END $$;
    CREATE TRIGGER stamp BEFORE INSERT OR UPDATE OR DELETE ON word FOR EACH ROW EXECUTE FUNCTION stamp();
    """
    merged = {**WORDS, "same": ["a", "n"], "match": ["a"], "existing": "merge", "merge": {"n": "greatest"}}
    may_change = {"word.touched": "When a row was written last.", "audit": "It tells what was written."}
    words = {"tables": [merged], "may_change": may_change, "rehearse_undo": False}
    there = COUNTED.format("int") + "UPDATE word SET n = 9; INSERT INTO word (a, n) VALUES ('z', 3)"
    with approved(tmp_path, server, COUNTED.format("int") + stamped, there, words) as (shop, data):
        before = data.sql("SELECT id, a, n FROM word ORDER BY id")
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        assert data.sql("SELECT a, n FROM word ORDER BY id") == [("x", 9), ("y", 9), ("z", 3)]
        back = shop.roll_back()
        assert back.state == "passed", (back.error, back.summary)
        assert data.sql("SELECT id, a, n FROM word ORDER BY id") == before


def test_nobody_waits_while_tables_that_a_move_cannot_have_touched_are_read(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, data):
        scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'untouched'"
        before = data.sql(scans)
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        assert data.sql(scans) == before
        assert all(0 < moved["locked_seconds"] <= moved["seconds"] for moved in run.result["transitions"])
        assert "of which nobody else could write these tables for" in render_to_string(
            "checks/kinds/deploy.html", {"run": run}
        )


def test_each_of_two_transitions_is_shown_and_keeps_files_of_its_own(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with approved(tmp_path, server) as (shop, _data):
        run = shop.deploy()
        assert run.state == "passed", (run.error, run.summary)
        assert [(moved["check"], moved["total"]["source"]) for moved in run.result["transitions"]] == [
            ("people", 133), ("words", 2),
        ]  # fmt: skip
        names = [kept["name"] for kept in run.result["artifacts"]]
        assert len(names) == len(set(names))
        assert {"people-keys.csv", "words-keys.csv", "people-transition.json", "words-transition.json"} <= set(names)
        shown = render_to_string("checks/kinds/deploy.html", {"run": run})
        assert "133 rows = 128 inserted" in shown
        assert "2 rows = 2 inserted" in shown
        back = shop.roll_back()
        assert back.state == "passed", (back.error, back.summary)
        assert [undone["check"] for undone in back.result["transitions"]] == ["words", "people"]
