"""The kind `parity`: two real environments, what it says of them, and what it leaves on the run's page."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.template.loader import render_to_string
from django.test import RequestFactory

from checks.errors import PlanError
from checks.models import Run
from checks.plan import parse
from checks.tools.parity.facts import Area
from releases.domain import environment as environments
from releases.models import Application, Evidence, Release
from tests.engine.support import application_with, check, log_text, run_section
from tests.factories import MINIMAL_PLAN, make_release
from tests.kinds_data.database_pair import DatabasePair, database_pair
from tests.kinds_deploy.local_server import LocalServer, Reply, serving

pytestmark = pytest.mark.django_db(transaction=True)

SHOP = "CREATE TABLE person (id integer PRIMARY KEY, email text); INSERT INTO person VALUES (1, 'a'), (2, 'b');"
PENDING = "ALTER TABLE person ADD joined date"
#: Prints what facts-<environment>.json says; variables by their hash, as a real one has to.
FACTS = """
import hashlib, hmac, json, os
key, place = os.environ["GONOGO_PARITY_KEY"], os.environ["GONOGO_ENVIRONMENT"]
found = json.load(open(f"facts-{place}.json"))
names = [name for name in os.environ if name.startswith("SHOP_")] + ["DATABASE_URL"]
found["variables"] = {n: hmac.new(key.encode(), os.environ[n].encode(), hashlib.sha256).hexdigest() for n in names}
print(json.dumps(found))
"""
MIGRATE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("ALTER TABLE person ADD IF NOT EXISTS joined date")
"""
REPORT = {
    "runtime": {"interpreter": "CPython 3.11.9", "system": "Debian GNU/Linux 12", "architecture": "x86_64"},
    "process": {"command": "gunicorn shop.wsgi", "workers": 2, "cpus": 2, "memory": "4 GiB"},
}
LOCK = "django==5.2.8\nredis==6.4.0\n"


class World:
    """Staging with the new build, production with the old one."""

    def __init__(self, pair: DatabasePair, folder: Path, servers: tuple[LocalServer, LocalServer]) -> None:
        self.pair, self.folder, self.servers = pair, folder, servers
        self.variables = {
            "staging": {"DATABASE_URL": pair.source.url(), "SHOP_MODE": "shop"},
            "production": {"DATABASE_URL": pair.target.url(), "SHOP_MODE": "shop"},
        }
        self.urls = {"staging": servers[0].url, "production": servers[1].url}
        for server in servers:
            server.replies["/"] = Reply(headers={"X-Frame-Options": "DENY"})
        self.report("staging", packages={"django": "5.2.8", "redis": "6.4.0"})
        self.report("production", packages={"django": "5.1.1", "redis": "6.4.0"})
        (folder / "lock.txt").write_text(LOCK)

    def report(self, environment: str, **changes: Mapping[str, Any]) -> None:
        text = json.dumps({**REPORT, **changes})
        (self.folder / f"facts-{environment}.json").write_text(text)

    def application(self, **params: Any) -> Application:
        asked = {
            "facts": {"argv": [sys.executable, "-c", FACTS]}, "lock": {"argv": ["cat", "lock.txt"]},
            "migrate": {"argv": [sys.executable, "-c", MIGRATE]}, **params,
        }  # fmt: skip
        places = {
            name: {"tier": name, "url": self.urls[name], "variables": self.variables[name]}
            for name in ("staging", "production")
        }
        section = check("parity", params={name: value for name, value in asked.items() if value is not None})
        return application_with({"parity": section}, folder=self.folder, plan={"environments": places})

    def run(self, **params: Any) -> Run:
        return self.run_for(self.application(**params))

    def run_for(self, application: Application, release: Release | None = None) -> Run:
        release = release or make_release(application=application, rehearsing=False)
        environments.build_running(
            environment=release.source_environment, release=release, version="2", build_digest=release.build_digest
        )
        return run_section(application, "checks.parity", release=release)


