"""A deploy with its backup, and a rollback that puts the data of before it back, on a real database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import default_storage

from checks.models import Run
from releases.domain import environment as environments
from releases.models import Environment
from tests.factories import check, make_approved, make_release, make_team
from tests.kinds_data.support import Shop as Data
from tests.kinds_data.support import administration
from tests.kinds_data.support import shop as data_shop
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, Shop, step

pytestmark = pytest.mark.django_db(transaction=True)

SMOKE = [{"path": "/"}]
MIGRATE = step(
    "migrate", 'psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "ALTER TABLE customer ADD COLUMN nick text"', "database"
)
LOSE = step("lose", 'psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "DELETE FROM customer WHERE id > 2"', "database")
SCHEMA = """
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO customer (name) SELECT 'person ' || n FROM generate_series(1, 50) n;
"""


def make(folder: Path, server: LocalServer, data: Data) -> Shop:
    team = make_team(data.application)
    production = Environment.objects.get(application=data.application, name="production")
    environments.adopt_build(
        environment=production, version="1.0", build_digest=OLD, actor=None, reason="It was there."
    )
    release = make_release(application=data.application, requester=team.engineer, version="2.0")
    make_approved(release, team)
    return Shop(data.application, team, release, folder, server)


def plan(steps: list[Any]) -> dict[str, Any]:
    return {
        "checks": {"backup": check("backup", "production")},
        "deploy": {"backup": "backup", "steps": steps, "smoke": SMOKE},
        "rollback": {"restore_backup": True, "steps": [step("back", "true")], "smoke": SMOKE},
    }


@pytest.fixture
def data(tmp_path: Path, server: LocalServer, storage_folder: Path, db: None) -> Iterator[Data]:
    server.replies["/"] = Reply()
    with data_shop(tmp_path, plan=plan([MIGRATE, LOSE]), schema=SCHEMA, url=server.url) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, server: LocalServer, data: Data) -> Shop:
    return make(tmp_path, server, data)


def test_the_backup_comes_first_and_the_rollback_brings_everything_back(shop: Shop, data: Data) -> None:
    deployed = shop.deploy()
    assert deployed.state == "passed", (deployed.summary, deployed.error)
    assert data.sql("SELECT count(*) FROM customer") == [(2,)]
    manifest = deployed.result["restore_point"]
    assert default_storage.exists(manifest)
    assert next(entry["key"] for entry in deployed.result["steps"]) == "backup"
    run = shop.roll_back()
    assert run.state == "passed", (run.summary, run.error)
    assert data.sql("SELECT count(*) FROM customer") == [(50,)]
    assert not data.sql("SELECT 1 FROM information_schema.columns WHERE column_name = 'nick'")
    assert run.result["restored"]["manifest"] == manifest
    assert run.result["restored"]["rows"] == 50
    assert run.result["restored"]["kept_as"]
    assert shop.fresh().state == "rolled_back"
    assert shop.production.current_version == "1.0"


def test_a_backup_that_cannot_be_made_stops_it_before_anything_changed(shop: Shop) -> None:
    run = deploy_without_storage(shop)
    assert run.state == "failed"
    assert run.result["failed_step"] == "backup"
    assert "Nothing was changed." in run.summary
    assert not run.result["changed"]
    assert shop.production.current_build_digest == OLD, "it still runs what it ran"
    assert shop.fresh().state == "failed"


def test_what_would_stop_the_way_back_stops_a_deploy_and_a_rollback_before_anything_is_touched(
    shop: Shop, data: Data
) -> None:
    with subscribed(data):
        run = shop.deploy()
    assert (run.state, run.result["failed_step"]) == ("failed", "backup"), (run.summary, run.error)
    assert "while it has the subscription orders" in run.summary
    assert shop.deploy().state == "passed"
    with subscribed(data):
        back = shop.roll_back()
    assert back.state == "errored", (back.summary, back.error)
    assert "while it has the subscription orders" in back.error
    assert not back.result.get("touched")
    assert data.sql("SELECT count(*) FROM customer") == [(2,)]
    back = shop.roll_back()
    assert back.state == "passed", (back.summary, back.error)
    assert data.sql("SELECT count(*) FROM customer") == [(50,)]


@contextmanager
def subscribed(data: Data) -> Iterator[None]:
    with administration(data.address.database) as database:
        database.execute(
            "CREATE SUBSCRIPTION orders CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false,"
            " slot_name = NONE)"
        )
        try:
            yield
        finally:
            database.execute("DROP SUBSCRIPTION orders")


def deploy_without_storage(shop: Shop) -> Run:
    """The folder of the storage is a file by now, so that no backup can be written."""
    location = Path(settings.STORAGES["default"]["OPTIONS"]["location"])
    (location / "backups").write_text("in the way")
    return shop.deploy()


@pytest.mark.campaign
def test_going_on_keeps_the_backup_of_before_the_first_attempt(
    tmp_path: Path, server: LocalServer, storage_folder: Path, db: None
) -> None:
    server.replies["/"] = Reply()
    stubborn = step("stubborn", 'test -e "$GONOGO_PLAN_DIR/mended"')
    with data_shop(tmp_path, plan=plan([LOSE, stubborn]), schema=SCHEMA, url=server.url) as data:
        shop = make(tmp_path, server, data)
        first = shop.deploy()
        assert first.result["failed_step"] == "stubborn"
        (tmp_path / "mended").touch()
        second = shop.deploy()  # from the start: it takes a backup of its own, of what stands there now
        assert second.state == "passed", second.error
        assert second.result["restore_point"] == first.result["restore_point"]
        assert shop.roll_back().state == "passed"
        assert data.sql("SELECT count(*) FROM customer") == [(50,)]


def test_a_rollback_of_what_changed_nothing_puts_nothing_back(shop: Shop, data: Data) -> None:
    run = deploy_without_storage(shop)
    assert run.result["failed_step"] == "backup"
    back = shop.roll_back()
    assert back.state == "passed", (back.summary, back.error)
    assert next(entry for entry in back.result["steps"] if entry["key"] == "restore")["state"] == "skipped"
    assert data.sql("SELECT count(*) FROM customer") == [(50,)]
