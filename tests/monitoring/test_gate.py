"""Open incidents close the gate."""

import pytest

from monitoring.domain import incident as incidents
from monitoring.models import Incident, Probe
from releases.domain.gate import evaluate, evaluate_many
from releases.enums import GateVerdict
from releases.errors import NotAllowed, StateChanged
from releases.models import Release
from tests.factories import make_approved
from tests.kinds_deploy.local_server import LocalServer
from tests.monitoring.support import Watched, make_watched, record

pytestmark = pytest.mark.django_db


def blockers(release: Release) -> list[tuple[str, GateVerdict]]:
    fresh = Release.objects.select_related("application", "plan_version").get(pk=release.pk)
    return [(one.code, one.severity) for one in evaluate(fresh).blockers]


def test_an_open_incident_where_it_goes_is_a_no(watched: Watched) -> None:
    release = make_approved(watched.release(), watched.team)
    assert blockers(release) == []
    record(watched.probe, "ddd")
    assert blockers(release) == [("incident_open", GateVerdict.NO_GO)]


def test_it_opens_again_when_the_incident_closes(watched: Watched) -> None:
    release = make_approved(watched.release(), watched.team)
    record(watched.probe, "ddduuu")
    assert blockers(release) == []


def test_a_noticed_incident_still_holds(watched: Watched) -> None:
    release = make_approved(watched.release(), watched.team)
    record(watched.probe, "ddd")
    incident = Incident.objects.get()
    incidents.acknowledge(incident=incident, actor=watched.team.engineer)
    assert incident.look == "acknowledged"
    assert blockers(release) == [("incident_open", GateVerdict.HOLD)]
    with pytest.raises(StateChanged):
        incidents.acknowledge(incident=incident, actor=watched.team.manager)


def test_a_viewer_takes_no_notice(watched: Watched) -> None:
    record(watched.probe, "ddd")
    with pytest.raises(NotAllowed):
        incidents.acknowledge(incident=Incident.objects.get(), actor=watched.team.viewer)


def test_another_environment_does_not_matter(server: LocalServer, storage_folder: object) -> None:
    probes = [{"name": "Front page", "environment": "staging", "path": "/", "interval": "1s"}]
    watched = make_watched(server, probes=probes)
    record(Probe.objects.get(), "ddd")
    assert "incident_open" not in [code for code, _ in blockers(watched.release())]


def test_a_release_that_is_being_deployed_is_not_held_by_its_own_incident(watched: Watched) -> None:
    release = watched.deployed()
    record(watched.probe, "ddd")
    assert Incident.objects.get().release == release
    assert "incident_open" not in [code for code, _ in blockers(release)]


def test_many_releases_are_told_at_once(watched: Watched) -> None:
    releases = [watched.release() for _ in range(3)]
    record(watched.probe, "ddd")
    gates = evaluate_many(Release.objects.filter(pk__in=[one.pk for one in releases]).select_related("application"))
    assert all(any(one.code == "incident_open" for one in gate.blockers) for gate in gates.values())
