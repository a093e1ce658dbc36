"""After settling: a rollback that would need what is gone is refused, nothing comes twice, later moves go back."""

import json
from pathlib import Path
from typing import Any

import pytest

from checks import engine
from checks.models import Run
from checks.tools.transition import delivering
from releases.models import Environment, Release
from tests.factories import check
from tests.kinds_data.people import SOURCE, TABLES, TARGET
from tests.kinds_deploy.local_server import LocalServer
from tests.kinds_deploy.settling_world import (
    MORE_PEOPLE,
    MOVE,
    MOVE_WORDS,
    SMOKE,
    WORD,
    WORDS,
    World,
    only,
    passed,
    world,
)
from tests.kinds_deploy.support import step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage_folder")]

#: Nothing recognises a note, and its key in the source is somebody's address.
NOTES: dict[str, Any] = {"table": "note", "key": ["email"], "target_key": ["id"], "same": ["a"]}
NOTE_THERE = "CREATE TABLE note (email text PRIMARY KEY, a text); INSERT INTO note VALUES ('x@example.org', 'x'),"
NOTE_THERE += " ('y@example.org', 'y')"
NOTE_HERE = "CREATE TABLE note (id serial PRIMARY KEY, a text)"
#: An address is the key on both sides.
ACCOUNTS: dict[str, Any] = {"table": "account", "key": ["email"], "keys": "keep", "same": ["a"], "existing": "merge",
                            "merge": {"a": "source"}}  # fmt: skip
ACCOUNT_THERE = "CREATE TABLE account (email text PRIMARY KEY, a int); INSERT INTO account VALUES ('x@example.org', 1),"
ACCOUNT_THERE += " ('y@example.org', 2)"
ACCOUNT_HERE = "CREATE TABLE account (email text PRIMARY KEY, a int); INSERT INTO account VALUES ('x@example.org', 7)"
#: As a journal was written before it named people's own keys on both sides.
OLD_JOURNAL = """
    UPDATE gonogo_transition.journal SET document = document || jsonb_build_object('tables',
        (SELECT jsonb_agg(t - 'veiled' - 'veiled_in_source') FROM jsonb_array_elements(document->'tables') t))
"""


def given_up(made: World) -> Run:
    """2.0 is live and for good: what its rollback would undo is settled."""
    made.deployed()
    made.live()
    made.age()
    run = made.settle(made.shop.team.manager, give_up="It runs for good.")
    assert only(run)["becomes"] == "settled"
    return run


# --- the way back -----------------------------------------------------------------------------------------------------


def test_a_rollback_that_needs_what_was_settled_is_refused_before_its_first_step(
    tmp_path: Path, server: LocalServer
) -> None:
    with world(tmp_path, server) as made:
        settled = given_up(made)
        (moved,) = made.data.sql("SELECT run FROM gonogo_transition.journal")[0]
        before = made.data.everything()
        for _ in range(2):
            back = made.shop.roll_back()
            assert back.state == "errored", (back.summary, back.error)
            assert back.error.startswith(f"Run #{settled.number}, started by {settled.started_by}, settled on ")
            assert f" what run #{moved} of " in back.error
            assert back.error.endswith("and the step 'Take them out' of the rollback would take it back, which can no"
                                       " longer be done. Nothing was touched.")  # fmt: skip
            assert "Mend what is wrong and deploy again" in back.remedy
            assert not (tmp_path / "aside").exists()
            assert made.data.everything() == before
        assert Release.objects.get(pk=made.shop.release.pk).state == "live"
        assert Environment.objects.get(pk=made.shop.production.pk).current_version == "2.0"


