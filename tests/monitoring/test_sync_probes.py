"""Probes follow the newest plan."""

import pytest

from monitoring.domain.probe import sync_all
from monitoring.models import Incident, Probe
from releases.models import Environment
from tests.factories import make_application, publish
from tests.kinds_deploy.local_server import LocalServer
from tests.monitoring.support import Watched, make_watched, probe_section, record

pytestmark = pytest.mark.django_db


def environments(server: LocalServer, url: str = "") -> dict[str, dict[str, str]]:
    return {
        "staging": {"tier": "staging", "url": server.url},
        "production": {"tier": "production", "url": url or server.url},
    }


def test_publishing_a_plan_makes_its_probes(watched: Watched) -> None:
    probe = watched.probe
    assert probe.url == f"{watched.server.url}/"
    assert (probe.interval_seconds, probe.timeout_seconds, probe.expect_status) == (1, 5, 200)
    assert (probe.expect_text, probe.slow_after_ms, probe.down_after, probe.up_after) == ("welcome", 2000, 3, 3)


def test_a_changed_probe_keeps_its_history(watched: Watched, server: LocalServer) -> None:
    before = watched.probe
    record(before, "uu")
    changed = [probe_section(path="/health", interval="30s", timeout="1500ms")]
    publish(watched.application, {"environments": environments(server), "probes": changed})
    after = watched.probe
    assert after.pk == before.pk
    assert (after.url, after.interval_seconds, after.timeout_seconds) == (f"{server.url}/health", 30, 2)
    assert after.results.count() == 2


def test_a_probe_that_the_plan_no_longer_names_is_stopped_and_its_incident_closed(
    watched: Watched, server: LocalServer
) -> None:
    probe = watched.probe
    record(probe, "ddd")
    assert Incident.objects.filter(probe=probe, closed_at__isnull=True).exists()
    publish(watched.application, {"environments": environments(server), "probes": []})
    probe.refresh_from_db()
    assert not probe.enabled
    assert not Incident.objects.filter(closed_at__isnull=True).exists()


def test_a_probe_that_comes_back_is_the_same(watched: Watched, server: LocalServer) -> None:
    before = watched.probe
    publish(watched.application, {"environments": environments(server), "probes": []})
    publish(watched.application, {"environments": environments(server), "probes": [probe_section(interval="5s")]})
    assert watched.probe.pk == before.pk
    assert watched.probe.enabled


def test_other_applications_are_left_alone(watched: Watched) -> None:
    make_application(plan={"title": "Another"})
    sync_all()
    assert Probe.objects.filter(enabled=True).count() == 1


def test_a_path_of_the_address_stays_in_front(server: LocalServer) -> None:
    places = environments(server, url=f"{server.url}/shop/")
    watched = make_watched(server, environments=places, probes=[probe_section(path="/health?full=1")])
    assert watched.probe.url == f"{server.url}/shop/health?full=1"
    assert Environment.objects.get(pk=watched.production.pk).url == f"{server.url}/shop/"
