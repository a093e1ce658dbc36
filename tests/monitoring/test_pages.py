"""The pages of monitoring: who sees what, and that each shows real figures."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from monitoring.domain import alert as alerts
from monitoring.domain.delivery import deliver_due
from monitoring.models import Alert, Incident
from releases.domain.environment import adopt_build
from releases.models import User
from tests.factories import UserFactory
from tests.monitoring.support import Watched, record

pytestmark = pytest.mark.django_db

HTMX = {"HTTP_HX_REQUEST": "true"}


def page(person: User, name: str, *arguments: Any, status: int = 200, **more: Any) -> str:
    client = Client()
    client.force_login(person)
    query = more.pop("query", "")
    response = client.get(reverse(f"monitoring:{name}", args=arguments) + query, **more)
    assert response.status_code == status, response.content[:2000]
    return response.getvalue().decode()


def post(person: User, name: str, *arguments: Any, **data: str) -> Any:
    client = Client()
    client.force_login(person)
    return client.post(reverse(f"monitoring:{name}", args=arguments), data)


def test_the_overview_shows_every_probe_with_its_figures(watched: Watched) -> None:
    record(watched.probe, "u" * 9 + "d", ms=42)
    text = page(watched.team.auditor, "overview")
    assert "Front page" in text
    assert "90 %" in text
    assert "42 ms" in text


def test_a_stranger_sees_nothing(watched: Watched) -> None:
    record(watched.probe, "ddd")
    stranger = UserFactory()
    assert "Front page" not in page(stranger, "overview")
    page(stranger, "probe", watched.probe.pk, status=404)
    page(stranger, "incident", Incident.objects.get().pk, status=404)
    page(stranger, "release_panel", watched.release().pk, status=404)
    assert "Front page" not in page(stranger, "incident_list")
    assert post(stranger, "acknowledge", Incident.objects.get().pk).status_code == 404


def test_nobody_is_sent_to_the_log_in(watched: Watched) -> None:
    for name in ("overview", "incident_list"):
        assert Client().get(reverse(f"monitoring:{name}")).status_code == 302


def test_a_probe_shows_charts_with_releases_marked(watched: Watched) -> None:
    record(watched.probe, "u" * 20)
    adopt_build(
        environment=watched.production, version="7.7", build_digest="a" * 64, actor=None, reason="It was there."
    )
    text = page(watched.team.viewer, "probe", watched.probe.pk, query="?span=1h")
    assert "marker-label" in text
    assert "7.7" in text
    assert "Response time of the probe over time" in text


def test_a_probe_that_was_never_asked_says_so(watched: Watched) -> None:
    assert "It was not asked yet." in page(watched.team.viewer, "probe", watched.probe.pk)


def test_an_incident_can_be_acknowledged_once(watched: Watched) -> None:
    record(watched.probe, "ddd")
    incident = Incident.objects.get()
    assert "I take care of it" in page(watched.team.engineer, "incident", incident.pk)
    assert "I take care of it" not in page(watched.team.viewer, "incident", incident.pk)
    assert post(watched.team.engineer, "acknowledge", incident.pk).status_code == 302
    incident.refresh_from_db()
    assert incident.acknowledged_by == watched.team.engineer


def test_incidents_are_filtered_sorted_and_exported(watched: Watched) -> None:
    record(watched.probe, "ddduuuddd")
    person = watched.team.auditor
    assert page(person, "incident_list", query="?state=open").count("Front page") == 1
    assert "No incident fits" in page(person, "incident_list", query="?q=nothing-like-it")
    csv = page(person, "incident_list", query="?format=csv&state=closed")
    assert csv.splitlines()[0].startswith("application,environment,probe")
    assert len(csv.splitlines()) == 2
    assert page(person, "incident_list", query="?format=json").count('"probe"') == 2


def test_pages_of_incidents_take_a_fixed_number_of_queries(watched: Watched) -> None:
    record(watched.probe, "dddu")
    with CaptureQueriesContext(connection) as one:
        page(watched.team.auditor, "incident_list")
    record(watched.probe, "uuuddduuuddduuu", since=timezone.now())
    with CaptureQueriesContext(connection) as many:
        page(watched.team.auditor, "incident_list")
    assert len(one) == len(many)


def test_the_panel_of_a_release_is_a_fragment_or_a_page(watched: Watched) -> None:
    release = watched.release()
    record(watched.probe, "u" * 10)
    fragment = page(watched.team.auditor, "release_panel", release.pk, **HTMX)
    assert fragment.startswith('<section class="card" id="release-monitoring"')
    assert "Front page" in fragment
    assert "<html" in page(watched.team.auditor, "release_panel", release.pk)


def test_the_panel_says_when_nothing_is_asked(watched: Watched) -> None:
    assert "No fresh answers" in page(watched.team.viewer, "release_panel", watched.release().pk, **HTMX)


def test_a_test_alert_is_sent_and_confirmed_by_clicking(watched: Watched) -> None:
    release = watched.release()
    assert "Send a test alert" not in page(watched.team.viewer, "release_panel", release.pk, **HTMX)
    assert "Send a test alert" in page(watched.team.engineer, "release_panel", release.pk, **HTMX)
    assert post(watched.team.engineer, "test_alert", release.pk).status_code == 302
    alert = Alert.objects.get(kind="test")
    assert deliver_due() == 1
    text = page(watched.team.administrator, "receipt", alert.receipt_code)
    assert "It reached me" in text
    alert.refresh_from_db()
    assert alert.received_at is None, "opening the link confirms nothing"
    assert post(watched.team.administrator, "receipt", alert.receipt_code).status_code == 302
    alert.refresh_from_db()
    assert alert.received_by == watched.team.administrator
    assert "confirmed already" in page(watched.team.administrator, "receipt", alert.receipt_code)


def test_a_receipt_of_nothing_is_not_found(watched: Watched) -> None:
    page(watched.team.administrator, "receipt", "guessed", status=404)
    alert = alerts.send_test_alert(release=watched.release(), actor=watched.team.engineer)
    page(UserFactory(), "receipt", alert.receipt_code, status=404)


def test_a_refused_receipt_says_why(watched: Watched) -> None:
    alert = alerts.send_test_alert(release=watched.release(), actor=watched.team.engineer)
    response = post(watched.team.administrator, "receipt", alert.receipt_code)
    assert response.status_code == 422
    assert "was not delivered by any channel" in response.content.decode()


def test_no_page_has_inline_style_or_script(watched: Watched) -> None:
    release = watched.deployed()
    record(watched.probe, "uuddd")
    pages = [
        page(watched.team.manager, "overview"),
        page(watched.team.manager, "probe", watched.probe.pk),
        page(watched.team.manager, "incident", Incident.objects.get().pk),
        page(watched.team.manager, "incident_list"),
        page(watched.team.manager, "release_panel", release.pk),
    ]
    for text in pages:
        assert " style=" not in text
        assert "<style" not in text
        assert "<script>" not in text
        assert " onclick=" not in text
