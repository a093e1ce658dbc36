"""Approval ends by itself when votes or the window run out."""

from datetime import timedelta

import pytest
from django.utils import timezone

from releases.domain import approval
from releases.enums import ReleaseState
from releases.models import LedgerEntry, Release
from tests.factories import Team, make_approved

pytestmark = pytest.mark.django_db


def test_a_release_whose_window_passed_is_approved_no_longer(release: Release, team: Team) -> None:
    make_approved(release, team)
    assert approval.refresh_approved() == 0
    past = timezone.now() - timedelta(hours=3)
    Release.objects.filter(pk=release.pk).update(window_opens=past, window_closes=past + timedelta(hours=1))
    assert approval.refresh_approved() == 1
    release.refresh_from_db()
    assert release.state == ReleaseState.REHEARSING
    entry = LedgerEntry.objects.filter(action="release.approval_lapsed").latest("id")
    assert any("The window closed" in text for text in entry.document["blockers"])