def test_an_undo_that_is_reached_all_the_same_changes_nothing(
    tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(tmp_path, server) as made:
        given_up(made)
        before = made.data.everything()
        monkeypatch.setattr(delivering, "refuse_settled", lambda context: None)
        back = made.shop.roll_back()
        assert (back.state, back.result["failed_step"]) == ("failed", "people"), (back.error, back.summary)
        assert "so it can no longer be taken back. Nothing was undone." in back.summary
        assert made.data.everything() == before


def test_what_was_moved_before_one_that_is_settled_can_no_longer_be_undone(tmp_path: Path, server: LocalServer) -> None:
    words = check("transition", "production", params={"source": "staging", "tables": [WORDS]})
    with world(
        tmp_path, server, checks={"words": words}, deploy={"steps": [MOVE_WORDS, MOVE], "smoke": SMOKE},
        rollback={"steps": [MOVE_WORDS], "smoke": SMOKE},
    ) as made:  # fmt: skip
        made.data.sql(WORD)
        made.data.at_source(WORD)
        made.deployed()
        mark = {"run": 77, "run_id": "", "by": "", "at": "2026-11-30T10:00:00+00:00", "because": ""}
        # As another program of the same journal may have done it: this one settles the older one first.
        made.data.sql(
            "UPDATE gonogo_transition.journal SET document = document || jsonb_build_object('settled', %s::jsonb)"
            " WHERE section = 'checks.people'",
            json.dumps(mark),
        )
        before = made.data.everything()
        back = made.shop.roll_back()
        assert back.result["failed_step"] == "words", (back.error, back.summary)
        assert "Run #77 settled on 30 Nov 2026 10:00 UTC what run #" in back.summary
        assert "so neither can be taken back any more." in back.summary
        assert made.data.everything() == before


def test_a_rollback_that_puts_the_backup_back_needs_nothing_that_was_settled(
    tmp_path: Path, server: LocalServer
) -> None:
    rollback = {"restore_backup": True, "steps": [{**MOVE, "title": "Take them out"}], "smoke": SMOKE}
    deploy = {"backup": "backup", "steps": [MOVE], "smoke": SMOKE}
    checks = {"backup": check("backup", "production")}
    with world(tmp_path, server, rollback=rollback, deploy=deploy, checks=checks) as made:
        before = made.data.sql("SELECT t FROM person t ORDER BY id")
        made.deployed()
        made.live()
        made.age()
        assert only(made.settle())["becomes"] == "settled"
        back = passed(made.shop.roll_back())
        (said,) = [row["reason"] for row in back.result["steps"] if row["key"] == "people"]
        assert said == "No transition of this build stands there."
        assert made.data.sql("SELECT t FROM person t ORDER BY id") == before


def test_a_rollback_passes_over_what_was_settled_before_its_deploy_where_the_backup_has_it_so(
    tmp_path: Path, server: LocalServer
) -> None:
    rollback = {"restore_backup": True, "steps": [{**MOVE, "title": "Take them out"}], "smoke": SMOKE}
    deploy = {"backup": "backup", "steps": [MOVE, step("late", '[ ! -e "$GONOGO_PLAN_DIR/broken" ]')], "smoke": SMOKE}
    checks = {"backup": check("backup", "production")}
    with world(tmp_path, server, rollback=rollback, deploy=deploy, checks=checks) as made:
        made.deployed()
        made.live()
        made.age()
        passed(made.settle())
        made.next_release()
        # As if it were the same build once more: what stands for it was settled before its own backup.
        made.data.sql("UPDATE gonogo_transition.journal SET build = %s", made.shop.release.build_digest)
        (tmp_path / "broken").touch()
        deployed = made.shop.deploy()
        assert deployed.result["failed_step"] == "late", (deployed.error, deployed.summary)
        back = passed(made.shop.roll_back())
        (said,) = [row["reason"] for row in back.result["steps"] if row["key"] == "people"]
        assert "before this deploy, and the backup that was put back has it so." in said


def test_what_was_settled_still_stands_for_its_build(tmp_path: Path, server: LocalServer) -> None:
    with world(tmp_path, server) as made:
        settled = made.settleable()
        passed(made.settle())
        made.data.sql("UPDATE gonogo_transition.journal SET build = %s", made.shop.release.build_digest)
        moved = made.data.everything()
        run = passed(made.shop.deploy())
        (said,) = [row["reason"] for row in run.result["steps"] if row["key"] == "people"]
        assert said.startswith(f"Run #{settled.number} of ")
        assert said.endswith(" moved them for this build, and that stands.")
        assert made.data.everything() == moved


def test_what_was_settled_by_another_mapping_is_no_reason_to_promise_a_rollback(
    tmp_path: Path, server: LocalServer
) -> None:
    with world(tmp_path, server) as made:
        made.settleable()
        passed(made.settle())
        made.data.sql(
            'UPDATE gonogo_transition.journal SET build = %s, document = document || \'{"mapping": "of before"}\'',
            made.shop.release.build_digest,
        )
        run = made.shop.deploy()
        assert run.result["failed_step"] == "people", (run.error, run.summary)
        assert "by another mapping than the plan has now; that stands and cannot be undone any more." in run.summary


# --- nothing comes twice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "here", "there", "journal"),
    [
        (WORDS, WORD, WORD, ""),
        (WORDS, WORD, WORD, OLD_JOURNAL),
        (NOTES, NOTE_HERE, NOTE_THERE, ""),
        (NOTES, NOTE_HERE, NOTE_THERE, OLD_JOURNAL),
    ],
    ids=["numbers", "numbers-of-an-old-journal", "addresses", "addresses-of-an-old-journal"],
)
def test_rows_that_a_settled_transition_moved_are_not_moved_again(
    tmp_path: Path, server: LocalServer, table: dict[str, Any], here: str, there: str, journal: str
) -> None:
    with world(tmp_path, server, tables=[table], source=there, target=here) as made:
        made.settleable()
        if journal:
            made.data.sql(journal)
        passed(made.settle())
        (kept,) = made.kept()
        assert "@example" not in str(made.data.sql(f"SELECT * FROM gonogo_transition.{kept}"))
        rows = made.data.sql(f"SELECT count(*) FROM {table['table']}")
        run = made.shop.deploy()
        assert run.result["failed_step"] == "people", (run.error, run.summary)
        assert "already, and are in the target. Nothing was written." in run.summary
        assert [(row["kind"], len(row["keys"])) for row in run.result["transitions"][0]["conflicts"]] == [("again", 2)]
        assert made.data.sql(f"SELECT count(*) FROM {table['table']}") == rows
        name = table["table"]
        made.data.at_source(f"DELETE FROM {name} WHERE a = 'x'; UPDATE {name} SET a = 'another' WHERE a = 'y'")
        passed(made.shop.deploy())
        assert made.data.sql(f"SELECT count(*) FROM {name}") == [(rows[0][0] + 1,)]


