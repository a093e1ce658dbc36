"""The pages on which people walk the acceptance cases."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from config.demo.pages import fields
from releases.domain.environment import build_running
from releases.domain.release import use_plan_version
from releases.enums import Role
from releases.models import CaseResult, Release
from tests.domain.test_judge_case import CASES, PLAN, PNG
from tests.factories import make_application, make_release, make_team, member, publish, run_in_source

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]


@pytest.fixture
def release() -> Release:
    application = make_application(plan=PLAN)
    made = make_release(application=application, requester=make_team(application).manager)
    run_in_source(made)
    return made


def browser(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def seen(client: Client, page: str) -> dict[str, str]:
    """What the form holds of the case that its page shows."""
    return fields(client.get(page).content.decode(), page)


def test_a_verdict_on_steps_that_changed_meanwhile_is_refused_and_kept_on_the_page(release: Release) -> None:
    client = browser(member(release.application, Role.ENGINEER))
    page = reverse("releases:case", args=[release.pk, "join"])
    held = seen(client, page)
    changed = {"acceptance": {"cases": [{**CASES[0], "steps": ["Open /courses/", "Press Buy"]}, CASES[1]]}}
    plan = publish(release.application, changed)
    use_plan_version(release=release, plan_version=plan, actor=member(release.application, Role.RELEASE_MANAGER))
    refused = client.post(page, {**held, "verdict": "passed", "note": "As it says."})
    shown = refused.content.decode()
    assert refused.status_code == 422
    assert "The case was changed since you opened its page" in shown
    assert "As it says." in shown
    assert "Press Buy" in shown
    assert not CaseResult.objects.exists()
    assert client.post(page, {**fields(shown, page), "verdict": "passed"}).status_code == 302
    assert client.post(page, {"verdict": "passed"}).status_code == 422, "a form without what was seen says nothing"


def test_a_person_walks_from_case_to_case(release: Release) -> None:
    client = browser(member(release.application, Role.ENGINEER))
    item = client.get(reverse("releases:item", args=[release.pk, "testing.acceptance"])).content.decode()
    every = reverse("releases:cases", args=[release.pk])
    assert f'href="{every}"' in item
    assert "0 of 2 passed" in client.get(every).content.decode()
    first = reverse("releases:case", args=[release.pk, "join"])
    second = reverse("releases:case", args=[release.pk, "leave"])
    page = client.get(first).content.decode()
    assert "Press Join" in page
    assert "It is yours." in page
    answer = client.post(
        first, {**seen(client, first), "verdict": "passed", "note": "", "screenshot": SimpleUploadedFile("a.png", PNG)}
    )
    assert (answer.status_code, answer["Location"]) == (302, second)
    refused = client.post(second, {**seen(client, second), "verdict": "failed", "note": ""})
    assert refused.status_code == 422
    assert "Say what you saw instead" in refused.content.decode()
    answer = client.post(second, {**seen(client, second), "verdict": "failed", "note": "It stays."})
    assert answer["Location"] == every
    page = client.get(every).content.decode()
    assert "1 of 2 passed" in page
    assert "It stays." in page
    kept = CaseResult.objects.get(case="join")
    picture = client.get(reverse("releases:case_screenshot", args=[release.pk, kept.pk]))
    assert b"".join(picture.streaming_content) == PNG  # type: ignore[attr-defined]
    assert picture["Content-Disposition"].startswith("attachment")


def test_the_page_says_what_runs_there_instead(release: Release) -> None:
    client = browser(member(release.application, Role.ENGINEER))
    page = reverse("releases:case", args=[release.pk, "join"])
    held = seen(client, page)
    assert "Another build runs there." not in client.get(page).content.decode()
    build_running(environment=release.source_environment, release=None, version="9.9", build_digest="b" * 64)
    shown = client.get(page).content.decode()
    assert f"staging runs 9.9, not the build of {release.version}" in shown
    assert 'name="verdict"' not in shown
    assert "staging runs 9.9" in client.get(reverse("releases:cases", args=[release.pk])).content.decode()
    # Whoever had the page open before keeps what they wrote.
    refused = client.post(page, {**held, "verdict": "passed", "note": "All of it was there."})
    assert refused.status_code == 422
    assert "All of it was there." in refused.content.decode()
    assert not CaseResult.objects.exists()


def test_who_only_reads_sees_and_judges_nothing(release: Release) -> None:
    client = browser(member(release.application, Role.VIEWER))
    page = reverse("releases:case", args=[release.pk, "join"])
    assert "Engineers, approvers and release managers judge it." in client.get(page).content.decode()
    assert client.post(page, {"verdict": "passed"}).status_code in (403, 422)
    assert not CaseResult.objects.exists()
    stranger = make_team(make_application()).manager
    assert browser(stranger).get(page).status_code == 404


def test_a_release_without_cases_has_no_such_page() -> None:
    application = make_application()
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    assert browser(team.manager).get(reverse("releases:cases", args=[release.pk])).status_code == 404
    item = browser(team.manager).get(reverse("releases:item", args=[release.pk, "testing.acceptance"]))
    assert "Sign" in item.content.decode()
