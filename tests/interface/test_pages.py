"""Every page, filled with real rows: no barriers, no sideways scrolling on a phone, nothing refused by the browser.

Set PICTURES to a folder to get a picture of each.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route
from pytest_django.live_server_helper import LiveServer

from checks.models import Finding, Run
from checks.scheduling import make_schedule
from monitoring.models import Incident
from releases.domain import release as releases
from releases.domain.environment import adopt_build
from releases.enums import Choice, EvidenceVerdict
from releases.models import Release, User
from tests.engine.support import check, run_section, start, stored
from tests.factories import CHECKS, answer, go_green, schedule, vote
from tests.findings.support import line, report, scan
from tests.interface.browser import Complaints, barriers, show_each_look
from tests.interface.conftest import OpenPage
from tests.kinds_deploy.local_server import LocalServer, Reply, serving
from tests.monitoring.support import Watched, make_watched, record

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def smoke(path: str) -> dict[str, object]:
    return check("smoke", environment="production", params={"requests": [{"path": path}]})


SUITE = check("suite", params={"command": {"argv": ["true"]}})


class World:
    """One release that is blocked, one that is approved and watched, runs of several states, probes with answers."""

    def __init__(self, watched: Watched) -> None:
        self.team = watched.team
        self.release = watched.release(version="2025.2.2")
        self._rehearse()
        self.watched = watched.deployed()
        adopt_build(
            environment=watched.production,
            version=self.watched.version,
            build_digest=self.watched.build_digest,
            actor=None,
            reason="It answers there.",
        )
        self.runs = [
            run_section(watched.application, f"checks.{name}", release=self.watched, actor=self.team.engineer)
            for name in ("passes", "fails")
        ]
        self.runs.append(start(watched.application, "checks.waits", release=self.release, actor=self.team.engineer))
        self.backup = stored(watched.application, timedelta(days=3))
        stored(watched.application, timedelta(days=1), fault="One bit of it was flipped.")
        make_schedule(
            application=watched.application, section="checks.backup", environment=None, cron="30 2 * * *", zone="UTC",
            actor=self.team.manager,
        )  # fmt: skip
        scan(watched.application, report("bandit", line("shop/a.py", "run(x)", cwe=(78,))), environment="production")
        self.probe = watched.probe
        record(self.probe, "u" * 50 + "ddd" + "u" * 5, ms=80, every=60)

    def _rehearse(self) -> None:
        release, team = self.release, self.team
        schedule(release, team.manager, opens=timezone.now() + timedelta(days=4, hours=9))
        keys = list(release.items.values_list("key", flat=True))
        go_green(release, without=tuple(keys[3:6]))
        answer(release.items.get(key=keys[4]), verdict=EvidenceVerdict.FAILED, summary="95th percentile 612 ms")
        releases.open_poll(release=release, actor=team.manager)
        vote(release, team.approvers["release-management"], "release-management")
        vote(release, team.approvers["engineering"], "engineering", Choice.CONCERN, "Watch the schedule page.")
        answer(release.items.get(key=keys[0]), summary="Again, after the vote.")

    def addresses(self) -> dict[str, str]:
        release, item = self.release, self.release.items.order_by("pk").first()
        assert item is not None
        addresses = {
            "list": reverse("releases:list"),
            "new": reverse("releases:new"),
            "board": reverse("releases:release", args=[release.pk]),
            "watched": reverse("releases:release", args=[self.watched.pk]),
            "window": reverse("releases:window", args=[release.pk]),
            "cancel": reverse("releases:cancel", args=[release.pk]),
            "requirement": reverse("releases:requirement", args=[release.pk, "recovery"]),
            "item": reverse("releases:item", args=[release.pk, item.key]),
            "break-glass": reverse("releases:break_glass", args=[release.pk]),
            "register": reverse("releases:register", args=[release.pk]),
            "risk": reverse("releases:risk", args=[release.pk, "data-loss"]),
            "risks": reverse("releases:risk_list"),
            "words": reverse("releases:words"),
            "release's runs": reverse("checks:release_panel", args=[release.pk]),
            "start": reverse("checks:start_menu", args=[release.pk]),
            "calendar": reverse("releases:calendar"),
            "backups": reverse("checks:backups", args=[release.application.slug, "production"]),
            "backup": reverse("checks:backup", args=[release.application.slug, "production", self.backup.pk]),
            "schedules": reverse("checks:schedules", args=[release.application.slug]),
            "schedule": reverse("checks:schedule_new", args=[release.application.slug]),
            "findings": reverse("checks:findings", args=[release.application.slug]),
            "finding": reverse("checks:finding", args=[release.application.slug, Finding.objects.latest("pk").pk]),
            "freeze": reverse("releases:freeze_new"),
            "applications": reverse("releases:application_list"),
            "application": reverse("releases:application", args=[release.application.slug]),
            "plan": reverse("releases:plan_version", args=[release.application.slug, 1]),
            "ledger": reverse("releases:ledger"),
            "entry": reverse("releases:ledger_entry", args=[3]),
            "person": reverse("releases:person"),
            "runs": reverse("checks:run_list"),
            "monitoring": reverse("monitoring:overview"),
            "probe": reverse("monitoring:probe", args=[self.probe.pk]),
            "incidents": reverse("monitoring:incident_list"),
            "incident": reverse("monitoring:incident", args=[Incident.objects.latest("pk").pk]),
        }
        runs = {f"run-{run.state}": reverse("checks:run_detail", args=[run.number]) for run in Run.objects.all()}
        return addresses | runs


@pytest.fixture
def world(storage_folder: Path, db: None) -> Iterator[World]:
    """Made in a thread of its own: runs need one without the browser's event loop."""

    def make(server: LocalServer) -> World:
        checks = {**CHECKS, "passes": smoke("/"), "fails": smoke("/missing"), "waits": SUITE}
        try:
            return World(make_watched(server, checks=checks))
        finally:
            connections.close_all()

    with serving({"/": Reply(body=b"welcome")}) as server, ThreadPoolExecutor(1) as thread:
        yield thread.submit(make, server).result()