# --- a later transition -----------------------------------------------------------------------------------------------

MORE_WORDS = "DELETE FROM word; INSERT INTO word (a) VALUES ('z'), ('x')"
MORE_ACCOUNTS = "UPDATE account SET a = a + 10; INSERT INTO account VALUES ('z@example.org', 3)"


@pytest.mark.parametrize(
    ("tables", "here", "there", "meanwhile", "since"),
    [
        (TABLES, TARGET, SOURCE, MORE_PEOPLE, "UPDATE person SET name = 'Since' WHERE email = 'old7@example.org'"),
        ([WORDS], WORD, WORD, MORE_WORDS, "INSERT INTO word (a) VALUES ('here')"),
        ([ACCOUNTS], ACCOUNT_HERE, ACCOUNT_THERE, MORE_ACCOUNTS, "DELETE FROM account WHERE email = 'y@example.org'"),
        ([NOTES], NOTE_HERE, NOTE_THERE, "UPDATE note SET a = a || '2'", "DELETE FROM note WHERE a = 'x'"),
    ],
    ids=["a-circle-with-merges", "numbers", "addresses", "addresses-that-become-numbers"],
)
def test_the_undo_of_a_later_transition_restores_the_target_exactly(
    tmp_path: Path, server: LocalServer, tables: list[dict[str, Any]], here: str, there: str, meanwhile: str, since: str
) -> None:
    with world(tmp_path, server, tables=tables, source=there, target=here) as made:
        made.settleable()
        passed(made.settle())
        made.data.at_source(meanwhile)
        made.data.sql(since)
        before = made.data.everything()
        rehearsed = made.queued(section="checks.people")
        engine.execute(rehearsed.pk)
        rehearsed = passed(engine.load(rehearsed.pk))
        assert (rehearsed.result["undo"]["done"], rehearsed.result["undo"]["differences"]) == (True, [])
        assert made.data.everything() == before
        made.deployed()
        assert made.data.everything() != before
        passed(made.shop.roll_back())
        left = made.data.everything()
        place = "gonogo_transition.journal_place_seq"
        assert {**left, place: 0} == {**before, place: 0}


def test_a_later_transition_that_stood_already_is_undone_exactly_after_an_earlier_one_was_settled(
    tmp_path: Path, server: LocalServer
) -> None:
    with world(tmp_path, server) as made:
        made.deployed()
        made.live()
        made.age()
        made.next_release()
        made.data.at_source(MORE_PEOPLE)
        before = made.data.everything()
        made.deployed()
        run = passed(made.settle())
        assert [(row["release"], row["becomes"]) for row in run.result["transitions"]] == [
            ("2.0", "settled"), ("3.0", "stays"),
        ]  # fmt: skip
        passed(made.shop.roll_back())
        left = made.data.everything()
        ours = [name for name in before if not name.startswith("gonogo_transition.")]
        assert {name: left[name] for name in ours} == {name: before[name] for name in ours}
        assert [name.rpartition("_")[2] for name in made.kept()] == ["moved"] * 4
