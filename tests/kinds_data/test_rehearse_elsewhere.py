"""A rehearsal on staging's server sees production's people masked, or is not made: never anybody in clear."""

import json
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.template.loader import render_to_string

from checks.enums import RunState
from checks.errors import PlanError
from checks.models import Run
from checks.plan import from_document, parse, section_digests, to_document
from checks.tools.postgres import Address
from tests.factories import MINIMAL_PLAN
from tests.kinds_data.support import Shop, administration, databases, log_of
from tests.privacy.support import INVENTORY, declare, people, staging_of, told_in, without

pytestmark = pytest.mark.django_db(transaction=True)

#: Migrates, and writes down where it was, whom it saw, and who may connect there: python -c MIGRATE FILE.
MIGRATE = """
import json, os, pathlib, sys, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("ALTER TABLE person ADD COLUMN nick text")
    def every(query):
        return [row[0] for row in database.execute(query).fetchall()]
    pathlib.Path(sys.argv[1]).write_text(json.dumps({
        "port": database.info.port,
        "database": database.info.dbname,
        "people": every("SELECT person::text FROM person"),
        "sessions": every("SELECT session::text FROM session"),
        "objects": every("SELECT count(*) FROM pg_largeobject_metadata"),
        "public": every("SELECT count(*) FROM pg_database d, aclexplode(d.datacl) a"
                        " WHERE d.datname = current_database() AND a.grantee = 0"),
        "closed": every("SELECT datacl IS NOT NULL FROM pg_database WHERE datname = current_database()"),
    }))
"""
IN_CLEAR = ("example.org", "berg", "hamburg", "49 30 1234", "192.0.2.", "pbkdf2")


def moved_to(shop: Shop, staging: Address, inventory: list[dict[str, Any]] | None = None) -> None:
    environments = {
        "staging": {"tier": "staging", "variables": {"DATABASE_URL": staging.url()}},
        "production": {"tier": "production", "variables": {"DATABASE_URL": shop.address.url()}},
    }
    declare(shop, INVENTORY if inventory is None else inventory, environments=environments)


def rehearsed(shop: Shop, **params: Any) -> tuple[Run, dict[str, Any]]:
    """The run, and what its command saw; nothing where it was not reached."""
    seen = shop.folder / "seen.json"
    seen.unlink(missing_ok=True)
    command = {"argv": [sys.executable, "-c", MIGRATE, str(seen)]}
    params = {"irreversible": {"command": "The backup is put back."}, **params}
    run = shop.run("migration", release=shop.release(), command=command, visitors_wait="1m", **params)
    return run, json.loads(seen.read_text()) if seen.exists() else {}


def names_at(server: Address) -> set[str]:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}


@pytest.mark.campaign
def test_on_stagings_server_nobody_of_production_is_in_clear(
    transactional_db: None, storage_folder: Path, tmp_path: Path, second_server: Address
) -> None:
    with people(tmp_path) as shop:
        moved_to(shop, second_server)
        shop.sql("SELECT lo_from_bytea(0, 'of somebody')")
        there, here = names_at(second_server), databases()
        run, seen = rehearsed(shop, clone_on="staging")
        assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
        assert str(seen["port"]) == second_server.parts["port"]
        assert (len(seen["people"]), seen["sessions"], seen["objects"]) == (40, [], [0])
        assert [word for word in IN_CLEAR if word in str(seen["people"]).lower()] == []
        assert sum("@masked.invalid" in row for row in seen["people"]) == 40
        assert (names_at(second_server), databases()) == (there, here)
        assert run.result["schema"] == [{"object": "column public.person.nick", "change": "added"}]
        masked = run.result["clone"]["masked"]
        assert (masked["environment"], masked["large_objects"]) == ("staging", 1)
        assert masked["rows"] == 165
        assert masked["compared"] > 200
        assert run.result["clone"]["method"] == "dump"
        page = render_to_string("checks/kinds/migration.html", {"run": run})
        assert "its people were masked before it left the server of production for that of staging" in page
        assert "Large objects stayed behind" in page
        assert [word for word in IN_CLEAR if word in told_in(run.result, log_of(run)).lower()] == []
        assert [step.key for step in run.steps.all()][:6] == ["look", "compare", "clone", "mask", "prove", "carry"]


