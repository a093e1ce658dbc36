"""A command that says that all went well is believed only as far as the clone and the original agree."""

import shlex
import sys
from pathlib import Path

import pytest

from checks.enums import RunState
from tests.factories import publish
from tests.kinds_data import django_library
from tests.kinds_data.support import Shop, log_of
from tests.kinds_data.test_rehearse_migration import PSQL, statements

BREAKS = {
    "0002_title": 'migrations.AddField("book", "title", models.TextField(default=""))',
    "0003_breaks": 'migrations.RunSQL("ALTER TABLE library_book ADD CHECK (pages < 5)", migrations.RunSQL.noop)',
}


@pytest.mark.usefixtures("transactional_db", "storage_folder")
@pytest.mark.parametrize("hidden", ["{} | cat", "{} || true"], ids=["pipe", "or true"])
def test_a_migration_that_broke_off_says_no_although_the_script_ends_with_0(tmp_path: Path, hidden: str) -> None:
    with django_library.library(tmp_path, BREAKS, books=20) as made:
        script = hidden.format(shlex.join(django_library.command(made)))
        back = {"argv": [*django_library.command(made), "library", "0001"]}
        run = made.run(
            "migration", release=made.release(), command={"script": script}, visitors_wait="1m", reverse=back
        )
    assert run.state == RunState.FAILED, (run.error, run.summary, log_of(run))
    assert run.result["exit_status"] == 0
    assert "ended with exit status 0 although a migration broke off" in run.summary
    assert "in library.0003_breaks" in run.summary
    assert run.result["mishap"]["cause"] == "data"
    assert run.result["back"] is None


@pytest.mark.parametrize("word", ["reverse", "sql", "reversible_check"])
def test_a_later_command_that_changes_the_original_is_told(plain_shop: Shop, word: str) -> None:
    script = PSQL.replace('os.environ["DATABASE_URL"]', repr(plain_shop.address.conninfo()))
    argv = [sys.executable, "-c", script, "CREATE TABLE oops ()"]
    params = statements("ALTER TABLE customer ADD COLUMN nick text", **{word: {"argv": argv}})
    run = plain_shop.run("migration", release=plain_shop.release(), **params)
    assert run.state == RunState.ERRORED, (run.summary, log_of(run))
    assert "itself changed during the rehearsal" in run.error
    assert word in run.remedy


TITLE = {"0002_title": 'migrations.AddField("book", "title", models.TextField(default=""))'}


@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_a_command_that_only_prints_migrates_less_or_writes_down_is_no_rehearsal(tmp_path: Path) -> None:
    with django_library.library(tmp_path, TITLE, books=20) as made:

        def ended(*words: str) -> tuple[str, str]:
            argv = [*django_library.command(made), *words]
            run = made.run("migration", release=made.release(), command={"argv": argv}, visitors_wait="1m")
            return run.state, f"{run.error} {run.remedy} {run.summary}"

        for words, said in {
            ("--plan",): "with --plan or --check it only prints",
            ("library", "0001"): "1 migration(s) that its code knows are not applied: library.0002_title",
            ("--fake",): "without executing them (--fake)",
        }.items():
            state, told = ended(*words)
            assert state == RunState.ERRORED, (words, told)
            assert said in told
        made.sql("INSERT INTO django_migrations (app, name, applied) VALUES ('library', '0002_title', now())")
        state, told = ended()
        assert state == RunState.PASSED, told
        assert "changed nothing: the code that it ran knows no migration that is not applied" in told


def test_what_is_not_django_s_may_find_nothing_to_do_where_the_plan_says_so(plain_shop: Shop) -> None:
    def ended(**more: object) -> tuple[str, str]:
        run = plain_shop.run("migration", release=plain_shop.release(), **statements("SELECT 1", **more))
        return run.state, f"{run.remedy} {run.summary}"

    state, told = ended()
    assert state == RunState.ERRORED
    assert "may_change_nothing: true" in told
    state, told = ended(may_change_nothing=True)
    assert state == RunState.PASSED, told
    assert "changed nothing: the plan says that it may" in told


@pytest.mark.parametrize("more", [{}, {"compare_data": False}], ids=["compared", "counted"])
def test_a_change_of_values_alone_is_a_change_and_its_way_back_is_walked(
    plain_shop: Shop, more: dict[str, bool]
) -> None:
    back = {"argv": [sys.executable, "-c", PSQL, "SELECT 1"]}
    params = statements("UPDATE customer SET discount = 7 WHERE id = 1", reverse=back, **more)
    run = plain_shop.run("migration", release=plain_shop.release(), **params)
    assert run.result["back"] is not None, (run.error, run.summary)
    if not more:
        assert run.state == RunState.FAILED
        assert "does not bring back what 1 table(s) held: public.customer" in run.summary


def beside(made: Shop, name: str) -> str:
    """The address of another database of the same role."""
    database = f"{made.address.database}_{name}"
    made.sql(f"CREATE DATABASE {database}")
    return made.address.named(database).url()


@pytest.mark.usefixtures("transactional_db", "storage_folder")
def test_another_database_of_the_application_is_not_migrated_by_the_rehearsal(tmp_path: Path) -> None:
    with django_library.library(tmp_path, TITLE, books=20) as made:
        variables = {
            "DATABASE_URL": made.address.url(),
            "DIRECT_URL": made.address.url().replace("postgresql://", "postgres://") + "?pgbouncer=true",
            "ANALYTICS_URL": beside(made, "analytics"),
        }
        production = {"tier": "production", "variables": variables}
        staging = {"tier": "staging", "variables": {"DATABASE_URL": made.address.url()}}
        publish(made.application, {"environments": {"staging": staging, "production": production}})
        run = django_library.rehearse(made)
        assert run.state == RunState.ERRORED, run.summary
        assert "ANALYTICS_URL leads to another PostgreSQL database" in run.error
        assert "may_reach: [ANALYTICS_URL]" in run.remedy
        assert "Cloned" not in log_of(run)

        line = shlex.join(django_library.command(made))
        direct = {"script": f'DATABASE_URL="$DIRECT_URL" {line}'}
        run = made.run(
            "migration", release=made.release(), command=direct, visitors_wait="1m", may_reach=["ANALYTICS_URL"]
        )
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))

        both = {"script": f'{line}; DATABASE_URL="$ANALYTICS_URL" {line}'}
        run = made.run(
            "migration", release=made.release(), command=both, visitors_wait="1m", may_reach=["ANALYTICS_URL"]
        )
        assert run.state == RunState.ERRORED, run.summary
        assert run.error == f"library.0001_initial ran in {made.address.database}_analytics, not in the clone."
