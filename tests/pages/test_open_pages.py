"""Who may open which page: each role sees its applications, a stranger sees nothing."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from releases.enums import Role
from releases.models import Release, User
from tests.engine.support import check
from tests.factories import make_application, make_release, make_team, member

pytestmark = pytest.mark.django_db
CHECKS = {"unit": check("suite", params={"command": {"argv": ["true"]}}), "backup": check("backup", "production")}

EVERYWHERE = ["releases:list", "releases:risk_list", "releases:calendar", "releases:application_list", "releases:words",
              "releases:person", "checks:run_list", "checks:advisories", "monitoring:overview"]  # fmt: skip
OF_A_RELEASE: list[Callable[[Release], str]] = [
    lambda release: reverse("releases:release", args=[release.pk]),
    lambda release: reverse("releases:requirement", args=[release.pk, "recovery"]),
    lambda release: reverse("releases:item", args=[release.pk, "recovery.backup"]),
    lambda release: reverse("releases:vote", args=[release.pk]),
    lambda release: reverse("releases:register", args=[release.pk]),
    lambda release: reverse("releases:window", args=[release.pk]),
    lambda release: reverse("releases:break_glass", args=[release.pk]),
    lambda release: reverse("releases:application", args=[release.application.slug]),
    lambda release: reverse("releases:plan_version", args=[release.application.slug, 1]),
    lambda release: reverse("releases:tokens", args=[release.application.slug]),
    lambda release: reverse("checks:findings", args=[release.application.slug]),
    lambda release: reverse("checks:release_panel", args=[release.pk]),
    lambda release: reverse("checks:start_menu", args=[release.pk]),
    lambda release: reverse("checks:launch", args=[release.pk, "checks.unit"]),
    lambda release: reverse("checks:deploy", args=[release.pk]),
    lambda release: reverse("monitoring:release_panel", args=[release.pk]),
    lambda release: f"/api/releases/{release.pk}",
]


@pytest.fixture
def release() -> Release:
    application = make_application(plan={"checks": CHECKS})
    return make_release(application=application, requester=make_team(application).manager)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.ENGINEER, Role.RELEASE_MANAGER, Role.ADMINISTRATOR])
def test_every_role_opens_every_page_of_its_application(release: Release, role: Role) -> None:
    client = browser(member(release.application, role))
    for address in [reverse(name) for name in EVERYWHERE] + [make(release) for make in OF_A_RELEASE]:
        assert client.get(address).status_code == 200, address


def test_an_approver_opens_every_page(release: Release) -> None:
    client = browser(member(release.application, Role.APPROVER, "security"))
    for address in [make(release) for make in OF_A_RELEASE]:
        assert client.get(address).status_code == 200, address


def test_a_stranger_sees_nothing(release: Release) -> None:
    stranger = User.objects.create_user("stranger@gonogo.example", "a password of some length", name="Stranger")
    client = browser(stranger)
    for make in OF_A_RELEASE:
        answer = client.get(make(release))
        assert answer.status_code == 404, make(release)
    assert str(release.pk) not in client.get(reverse("releases:list")).content.decode()


def test_a_list_says_why_it_is_empty(release: Release) -> None:
    stranger = User.objects.create_user("stranger@gonogo.example", "a password of some length", name="Stranger")
    manager = member(release.application, Role.RELEASE_MANAGER)
    filtered = reverse("releases:list") + "?q=nothing-is-called-so"
    for person, address, words in (
        (stranger, reverse("releases:list"), "An administrator gives roles."),
        (stranger, filtered, "Show all releases"),
        (manager, filtered, "Show all releases"),
    ):
        assert words in browser(person).get(address).content.decode(), (person, address)
    assert "Show all releases" not in browser(manager).get(reverse("releases:list")).content.decode()


def test_a_shortened_address_of_a_release_leads_to_the_list(release: Release) -> None:
    client = browser(member(release.application, Role.VIEWER))
    assert client.get("/releases/?q=a").headers["Location"] == reverse("releases:list") + "?q=a"


def test_nobody_sees_anything_without_a_log_in(release: Release) -> None:
    for address in [reverse(name) for name in EVERYWHERE] + [make(release) for make in OF_A_RELEASE]:
        assert Client().get(address).status_code in (302, 401), address


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_who_only_reads_changes_nothing(release: Release, role: Role) -> None:
    client = browser(member(release.application, role))
    before = (release.state, release.runs.count(), release.evidence.count(), release.poll_opened_at)
    item = reverse("releases:sign_off", args=[release.pk, "testing.acceptance"])
    client.post(item, {"passed": "yes", "statement": "x"})
    client.post(reverse("releases:rehearse", args=[release.pk]))
    client.post(reverse("releases:open_poll", args=[release.pk]))
    client.post(reverse("releases:cancel", args=[release.pk]), {"reason": "x"})
    client.post(reverse("checks:launch", args=[release.pk, "checks.unit"]))
    client.post(reverse("checks:deploy", args=[release.pk]))
    client.post(
        reverse("releases:window", args=[release.pk]), {"opens": "2031-01-01T10:00", "closes": "2031-01-01T12:00"}
    )
    release.refresh_from_db()
    assert (release.state, release.runs.count(), release.evidence.count(), release.poll_opened_at) == before
    assert release.window_opens is None


def test_a_superuser_without_a_role_sees_no_release(release: Release) -> None:
    root = User.objects.create_superuser("root@gonogo.example", "a password of some length", name="Root")
    assert browser(root).get(reverse("releases:release", args=[release.pk])).status_code == 404