@pytest.mark.campaign
def test_also_where_staging_has_the_same_server_and_the_same_role(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    with people(tmp_path) as shop:
        run, seen = rehearsed(shop, clone_on="staging")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        assert "example.org" not in str(seen["people"])
        run, seen = rehearsed(shop)
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        assert run.result["clone"]["masked"] is None
        assert "example.org" in str(seen["people"]), "production's own clone is production's"
        assert (seen["closed"], seen["public"]) == ([True], [0]), "and nobody but its role may connect to it"


@pytest.mark.campaign
def test_what_may_not_leave_stays_and_nothing_is_rehearsed(
    transactional_db: None, storage_folder: Path, tmp_path: Path, second_server: Address
) -> None:
    with people(tmp_path) as shop:
        there, here = names_at(second_server), databases()
        moved_to(shop, second_server, without("person.phone"))
        unclassified, seen = rehearsed(shop, clone_on="staging")
        assert (unclassified.state, seen) == (RunState.ERRORED, {}), log_of(unclassified)
        assert "person.phone looks like personal data" in unclassified.error
        assert unclassified.error.startswith("Production's data may not be cloned to staging: ")
        assert "privacy.inventory" in unclassified.remedy
        # A plan that was published before this was asked.
        moved_to(shop, second_server, [])
        bare, seen = rehearsed(shop, clone_on="staging")
        assert (bare.state, seen) == (RunState.ERRORED, {})
        assert "the plan has no privacy.inventory" in bare.error
        shop.sql("UPDATE course SET title = 'ask person7@example.org' WHERE id = 1")
        harmless = {"category": "not_personal", "why": "titles", "columns": ["course.title"]}
        moved_to(shop, second_server, [*INVENTORY, harmless])
        leaking, seen = rehearsed(shop, clone_on="staging")
        assert (leaking.state, seen) == (RunState.ERRORED, {}), log_of(leaking)
        assert "stand in clear in course.title of the masked clone" in leaking.error
        shop.sql("UPDATE course SET title = 'x' WHERE id = 1")
        with administration(shop.address.database) as server:
            server.execute("CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other")
            server.execute("CREATE FOREIGN TABLE far (n integer) SERVER other")
        foreign, seen = rehearsed(shop, clone_on="staging")
        assert (foreign.state, seen) == (RunState.ERRORED, {})
        assert "far is a foreign table" in foreign.error
        assert (names_at(second_server), databases()) == (there, here)


@pytest.mark.campaign
def test_a_server_of_production_s_own_gets_the_data_as_they_are(
    transactional_db: None, storage_folder: Path, tmp_path: Path, second_server: Address
) -> None:
    environments = {"standby": {"tier": "production", "variables": {"DATABASE_URL": second_server.url()}}}
    with people(tmp_path) as shop:
        production = {"tier": "production", "variables": {"DATABASE_URL": shop.address.url()}}
        staging = {"tier": "staging", "variables": {"DATABASE_URL": staging_of(shop).url()}}
        declare(shop, [], environments={**environments, "production": production, "staging": staging})
        run, seen = rehearsed(shop, clone_on="standby")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        assert str(seen["port"]) == second_server.parts["port"]
        assert "example.org" in str(seen["people"])
        assert (seen["closed"], seen["public"]) == ([True], [0])


def test_a_plan_that_would_clone_people_to_staging_without_an_inventory_is_refused() -> None:
    def plan(inventory: list[dict[str, Any]], **params: Any) -> str:
        check = {"kind": "migration", "title": "M", "environment": "production",
                 "params": {"command": {"argv": ["true"]}, **params}}  # fmt: skip
        return json.dumps({**MINIMAL_PLAN, "privacy": {"inventory": inventory}, "checks": {"migration": check}})

    def problems(*asked: Any, **params: Any) -> list[tuple[str, str]]:
        with pytest.raises(PlanError) as refused:
            parse(plan(*asked, **params))
        return [(path, message) for _, _, path, message in refused.value.problems]

    assert problems([], clone_on="staging") == [
        ("checks.migration.params.clone_on",
         "needs privacy.inventory: what is cloned to staging is masked, and nothing says how")
    ]  # fmt: skip
    for name in ("clone_on", "tools", "scale_to"):
        ((path, message),) = problems(INVENTORY, **{name: "nowhere"})
        assert (path, message.startswith("there is no environment 'nowhere': ")) == (
            f"checks.migration.params.{name}", True,
        )  # fmt: skip
    parse(plan([], clone_on="production"))
    # Evidence of a rehearsal on masked data ends with the inventory that masked them, and no other one's does.
    whole = parse(plan(INVENTORY, clone_on="staging"))
    other = parse(plan(INVENTORY[:-1], clone_on="staging"))
    at_home, also = parse(plan(INVENTORY)), parse(plan(INVENTORY[:-1]))
    assert section_digests(whole)["checks.migration"] != section_digests(other)["checks.migration"]
    assert section_digests(at_home)["checks.migration"] == section_digests(also)["checks.migration"]
    assert section_digests(from_document(to_document(whole))) == section_digests(whole)
