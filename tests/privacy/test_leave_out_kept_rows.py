"""What a transition keeps in the target for its way back stops no check, and leaves with no clone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.tools import masked_copy
from checks.tools.postgres import connected
from releases.domain import environment as environments
from releases.models import Environment
from tests.factories import check, make_approved, make_release, make_team
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_data.support import log_of
from tests.kinds_deploy.local_server import LocalServer, Reply, serving
from tests.kinds_deploy.support import OLD, Shop
from tests.privacy.support import entry

pytestmark = pytest.mark.django_db(transaction=True)

MOVE = {"key": "people", "title": "Move the people", "category": "database", "transition": "people"}
PLAN: dict[str, Any] = {
    "privacy": {
        "inventory": [
            entry(["person.email"], "contact", "email"),
            entry(["person.name"], "identity", "name"),
            entry(["untouched.note"], "content", "keep", why="Numbers of rows."),
        ]
    },
    "checks": {"people": check("transition", "production", params={"source": "staging", "tables": TABLES})},
    "deploy": {"steps": [MOVE], "smoke": [{"path": "/"}]},
}
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information)' ORDER BY 1"


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as local:
        local.replies["/"] = Reply()
        yield local


@pytest.fixture
def moved(tmp_path: Path, server: LocalServer, storage_folder: Path, transactional_db: None) -> Iterator[People]:
    """Production after a deploy that moved people into it, and merged some."""
    with people(tmp_path, plan=PLAN, url=server.url) as data:
        team = make_team(data.application)
        production = Environment.objects.get(application=data.application, name="production")
        environments.adopt_build(
            environment=production, version="1.0", build_digest=OLD, actor=None, reason="It was there."
        )
        release = make_release(application=data.application, requester=team.engineer, version="2.0")
        make_approved(release, team)
        run = Shop(data.application, team, release, tmp_path, server).deploy()
        assert run.state == "passed", (run.error, run.summary, log_of(run))
        yield data


def test_kept_rows_are_no_finding_and_are_dropped_from_the_masked_clone(
    moved: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas: list[list[tuple[Any, ...]]] = []
    prove = masked_copy.MaskedCopy.prove

    def look(self: Any, clone: Any, what: str, step: Any) -> list[str]:
        with connected(clone, what="the clone") as connection:
            schemas.append(connection.execute(SCHEMAS).fetchall())
        return prove(self, clone, what, step)

    monkeypatch.setattr(masked_copy.MaskedCopy, "prove", look)
    kept = moved.sql("SELECT relname FROM pg_class WHERE relname ~ '^r[0-9]+_[0-9]+_before$'")
    assert kept, "the move merged rows"
    run = moved.run("privacy")
    assert run.state == "passed", (run.error, run.summary, run.result.get("problems"), log_of(run))
    assert schemas == [[("public",)]]
    assert {f"gonogo_transition.{name}" for (name,) in kept} < set(run.result["dropped"])
    assert "Dropped from the clone" in log_of(run)
    assert ("gonogo_transition",) in moved.sql(SCHEMAS), "production keeps its way back"
