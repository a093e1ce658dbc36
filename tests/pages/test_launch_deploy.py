"""The page that launches into production: it names the evidence, and what changed since is read first."""

import re

import pytest
from django.urls import reverse

from checks.models import Run
from releases.domain import gate
from releases.enums import EvidenceVerdict, ReleaseState
from releases.models import Release
from tests.factories import answer, make_approved, make_release, make_team
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db


def digest_on(page: str) -> str:
    found = re.search(r'name="manifest_digest" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


def test_a_launch_on_evidence_that_changed_is_refused_and_asked_again_with_the_new_one() -> None:
    release = make_release()
    team = make_team(release.application)
    make_approved(release, team)
    address = reverse("checks:deploy", args=[release.pk])
    client = browser(team.manager)
    seen = digest_on(client.get(address).content.decode())
    assert seen == gate.evaluate(Release.objects.get(pk=release.pk)).digest
    item = release.items.order_by("pk").first()
    assert item is not None
    answer(item, verdict=EvidenceVerdict.PASSED)
    refused = client.post(address, {"manifest_digest": seen}).content.decode()
    assert "The evidence changed since you looked. Nothing was started" in refused
    assert digest_on(refused) == gate.evaluate(Release.objects.get(pk=release.pk)).digest != seen
    assert not Run.objects.exists()


def test_a_launch_that_does_not_say_what_was_seen_is_refused() -> None:
    release = make_release()
    team = make_team(release.application)
    make_approved(release, team)
    address = reverse("checks:deploy", args=[release.pk])
    for sent in ({}, {"manifest_digest": ""}, {"manifest_digest": "x"}):
        refused = browser(team.manager).post(address, sent).content.decode()
        assert "Nothing was started; read what changed." in refused
    assert not Run.objects.exists()
    assert Release.objects.get(pk=release.pk).state == ReleaseState.APPROVED


def test_a_closed_gate_is_told_before_anybody_presses_the_button() -> None:
    release = make_release()
    team = make_team(release.application)
    text = browser(team.manager).get(reverse("checks:deploy", args=[release.pk])).content.decode()
    assert "The gate is closed." in text
    for blocker in gate.evaluate(release).blockers:
        assert blocker.title in text


def test_a_release_that_is_over_is_not_offered_another_launch() -> None:
    release = make_release()
    team = make_team(release.application)
    Release.objects.filter(pk=release.pk).update(state=ReleaseState.CANCELLED)
    text = browser(team.manager).get(reverse("checks:deploy", args=[release.pk])).content.decode()
    assert "It is not launched now." in text
    assert "Deploy to production now" not in text
