"""People's data moves into production as a step of the deploy, once, and out again as a step of the rollback."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string

from checks.models import Run
from releases.domain import environment as environments
from releases.domain import gate
from releases.models import Environment, Release
from tests.factories import check, make_approved, make_release, make_team
from tests.kinds_data.people import TABLES, People, people
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import OLD, Shop, step

pytestmark = pytest.mark.django_db(transaction=True)

SMOKE = [{"path": "/"}]
MOVE = {"key": "people", "title": "Move the people", "category": "database", "transition": "people"}
PLAN: dict[str, Any] = {
    "checks": {"people": check("transition", "production", params={"source": "staging", "tables": TABLES})},
    "deploy": {"steps": [MOVE, step("switch", '[ ! -e "$GONOGO_PLAN_DIR/broken" ]')], "smoke": SMOKE},
    "rollback": {"steps": [{**MOVE, "title": "Take the people out"}], "smoke": SMOKE},
}


@pytest.fixture
def data(tmp_path: Path, server: LocalServer, storage_folder: Path, db: None) -> Iterator[People]:
    server.replies["/"] = Reply()
    with people(tmp_path, plan=PLAN, url=server.url) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path, server: LocalServer, data: People) -> Shop:
    team = make_team(data.application)
    production = Environment.objects.get(application=data.application, name="production")
    environments.adopt_build(
        environment=production, version="1.0", build_digest=OLD, actor=None, reason="It was there."
    )
    release = make_release(application=data.application, requester=team.engineer, version="2.0")
    make_approved(release, team)
    return Shop(data.application, team, release, tmp_path, server)


def reasons(run: Run) -> dict[str, str]:
    return {row["key"]: row["reason"] for row in run.result["steps"]}


@pytest.mark.campaign
def test_a_deploy_moves_people_once_and_the_rollback_takes_exactly_them_out(shop: Shop, data: People) -> None:
    before = data.everything()
    (shop.folder / "broken").touch()
    stopped = shop.deploy()
    assert (stopped.state, stopped.result["failed_step"]) == ("failed", "switch"), (stopped.error, stopped.summary)
    assert stopped.result["transitions"][0]["total"] == {
        "source": 133, "inserted": 128, "merged": 2, "skipped": 3, "stopped": 0,
    }  # fmt: skip
    assert "133 rows = 128 inserted + 2 merged + 3 skipped" in render_to_string(
        "checks/kinds/deploy.html", {"run": stopped}
    )
    assert data.sql("SELECT count(*) FROM person") == [(69,)]
    assert data.sql("SELECT name, points, joined = '2025-01-01Z' FROM person WHERE id = 41") == [
        ("Person 3", 100, True)
    ]
    assert data.sql(
        "SELECT p.email, i.email FROM person p JOIN person i ON i.id = p.invited_by ORDER BY 1 LIMIT 1"
    ) == [("p26@example.org", "p5@example.org")]
    assert data.sql("SELECT t.name, p.email FROM team t JOIN person p ON p.id = t.captain_id ORDER BY 1") == [
        ("blue", "p5@example.org"), ("red", "p4@example.org"),
    ]  # fmt: skip
    moved = data.everything()

    (shop.folder / "broken").unlink()
    again = shop.deploy()
    assert again.state == "passed", (again.error, again.summary)
    assert re.fullmatch(
        rf"Run #{stopped.number} of \d\d \w+ \d{{4}} \d\d:\d\d UTC moved them for this build, and that stands.",
        reasons(again)["people"],
    )
    assert data.everything() == moved

    back = shop.roll_back()
    assert back.state == "passed", (back.error, back.summary)
    assert back.result["transitions"][0]["undone"] == stopped.number
    assert data.everything() == before, "keys, sequences and merged rows are as they were, and nothing is left behind"
    assert "is undone: the target is as it was" in render_to_string("checks/kinds/rollback.html", {"run": back})


@pytest.mark.campaign
def test_a_difference_that_nothing_explains_is_taken_back_and_opens_the_risk(shop: Shop, data: People) -> None:
    data.sql(
        "CREATE FUNCTION bonus() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.lesson = 2 THEN NEW.score := NEW.score + 1; END IF; RETURN NEW; END $$"
    )
    data.sql("CREATE TRIGGER bonus BEFORE INSERT ON progress FOR EACH ROW EXECUTE FUNCTION bonus()")
    before = data.everything()
    run = shop.deploy()
    assert (run.state, run.result["failed_step"]) == ("failed", "people"), (run.error, run.summary)
    first = run.result["transitions"][0]["differences"][0]
    assert first.startswith("public.progress: 29 inserted rows differ from the source: 1, 2, 2, 2,")
    assert data.everything() == before
    release = Release.objects.get(pk=shop.release.pk)
    texts = [each.text for each in gate.evaluate(release).blockers if each.code == "risk_opened"]
    assert len(texts) == 1
    assert f"Run #{run.number} found a difference that nothing explains. public.progress: 29" in texts[0]


@pytest.mark.campaign
def test_an_undo_that_would_lose_later_work_is_refused(shop: Shop, data: People) -> None:
    assert shop.deploy().state == "passed"
    data.sql("UPDATE person SET name = 'Changed since' WHERE email = 'p7@example.org'")
    data.sql("INSERT INTO progress SELECT id, 9, 1 FROM person WHERE email = 'p8@example.org'")
    before = data.everything()
    back = shop.roll_back()
    assert back.state == "failed"
    assert "rows were changed since" in back.summary
    refusals = back.result["transitions"][0]["refusals"]
    assert any("rows refer to rows of public.person that would go" in said for said in refusals)
    assert data.everything() == before
