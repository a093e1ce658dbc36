"""The list of applications: what runs where, and what is on its way."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from releases.enums import Role
from releases.models import Environment
from tests.factories import make_application, make_release, make_team, member
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db


def test_it_shows_what_runs_where_and_what_is_on_its_way() -> None:
    release = make_release(application=make_application(name="Shop"), version="2.0")
    Environment.objects.filter(application=release.application, name="production").update(
        current_version="1.9", current_since=timezone.now()
    )
    text = browser(member(release.application, Role.VIEWER)).get(reverse("releases:application_list")).content.decode()
    assert "1.9" in text
    assert "not known" in text
    assert reverse("releases:release", args=[release.pk]) in text
    assert "plan v1" in text


def test_it_takes_as_many_queries_for_three_applications_as_for_one() -> None:
    first = make_release()
    viewer = make_team(first.application).viewer
    client, address = browser(viewer), reverse("releases:application_list")
    client.get(address)
    with CaptureQueriesContext(connection) as one:
        client.get(address)
    for _ in range(2):
        member(make_release().application, Role.VIEWER, user=viewer)
    with CaptureQueriesContext(connection) as three:
        client.get(address)
    assert len(three) == len(one)
