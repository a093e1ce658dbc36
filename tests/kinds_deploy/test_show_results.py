"""The page of a run shows what these kinds found."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from checks import services
from checks.models import Run
from releases.models import User
from tests.engine.support import application_with, check, run_section
from tests.factories import make_team
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_deploy.support import STEPS, Shop, make_shop, step

pytestmark = pytest.mark.django_db(transaction=True)

RED = (
    '<testsuite name="unit" tests="5"><testcase name="adds" time="1.5"/>'
    '<testcase name="&lt;b&gt;takes"><failure message="1 is not 2">a\nb</failure></testcase></testsuite>'
)


def page(run: Run, person: User) -> str:
    client = Client()
    client.force_login(person)
    response = client.get(reverse("checks:run_detail", args=[run.number]))
    assert response.status_code == 200
    text = response.content.decode()
    assert " style=" not in text
    return text


def test_a_test_suite(tmp_path: Path, storage_folder: Path) -> None:
    script = f"mkdir -p reports; printf '%s' '{RED}' > reports/unit.xml; exit 1"
    application = application_with({"unit": check("suite", params={"command": {"script": script}})}, folder=tmp_path)
    text = page(run_section(application, "checks.unit"), make_team(application).auditor)
    assert "&lt;b&gt;takes" in text
    assert "<b>takes" not in text
    assert "1 is not 2" in text
    assert "unit declares 5 tests and contains 2." in text
    assert "The report is not whole." in text


def test_a_deploy_and_its_rollback(shop: Shop) -> None:
    deployed, person = shop.deploy(), shop.team.auditor
    text = page(deployed, person)
    assert "Deploy to production" in text
    assert "as it should be" in text
    assert "Ran before" in text
    assert "Smoke test" in text
    back = page(shop.roll_back(), person)
    assert "Rollback in production" in back
    assert f"#{deployed.number}" in back


def test_a_launch_that_was_cancelled_before_it_began_offers_the_ways_on(shop: Shop) -> None:
    manager = shop.team.manager
    run = services.start_deploy(release=shop.fresh(), actor=manager)
    services.cancel_run(run=run, actor=manager)
    text = page(run, manager)
    assert "Deploy again" in text
    assert "skip=" not in text, "no step stopped it"
    assert reverse("checks:rollback", args=[shop.release.pk]) not in text, "nothing was changed"
    assert "untouched by this run" in text
    assert "Deploy again" not in page(run, shop.team.auditor)
    client = Client()
    client.force_login(manager)
    board = client.get(reverse("releases:release", args=[shop.release.pk])).content.decode()
    assert reverse("releases:cancel", args=[shop.release.pk]) in board


@pytest.mark.campaign
def test_a_launch_that_was_cancelled_after_one_that_stopped_half_way_offers_the_way_back(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], step("migrate", "exit 9"), STEPS[2]]})
    assert shop.deploy().state == "failed"
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    services.cancel_run(run=run, actor=shop.team.manager)
    assert reverse("checks:rollback", args=[shop.release.pk]) in page(run, shop.team.manager)


@pytest.mark.campaign
def test_a_deploy_that_stopped_says_what_is_not_done_and_offers_the_ways_out(
    tmp_path: Path, server: LocalServer, storage_folder: Path
) -> None:
    shop = make_shop(tmp_path, server, deploy={"steps": [STEPS[0], step("migrate", "exit 9"), STEPS[2]]})
    text = page(shop.deploy(), shop.team.manager)
    assert "stands half-way" in text
    assert "switch, smoke" in text
    assert "resume=migrate" in text
    assert "skip=migrate" in text
    assert reverse("checks:rollback", args=[shop.release.pk]) in text


def test_a_cancelled_deploy_has_a_page(shop: Shop) -> None:
    run = services.start_deploy(release=shop.fresh(), actor=shop.team.manager)
    services.cancel_run(run=run, actor=shop.team.manager)
    run.refresh_from_db()
    assert "untouched" in page(run, shop.team.auditor)


@pytest.mark.campaign
def test_a_smoke_test(shop: Shop) -> None:
    shop.deploy(shop.staging)
    shop.server.replies["/"] = Reply(500)
    run = shop.deploy(shop.staging)
    assert "answered 500, expected 200" in page(run, shop.team.auditor)