@pytest.fixture
def world(storage_folder: Path, tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    with (
        database_pair("parity_kind", source=f"{SHOP}; {PENDING}", target=SHOP) as pair,
        serving() as staging,
        serving() as production,
    ):
        yield World(pair, folder, (staging, production))


def differing(run: Run) -> dict[str, str]:
    return {row["fact"]: row["state"] for area in run.result["areas"] for row in area["rows"]}


def page(run: Run, query: str = "") -> str:
    return render_to_string("checks/kinds/parity.html", {"run": run}, RequestFactory().get(f"/{query}"))


def kept(run: Run, name: str) -> str:
    key = next(item["key"] for item in run.result["artifacts"] if item["name"] == name)
    with default_storage.open(key) as handle:
        return str(handle.read().decode())


def test_a_mirror_passes_and_what_the_release_brings_is_expected(world: World) -> None:
    run = world.run()
    assert run.state == "passed", log_text(run)
    # The address of the database is each environment's own; Django is another one because the release brings it.
    assert differing(run) == {"package.django": "expected"}
    assert run.summary.startswith("staging mirrors production: ")
    assert Evidence.objects.get(run_id=run.pk).verdict == "passed"
    assert world.pair.target.url() not in json.dumps(run.result)
    text = page(run)
    assert "this release brings it" in text
    assert "facts are the same" in run.summary
    assert 'href="?facts=same#run-figures"' in text
    assert "work_mem" in page(run, "?facts=same")
    assert "work_mem" not in text
    assert "style=" not in text
    lines = kept(run, "parity.csv").splitlines()
    assert lines[0] == "state,area,fact,staging,production,why"
    assert len(lines) - 1 == len(json.loads(kept(run, "parity.json"))["facts"]) == sum(run.result["counts"].values())


def test_each_drift_of_a_real_run_is_named(world: World) -> None:
    world.pair.sql("source", "ALTER TABLE person DROP email; CREATE EXTENSION citext")
    world.pair.sql("target", f"ALTER DATABASE {world.pair.target.database} SET work_mem = '65MB'")
    world.servers[0].replies["/"] = Reply(headers={})
    world.variables["staging"] |= {"SHOP_MODE": "test", "SHOP_ONLY": "here"}
    world.report("staging", runtime={**REPORT["runtime"], "interpreter": "CPython 3.12.1"},
                 packages={"django": "5.2.7"}, process={**REPORT["process"], "workers": 1})  # fmt: skip
    run = world.run(expected=[{"fact": "process.workers", "here": "1", "there": "2", "reason": "Staging is small."},
                              {"fact": "process.cpus", "reason": "Not any more."}])  # fmt: skip
    assert run.state == "failed", log_text(run)
    assert differing(run) == {
        "schema.column public.person.email": "breaking", "extension.citext": "breaking", "setting.work_mem": "drift",
        "http./ x-frame-options": "drift", "plan_variable.SHOP_MODE": "drift", "plan_variable.SHOP_ONLY": "drift",
        "variable.SHOP_MODE": "drift", "variable.SHOP_ONLY": "drift", "runtime.interpreter": "breaking",
        "package.django": "drift", "package.redis": "breaking", "process.workers": "expected",
    }  # fmt: skip
    for fact in ("extension.citext", "package.redis", "http./ x-frame-options", "variable.SHOP_ONLY"):
        assert fact in log_text(run)
    assert "An expected difference is not there." in page(run)
    assert "Staging is small." in page(run, "?facts=expected")
    assert "citext" not in page(run, "?facts=expected")


@pytest.mark.campaign
def test_what_cannot_be_seen_blocks_and_is_named(world: World) -> None:
    world.servers[1].replies["/"] = Reply(drop=True)
    run = world.run(facts={"argv": ["sh", "-c", "exit 3"]}, migrate={"argv": ["false"]}, settings=["no_such_setting"],
                    integrations={"mail": {"variable": "SMTP_URL"}})  # fmt: skip
    assert run.state == "errored"
    assert Evidence.objects.get(run_id=run.pk).verdict == "errored"
    found = {name for name, state in differing(run).items() if state == "unknown"}
    assert found == {"schema", "runtime", "process", "variable", "package", "http", "setting.no_such_setting",
                     "integration.mail"}  # fmt: skip
    assert "ended with exit status 3" in page(run)
    left = dict.fromkeys(("schema", "runtime", "process", "variable", "package", "http"), "Nobody asks here.")
    run = world.run(facts=None, lock=None, migrate=None, leave_out=left)
    assert run.state == "passed", log_text(run)
    assert "Nobody asks here." in page(run)


@pytest.mark.campaign
def test_without_a_database_nothing_of_it_is_the_same(world: World) -> None:
    world.variables["production"]["DATABASE_URL"] = world.pair.target.named("no_such_database").url()
    run = world.run()
    assert run.state == "errored"
    assert {"server", "setting", "extension", "collation", "schema", "rows"} <= set(differing(run))
    world.variables["production"]["DATABASE_URL"] = world.pair.source.url()
    run = world.run()
    assert run.state == "errored"
    assert "compared with itself" in page(run)
    assert differing(run)["plan_variable.DATABASE_URL"] == "drift"


@pytest.mark.campaign
def test_one_url_is_not_compared_with_itself_and_nothing_at_all_is_no_pass(world: World) -> None:
    world.urls["production"] = f"{world.urls['staging']}/"
    run = world.run()
    assert run.state == "errored", log_text(run)
    assert {fact for fact, state in differing(run).items() if state == "unknown"} == {"http", "tls"}
    assert "Both environments name the same url" in page(run)
    run = world.run(leave_out={area.value: "Nobody asks here." for area in Area})
    assert (run.state, Evidence.objects.get(run_id=run.pk).verdict) == ("errored", "errored"), log_text(run)
    assert "No fact was compared" in run.error


@pytest.mark.campaign
def test_an_integration_that_does_not_answer_says_no(world: World) -> None:
    world.variables["staging"]["SMTP_URL"] = f"smtp://127.0.0.1:{world.servers[0].port}"
    world.variables["production"]["SMTP_URL"] = "smtp://127.0.0.1:1"
    run = world.run(integrations={"mail": {"variable": "SMTP_URL"}})
    assert run.state == "failed"
    assert differing(run)["integration.mail"] == "breaking"
    assert differing(run)["plan_variable.SMTP_URL"] == "drift"


@pytest.mark.campaign
def test_drift_says_no_where_the_plan_is_strict(world: World) -> None:
    world.servers[0].replies["/"] = Reply(headers={})
    assert world.run().state == "passed"
    assert world.run(strict=True).state == "failed"


@pytest.mark.campaign
def test_the_original_is_never_migrated(world: World) -> None:
    careless = MIGRATE.replace('os.environ["DATABASE_URL"]', repr(world.pair.target.url()))
    run = world.run(migrate={"argv": [sys.executable, "-c", careless]})
    assert run.state == "errored"
    assert "itself changed while its clone was migrated" in page(run)


@pytest.mark.parametrize(
    ("params", "said"),
    [({"against": "nowhere"}, "there is no environment 'nowhere'"), ({"against": "staging"}, "always mirrors itself"),
     ({"expected": [{"fact": "weather.rain", "reason": "x"}]}, "a fact is area.name"),
     ({"integrations": {"mail": {}}}, "give either an address or a variable")],
)  # fmt: skip
def test_the_plan_is_read_with_care(params: dict[str, Any], said: str) -> None:
    tree = {**MINIMAL_PLAN, "checks": {"parity": check("parity", params=params)}}
    with pytest.raises(PlanError, match=said):
        parse(json.dumps(tree))


def test_a_run_that_ended_early_still_has_a_page() -> None:
    assert "Nothing was compared" in page(Run(kind="parity", result={}))
