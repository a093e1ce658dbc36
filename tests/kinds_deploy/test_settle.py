"""What a transition keeps for its undo is settled once nobody goes back; what may still be undone stays."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from checks import services
from checks.models import Run
from checks.starting import left_behind
from releases.domain import environment as environments
from releases.models import LedgerEntry, Release
from releases.telling import told
from tests.factories import check
from tests.kinds_data.test_download_results import kept as kept_file
from tests.kinds_data.test_download_results import offers, table
from tests.kinds_deploy.local_server import LocalServer
from tests.kinds_deploy.settling_world import MOVE, MOVE_WORDS, SMOKE, WORD, WORDS, World, only, passed, world
from tests.kinds_deploy.support import OLD, kill_after, step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def made(tmp_path: Path, server: LocalServer, storage_folder: Path) -> Iterator[World]:
    with world(tmp_path, server) as one:
        yield one


def bytes_of(made: World, names: list[str]) -> int:
    return sum(made.data.sql(f"SELECT pg_total_relation_size('gonogo_transition.{name}')")[0][0] for name in names)


def test_what_is_old_and_can_no_longer_be_taken_back_is_settled_and_told(made: World) -> None:
    moved = made.settleable()
    before, tables = made.data.everything(), made.kept()
    size = bytes_of(made, tables)
    assert len(tables) == 8
    run = made.settle()
    row = only(run)
    assert (row["run"], row["release"], row["becomes"], row["why"]) == (moved.number, "2.0", "settled", "")
    counts = ("table", "inserted", "merged", "skipped", "before")
    assert [tuple(each[name] for name in counts) for each in row["tables"]] == [
        ("public.team", 1, 1, 0, 1), ("public.person", 28, 1, 1, 1), ("public.progress", 86, 0, 1, 0),
        ("public.preferences", 13, 0, 1, 0),
    ]  # fmt: skip
    (place,) = made.data.sql("SELECT place FROM gonogo_transition.journal")[0]
    assert made.kept() == [f"r{place}_{number}_moved" for number in (1, 2, 3, 4)]
    assert (row["bytes"], row["bytes"] - row["left_bytes"]) == (size, size - bytes_of(made, made.kept()))
    assert run.result["freed_bytes"] == size - bytes_of(made, made.kept()) > 0
    assert run.summary.startswith("1 settled, ")
    left = made.data.everything()
    ours = {name for name in before if not name.startswith("gonogo_transition")}
    assert {name: left[name] for name in ours} == {name: before[name] for name in ours}, (
        "the application's are untouched"
    )
    assert [note["becomes"] for note in table(run, "transitions.csv")] == ["settled"] * 4
    assert json.loads(kept_file(run, "settle.json"))["freed_bytes"] == run.result["freed_bytes"]
    assert offers(run, "settle.json", "transitions.csv")


def test_the_journal_says_who_settled_when_and_how_much_and_nothing_of_people(made: World) -> None:
    moved = made.settleable()
    run = passed(made.settle())
    ((number, build, document),) = made.data.sql("SELECT run, build, document FROM gonogo_transition.journal")
    assert (number, build) == (moved.number, moved.build_digest)
    mark = document["settled"]
    assert (mark["run"], mark["run_id"], mark["by"]) == (run.number, str(run.pk), str(run.started_by))
    assert mark["tables"][1]["inserted"] == 28
    everything = str(made.data.sql("SELECT * FROM gonogo_transition.journal")).replace(mark["by"], "")
    for name in made.kept():
        everything += str(made.data.sql(f"SELECT * FROM gonogo_transition.{name}"))
    assert "@example" not in everything.lower()
    assert "Person" not in everything


def test_it_is_in_the_ledger_in_words(made: World) -> None:
    moved = made.settleable()
    run = passed(made.settle())
    entry = LedgerEntry.objects.get(action="transition.settled")
    assert entry.document["transitions"][0]["run"] == moved.number
    assert told(entry.action, entry.document) == (
        f"What run #{moved.number} moved into production was settled by run #{run.number}"
    )


def test_rows_of_people_who_are_gone_since_are_not_among_what_stays(made: World) -> None:
    made.settleable()
    (place,) = made.data.sql("SELECT place FROM gonogo_transition.journal")[0]
    inserted = f"SELECT count(*) FROM gonogo_transition.r{place}_4_keys WHERE action = 1"
    assert made.data.sql(inserted) == [(13,)]
    made.data.sql("DELETE FROM preferences WHERE person_id = (SELECT id FROM person WHERE email = 'p7@example.org')")
    passed(made.settle())
    assert made.data.sql(f"SELECT count(*) FROM gonogo_transition.r{place}_4_moved") == [(12,)]
    assert made.data.sql(f"SELECT count(*) FROM gonogo_transition.r{place}_2_moved") == [(28,)]


def test_a_dry_run_shows_everything_and_removes_nothing(made: World) -> None:
    made.settleable()
    before = made.data.everything()
    run = made.settle(dry=True)
    row = only(run)
    assert (row["becomes"], row["why"], run.result["going"]) == ("would be settled", "", 1)
    assert run.summary.startswith("1 would be settled (")
    assert made.data.everything() == before
    assert not LedgerEntry.objects.filter(action="transition.settled").exists()


def test_nothing_kept_is_nothing_to_settle(made: World) -> None:
    run = passed(made.settle())
    assert run.summary == "Nothing that could be settled is kept in production."
    assert run.result["transitions"] == []


def test_what_is_settled_is_not_settled_again(made: World) -> None:
    made.settleable()
    passed(made.settle())
    before = made.data.everything()
    assert made.settle().summary == "Nothing that could be settled is kept in production."
    assert made.data.everything() == before


def test_what_was_dropped_by_hand_is_settled_as_what_it_is(made: World) -> None:
    made.settleable()
    made.data.sql(f"DROP TABLE {', '.join(f'gonogo_transition.{name}' for name in made.kept())}")
    row = only(made.settle())
    assert (row["becomes"], row["bytes"]) == ("settled", 0)
    assert all(each["dropped"] for each in row["tables"])


# --- what stays -------------------------------------------------------------------------------------------------------


def stays(made: World, run: Run) -> str:
    row = only(run)
    assert row["becomes"] == "stays"
    assert [name for name in made.kept() if name.endswith("_moved")] == []
    return str(row["why"])


def test_a_release_that_is_watched_keeps_its_way_back(made: World) -> None:
    made.deployed()
    made.age()
    Release.objects.filter(pk=made.shop.release.pk).update(watch_until=timezone.now() + timedelta(hours=1))
    run = made.settle()
    assert stays(made, run).startswith("2.0 is still watched in production until ")
    assert only(run)["watched"]
    assert run.summary.startswith("Nothing was settled. Run #")


def test_what_the_newest_deploys_rollback_would_undo_stays_after_the_watch_too(made: World) -> None:
    deployed = made.deployed()
    made.live()
    made.age()
    run = made.settle()
    assert stays(made, run) == (
        f"The rollback of 2.0 (run #{deployed.number}, deploy) in production would undo it. It can be settled when a"
        " later release was deployed there, or before that when a release manager says in “give up” why 2.0 will never"
        " be rolled back."
    )
    assert only(run)["undone_by_rollback"]


def test_a_deploy_that_failed_keeps_its_way_back_whatever_is_given_up(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    steps = [MOVE, step("late", "exit 1")]
    with world(tmp_path, server, deploy={"steps": steps}) as made:
        assert made.shop.deploy().result["failed_step"] == "late"
        made.age()
        assert "left production half-way; deploy again, roll it back, or say what runs there." in refused(made.settle())
        environments.adopt_build(
            environment=made.shop.production, version="1.0", build_digest=OLD, actor=None, reason="Looked."
        )
        run = made.settle(made.shop.team.manager, give_up="Never mind.")
        assert stays(made, run).endswith(
            "It can be settled when 2.0 is rolled back, or a later release was deployed there."
        )


def test_what_is_younger_than_the_plan_says_stays(made: World) -> None:
    made.settleable()
    made.age(-20)
    run = made.settle()
    assert stays(made, run).startswith("It is kept until ")
    assert stays(made, run).endswith(", 30 days after it was moved.")


def test_what_another_installation_moved_stays_unless_a_release_manager_says_so(made: World) -> None:
    made.settleable()
    made.data.sql("UPDATE gonogo_transition.journal SET run_id = gen_random_uuid()")
    assert stays(made, made.settle()).startswith("Nobody here knows run #")
    refused = made.settle(others=True)
    assert refused.state == "errored"
    assert refused.error.startswith("Only a release manager ")
    assert only(made.settle(made.shop.team.manager, others=True))["becomes"] == "settled"


def test_what_was_moved_before_it_and_stays_keeps_it_too(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    words = check("transition", "production", params={"source": "staging", "tables": [WORDS]})
    steps = [step("gate", '[ ! -e "$GONOGO_PLAN_DIR/broken" ]'), MOVE_WORDS, MOVE]
    with world(tmp_path, server, checks={"words": words}, deploy={"steps": steps}) as made:
        made.data.sql(WORD)
        made.data.at_source(WORD)
        moved = made.settleable()
        why = stays(made, made.settle())
        assert why.startswith(f"Run #{moved.number} of ")
        assert "(checks.words) moved data before it, is not settled, and could not be undone any more." in why


def test_what_no_rollback_undoes_is_settled_though_its_deploy_is_the_newest(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    with world(tmp_path, server, rollback={"steps": [step("back", "true")], "smoke": SMOKE}) as made:
        made.deployed()
        made.live()
        made.age()
        assert only(made.settle())["becomes"] == "settled"


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(run: Run) -> str:
    assert run.state == "errored", (run.state, run.summary)
    assert run.error.endswith("Nothing was settled."), run.error
    return run.error


def test_a_deploy_or_rollback_that_waits_or_runs_refuses_it(made: World) -> None:
    made.settleable()
    deploy = services.start_deploy(release=made.shop.fresh(), actor=made.shop.team.manager)
    assert refused(made.settle()) == (
        f"Run #{deploy.number} (deploy, queued) holds production; wait until it has ended. Nothing was settled."
    )
    assert only(made.settle(dry=True))["why"].startswith(f"Run #{deploy.number} (deploy, queued) holds production;")


def test_a_deploy_that_left_nobody_knows_what_refuses_it(made: World) -> None:
    made.settleable()
    assert kill_after(made.shop, "gate").state == "unknown"
    assert "decide first what really happened there" in refused(made.settle())


def test_a_run_keeps_it_longer_than_the_plan_says_and_never_shorter(made: World) -> None:
    made.settleable()
    assert stays(made, made.settle(keep_days=60)).startswith("It is kept until ")
    assert "The plan keeps what was moved for 30 days; a run may keep it longer" in refused(made.settle(keep_days=29))


def test_only_a_release_manager_gives_up_a_way_back_and_the_reason_is_kept(made: World) -> None:
    made.deployed()
    made.live()
    made.age()
    assert "Only a release manager gives up the way back" in refused(made.settle(give_up="It is fine."))
    row = only(made.settle(made.shop.team.manager, give_up="  Production runs it for good. "))
    assert (row["becomes"], row["because"]) == ("settled", "Production runs it for good.")
    (document,) = made.data.sql("SELECT document->'settled' FROM gonogo_transition.journal")[0]
    assert document["because"] == "Production runs it for good."


def test_a_run_settles_nothing_that_another_section_would(made: World) -> None:
    made.settleable()
    assert "and nothing else" in refused(made.settle(transition="settle"))


def test_whoever_starts_it_is_told_before_that_it_is_for_ever() -> None:
    assert left_behind("settle", {"transition": "people"}) == [
        "What is settled can never be undone any more: a rollback that would undo it is refused from then on. With"
        " “Dry” it only shows what would go."
    ]
    assert left_behind("settle", {"transition": "people", "dry": True}) == []