def log_in(page: Page, live_server: LiveServer, person: User) -> None:
    # This server answers one request after another; a stream that never ends would keep it from ending.
    page.context.route("**/events", quiet)
    page.context.route("**/stream*", quiet)
    client = Client()
    client.force_login(person)
    name = settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])


def quiet(route: Route) -> None:
    route.fulfill(content_type="text/event-stream", body="retry: 600000\n\n")


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def faults(page: Page, width: int, complaints: Complaints) -> list[str]:
    found = [f"the browser says: {text}" for text in complaints.texts]
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
        found.append(f"it is {wide} wide")
    return found + barriers(page)


EMPTY = ["releases:list", "releases:application_list", "checks:run_list", "releases:risk_list", "monitoring:overview",
         "monitoring:incident_list", "releases:calendar", "releases:words"]  # fmt: skip


@pytest.mark.campaign
def test_pages_on_which_nothing_stands_yet_are_without_faults(
    live_server: LiveServer, open_page: OpenPage, complaints: Complaints
) -> None:
    page = open_page("about:blank")
    log_in(page, live_server, User.objects.create_user(email="new@example.org", name="New", password="x"))
    found = {}
    for name in EMPTY:
        page.goto(live_server.url + reverse(name))
        for width in show_each_look(page):
            found[name, width] = faults(page, width, complaints)
    assert {key: value for key, value in found.items() if value} == {}


@pytest.mark.campaign
def test_every_page_is_without_faults(
    live_server: LiveServer, open_page: OpenPage, complaints: Complaints, world: World
) -> None:
    page = open_page(f"{live_server.url}/healthz")
    log_in(page, live_server, world.team.manager)
    found: dict[str, list[str]] = {}
    for name, address in world.addresses().items():
        complaints.texts.clear()
        answered = page.goto(live_server.url + address)
        assert answered is not None
        assert answered.status == 200, f"{address} answered {answered.status}"
        page.wait_for_function("window.htmx !== undefined")
        page.wait_for_timeout(200)
        for width in show_each_look(page):
            picture(page, f"{name}-{width}")
            if wrong := faults(page, width, complaints):
                found[f"{name}, {width} px"] = wrong
    assert found == {}


def test_the_vote_can_be_read_and_signed_by_keyboard_alone(
    live_server: LiveServer, open_page: OpenPage, world: World
) -> None:
    page = open_page(f"{live_server.url}/healthz")
    security = world.team.approvers["security"]
    log_in(page, live_server, security)
    page.goto(live_server.url + reverse("releases:vote", args=[world.release.pk]))
    picture(page, "vote-1280")
    assert page.locator("body").count() == 1
    page.get_by_label("Hold").focus()
    page.keyboard.press("Space")
    page.get_by_label("Why").focus()
    page.keyboard.type("Not before the load is looked at.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "vote" not in url)
    votes = Release.objects.get(pk=world.release.pk).votes.filter(voter=security)
    assert [(cast.choice, cast.comment) for cast in votes] == [("hold", "Not before the load is looked at.")]
