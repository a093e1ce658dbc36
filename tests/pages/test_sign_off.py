"""Signing an item on its page, and what the item shows of it afterwards."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from releases.models import Evidence, Release
from tests.factories import Team, make_application, make_release, make_team
from tests.pages.test_open_pages import browser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]
SAID = "LUKS on every disk."


@pytest.fixture
def team_and_release() -> tuple[Team, Release]:
    application = make_application()
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


@pytest.fixture
def team(team_and_release: tuple[Team, Release]) -> Team:
    return team_and_release[0]


@pytest.fixture
def release(team_and_release: tuple[Team, Release]) -> Release:
    return team_and_release[1]


def typed(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M}"


def sign(release: Release, team: Team, key: str = "security.at_rest", **data: Any) -> Any:
    address = reverse("releases:sign_off", args=[release.pk, key])
    return browser(team.engineer).post(address, {"passed": "yes", "statement": SAID, **data})


def test_an_attested_item_says_what_it_needs_and_keeps_what_was_typed(release: Release, team: Team) -> None:
    address = reverse("releases:sign_off", args=[release.pk, "security.at_rest"])
    page = browser(team.engineer).get(address).content.decode()
    assert "This is an attestation." in page
    assert "What you attest" in page
    assert "(this or a link, where it holds)" in page
    assert "(optional)" not in page
    answer = sign(release, team)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "attach the evidence, or link to it" in page
    assert SAID in page
    assert not Evidence.objects.exists()


def test_the_item_shows_the_file_with_its_digest_the_link_and_the_end(release: Release, team: Team) -> None:
    until = timezone.now() + timedelta(days=60)
    answer = sign(
        release, team, valid_until=typed(until), link="https://vault.example.org/7", link_note="Page 3 of the report.",
        attachment=SimpleUploadedFile("disks.txt", b"crypt"),
    )  # fmt: skip
    assert answer.status_code == 302
    page = browser(team.viewer).get(reverse("releases:item", args=[release.pk, "security.at_rest"])).content.decode()
    assert "holds until" in page
    assert hashlib.sha256(b"crypt").hexdigest() in page
    assert 'href="https://vault.example.org/7" rel="noreferrer noopener"' in page
    assert "Page 3 of the report." in page
    station = browser(team.viewer).get(reverse("releases:requirement", args=[release.pk, "security"])).content.decode()
    assert f"attested by {team.engineer}" in station
    assert "with disks.txt" in station


def test_any_item_may_be_signed_with_an_end_and_without(release: Release, team: Team) -> None:
    assert sign(release, team, "security.review").status_code == 302
    until = timezone.now() + timedelta(days=60)
    assert sign(release, team, "recovery.failover", valid_until=typed(until)).status_code == 302
    ends = dict(Evidence.objects.values_list("item__key", "valid_until"))
    assert ends["security.review"] is None
    assert abs(ends["recovery.failover"] - until) < timedelta(minutes=1)
